//! Small models with the published models' heads, groups and activations: a file without any configuration gives what
//! a folder that says all of it gives.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use featscope::{
    components::{
        text::{ClipConfig, ClipTextModel},
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    families::stable_diffusion::unet::{Unet, UnetConfig},
    model::LoadExtent,
};
use serde_json::{Value, json};

use crate::{
    common::{TestResult, program::Place},
    names::{self, Tensors},
    parity::{TOKENIZERS, assert_same, describe, extract, save},
    recognised::recorded,
};

/// Token ids of the tiny tokenizers.
const VOCABULARY: usize = 714;

/// Numbers of no pattern for every shape a network asks for; norms are about 1.
fn filled(shapes: Tensors) -> candle_core::Result<Tensors> {
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.elem_count();
            let phase = name.bytes().map(f64::from).sum::<f64>();
            let waves = ((Tensor::arange(0, count as u32, &Device::Cpu)?.to_dtype(DType::F64)? * 12.9898)? + phase)?;
            let base = if name.contains("norm") && name.ends_with("weight") {
                1.0
            } else {
                0.0
            };
            let numbers = ((waves.sin()? * 0.15)? + base)?.to_dtype(DType::F32)?;
            Ok((name, numbers.reshape(shape.shape())?))
        })
        .collect()
}

/// The parts of a small model, by folder, with their configurations.
struct Small {
    parts: Vec<(&'static str, Value, Tensors)>,
    scheduler: Value,
}

fn text(width: usize, layers: usize, act: &str, eos: usize) -> Result<(Value, Tensors), Box<dyn std::error::Error>> {
    let config = json!({
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width / 64, "hidden_act": act, "eos_token_id": eos, "projection_dim": width,
    });
    let read = ClipConfig::from_json(&config)?;
    let tensors = filled(recorded(|vb| ClipTextModel::new(read.clone(), vb).map(|_| ()))?)?;
    Ok((config, tensors))
}

/// A U-Net with changes to a small one of Stable Diffusion 1.
fn small(changes: Value, scaling: f64) -> Result<Small, Box<dyn std::error::Error>> {
    let mut config = json!({
        "_class_name": "UNet2DConditionModel",
        "block_out_channels": [64, 128],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 128,
        "norm_num_groups": 32,
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let unet = UnetConfig::from_json(&config)?;
    let tensors = filled(recorded(|vb| {
        Unet::new(unet.clone(), LoadExtent::Whole, vb).map(|_| ())
    })?)?;
    let mut parts = vec![("unet", config, tensors)];
    let config = json!({
        "_class_name": "AutoencoderKL", "block_out_channels": [32, 32, 64, 64], "layers_per_block": 2,
        "norm_num_groups": 32, "scaling_factor": scaling,
    });
    let vae = VaeConfig::from_json(&config)?;
    let tensors = filled(recorded(|vb| {
        VaeEncoder::new(vae.clone(), vb.clone())?;
        VaeDecoder::new(vae.clone(), vb).map(|_| ())
    })?)?;
    parts.push(("vae", config, tensors));
    Ok(Small {
        parts,
        scheduler: json!({
            "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        }),
    })
}

fn gives_the_same(model: &Small, tokenizers_of: &str) -> TestResult {
    let place = Place::new();
    let mut all = Tensors::new();
    for (part, config, tensors) in &model.parts {
        place.write(&format!("folder/{part}/config.json"), config.to_string());
        let stem = if part.starts_with("text") {
            "model"
        } else {
            "diffusion_pytorch_model"
        };
        let file = place.path(&format!("folder/{part}/{stem}.safetensors"));
        let saved: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
        candle_core::safetensors::save(&saved, &file)?;
        let act = config["hidden_act"].as_str();
        all.extend(match (*part, act) {
            ("unet", _) => names::unet(tensors),
            ("vae", _) => names::vae(tensors, 4)?,
            ("text_encoder", Some("quick_gelu")) if model.parts.len() == 3 => {
                names::clip(tensors, "cond_stage_model.transformer.")
            }
            ("text_encoder", Some("quick_gelu")) => names::clip(tensors, "conditioner.embedders.0.transformer."),
            ("text_encoder", _) => names::open_clip(tensors, "cond_stage_model.model.")?,
            _ => names::open_clip(tensors, "conditioner.embedders.1.model.")?,
        });
    }
    place.write("folder/scheduler/scheduler_config.json", model.scheduler.to_string());
    describe(tokenizers_of, &place, "folder", &TOKENIZERS)?;
    // The small vocabulary is all that lies beside the file.
    describe(tokenizers_of, &place, "one", &TOKENIZERS)?;
    let file = place.text("one.safetensors");
    save(&all, Path::new(&file))?;
    let folder = extract(&place.text("folder"), &place);
    assert_same(&folder, &extract(&file, &place));
    Ok(())
}

#[test]
fn like_stable_diffusion_1() -> TestResult {
    let mut model = small(json!({}), 0.18215)?;
    let (config, mut tensors) = text(128, 2, "quick_gelu", 713)?;
    tensors.remove("text_projection.weight");
    model.parts.push(("text_encoder", config, tensors));
    gives_the_same(&model, "tiny-sd15")
}

#[test]
fn like_stable_diffusion_2() -> TestResult {
    let changes = json!({"attention_head_dim": [1, 2], "use_linear_projection": true});
    let mut model = small(changes, 0.18215)?;
    model.scheduler["prediction_type"] = json!("v_prediction");
    let (config, tensors) = text(128, 23, "gelu", 713)?;
    model.parts.push(("text_encoder", config, tensors));
    gives_the_same(&model, "tiny-sd21")
}

#[test]
fn like_stable_diffusion_xl() -> TestResult {
    let changes = json!({
        "attention_head_dim": [1, 2],
        "use_linear_projection": true,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 3],
        "cross_attention_dim": 192,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 6 * 256 + 128,
    });
    let mut model = small(changes, 0.13025)?;
    let (config, mut first) = text(64, 2, "quick_gelu", 713)?;
    first.remove("text_projection.weight");
    let (second_config, second) = text(128, 3, "gelu", 2)?;
    model.parts.push(("text_encoder", config, first));
    model.parts.push(("text_encoder_2", second_config, second));
    gives_the_same(&model, "tiny-sdxl")
}
