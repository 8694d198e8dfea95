//! Published settings, DDIM inversion, and another program's numbers.

use serde_json::Value;

use super::tensors::{load, metadata, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, run},
};

/// `extract` of the first picture of SD1.5's case with a small model.
fn extract(place: &Place, of: &str, more: &[&str]) -> Vec<String> {
    let model = model(of).display().to_string();
    let image = picture("sd15-all-64", 0);
    let out = place.text("out.safetensors");
    let mut arguments = ["extract", "--model", &model, "--image", &image, "--out", &out]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

#[test]
fn presets_are_listed_with_what_they_set() -> TestResult {
    let text = run(["presets"]).good().stdout;
    for words in [
        "sd15-practical",
        "t 51 (the paper's 50)",
        "mean of 8 noises",
        "up-level3-repeat0-vit-block0-self-k",
        "a photo of a {category}",
        "flux.1-dev at 640 px, t 260, mean of 8 noises: vit-block28-norm1-drop-massive",
        "sd15 at 960 px, t 100: up-level0-upsampler-out, up-level1-upsampler-out, up-level2-upsampler-out",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let json: Value = serde_json::from_str(&run(["presets", "--json"]).good().stdout)?;
    let presets = json.as_array().ok_or("a list")?;
    assert!(
        presets
            .iter()
            .any(|preset| preset["key"] == "dift" && preset["t"] == 261)
    );
    Ok(())
}

#[test]
fn a_preset_sets_what_is_not_given() -> TestResult {
    let place = Place::new();
    let ran = run(extract(
        &place,
        "tiny-sd15",
        &["--preset", "sd15-practical", "--size", "64"],
    ))
    .good();
    assert!(ran.stderr.contains("t 51 (the paper's 50)"), "{}", ran.stderr);
    let record = metadata(&place.path("out.safetensors"));
    assert_eq!(
        (&record["request"]["preset"], &record["ran"]["t_ran"]),
        (&"sd15-practical".into(), &51.into())
    );
    let ids = record["ran"]["ids"].as_array().ok_or("ids")?;
    assert_eq!(ids.len(), 4);
    assert!(
        record["request"]["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.contains("aeroplane"))
    );
    // What is given takes its place; what another program is asked for is the paper's t.
    let more = [
        "--preset",
        "sd15-practical",
        "--size",
        "64",
        "--compat",
        "gdf",
        "--prompt",
        "a cat",
    ];
    let ran = run(extract(&place, "tiny-sd15", &more)).good();
    assert!(
        ran.stderr
            .contains("t 51 runs where generic-diffusion-feature is asked for 50"),
        "{}",
        ran.stderr
    );
    let record = metadata(&place.path("out.safetensors"));
    assert_eq!(
        (&record["request"]["t"], &record["ran"]["t_ran"]),
        (&50.into(), &51.into())
    );
    assert_eq!(record["request"]["prompt"], "a cat");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_read() {
    let place = Place::new();
    let refused = |of: &str, more: &[&str], words: &[&str]| {
        run(extract(&place, of, more)).refused(2, words);
        assert!(!place.path("out.safetensors").exists());
    };
    let ids = ["--activations", "unet-out", "--t", "50"];
    let with = |more: &[&'static str]| [ids.as_slice(), more].concat();
    refused("tiny-sd15", &["--preset", "diff"], &["diff", "did you mean \"dift\""]);
    refused(
        "tiny-sd21",
        &["--preset", "dift"],
        &["a photo of a {category}", "--prompt"],
    );
    refused(
        "tiny-sd15",
        &with(&["--inversion", "ddim", "--ensemble", "3"]),
        &["inversion", "3 equal passes"],
    );
    refused(
        "tiny-adm",
        &[
            "--activations",
            "b1",
            "--t",
            "50",
            "--inversion",
            "ddim",
            "--ensemble",
            "3",
            "--vae",
            "sample",
        ],
        &["inversion", "3 equal passes; leave --ensemble out"],
    );
    refused(
        "tiny-sd15",
        &with(&["--compat", "gdf", "--short-side", "64"]),
        &["--size 64"],
    );
    refused(
        "tiny-adm",
        &["--activations", "b1", "--t", "50", "--compat", "gdf"],
        &["does not run", "tiny-adm"],
    );
    refused(
        "tiny-sd15",
        &["--activations", "unet-out", "--t", "0", "--compat", "gdf"],
        &["from 1 to 999"],
    );
}

#[test]
fn an_inversion_begins_at_the_picture_and_goes_on_to_t() -> TestResult {
    for of in ["tiny-sd15", "tiny-sd21", "tiny-sdxl"] {
        let latents = |t: &str, more: &[&str]| {
            let place = Place::new();
            let mut all = vec!["--activations", "unet-out", "--size", "64", "--intermediates", "--t", t];
            all.extend(more);
            run(extract(&place, of, &all)).good();
            let tensors = load(&place.path("out.safetensors"));
            ["mid.latents_clean", "mid.unet_in", "unet-out"].map(|name| numbers(&tensors[name]))
        };
        let ddim = ["--inversion", "ddim"];
        let [clean, there, _] = latents("1", &ddim);
        assert_eq!(clean, there, "{of}: at t = 1 nothing is done yet");
        let [_, some, out] = latents("25", &ddim);
        assert_ne!(clean, some);
        let [_, other, same] = latents("25", &["--inversion", "ddim", "--seed", "9"]);
        assert_eq!((some.clone(), out), (other, same), "{of}: no random number is used");
        let [_, noisy, _] = latents("25", &[]);
        assert_ne!(some, noisy);
    }
    Ok(())
}

#[test]
fn a_long_prompt_is_read_in_runs_and_says_so() -> TestResult {
    let place = Place::new();
    let prompt = "a cat on a mat ".repeat(40);
    let more = [
        "--activations",
        "unet-out",
        "--t",
        "50",
        "--size",
        "64",
        "--prompt",
        &prompt,
    ];
    let ran = run(extract(&place, "tiny-sd15", &more)).good();
    assert!(ran.stderr.contains("runs of up to 75"), "{}", ran.stderr);
    let record = metadata(&place.path("out.safetensors"));
    let tokens = record["ran"]["tokens"].as_array().ok_or("tokens")?;
    assert!(tokens.len() > 77 && tokens.len() % 77 == 0);
    assert_eq!(tokens[0]["role"], "start");
    Ok(())
}
