use std::{collections::HashMap, fs};

use candle_core::{DType, Device, Tensor};

use super::Request;
use crate::common::{TestResult, case_file, data, program::Place};

#[test]
fn pictures_that_are_none() -> TestResult {
    let place = Place::new();
    let png = fs::read(case_file("adm-all", "image0.png"))?;
    let jpeg = fs::read(case_file("preprocess", "jpeg.jpg"))?;
    let mut damaged = png.clone();
    for byte in damaged.iter_mut().skip(60).step_by(97) {
        *byte ^= 0x55;
    }
    let mut lying = png.clone();
    lying[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    place.write("folder.png/inside", "");
    let written = [
        (place.write("empty.png", ""), "empty"),
        (place.write("signature.png", &png[..8]), "PNG"),
        (place.write("half.png", &png[..png.len() / 2]), "cut off or damaged"),
        (place.write("almost.png", &png[..png.len() - 40]), "cut off or damaged"),
        (place.write("damaged.png", damaged), "damaged"),
        (place.write("lying.png", lying), "damaged"),
        (place.write("half.jpg", &jpeg[..jpeg.len() / 2]), "cut off or damaged"),
        (place.write("text.png", "this is no picture at all"), "not a picture"),
        (place.text("folder.png"), "folder"),
        (place.text("missing.png"), "No such file"),
        ("/dev/null".to_owned(), "it is a device"),
    ];
    let kept = [
        ("huge.png", "30000x30000"),
        ("huge.jpg", "x"),
        ("promises-too-much.png", "cut off or damaged"),
        ("promises-too-much.jpg", "cut off or damaged"),
        ("cut-after-thumbnail.jpg", "cut off or damaged"),
        ("no-data.png", "PNG"),
        ("photo.heic", "HEIC"),
    ]
    .map(|(name, word)| (data("bad-pictures").join(name).display().to_string(), word));
    for (picture, word) in written.iter().chain(&kept) {
        for mut request in [Request::of_adm(&place), Request::of_sd15(&place)] {
            request.with("--image", picture).refused(&place, 1, &[picture, word]);
        }
    }
    Ok(())
}

#[test]
fn requests_that_cannot_be_met() {
    let place = Place::new();
    for (option, value, words) in [
        ("--size", "0x0", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "-1", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "1e9", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "8x", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "8x8x8", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "99999999999999999999999", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "1", vec!["1x1", "too small", "4"]),
        ("--size", "3x32", vec!["3x32", "too small"]),
        ("--size", "30", vec!["30x30", "28x28", "32x32"]),
        ("--size", "99999", vec!["99999x99999", "too large", "8192"]),
        ("--t", "-1", vec!["--t", "number from 0"]),
        ("--t", "1000", vec!["1000", "0 to 999"]),
        ("--t", "4294967295", vec!["0 to 999"]),
        ("--t", "99999999999", vec!["--t", "number from 0"]),
        ("--t", "1.5", vec!["1.5", "whole numbers from 0 to 999"]),
        ("--seed", "-1", vec!["--seed", "whole number"]),
        ("--seed", "18446744073709551616", vec!["--seed", "64 bits"]),
        ("--ensemble", "0", vec!["ensemble", "1 to"]),
        ("--ensemble", "-2", vec!["--ensemble", "whole number"]),
        ("--ensemble", "100000000", vec!["ensemble", "100000000"]),
        ("--ensemble", "18446744073709551615", vec!["ensemble"]),
        ("--pool", "0", vec!["--pool 0", "1 to 32"]),
        ("--pool", "-1", vec!["--pool", "whole number"]),
        ("--pool", "33", vec!["--pool 33", "32 x 32"]),
        ("--pool", "18446744073709551615", vec!["--pool"]),
        ("--store", "f8", vec!["--store", "f16"]),
        ("--dtype", "int8", vec!["--dtype", "bf16"]),
        ("--device", "tpu", vec!["--device", "cpu"]),
        ("--vae", "median", vec!["--vae", "mean"]),
        ("--activations", "", vec!["no activation"]),
        ("--activations", " , ,", vec!["no activation"]),
        ("--activations", "b 1", vec!["\"b 1\"", "did you mean \"b1\"?"]),
        ("--activations", "B1", vec!["did you mean \"b1\"?"]),
        (
            "--activations",
            "b2-res-ou",
            vec!["did you mean \"b2-res-out\"?", "layers"],
        ),
        ("--activations", "b99", vec!["b99", "did you mean"]),
        (
            "--activations",
            "unet-after-conv-in",
            vec!["unet-after-conv-in", "layers"],
        ),
        ("--activations", "b1,\u{732B}", vec!["\u{732B}", "layers"]),
    ] {
        Request::of_adm(&place).with(option, value).refused(&place, 2, &words);
    }
    for (side, words) in [
        ("0", vec!["0x0", "too small"]),
        ("3", vec!["too small"]),
        ("8193", vec!["too large"]),
        ("18446744073709551615", vec!["too large"]),
        ("-5", vec!["--short-side", "whole number"]),
    ] {
        let mut request = Request::of_adm(&place);
        request
            .without("--size")
            .with("--short-side", side)
            .refused(&place, 2, &words);
    }
    Request::of_adm(&place)
        .with("--short-side", "32")
        .refused(&place, 2, &["--size", "--short-side"]);
    for option in ["--model", "--image", "--activations", "--out"] {
        Request::of_adm(&place)
            .without(option)
            .refused(&place, 2, &[option, "--help"]);
    }
    Request::of_adm(&place)
        .with("--colour", "red")
        .refused(&place, 2, &["--colour"]);
    // The first activation that the factor is too much for is named, though others would take it.
    Request::of_adm(&place)
        .with("--activations", "all")
        .with("--pool", "9")
        .refused(&place, 2, &["b7-res-increment", "--pool 9", "8 x 8"]);
}

#[test]
fn more_than_fits_into_memory() {
    let place = Place::new();
    let words = ["GiB", "--size"];
    let mut request = Request::of_adm(&place);
    request
        .with("--size", "8192")
        .with("--activations", "all-maps")
        .refused(&place, 2, &words);
    let mut request = Request::of_adm(&place);
    request
        .with("--size", "4096")
        .with("--ensemble", "4096")
        .refused(&place, 2, &words);
}

#[test]
fn layer_files_that_are_none() {
    let place = Place::new();
    for (name, text, code, words) in [
        ("empty.json", "", 2, vec!["empty.json", "layer file"]),
        ("list.json", "[1, 2]", 2, vec!["list.json", "layer file"]),
        ("number.json", "7", 2, vec!["number.json", "layer file"]),
        ("words.json", r#"{"b1": "yes"}"#, 2, vec!["words.json", "true or false"]),
        ("off.json", r#"{"b1": false}"#, 2, vec!["off.json", "no activation"]),
        (
            "other.json",
            r#"{"unet-ou": true}"#,
            2,
            vec!["other.json", "\"unet-ou\"", "did you mean"],
        ),
    ] {
        let file = place.write(name, text);
        Request::of_adm(&place)
            .with("--activations", &file)
            .refused(&place, code, &words);
    }
    let missing = place.text("missing.json");
    Request::of_adm(&place)
        .with("--activations", &missing)
        .refused(&place, 1, &["missing.json", "No such file"]);
}

#[test]
fn noise_that_does_not_fit() -> TestResult {
    let place = Place::new();
    let save = |name: &str, tensors: &[(&str, Tensor)]| -> candle_core::Result<String> {
        let file = place.text(name);
        let tensors: HashMap<_, _> = tensors.iter().cloned().collect();
        candle_core::safetensors::save(&tensors, &file)?;
        Ok(file)
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let nan = Tensor::full(f32::NAN, (1, 3, 32, 32), &Device::Cpu)?;
    let adm = [
        (
            save("rows.safetensors", &[("in.noise", zeros(&[2, 3, 32, 32])?)])?,
            2,
            vec!["[2, 3, 32, 32]", "[1, 3, 32, 32]"],
        ),
        (
            save("flat.safetensors", &[("in.noise", zeros(&[3072])?)])?,
            2,
            vec!["[3072]", "[1, 3, 32, 32]"],
        ),
        (
            save("scalar.safetensors", &[("in.noise", zeros(&[])?)])?,
            2,
            vec!["[]", "[1, 3, 32, 32]"],
        ),
        (
            save("none.safetensors", &[("in.vae_noise", zeros(&[1, 3, 32, 32])?)])?,
            1,
            vec!["in.noise", "in.vae_noise"],
        ),
        (
            save("nan.safetensors", &[("in.noise", nan)])?,
            1,
            vec!["in.noise", "NaN"],
        ),
        (
            place.write("text.safetensors", "hello, this is text"),
            1,
            vec!["text.safetensors", "cut off or of another kind"],
        ),
        (
            place.write("empty.safetensors", ""),
            1,
            vec!["empty.safetensors", "cut off"],
        ),
        (
            place.text("missing.safetensors"),
            1,
            vec!["missing.safetensors", "No such file"],
        ),
    ];
    for (file, code, words) in &adm {
        Request::of_adm(&place)
            .with("--noise", file)
            .refused(&place, *code, words);
    }
    let tensors = [
        ("in.noise", zeros(&[1, 4, 4, 4])?),
        ("in.vae_noise", zeros(&[1, 4, 8, 8])?),
    ];
    let file = save("vae.safetensors", &tensors)?;
    // What the mean does not use is not looked at.
    Request::of_sd15(&place).with("--noise", &file).run().good();
    fs::remove_file(place.path("out.safetensors"))?;
    let words = ["in.vae_noise", "[1, 4, 8, 8]", "[1, 4, 4, 4]"];
    Request::of_sd15(&place)
        .with("--noise", &file)
        .with("--vae", "sample")
        .refused(&place, 2, &words);
    // Integers and wide numbers are numbers too.
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::I64, DType::U8] {
        let file = save(
            "kinds.safetensors",
            &[("in.noise", zeros(&[1, 3, 32, 32])?.to_dtype(dtype)?)],
        )?;
        Request::of_adm(&place).with("--noise", &file).run().good();
    }
    Ok(())
}
