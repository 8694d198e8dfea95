//! Seeds against PyTorch: the noise of the reference cases, and numbers that its documentation and tutorials print.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::{fs, path::Path};

use candle_core::{Device, Tensor};
use featscope::extract::noise::TorchGenerator;
use serde_json::Value;

/// PyTorch's vectorised logarithm, sine and cosine differ from the standard ones in the last place.
const TOLERANCE: f32 = 5e-7;

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let distance = (found - expected).abs();
        assert!(
            distance <= tolerance * expected.abs().max(1.0),
            "{what}: number {index} is {found}, not {expected}"
        );
    }
}

#[test]
fn seeds_give_the_noise_of_the_reference() -> candle_core::Result<()> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    let mut diffusion_noises = 0;
    let mut vae_noises = 0;
    for entry in fs::read_dir(cases).expect("the cases are there") {
        let folder = entry.expect("an entry of the folder can be read").path();
        let Ok(bytes) = fs::read(folder.join("case.json")) else {
            continue;
        };
        let case: Value = serde_json::from_slice(&bytes).expect("case.json is JSON");
        let Some(seed) = case["noise_seed"].as_u64() else {
            continue;
        };
        let tensors = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let what = folder.display().to_string();
        let mut generator = TorchGenerator::new(seed);
        let noise = numbers(&tensors["in.noise"])?;
        assert_close(&generator.randn(noise.len()), &noise, TOLERANCE, &what);
        diffusion_noises += 1;
        if let Some(vae_noise) = tensors.get("in.vae_noise") {
            let vae_noise = numbers(vae_noise)?;
            assert_close(&generator.randn(vae_noise.len()), &vae_noise, TOLERANCE, &what);
            vae_noises += 1;
        }
    }
    assert!(
        diffusion_noises >= 18 && vae_noises >= 2,
        "{diffusion_noises} and {vae_noises} were found"
    );
    Ok(())
}

#[test]
fn few_numbers_follow_the_other_rule() {
    // torch.manual_seed(N); torch.randn(n), as printed with four decimals.
    const PRINTED: f32 = 5.1e-5;
    assert_close(
        &TorchGenerator::new(0).randn(6),
        &[1.5410, -0.2934, -2.1788, 0.5684, -1.0845, -1.3986],
        PRINTED,
        "seed 0",
    );
    assert_close(
        &TorchGenerator::new(42).randn(5),
        &[0.3367, 0.1288, 0.2345, 0.2303, -1.1229],
        PRINTED,
        "seed 42",
    );
}

#[test]
fn draws_continue_one_stream() {
    let mut whole = TorchGenerator::new(7);
    let mut parts = TorchGenerator::new(7);
    // The second of a pair waits for the next draw.
    let (mut first, second) = (parts.randn(3), parts.randn(4));
    first.extend(second);
    assert_eq!(whole.randn(7), first);
    // Sixteen at a time consume exactly sixteen words.
    let mut long = TorchGenerator::new(7);
    let mut short = TorchGenerator::new(7);
    let mut twice = short.randn(16);
    twice.extend(short.randn(16));
    assert_ne!(long.randn(32)[..16], long.randn(16)[..]);
    assert_eq!(TorchGenerator::new(7).randn(32), twice);
}

#[test]
fn only_the_lower_half_of_a_seed_counts() {
    assert_eq!(
        TorchGenerator::new(5 | 1 << 32).randn(20),
        TorchGenerator::new(5).randn(20)
    );
    assert_ne!(TorchGenerator::new(6).randn(20), TorchGenerator::new(5).randn(20));
    assert!(TorchGenerator::new(5).randn(0).is_empty());
}
