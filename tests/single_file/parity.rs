//! The tiny models as single files against their folders, through the command line.

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};

use crate::{
    common::{
        TestResult, case_file, model, numbers,
        program::{Place, run},
    },
    names::{self, Tensors},
    torch_zip,
};

/// Levels of every tiny autoencoder.
const VAE_LEVELS: usize = 4;
pub const CONFIGS: [&str; 5] = ["unet", "vae", "text_encoder", "text_encoder_2", "scheduler"];
pub const TOKENIZERS: [&str; 2] = ["tokenizer", "tokenizer_2"];

pub fn read(folder: &str, file: &str) -> Tensors {
    candle_core::safetensors::load(model(folder).join(file), &Device::Cpu)
        .expect("a tiny model")
        .into_iter()
        .collect()
}

/// A tiny model in its authors' names.
pub fn original(name: &str) -> candle_core::Result<Tensors> {
    let fp16 = if name == "tiny-sdxl" { ".fp16" } else { "" };
    let network = |part: &str| read(name, &format!("{part}/diffusion_pytorch_model{fp16}.safetensors"));
    let text = |part: &str| read(name, &format!("{part}/model{fp16}.safetensors"));
    let mut all = names::unet(&network("unet"));
    all.extend(names::vae(&network("vae"), VAE_LEVELS)?);
    match name {
        "tiny-sd15" => all.extend(names::clip(&text("text_encoder"), "cond_stage_model.transformer.")),
        "tiny-sd21" => {
            let mut encoder = text("text_encoder");
            // Its authors' file has one more layer than is used.
            let unused: Vec<(String, Tensor)> = encoder
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix("text_model.encoder.layers.2.")?, tensor)))
                .map(|(leaf, tensor)| Ok((format!("text_model.encoder.layers.3.{leaf}"), (tensor * 3.0)?)))
                .collect::<candle_core::Result<_>>()?;
            encoder.extend(unused);
            all.extend(names::open_clip(&encoder, "cond_stage_model.model.")?);
        }
        _ => {
            let [first, second] = [0, 1].map(|index| format!("conditioner.embedders.{index}."));
            all.extend(names::clip(&text("text_encoder"), &format!("{first}transformer.")));
            all.extend(names::open_clip(&text("text_encoder_2"), &format!("{second}model."))?);
        }
    }
    // What checkpoints of training hold besides.
    all.insert("alphas_cumprod".into(), Tensor::zeros(1000, DType::F32, &Device::Cpu)?);
    all.insert("model_ema.decay".into(), Tensor::zeros((), DType::F32, &Device::Cpu)?);
    Ok(all)
}

pub fn save(tensors: &Tensors, path: &Path) -> TestResult {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let tensors = tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), tensor.contiguous()?)))
            .collect::<candle_core::Result<_>>()?;
        candle_core::safetensors::save(&tensors, path)?;
        return Ok(());
    }
    torch_zip::save(tensors, path)
}

/// Copies configurations and tokenizers, and no weights.
pub fn describe(name: &str, place: &Place, folder: &str, parts: &[&str]) -> TestResult {
    for part in parts {
        let from = model(name).join(part);
        for entry in fs::read_dir(from).into_iter().flatten() {
            let path = entry?.path();
            let file = path.file_name().and_then(|name| name.to_str()).ok_or("a name")?;
            if !file.ends_with(".safetensors") {
                place.write(&format!("{folder}/{part}/{file}"), fs::read(&path)?);
            }
        }
    }
    Ok(())
}

/// Every activation and inner tensor, and the picture after a step, which tells what is predicted.
pub fn extract(model: &str, place: &Place) -> Tensors {
    extract_with(&["--model", model], place)
}

/// The same of a model with what is put into it.
pub fn extract_with(model: &[&str], place: &Place) -> Tensors {
    let out = place.text("out.safetensors");
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let arguments = ["extract", "--t", "120", "--size", "64", "--image", &image];
    let prompt = ["--prompt", "a red cat!! on a table", "--out", &out];
    let mut all = Tensors::new();
    for activations in [&["all-maps", "--intermediates"][..], &["vae-out"]] {
        let command = arguments
            .iter()
            .chain(model)
            .chain(&prompt)
            .chain(&["--activations"])
            .chain(activations);
        run(command).good();
        all.extend(candle_core::safetensors::load(&out, &Device::Cpu).expect("an output"));
    }
    all
}

