//! Quantised single files as people have them: GGUF, and floats of 8 bits with their factors. The same weights lie beside them
//! unquantised.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use std::{collections::BTreeSet, fs};

use candle_core::{DType, Device, Tensor};
use common::{TestResult, model, numbers, program_case::Case};
use featscope::weights::Store;

/// The prefix that some files put before every name.
const PREFIX: &str = "model.diffusion_model.";

/// The files, and how far they may be from the weights they were made of: the root of the mean square over that of the weights, of
/// every tensor.
const FILES: [(&str, f64); 9] = [
    ("flux1-dev-BF16.gguf", 0.003),
    ("flux1-dev-Q8_0.gguf", 0.01),
    ("flux1-dev-Q5_1.gguf", 0.06),
    ("flux1-dev-Q4_K_S.gguf", 0.12),
    ("flux1-dev-fp8-e4m3fn.safetensors", 0.05),
    ("flux1-dev-fp8-e5m2.safetensors", 0.1),
    ("flux1-dev-fp8-scaled.safetensors", 0.05),
    ("flux1-dev-fp8-metadata.safetensors", 0.05),
    ("flux1-dev-fp8-comfy.safetensors", 0.05),
];

/// What the reference computes with the weights of such files, put into the folder of their model.
const CASES: [&str; 12] = [
    "flux-dev-gguf-bf16",
    "flux-dev-gguf-q8_0",
    "flux-dev-gguf-q5_1",
    "flux-dev-gguf-q4_k",
    "flux-dev-fp8-e4m3",
    "flux-dev-fp8-e5m2",
    "flux-dev-fp8-scaled",
    "flux-dev-fp8-metadata",
    "flux-dev-fp8-comfy",
    "sd3-gguf-q8_0",
    "sd3-gguf-q4_k",
    "sd3-fp8-scaled",
];

#[test]
fn every_case_of_quantised_weights_through_the_command_line() -> TestResult {
    for case in CASES {
        Case::new(case).passes().map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

fn names(store: &Store) -> BTreeSet<String> {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    store.names().map(bare).collect()
}

fn tensor(store: &Store, name: &str) -> candle_core::Result<Tensor> {
    let prefixed = format!("{PREFIX}{name}");
    let name = if store.shape(name).is_some() { name } else { &prefixed };
    store.var_builder(DType::F32, &Device::Cpu).get_unchecked(name)
}

#[test]
fn quantised_files_hold_the_weights_they_were_made_of() -> TestResult {
    let plain = Store::open(&model("tiny-flux-dev").join("flux1-dev.safetensors"))?;
    for (file, most) in FILES {
        let store = Store::open(&model("tiny-flux-dev-formats").join(file))?;
        assert_eq!(names(&store), names(&plain), "{file}");
        let mut worst = (0.0_f64, String::new());
        for name in names(&plain) {
            let (wanted, found) = (tensor(&plain, &name)?, tensor(&store, &name)?);
            assert_eq!(wanted.dims(), found.dims(), "{file}: {name}");
            let (wanted, found) = (numbers(&wanted), numbers(&found));
            let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
            let difference = square(&mut wanted.iter().zip(&found).map(|(x, y)| x - y));
            let error = (difference / square(&mut wanted.iter().copied())).sqrt();
            if error > worst.0 {
                worst = (error, name);
            }
        }
        println!("{file}: {:.4} in {}", worst.0, worst.1);
        assert!(worst.0 <= most, "{file}: {} in {}", worst.0, worst.1);
    }
    Ok(())
}

#[test]
fn a_gguf_says_which_network_it_is_of() -> TestResult {
    let store = Store::open(&model("tiny-flux-dev-formats").join("flux1-dev-Q8_0.gguf"))?;
    assert_eq!(store.metadata("general.architecture"), Some("flux"));
    Ok(())
}

/// The name of a file says nothing, and half a file is none.
#[test]
fn a_file_that_is_cut_off_is_named() -> TestResult {
    let bytes = fs::read(model("tiny-flux-dev-formats").join("flux1-dev-Q4_K_S.gguf"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    fs::write(&path, &bytes)?;
    assert!(Store::open(&path).is_ok());
    fs::write(&path, &bytes[..bytes.len() / 2])?;
    let error = Store::open(&path).map(drop).expect_err("half of it").to_string();
    assert!(
        error.contains("weights.safetensors") && error.contains("cut off"),
        "{error}"
    );
    Ok(())
}

/// Formats that are not read are called by their names.
#[test]
fn other_quantised_weights_are_refused_by_name() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("nf4.safetensors");
    let bytes = Tensor::zeros((32, 1), DType::U8, &Device::Cpu)?;
    let tensors = [
        "a.weight",
        "a.weight.absmax",
        "a.weight.quant_map",
        "a.weight.quant_state.bitsandbytes__nf4",
    ];
    let tensors = tensors.map(|name| (name.to_owned(), bytes.clone()));
    candle_core::safetensors::save(&tensors.into_iter().collect(), &path)?;
    let error = Store::open(&path).map(drop).expect_err("bitsandbytes").to_string();
    assert!(error.contains("nf4"), "{error}");

    let mut gguf = fs::read(model("tiny-flux-dev-formats").join("flux1-dev-Q8_0.gguf"))?;
    let name = b"single_blocks.0.linear1.weight";
    let at = gguf
        .windows(name.len())
        .position(|window| window == name)
        .ok_or("a tensor")?;
    // Behind the name: two sides, their lengths, and the type.
    let place = at + name.len() + 4 + 16;
    assert_eq!(gguf[place..place + 4], 8_u32.to_le_bytes());
    gguf[place..place + 4].copy_from_slice(&20_u32.to_le_bytes());
    let error = Store::from_bytes(gguf, "changed.gguf")
        .map(drop)
        .expect_err("IQ4_NL")
        .to_string();
    assert!(
        error.contains("IQ4_NL") && error.contains("single_blocks.0.linear1.weight"),
        "{error}"
    );
    Ok(())
}
