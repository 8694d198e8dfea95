//! The autoencoder: its configuration from its tensors, and the names of these, those of its authors on the left, those
//! of diffusers on the right.

use serde_json::{Value, json};

use super::{TextKind, VAE_PREFIX, rules::Rules};
use crate::{
    error::{Error, Result},
    model::{
        config::{MAX_LAYERS, MAX_LEVELS},
        vae::VaeConfig,
    },
    weights::{Rename, Store},
};

const RESNET: [(&str, &str); 5] = [
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
];

/// What the latents of the published models are multiplied by. Tensors do not tell it.
const SCALING: f64 = 0.182_15;
const SCALING_SDXL: f64 = 0.130_25;

/// As `vae/config.json` says it.
pub(super) fn config(store: &Store, text: TextKind) -> Result<Value> {
    let shape = |name: &str| store.shape(&format!("{VAE_PREFIX}{name}"));
    let missing = |name: &str| {
        Error::failed(format!(
            "the file holds no autoencoder of Stable Diffusion: {VAE_PREFIX}{name} is missing or of another shape"
        ))
    };
    let channels = |level: usize, block: usize| {
        let name = format!("encoder.down.{level}.block.{block}.conv1.weight");
        shape(&name).and_then(|shape| shape.first().copied())
    };
    let widths: Vec<usize> = (0..MAX_LEVELS).map_while(|level| channels(level, 0)).collect();
    let repeats = (0..MAX_LAYERS)
        .take_while(|block| channels(0, *block).is_some())
        .count();
    if widths.is_empty() {
        return Err(missing("encoder.down.0.block.0.conv1.weight"));
    }
    let Some([_, latent, _, _]) = shape("decoder.conv_in.weight") else {
        return Err(missing("decoder.conv_in.weight"));
    };
    Ok(json!({
        "block_out_channels": widths,
        "layers_per_block": repeats,
        "latent_channels": latent,
        "scaling_factor": if text == TextKind::Sdxl { SCALING_SDXL } else { SCALING },
        "use_quant_conv": shape("quant_conv.weight").is_some(),
        "use_post_quant_conv": shape("post_quant_conv.weight").is_some(),
        "mid_block_add_attention": shape("encoder.mid.attn_1.q.weight").is_some(),
    }))
}

/// Rules for all tensors. Their attention has 1x1 convolutions where diffusers has linear layers, and their levels of
/// the decoder are counted from the widest grid.
pub(super) fn rules(config: &VaeConfig) -> Vec<Rename> {
    let mut rules = Rules::new(VAE_PREFIX);
    for name in ["quant_conv", "post_quant_conv"] {
        rules.module(name, name);
    }
    for half in ["encoder", "decoder"] {
        rules.module(&format!("{half}.conv_in"), &format!("{half}.conv_in"));
        rules.module(&format!("{half}.norm_out"), &format!("{half}.conv_norm_out"));
        rules.module(&format!("{half}.conv_out"), &format!("{half}.conv_out"));
        let (from, to) = (format!("{half}.mid"), format!("{half}.mid_block"));
        rules.modules(&format!("{from}.block_1"), &format!("{to}.resnets.0"), &RESNET);
        rules.modules(&format!("{from}.block_2"), &format!("{to}.resnets.1"), &RESNET);
        let (from, to) = (format!("{from}.attn_1"), format!("{to}.attentions.0"));
        rules.module(&format!("{from}.norm"), &format!("{to}.group_norm"));
        for (theirs, ours) in [("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")] {
            rules.linear(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
        }
    }
    let levels = config.block_out_channels.len();
    for level in 0..levels {
        let (from, to) = (format!("encoder.down.{level}"), format!("encoder.down_blocks.{level}"));
        for repeat in 0..config.layers_per_block {
            rules.modules(
                &format!("{from}.block.{repeat}"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
        }
        rules.module(&format!("{from}.downsample.conv"), &format!("{to}.downsamplers.0.conv"));
        let (from, to) = (
            format!("decoder.up.{level}"),
            format!("decoder.up_blocks.{}", levels - 1 - level),
        );
        for repeat in 0..=config.layers_per_block {
            rules.modules(
                &format!("{from}.block.{repeat}"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
        }
        rules.module(&format!("{from}.upsample.conv"), &format!("{to}.upsamplers.0.conv"));
    }
    rules.finish()
}