pub fn assert_same(folder: &Tensors, file: &Tensors) {
    assert!(folder.len() > 50 && folder.keys().eq(file.keys()));
    for (name, tensor) in folder {
        assert_eq!(tensor.dims(), file[name].dims(), "{name}");
        assert!(numbers(tensor) == numbers(&file[name]), "{name} differs");
    }
}

fn gives_the_same(name: &str, ending: &str) -> TestResult {
    let place = Place::new();
    let file = place.text(&format!("one.{ending}"));
    save(&original(name)?, Path::new(&file))?;
    describe(name, &place, "one", &[&CONFIGS[..], &TOKENIZERS[..]].concat())?;
    let folder = extract(&model(name).display().to_string(), &place);
    assert_same(&folder, &extract(&file, &place));
    Ok(())
}

#[test]
fn sd15_with_clips_names() -> TestResult {
    gives_the_same("tiny-sd15", "safetensors")
}

#[test]
fn sd21_with_fused_projections_and_a_layer_too_many() -> TestResult {
    gives_the_same("tiny-sd21", "safetensors")
}

#[test]
fn sdxl_with_two_encoders_in_f16() -> TestResult {
    gives_the_same("tiny-sdxl", "safetensors")
}

#[test]
fn pickles_of_f32_and_f16() -> TestResult {
    gives_the_same("tiny-sd21", "ckpt")?;
    gives_the_same("tiny-sdxl", "pt")
}

/// A repository of the hub keeps such a file beside the folders of the same model; a folder of another model is not used.
#[test]
fn configurations_around_the_file_are_used_where_they_fit() -> TestResult {
    let place = Place::new();
    let file = place.text("repository/one.safetensors");
    describe(
        "tiny-sd15",
        &place,
        "repository",
        &[&CONFIGS[..], &TOKENIZERS[..]].concat(),
    )?;
    save(&original("tiny-sd15")?, Path::new(&file))?;
    let folder = extract(&model("tiny-sd15").display().to_string(), &place);
    assert_same(&folder, &extract(&file, &place));

    let other = place.text("repository/other.safetensors");
    save(&original("tiny-sd21")?, Path::new(&other))?;
    // 32 groups do not fit the tiny model's 16 channels: nothing but the published models' values was left to take.
    run(["layers", "--model", &other]).refused(1, &["other.safetensors", "as in the published models", "32"]);
    let named = place.text("tiny-sd15.safetensors");
    save(&original("tiny-sd21")?, Path::new(&named))?;
    describe("tiny-sd15", &place, "tiny-sd15", &CONFIGS)?;
    run(["layers", "--model", &named]).refused(1, &["unet/config.json", "another U-Net", "rename it"]);
    Ok(())
}

#[test]
fn what_was_assumed_of_stable_diffusion_2_is_written_down() -> TestResult {
    let place = Place::new();
    let file = place.text("one.safetensors");
    save(&original("tiny-sd21")?, Path::new(&file))?;
    describe(
        "tiny-sd21",
        &place,
        "one",
        &["unet", "vae", "text_encoder", "tokenizer"],
    )?;
    let out = place.text("out.safetensors");
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let arguments = [
        "extract", "--model", &file, "--t", "49", "--size", "64", "--image", &image,
    ];
    run(arguments.iter().chain(&["--activations", "unet-in", "--out", &out])).good();
    let bytes = fs::read(&out)?;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("recognised as Stable Diffusion 2") && text.contains("v and 768 are assumed"));
    Ok(())
}

#[test]
fn tensors_that_lack_are_named_as_in_the_file() -> TestResult {
    let place = Place::new();
    let file = place.text("one.safetensors");
    describe("tiny-sd21", &place, "one", &[&CONFIGS[..], &TOKENIZERS[..]].concat())?;
    let whole = original("tiny-sd21")?;
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let out = place.text("out");
    for lacking in [
        "model.diffusion_model.output_blocks.4.0.in_layers.2.weight",
        "first_stage_model.encoder.mid.attn_1.q.weight",
        "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_bias",
        "cond_stage_model.model.positional_embedding",
    ] {
        let mut tensors = whole.clone();
        tensors.remove(lacking).ok_or("a tensor of the model")?;
        save(&tensors, Path::new(&file))?;
        let arguments = [
            "extract", "--model", &file, "--t", "49", "--size", "64", "--image", &image,
        ];
        run(arguments.iter().chain(&["--activations", "unet-in", "--out", &out]))
            .refused(1, &["one.safetensors", lacking]);
    }
    Ok(())
}
