//! Networks that lie by themselves: a U-Net, an autoencoder and text encoders in the place of a model's own.

use std::{fs, path::Path};

use crate::{
    common::{
        TestResult, model,
        program::{Place, run},
    },
    names::{self, Tensors},
    parity::{CONFIGS, TOKENIZERS, assert_same, describe, extract, extract_with, original, read, save},
};
use featscope::families::resolve;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

fn without_prefix(tensors: &Tensors, prefix: &str) -> Tensors {
    let names = tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
    names.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn tiny(name: &str) -> String {
    model(name).display().to_string()
}

/// What was said of a model before anything ran.
fn notes(model: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(resolve(model)?.notes.join("; "))
}

#[test]
fn a_u_net_alone_is_put_into_a_model_whatever_its_names() -> TestResult {
    let place = Place::new();
    let base = tiny("tiny-sd15");
    let diffusers = read("tiny-sd15", UNET);
    let authors = names::unet(&diffusers);
    let bare = without_prefix(&authors, "model.diffusion_model.");
    let expected = extract(&base, &place);
    for (name, tensors) in [("comfy", &authors), ("bare", &bare), ("diffusers", &diffusers)] {
        let file = place.text(&format!("{name}.safetensors"));
        save(tensors, Path::new(&file))?;
        assert_same(&expected, &extract(&format!("{base}+{file}"), &place));
        assert!(notes(&format!("{base}+{file}"))?.contains(&file));
    }
    for folder in [format!("{base}/unet"), base.clone()] {
        assert_same(&expected, &extract(&format!("{base}+{folder}"), &place));
    }
    Ok(())
}

/// A distilled U-Net without a configuration, and with one.
#[test]
fn a_u_net_of_another_architecture_is_read_from_its_tensors() -> TestResult {
    let place = Place::new();
    let base = tiny("tiny-sd15");
    let mut tensors = read("tiny-sd15", UNET);
    tensors.retain(|name, _| !name.starts_with("mid_block"));
    let file = place.text("small.safetensors");
    save(&tensors, Path::new(&file))?;
    let folder = place.copy(&model("tiny-sd15"), "folder");
    save(&tensors, Path::new(&format!("{folder}/{UNET}")))?;
    let config = fs::read_to_string(format!("{folder}/unet/config.json"))?;
    let mut config: serde_json::Value = serde_json::from_str(&config)?;
    config["mid_block_type"] = serde_json::Value::Null;
    fs::write(format!("{folder}/unet/config.json"), config.to_string())?;

    let expected = extract(&folder, &place);
    assert!(!expected.keys().any(|name| name.starts_with("mid-")));
    assert_same(&expected, &extract(&format!("{base}+{file}"), &place));
    assert!(notes(&format!("{base}+{file}"))?.contains("architecture of the U-Net was read from its tensors"));
    assert_same(&expected, &extract(&format!("{base}+{folder}/unet"), &place));

    // A configuration in the file's own folder counts, and must be of the tensors.
    let own = place.write(UNET, "");
    save(&tensors, Path::new(&own))?;
    place.write(
        "unet/config.json",
        fs::read(model("tiny-sd15").join("unet/config.json"))?,
    );
    let refused = run(["layers", "--model", &format!("{base}+{own}")]);
    refused.refused(1, &["config.json", "another U-Net", "middle"]);
    Ok(())
}

#[test]
fn what_cannot_be_put_into_a_model_is_named() -> TestResult {
    let place = Place::new();
    let (sd15, sd21) = (tiny("tiny-sd15"), tiny("tiny-sd21"));
    let refused = |model: &str, code, words: &[&str]| {
        run(["layers", "--model", model]).refused(code, words);
    };
    refused(
        &format!("{}+{sd15}/unet", tiny("tiny-sdxl")),
        2,
        &["another family", "pooled text"],
    );
    refused(&format!("{sd15}+{sd15}/vae"), 1, &["an autoencoder", "--vae-file"]);
    refused(&format!("{sd15}+{sd15}/text_encoder"), 1, &["/text_encoder"]);
    refused(&format!("{sd15}+vae={sd15}/unet"), 1, &["no autoencoder"]);
    refused(&format!("{sd15}+{sd21}/unet+{sd15}/unet"), 2, &["two U-Nets"]);
    refused(
        &format!("{sd15}/unet"),
        1,
        &["U-Net of Stable Diffusion 1 alone", "sd15+", "--vae-file"],
    );
    refused(&format!("{sd15}/vae"), 1, &["an autoencoder alone", "--vae-file"]);
    refused(
        &format!("{sd15}/text_encoder"),
        1,
        &["a text encoder alone", "--text-encoder"],
    );

    let file = place.text("alone.safetensors");
    save(
        &without_prefix(&names::unet(&read("tiny-sd15", UNET)), "model.diffusion_model."),
        Path::new(&file),
    )?;
    refused(
        &file,
        1,
        &["U-Net of Stable Diffusion 1 alone", "sd15+", "--text-encoder"],
    );
    save(
        &read("tiny-sd15", "vae/diffusion_pytorch_model.safetensors"),
        Path::new(&file),
    )?;
    refused(&file, 1, &["an autoencoder", "--vae-file"]);
    Ok(())
}

/// A file without autoencoder and text encoder, which are given beside it: as files and as folders.
#[test]
fn networks_that_a_file_lacks_are_given_beside_it() -> TestResult {
    let place = Place::new();
    let base = tiny("tiny-sd15");
    let expected = extract(&base, &place);
    let mut tensors = original("tiny-sd15")?;
    let vae = without_prefix(&tensors, "first_stage_model.");
    tensors.retain(|name, _| name.starts_with("model.diffusion_model."));
    let file = place.text("one.safetensors");
    save(&tensors, Path::new(&file))?;
    describe("tiny-sd15", &place, "one", &[&CONFIGS[..], &TOKENIZERS[..]].concat())?;
    let bare_vae = place.text("authors-vae.safetensors");
    save(&vae, Path::new(&bare_vae))?;
    let text = format!("{base}/text_encoder");
    for (vae, text) in [
        (format!("{base}/vae"), text.clone()),
        (
            format!("{base}/vae/diffusion_pytorch_model.safetensors"),
            format!("{text}/model.safetensors"),
        ),
        (base.clone(), base.clone()),
    ] {
        let given = ["--model", &file, "--vae-file", &vae, "--text-encoder", &text];
        assert_same(&expected, &extract_with(&given, &place));
        let said = notes(&format!("{file}+vae={vae}+text={text}"))?;
        assert!(said.contains(&format!("the autoencoder is that of {vae}")), "{said}");
        assert!(said.contains(&format!("the text encoder is that of {text}")), "{said}");
    }
    // In the authors' names, and in the place of a model's own: its numbers that no tensor tells are the model's.
    let given = ["--model", &base, "--vae-file", &bare_vae];
    assert_same(&expected, &extract_with(&given, &place));

    let layers = |more: &[&str]| run(["layers", "--model", &file].iter().chain(more));
    layers(&["--vae-file", &bare_vae]).refused(1, &["text encoders", "cond_stage_model", "--text-encoder"]);
    layers(&["--text-encoder", &text]).refused(1, &["no autoencoder", "--vae-file"]);
    layers(&["--vae-file", "none.safetensors"]).refused(2, &["--vae-file", "none.safetensors"]);
    layers(&["--vae-file", &base, "--text-encoder", &text, "--text-encoder", &text])
        .refused(2, &["--text-encoder", "2 are given"]);
    Ok(())
}

/// SDXL's two encoders are told apart by what they pool, whichever is given first; the second may have transformers' names.
#[test]
fn the_two_encoders_of_sdxl_find_their_places() -> TestResult {
    let place = Place::new();
    let base = tiny("tiny-sdxl");
    let expected = extract(&base, &place);
    let whole = original("tiny-sdxl")?;
    let file = place.text("one.safetensors");
    describe("tiny-sdxl", &place, "one", &[&CONFIGS[..], &TOKENIZERS[..]].concat())?;

    let mut tensors = whole.clone();
    tensors.retain(|name, _| !name.starts_with("conditioner."));
    save(&tensors, Path::new(&file))?;
    let (first, second) = (format!("{base}/text_encoder"), format!("{base}/text_encoder_2"));
    for [one, other] in [[&first, &second], [&second, &first]] {
        let given = ["--model", &file, "--text-encoder", one, "--text-encoder", other];
        assert_same(&expected, &extract_with(&given, &place));
    }

    let mut tensors = whole;
    tensors.retain(|name, _| !name.starts_with("conditioner.embedders.1."));
    let encoder = read("tiny-sdxl", "text_encoder_2/model.fp16.safetensors");
    tensors.extend(names::clip(&encoder, "conditioner.embedders.1.transformer."));
    save(&tensors, Path::new(&file))?;
    assert_same(&expected, &extract(&file, &place));

    // Without its projection the second encoder pools another width than the U-Net reads.
    tensors.remove("conditioner.embedders.1.transformer.text_projection.weight");
    save(&tensors, Path::new(&file))?;
    let image = crate::common::case_file("sd15-all-64", "image0.png")
        .display()
        .to_string();
    let out = place.text("out");
    let refused = run([
        "extract",
        "--model",
        &file,
        "--t",
        "50",
        "--size",
        "64",
        "--image",
        &image,
        "--activations",
        "unet-in",
        "--out",
        &out,
    ]);
    let told = refused.refused(1, &["36", "text_projection.weight"]).stderr;
    assert!(!told.contains("Some("), "{told}");
    Ok(())
}
