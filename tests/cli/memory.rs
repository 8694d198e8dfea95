//! Networks that are larger than the memory for weights.

use super::tensors::{load, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, run},
};

/// Of the small Flux, 1.7 MB of which two blocks are 1.2.
fn extract(place: &Place, out: &str, more: &[&str]) -> Vec<String> {
    let model = model("tiny-flux-dev").display().to_string();
    let (image, out) = (picture("flux-dev-64x48", 0), place.text(out));
    let mut arguments = [
        "extract", "--model", &model, "--image", &image, "--out", &out, "--t", "500",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

#[test]
fn blocks_that_are_read_in_every_pass_give_the_same_bits() -> TestResult {
    let place = Place::new();
    let all = ["--activations", "all", "--size", "64x48", "--ensemble", "2"];
    run(extract(&place, "whole.safetensors", &all)).good();
    let streamed = [&all[..], &["--weights-memory", "1.5MiB"]].concat();
    run(extract(&place, "streamed.safetensors", &streamed)).good();
    let [whole, streamed] = ["whole.safetensors", "streamed.safetensors"].map(|name| load(&place.path(name)));
    assert!(whole.len() > 10 && whole.len() == streamed.len());
    for (name, tensor) in &whole {
        assert_eq!(numbers(tensor), numbers(&streamed[name]), "{name}");
    }
    Ok(())
}

#[test]
fn a_limit_below_two_blocks_is_refused() {
    let place = Place::new();
    run(extract(
        &place,
        "out.safetensors",
        &["--activations", "vit-block0-out", "--weights-memory", "1MiB"],
    ))
    .refused(2, &["read block by block", "--weights-memory", "tiny-flux-dev"]);
    assert!(!place.path("out.safetensors").exists());
    run(extract(
        &place,
        "out.safetensors",
        &["--activations", "vit-block0-out", "--weights-memory", "6"],
    ))
    .refused(2, &["6GiB"]);
}
