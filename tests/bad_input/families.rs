//! What transformers are asked for and given that cannot be: sizes between patches, classes that are not there, files that are cut
//! off, and text encoders with the tokenizer of another.

use std::{fs, path::Path};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::common::{
    TestResult, case_file, model,
    program::{Place, Ran, run},
};

/// `extract` of one small activation of a model.
fn extract(place: &Place, model: &str, more: &[&str]) -> Ran {
    let image = case_file("dit-64", "image0.png").display().to_string();
    let out = place.text("out.safetensors");
    let given = [
        "extract", "--model", model, "--image", &image, "--out", &out, "--t", "50",
    ];
    let ran = run(given.into_iter().chain(more.iter().copied()));
    assert!(ran.code == Some(0) || !place.path("out.safetensors").exists());
    ran
}

const FIRST: [&str; 2] = ["--activations", "vit-block0-out"];

#[test]
fn sizes_between_patches_are_refused_with_the_nearest_that_fit() {
    for name in [
        "tiny-pixart-alpha",
        "tiny-pixart-sigma",
        "tiny-flux-dev",
        "tiny-flux-schnell",
        "tiny-sd3",
        "tiny-sd35-medium",
        "tiny-dit",
        "tiny-sit+model.pt",
        "tiny-hunyuan-11",
        "tiny-hunyuan-12",
        "tiny-zimage",
    ] {
        let place = Place::new();
        let model = model(name.split('+').next().expect("a name")).display().to_string();
        for (size, words) in [
            ("72x64", ["multiples of 16", "64x64", "80x64"]),
            ("100", ["multiples of 16", "96x96", "112x112"]),
        ] {
            let asked = [FIRST[0], FIRST[1], "--size", size];
            extract(&place, &model, &asked).refused(2, &words);
        }
    }
    let place = Place::new();
    let pixels = model("tiny-if-i").display().to_string();
    let asked = ["--activations", "unet-in", "--size", "33x40"];
    extract(&place, &pixels, &asked).refused(2, &["33x40", "multiples of", "40"]);
    // Stable Diffusion resizes once more, as it always has.
    let old = model("tiny-sd15").display().to_string();
    let asked = ["--activations", "unet-out", "--size", "60"];
    extract(&place, &old, &asked).good();
}

#[test]
fn a_class_that_is_not_there() {
    let place = Place::new();
    for name in ["tiny-dit", "tiny-sit", "tiny-repa"] {
        let model = model(name).display().to_string();
        let asked = [FIRST[0], FIRST[1], "--size", "64", "--class", "1001"];
        extract(&place, &model, &asked).refused(2, &["no class 1001", "null"]);
    }
}

#[test]
fn a_gguf_that_is_cut_off() -> TestResult {
    let whole = fs::read(model("tiny-flux-dev-formats/flux1-dev-Q8_0.gguf"))?;
    for length in [0, 3, 20, 500, whole.len() / 2, whole.len() - 1] {
        let place = Place::new();
        let file = place.write("cut.gguf", &whole[..length]);
        let named = format!("{}+{file}", model("tiny-flux-dev").display());
        extract(&place, &named, &[FIRST[0], FIRST[1], "--size", "64"]).refused(1, &["cut.gguf"]);
    }
    Ok(())
}

/// A copy of a model, of which a test changes something.
fn changed(
    place: &Place,
    name: &str,
    change: impl FnOnce(&Path) -> TestResult,
) -> Result<String, Box<dyn std::error::Error>> {
    let folder = place.copy(&model(name), "model");
    change(Path::new(&folder))?;
    Ok(folder)
}

#[test]
fn the_tokenizer_of_another_text_encoder() -> TestResult {
    let asked = [FIRST[0], FIRST[1], "--size", "64", "--prompt", "a cat"];
    // CLIP's vocabulary and merges in the place of T5's SentencePiece model.
    let place = Place::new();
    let folder = changed(&place, "tiny-flux-dev", |folder| {
        fs::remove_dir_all(folder.join("tokenizer_2"))?;
        place.copy(&folder.join("tokenizer"), "model/tokenizer_2");
        Ok(())
    })?;
    extract(&place, &folder, &asked).refused(1, &["tokenizer_2", "spiece.model"]);
    // The same as the one file that fast tokenizers have.
    let place = Place::new();
    let folder = changed(&place, "tiny-flux-dev", |folder| {
        fs::remove_file(folder.join("tokenizer_2/spiece.model"))?;
        let fast = json!({"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a</w>": 0}, "merges": []}});
        fs::write(folder.join("tokenizer_2/tokenizer.json"), fast.to_string())?;
        Ok(())
    })?;
    extract(&place, &folder, &asked).refused(1, &["tokenizer_2", "BPE", "Unigram"]);
    // T5's in CLIP's place.
    let place = Place::new();
    let folder = changed(&place, "tiny-flux-dev", |folder| {
        fs::remove_dir_all(folder.join("tokenizer"))?;
        place.copy(&folder.join("tokenizer_2"), "model/tokenizer");
        Ok(())
    })?;
    extract(&place, &folder, &asked).refused(1, &["tokenizer", "vocab.json"]);
    Ok(())
}

/// A tokenizer that has more pieces than the text encoder has rows.
#[test]
fn a_vocabulary_beyond_the_embedding() -> TestResult {
    const ROWS: usize = 8;
    let place = Place::new();
    let folder = changed(&place, "tiny-flux-dev", |folder| {
        let config = folder.join("text_encoder_2/config.json");
        let mut json: Value = serde_json::from_slice(&fs::read(&config)?)?;
        json["vocab_size"] = ROWS.into();
        fs::write(&config, json.to_string())?;
        let weights = folder.join("text_encoder_2/model.safetensors");
        let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu)?;
        for name in ["shared.weight", "encoder.embed_tokens.weight"] {
            if let Some(table) = tensors.get(name) {
                let cut: Tensor = table.narrow(0, 0, ROWS)?.contiguous()?;
                tensors.insert(name.to_owned(), cut);
            }
        }
        candle_core::safetensors::save(&tensors, &weights)?;
        Ok(())
    })?;
    let asked = [FIRST[0], FIRST[1], "--size", "64", "--prompt", "a photo of a cat"];
    extract(&place, &folder, &asked).refused(1, &["token id", "vocabulary of 8", "do not belong together"]);
    Ok(())
}
