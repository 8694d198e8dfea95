//! The published models by the names and shapes of their tensors alone.

use std::{fs::File, io::Write, path::Path, sync::Arc, sync::Mutex};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use featscope::{
    components::{
        schedule::Prediction,
        text::{ClipConfig, ClipTextModel, TextPart},
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    families::{
        known::known_config,
        resolve,
        stable_diffusion::{
            single_file::SingleFile,
            unet::{Middle, Unet, UnetConfig},
        },
    },
    model::LoadExtent,
    weights::Store,
};
use serde_json::{Value, json};

use crate::{
    common::{
        TestResult,
        program::{Place, run},
    },
    names::{self, Tensors},
};

/// Gives a network tensors of every shape it asks for, of one number each, and remembers their names.
struct Recorder(Arc<Mutex<Tensors>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, device: &Device) -> candle_core::Result<Tensor> {
        let tensor = Tensor::zeros(1, DType::U8, device)?.broadcast_as(shape)?;
        self.0
            .lock()
            .expect("one thread")
            .insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        name == "text_projection.weight"
    }
}

pub fn recorded(build: impl Fn(VarBuilder<'static>) -> featscope::Result<()>) -> featscope::Result<Tensors> {
    let tensors = Arc::new(Mutex::new(Tensors::new()));
    build(VarBuilder::from_backend(
        Box::new(Recorder(tensors.clone())),
        DType::U8,
        Device::Cpu,
    ))?;
    let found = tensors.lock().expect("one thread").clone();
    Ok(found)
}

fn unet(config: &Value) -> featscope::Result<Tensors> {
    let config = UnetConfig::from_json(config)?;
    let tensors = recorded(|vb| Unet::new(config.clone(), LoadExtent::Whole, vb).map(|_| ()))?;
    Ok(names::unet(&tensors))
}

fn vae() -> Result<Tensors, Box<dyn std::error::Error>> {
    let config = VaeConfig::from_json(&json!({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}))?;
    let tensors = recorded(|vb| {
        VaeEncoder::new(config.clone(), vb.clone())?;
        VaeDecoder::new(config.clone(), vb).map(|_| ())
    })?;
    Ok(names::vae(&tensors, 4)?)
}

fn text(width: usize, layers: usize) -> featscope::Result<Tensors> {
    let config = ClipConfig::from_json(&json!({
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width / 64, "projection_dim": width,
    }))?;
    recorded(|vb| ClipTextModel::new(config.clone(), vb).map(|_| ()))
}

/// A file of the right names and shapes that takes no room: its numbers are a hole.
fn save_shapes(tensors: &Tensors, path: &Path) -> TestResult {
    save_with_header(tensors, path, Value::Null)
}

/// The same with what the header says besides.
fn save_with_header(tensors: &Tensors, path: &Path, metadata: Value) -> TestResult {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    if metadata.is_object() {
        header.insert("__metadata__".to_owned(), metadata);
    }
    for (name, tensor) in tensors {
        let start = end;
        end += tensor.elem_count();
        let entry = json!({"dtype": "U8", "shape": tensor.dims(), "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.set_len((8 + header.len() + end) as u64)?;
    Ok(())
}

fn zoo(key: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(known_config(key).expect("a model of the zoo"))
}

/// A published model: its U-Net by short name, its text encoders.
fn published(key: &str) -> Result<Tensors, Box<dyn std::error::Error>> {
    let mut all = unet(&zoo(key)?)?;
    all.extend(vae()?);
    let open_clip = |width, layers, prefix: &str| -> Result<Tensors, Box<dyn std::error::Error>> {
        Ok(names::open_clip(&text(width, layers)?, prefix)?)
    };
    match key {
        "sd15" => all.extend(names::clip(&text(768, 12)?, "cond_stage_model.transformer.")),
        "sd21" => all.extend(open_clip(1024, 24, "cond_stage_model.model.")?),
        _ => {
            all.extend(names::clip(&text(768, 12)?, "conditioner.embedders.0.transformer."));
            all.extend(open_clip(1280, 32, "conditioner.embedders.1.model.")?);
        }
    }
    Ok(all)
}

#[test]
fn the_published_models_are_told_by_their_shapes() -> TestResult {
    let place = Place::new();
    for (key, name, side, prediction) in [
        ("sd15", "Stable Diffusion 1", 512, Prediction::Epsilon),
        ("sd21", "Stable Diffusion 2", 768, Prediction::V),
        ("sdxl", "Stable Diffusion XL", 1024, Prediction::Epsilon),
    ] {
        let path = place.path(&format!("{key}-pruned.safetensors"));
        save_shapes(&published(key)?, &path)?;
        let found = SingleFile::open(&path, Store::open(&path)?)?;
        let published = UnetConfig::from_json(&zoo(key)?)?;
        let expected = UnetConfig {
            sample_size: found.unet.sample_size,
            ..published
        };
        assert_eq!(found.unet, expected, "{key}");
        assert_eq!(
            (found.native_side, found.schedule.prediction),
            (side, prediction),
            "{key}"
        );
        let vae = found.vae.as_ref().ok_or("an autoencoder")?;
        assert_eq!(vae.block_out_channels, [128, 256, 512, 512]);
        let scaling = if key == "sdxl" { 0.13025 } else { 0.18215 };
        assert!((vae.scaling_factor - scaling).abs() < 1e-9);
        assert!(found.notes[0].ends_with(name), "{:?}", found.notes);
        let list = |model: &str| run(["layers", "--model", model]).good().stdout;
        assert_eq!(list(&path.display().to_string()), list(key));
    }
    Ok(())
}

#[test]
fn a_network_for_inpainting_is_told_by_its_input() -> TestResult {
    let place = Place::new();
    let mut config = zoo("sd15")?;
    config["in_channels"] = json!(9);
    let mut all = published("sd15")?;
    all.extend(unet(&config)?);
    let path = place.path("inpainting.safetensors");
    save_shapes(&all, &path)?;
    let found = SingleFile::open(&path, Store::open(&path)?)?;
    assert!(found.unet.inpaints());
    let listed = run(["layers", "--model", &path.display().to_string()]).good().stdout;
    assert!(
        listed.lines().next().is_some_and(|line| line.contains("9 x 64 x 64")),
        "{listed}"
    );
    Ok(())
}

#[test]
fn other_models_in_one_file_are_refused_with_the_reason() -> TestResult {
    let place = Place::new();
    let path = place.path("model.safetensors");
    let refused = |tensors: &Tensors, words: &[&str]| -> TestResult {
        save_shapes(tensors, &path)?;
        run(["layers", "--model", &path.display().to_string()]).refused(1, words);
        Ok(())
    };
    let scalar = Tensor::zeros(1, DType::U8, &Device::Cpu)?;
    let sdxl = published("sdxl")?;
    for (tensor, word) in [("edm_mean", "Playground 2.5"), ("edm_vpred.sigma_max", "EDM")] {
        let mut other = sdxl.clone();
        other.insert(tensor.into(), scalar.clone());
        refused(&other, &[tensor, word])?;
    }

    // The refiner's only encoder is the base model's second.
    let mut refiner: Tensors = sdxl
        .iter()
        .filter(|(name, _)| !name.starts_with("conditioner"))
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect();
    refused(
        &refiner,
        &["text encoders", "conditioner.embedders.0", "--text-encoder"],
    )?;
    refiner.extend(names::open_clip(&text(1280, 32)?, "conditioner.embedders.0.model.")?);
    refused(&refiner, &["refiner"])?;

    // Half a middle is in no network.
    let mut distilled = sdxl.clone();
    distilled.retain(|name, _| !name.contains("middle_block.2."));
    refused(&distilled, &["middle_block.0", "one resnet, or nothing"])?;

    let mut blind = published("sd15")?;
    blind.retain(|name, _| !name.starts_with("first_stage_model"));
    refused(&blind, &["no autoencoder", "first_stage_model", "--vae-file"])?;
    blind.retain(|name, _| name.starts_with("model.diffusion_model"));
    refused(
        &blind,
        &[
            "U-Net of Stable Diffusion 1 alone",
            "sd15+",
            "--vae-file",
            "--text-encoder",
        ],
    )
}

/// A distilled network with fewer blocks on the way up, and without a middle.
#[test]
fn distilled_networks_are_told_by_their_tensors() -> TestResult {
    let place = Place::new();
    let path = place.path("distilled.safetensors");
    let mut tensors = published("sdxl")?;
    tensors.retain(|name, _| {
        !name.contains("output_blocks.1.1.transformer_blocks.9.") && !name.contains(".middle_block.")
    });
    save_shapes(&tensors, &path)?;
    let found = SingleFile::open(&path, Store::open(&path)?)?;
    assert_eq!(found.unet.mid, Middle::Absent);
    assert_eq!(found.unet.up[0].transformers, [Some(10), Some(9), Some(10)]);
    assert_eq!(found.unet.down[2].transformers, [Some(10), Some(10)]);
    Ok(())
}

#[test]
fn marks_and_headers_tell_what_is_predicted_and_how_the_schedule_ends() -> TestResult {
    let place = Place::new();
    let path = place.path("model.safetensors");
    let scalar = Tensor::zeros(1, DType::U8, &Device::Cpu)?;
    let open = |key: &str, marks: &[&str], header: Value| -> Result<SingleFile, Box<dyn std::error::Error>> {
        let mut tensors = published(key)?;
        tensors.extend(marks.iter().map(|mark| ((*mark).to_owned(), scalar.clone())));
        save_with_header(&tensors, &path, header)?;
        Ok(SingleFile::open(&path, Store::open(&path)?)?)
    };
    for (key, marks, header, prediction, ends_in_noise, side) in [
        ("sdxl", &["v_pred"][..], json!(null), Prediction::V, false, 1024),
        ("sdxl", &["v_pred", "ztsnr"], json!(null), Prediction::V, true, 1024),
        ("sdxl", &["ztsnr"], json!(null), Prediction::Epsilon, true, 1024),
        (
            "sdxl",
            &[],
            json!({"modelspec.prediction_type": "v"}),
            Prediction::V,
            false,
            1024,
        ),
        (
            "sdxl",
            &[],
            json!({"ss_zero_terminal_snr": "True"}),
            Prediction::Epsilon,
            true,
            1024,
        ),
        (
            "sd21",
            &[],
            json!({"modelspec.prediction_type": "epsilon"}),
            Prediction::Epsilon,
            false,
            512,
        ),
        (
            "sd21",
            &[],
            json!({"modelspec.architecture": "stable-diffusion-v2-512"}),
            Prediction::Epsilon,
            false,
            512,
        ),
        (
            "sd21",
            &[],
            json!({"modelspec.resolution": "640x640"}),
            Prediction::V,
            false,
            640,
        ),
    ] {
        let found = open(key, marks, header)?;
        assert_eq!(
            (
                found.schedule.prediction,
                found.schedule.ends_in_noise(),
                found.native_side
            ),
            (prediction, ends_in_noise, side),
            "{key} {marks:?}"
        );
        let said = found.notes.join(" ");
        assert!(marks.iter().all(|mark| said.contains(mark)), "{said}");
    }
    let refusal = match open("sdxl", &[], json!({"modelspec.prediction_type": "rectified_flow"})) {
        Ok(_) => return Err("a prediction that is not known was accepted".into()),
        Err(error) => error.to_string(),
    };
    assert!(
        refusal.contains("rectified_flow") && refusal.contains("epsilon"),
        "{refusal}"
    );
    Ok(())
}

/// Files whose encoders have transformers' names, whichever model they are of.
#[test]
fn encoders_with_transformers_names_are_told_by_their_place() -> TestResult {
    let place = Place::new();
    let path = place.path("model.safetensors");
    let whole = |key: &str, prefix: &str, width, layers| -> TestResult {
        let mut tensors = published(key)?;
        tensors.retain(|name, _| !name.starts_with(prefix));
        tensors.extend(names::clip(&text(width, layers)?, &format!("{prefix}transformer.")));
        save_shapes(&tensors, &path)
    };
    whole("sdxl", "conditioner.embedders.1.", 1280, 32)?;
    let found = SingleFile::open(&path, Store::open(&path)?)?;
    let projection = found.text_store(TextPart::Second)?;
    assert_eq!(projection.shape("text_projection.weight"), Some(&[1280, 1280][..]));
    assert!(found.lacks().text.is_empty());
    // Stable Diffusion 2's is not taken for that of 1, and its last layer is not used.
    whole("sd21", "cond_stage_model.", 1024, 24)?;
    let found = SingleFile::open(&path, Store::open(&path)?)?;
    assert!(found.notes[0].ends_with("Stable Diffusion 2"), "{:?}", found.notes);
    Ok(())
}

/// Whatever shapes a file claims, it is refused in words, or read.
#[test]
fn absurd_shapes_are_refused() -> TestResult {
    let place = Place::new();
    let path = place.path("model.safetensors");
    for key in ["sd15", "sdxl"] {
        let whole = published(key)?;
        for name in [
            "model.diffusion_model.input_blocks.0.0.weight",
            "model.diffusion_model.out.2.weight",
            "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
            "model.diffusion_model.middle_block.0.in_layers.2.weight",
            "model.diffusion_model.middle_block.1.proj_in.weight",
            "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
            "model.diffusion_model.label_emb.0.0.weight",
            "first_stage_model.encoder.down.0.block.0.conv1.weight",
            "first_stage_model.encoder.down.3.block.0.conv1.weight",
            "first_stage_model.decoder.conv_in.weight",
        ] {
            for shape in [
                &[][..],
                &[0],
                &[0, 0],
                &[0, 0, 0, 0],
                &[0, 1 << 50, 1, 1],
                &[1 << 50, 0],
            ] {
                let mut tensors = whole.clone();
                let size = shape.iter().product::<usize>();
                let tensor = Tensor::zeros(size, DType::U8, &Device::Cpu)?.reshape(shape)?;
                tensors.insert(name.into(), tensor);
                save_shapes(&tensors, &path)?;
                let opened = resolve(&path.display().to_string());
                // Its rank alone tells what it is; that its size is wrong is found when it is read.
                let by_rank = name.contains("proj_in") && [2, 4].contains(&shape.len());
                assert!(
                    opened.is_err() || by_rank,
                    "{key}: {name} of shape {shape:?} was accepted"
                );
            }
        }
    }
    Ok(())
}
