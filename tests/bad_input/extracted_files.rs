use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::extracted;
use crate::common::{
    TestResult,
    program::{Place, run},
};

#[test]
fn extracted_files_that_are_none() -> TestResult {
    let place = Place::new();
    let activations = extracted(&place);
    let npy = |header: &str, data: &[u8]| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    };
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let files = [
        ("empty/b1.npy", Vec::new(), "cut off"),
        ("text/b1.npy", b"hello, this is text".to_vec(), "does not begin"),
        (
            "huge/b1.npy",
            npy(&header("<f4", "False", "(1, 99999999, 99999999, 99999999)"), &[0; 64]),
            "promises",
        ),
        (
            "short/b1.npy",
            npy(&header("<f4", "False", "(1, 4, 2, 2)"), &[0; 60]),
            "promises",
        ),
        (
            "long/b1.npy",
            npy(&header("<f4", "False", "(1, 4, 2, 2)"), &[0; 68]),
            "promises",
        ),
        (
            "kind/b1.npy",
            npy(&header("<i8", "False", "(1, 1, 1, 1)"), &[0; 8]),
            "floating-point",
        ),
        (
            "order/b1.npy",
            npy(&header("<f4", "True", "(1, 4, 2, 2)"), &[0; 64]),
            "row-major",
        ),
        ("header/b1.npy", npy("{}", &[0; 64]), "header"),
        (
            "negative/b1.npy",
            npy(&header("<f4", "False", "(1, -4, 2, 2)"), &[0; 64]),
            "header",
        ),
        (
            "flat/b1.npy",
            npy(&header("<f4", "False", "(16,)"), &[0; 64]),
            "(B, C, h, w)",
        ),
        (
            "nothing/b1.npy",
            npy(&header("<f4", "False", "(1, 0, 2, 2)"), &[]),
            "channels",
        ),
        (
            "nobody/b1.npy",
            npy(&header("<f4", "False", "(0, 1, 2, 2)"), &[]),
            "no picture 0",
        ),
        (
            "tall/b1.npy",
            npy(&header("<f4", "False", "(1, 1, 100000, 1)"), &vec![0; 400_000]),
            "100000 x 1",
        ),
        (
            "nan/b1.npy",
            npy(
                &header("<f4", "False", "(1, 4, 2, 2)"),
                &f32::NAN.to_le_bytes().repeat(16),
            ),
            "NaN",
        ),
    ];
    for (name, bytes, word) in files {
        place.write(name, bytes);
        let folder = name.split('/').next().ok_or("a folder")?;
        let before = place.contents();
        for source in [name, folder] {
            let ran = run(["pca", &place.text(source), "--id", "b1", "--out", &place.text("p.png")]);
            assert!(matches!(ran.code, Some(1 | 2)), "{name}: {}", ran.stderr);
            let code = ran.code.unwrap_or_default();
            ran.refused(code, &[word]);
        }
        assert_eq!(place.contents(), before);
    }
    let text = place.write("text.safetensors", "hello, this is text");
    let before = place.contents();
    let out = place.text("p.png");
    for (arguments, code, words) in [
        (
            vec![text.as_str(), "--id", "b1"],
            1,
            vec!["text.safetensors", "another kind"],
        ),
        (
            vec!["/nonexistent/file", "--id", "b1"],
            1,
            vec!["/nonexistent/file", "No such file"],
        ),
        (
            vec![&activations, "--id", "b2"],
            2,
            vec!["\"b2\"", "did you mean \"b1\"?"],
        ),
        (vec![&activations, "--id", ""], 2, vec!["--id"]),
        (
            vec![&activations, "--id", "b1", "--image-index", "1"],
            2,
            vec!["no picture 1", "holds 1"],
        ),
        (
            vec![&activations, "--id", "b1", "--image-index", "-1"],
            2,
            vec!["--image-index"],
        ),
        (vec![&activations, "--id", "b5-attn-map"], 2, vec!["attention map"]),
        (vec![&activations], 2, vec!["--id"]),
    ] {
        run(["pca"].into_iter().chain(arguments).chain(["--out", &out])).refused(code, &words);
        assert_eq!(place.contents(), before);
    }
    let below = format!("{activations}/p.png");
    run(["pca", &activations, "--id", "b1", "--out", &below]).refused(1, &["is a file"]);
    run(["pca", &activations, "--id", "b1", "--out", &activations]).refused(1, &["is a file"]);
    run(["pca", &activations, "--id", "b1", "--out", ""]).refused(2, &["--out"]);
    assert_eq!(place.contents(), before);
    Ok(())
}

/// Features that say nothing are no error.
#[test]
fn constant_and_narrow_features_have_a_picture() -> TestResult {
    let place = Place::new();
    for (name, shape) in [("one", (1, 1, 3, 5)), ("two", (1, 2, 1, 1)), ("constant", (1, 8, 4, 4))] {
        let tensors: HashMap<_, _> = [(name, Tensor::ones(shape, DType::F32, &Device::Cpu)?)].into();
        let file = place.text("maps.safetensors");
        candle_core::safetensors::save(&tensors, &file)?;
        for more in [&[][..], &["--reference"], &["--joint"]] {
            let out = place.text("p.png");
            run([&["pca", &file, "--id", name, "--out", &out][..], more].concat()).good();
        }
    }
    Ok(())
}
