//! Stores of files as people have them: named as they are not, in 8 bits, wrapped, quantised.

use std::{fs, path::Path};

use candle_core::{DType, Device};
use safetensors::{Dtype, tensor::TensorView};

use super::Store;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A tensor to be written: name, type, shape, bytes.
type Piece<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The bytes of a safetensors file with a key in its header.
fn file_saying(pieces: &[Piece<'_>], said: Option<(&str, &str)>) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let views = pieces.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes)?;
        Ok((*name, view))
    });
    let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    let said = said.map(|(key, text)| [(key.to_owned(), text.to_owned())].into());
    safetensors::serialize(views, said)
}

fn store_of(pieces: &[Piece<'_>]) -> crate::Result<Store> {
    let bytes = file_saying(pieces, None).map_err(|error| crate::Error::failed(error.to_string()))?;
    Store::from_bytes(bytes, "the file")
}

fn read(store: &Store, name: &str) -> candle_core::Result<Vec<f32>> {
    let tensor = store.var_builder(DType::F32, &Device::Cpu).get_unchecked(name)?;
    tensor.flatten_all()?.to_vec1()
}

/// Why a file is refused.
fn refusal(pieces: &[Piece<'_>]) -> String {
    match store_of(pieces) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Why a tensor is.
fn refused_tensor(store: &Store, name: &str) -> String {
    read(store, name).expect_err("it was read").to_string()
}

#[test]
fn contents_decide_and_not_the_name() -> TestResult {
    let folder = tempfile::tempdir()?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pickles");
    let safe = file_saying(&[("layer.weight", Dtype::F32, &[1, 2], f32s(&[1.0, 2.0]))], None)?;
    let contents = [
        (safe, vec![1.0, 2.0]),
        (fs::read(data.join("plain.pt"))?, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        (fs::read(data.join("old.pt"))?, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
    ];
    for (bytes, numbers) in contents {
        for name in ["a.safetensors", "a.sft", "a.ckpt", "a.pt", "a.bin", "a", "a.txt"] {
            let path = folder.path().join(name);
            fs::write(&path, &bytes)?;
            assert_eq!(read(&Store::open(&path)?, "layer.weight")?, numbers, "{name}");
        }
    }
    for (bytes, says) in [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".as_slice(),
            "git lfs pull",
        ),
        (b"<html><body>sign in</body></html>", "web page"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "GGUF"),
        (b"\x01\x02", "cut off after 2 bytes"),
        (b"", "empty"),
    ] {
        for name in ["b.safetensors", "b.bin", "b.ckpt", "b"] {
            let path = folder.path().join(name);
            fs::write(&path, bytes)?;
            let error = Store::open(&path).err().ok_or("it was opened")?.to_string();
            assert!(error.contains(name) && error.contains(says), "{error}");
        }
    }
    Ok(())
}

#[test]
fn floats_of_every_width_are_read_and_integers_are_no_weights() -> TestResult {
    let store = store_of(&[
        ("f8", Dtype::F8_E4M3, &[2], vec![0x38, 0xfe]),
        ("f8_wide", Dtype::F8_E5M2, &[2], vec![0x3c, 0x7b]),
        ("f64", Dtype::F64, &[1], 0.5_f64.to_le_bytes().to_vec()),
        ("alpha", Dtype::I64, &[], 8_i64.to_le_bytes().to_vec()),
        ("nan", Dtype::F8_E4M3, &[2], vec![0x38, 0x7f]),
        ("infinite", Dtype::F8_E5M2, &[2], vec![0x3c, 0x7c]),
        ("bytes", Dtype::U8, &[2], vec![1, 2]),
        ("flags", Dtype::BOOL, &[2], vec![1, 0]),
        ("ids", Dtype::I64, &[2], vec![0; 16]),
        ("signed", Dtype::I8, &[2], vec![1, 2]),
        ("scales", Dtype::F8_E8M0, &[2], vec![1, 2]),
        ("half_bytes", Dtype::F4, &[2], vec![1]),
        ("complex", Dtype::C64, &[1], vec![0; 8]),
    ])?;
    assert_eq!(read(&store, "f8")?, [1.0, -448.0]);
    assert_eq!(read(&store, "f8_wide")?, [1.0, 57344.0]);
    assert_eq!(read(&store, "f64")?, [0.5]);
    assert_eq!(read(&store, "alpha")?, [8.0]);
    for (name, says) in [
        ("nan", "NaN or infinite"),
        ("infinite", "NaN or infinite"),
        ("bytes", "integers (U8)"),
        ("flags", "integers (BOOL)"),
        ("ids", "integers (I64)"),
        ("signed", "integers (I8)"),
        ("scales", "F8_E8M0"),
        ("half_bytes", "F4"),
        ("complex", "C64"),
    ] {
        let error = refused_tensor(&store, name);
        assert!(
            error.contains("the file") && error.contains(name) && error.contains(says),
            "{error}"
        );
    }
    Ok(())
}

/// 1 and -2, and 1.5 and 448, in e4m3.
const WEIGHT: [u8; 4] = [0x38, 0xc0, 0x3c, 0x7e];

#[test]
fn weights_in_eight_bits_are_multiplied_with_their_factors() -> TestResult {
    let weight = || ("a.weight", Dtype::F8_E4M3, [2_usize, 2], WEIGHT.to_vec());
    for name in ["a.scale_weight", "a.weight_scale"] {
        for (shape, factors, right) in [
            (&[] as &[usize], vec![0.1], [0.1, -0.2, 1.5 * 0.1, 448.0 * 0.1]),
            (&[1], vec![0.1], [0.1, -0.2, 1.5 * 0.1, 448.0 * 0.1]),
            (&[2], vec![0.1, 3.0], [0.1, -0.2, 4.5, 1344.0]),
            (&[2, 1], vec![0.1, 3.0], [0.1, -0.2, 4.5, 1344.0]),
        ] {
            let (of, dtype, sides, bytes) = weight();
            let store = store_of(&[
                (of, dtype, &sides, bytes),
                (name, Dtype::F32, shape, f32s(&factors)),
                ("a.scale_input", Dtype::F32, &[], f32s(&[7.0])),
                ("a.bias", Dtype::F32, &[1], f32s(&[5.0])),
                ("scaled_fp8", Dtype::F8_E4M3, &[0], vec![]),
            ])?;
            assert_eq!(read(&store, "a.weight")?, right);
            let mut names: Vec<&str> = store.names().collect();
            names.sort_unstable();
            assert_eq!(names, ["a.bias", "a.weight"]);
        }
    }
    // A convolution, and a factor in another format of numbers.
    let store = store_of(&[
        ("c.weight", Dtype::F8_E5M2, &[2, 1, 1, 2], vec![0x3c, 0x40, 0x3c, 0x40]),
        ("c.weight_scale", Dtype::BF16, &[2], vec![0x00, 0x40, 0x80, 0x3f]),
    ])?;
    assert_eq!(read(&store, "c.weight")?, [2.0, 4.0, 1.0, 2.0]);
    Ok(())
}

#[test]
fn bytes_are_floats_of_eight_bits_where_the_file_says_so() -> TestResult {
    let weight = ("n.a.weight", Dtype::U8, [4_usize], WEIGHT.to_vec());
    let factor = ("n.a.weight_scale", Dtype::F32, [0_usize; 0], f32s(&[2.0]));
    let pieces = |extra: Option<Piece<'static>>| {
        let mut pieces: Vec<Piece<'_>> = vec![
            (weight.0, weight.1, &weight.2, weight.3.clone()),
            (factor.0, factor.1, &factor.2, factor.3.clone()),
        ];
        pieces.extend(extra);
        file_saying(&pieces, None)
    };
    let right = [2.0, -4.0, 3.0, 896.0];
    let json = br#"{"format": "float8_e4m3fn"}"#.to_vec();
    let by_layer = pieces(Some(("n.a.comfy_quant", Dtype::U8, &[27], json)))?;
    let by_mark = pieces(Some(("scaled_fp8", Dtype::F8_E4M3, &[0], vec![])))?;
    let by_header = file_saying(
        &[
            (weight.0, weight.1, &weight.2, weight.3.clone()),
            (factor.0, factor.1, &factor.2, factor.3.clone()),
        ],
        Some((
            "_quantization_metadata",
            r#"{"format_version": "1.0", "layers": {"model.n.a": {"format": "float8_e4m3fn"}}}"#,
        )),
    )?;
    for bytes in [by_layer, by_mark, by_header] {
        let store = Store::from_bytes(bytes, "the file")?;
        assert_eq!(read(&store, "n.a.weight")?, right);
        assert_eq!(store.names().count(), 1);
    }
    let unsaid = Store::from_bytes(pieces(None)?, "the file")
        .err()
        .ok_or("it was opened")?;
    let unsaid = unsaid.to_string();
    assert!(unsaid.contains("n.a.weight") && unsaid.contains("U8"), "{unsaid}");
    let other = br#"{"format": "int8_tensorwise"}"#.to_vec();
    let length = other.len();
    let other = file_saying(&[("a.comfy_quant", Dtype::U8, &[length], other)], None)?;
    let other = Store::from_bytes(other, "the file")
        .err()
        .ok_or("it was opened")?
        .to_string();
    assert!(
        other.contains("int8_tensorwise") && other.contains("the file"),
        "{other}"
    );
    Ok(())
}

#[test]
fn factors_that_fit_no_weight_and_other_quantisations_are_refused() {
    let weight = || ("a.weight", Dtype::F8_E4M3, &[2_usize, 2] as &[usize], WEIGHT.to_vec());
    let factor = |name, shape: &'static [usize]| {
        let count = shape.iter().product::<usize>();
        (name, Dtype::F32, shape, f32s(&vec![1.0; count]))
    };
    for (pieces, says) in [
        (
            vec![factor("b.weight_scale", &[]), weight()],
            "b.weight, which is not there",
        ),
        (vec![factor("a.weight_scale", &[3]), weight()], "[3]"),
        (vec![factor("a.weight_scale", &[2, 2]), weight()], "[2, 2]"),
        (vec![factor("a.weight_scale", &[1, 2]), weight()], "[1, 2]"),
        (
            vec![factor("a.weight_scale", &[]), factor("a.scale_weight", &[]), weight()],
            "two factors",
        ),
        (
            vec![("a.weight_scale", Dtype::I32, &[], vec![0; 4]), weight()],
            "not floats",
        ),
        (
            vec![factor("a.weight_scale", &[]), ("a.weight", Dtype::I8, &[2], vec![1, 2])],
            "I8",
        ),
        (
            vec![
                (
                    "a.comfy_quant",
                    Dtype::U8,
                    &[25],
                    br#"{"format": "float8_e5m2"}"#.to_vec(),
                ),
                weight(),
            ],
            "a.weight_scale, which is not there",
        ),
        (vec![factor("a.weight.absmax", &[])], "bitsandbytes"),
        (vec![factor("a.weight.quant_map", &[])], "bitsandbytes"),
        (vec![factor("a.SCB", &[])], "int8"),
        (vec![factor("a.qweight", &[])], "GPTQ"),
        (vec![factor("a.weight_scale_2", &[])], "nvfp4"),
    ] {
        let error = refusal(&pieces);
        assert!(error.contains(says) && error.contains("the file"), "{says}: {error}");
    }
}

#[test]
fn a_factor_that_is_not_finite_is_told_with_its_weight() -> TestResult {
    let store = store_of(&[
        ("a.weight", Dtype::F8_E4M3, &[4], WEIGHT.to_vec()),
        ("a.weight_scale", Dtype::F32, &[], f32s(&[f32::NAN])),
    ])?;
    let error = refused_tensor(&store, "a.weight");
    assert!(error.contains("a.weight_scale") && error.contains("NaN"), "{error}");
    Ok(())
}

#[test]
fn wrappers_of_training_are_taken_off_the_names() -> TestResult {
    let store = store_of(&[
        ("_orig_mod.module.a.weight", Dtype::F8_E4M3, &[4], WEIGHT.to_vec()),
        ("_orig_mod.module.a.scale_weight", Dtype::F32, &[], f32s(&[2.0])),
        ("_orig_mod.module.b.bias", Dtype::F32, &[1], f32s(&[f32::NAN])),
    ])?;
    assert_eq!(read(&store, "a.weight")?, [2.0, -4.0, 3.0, 896.0]);
    // Messages name what the file has.
    let error = refused_tensor(&store, "b.bias");
    assert!(error.contains("_orig_mod.module.b.bias"), "{error}");
    let twice = refusal(&[
        ("a.weight", Dtype::F32, &[1], f32s(&[1.0])),
        ("_orig_mod.a.weight", Dtype::F32, &[1], f32s(&[1.0])),
    ]);
    assert!(
        twice.contains("two tensors") && twice.contains("_orig_mod.a.weight"),
        "{twice}"
    );
    Ok(())
}

#[test]
fn a_tensor_in_two_shards_is_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let files = ["1.safetensors", "2.safetensors"].map(|name| folder.path().join(name));
    let piece = |name| [(name, Dtype::F32, &[1_usize] as &[usize], f32s(&[1.0]))];
    fs::write(&files[0], file_saying(&piece("a.weight"), None)?)?;
    fs::write(&files[1], file_saying(&piece("b.weight"), None)?)?;
    assert_eq!(Store::open_files(&files)?.names().count(), 2);
    fs::write(&files[1], file_saying(&piece("a.weight"), None)?)?;
    let error = Store::open_files(&files).err().ok_or("it was opened")?.to_string();
    assert!(
        error.contains("a.weight") && error.contains("1.safetensors") && error.contains("2.safetensors"),
        "{error}"
    );
    Ok(())
}
