//! The checkpoints of DeepFloyd IF's first stage with short names.

use serde_json::{Value, json};

use super::DEFAULT_T;
use crate::{
    error::Result,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// What tells the published sizes apart, of `unet/config.json`.
const MEDIUM: &str = r#"{"block_out_channels": [192, 384, 576, 768], "cross_attention_dim": 768}"#;
const LARGE: &str = r#"{"block_out_channels": [320, 640, 960, 1280], "cross_attention_dim": 1280}"#;
const EXTRA_LARGE: &str = r#"{"block_out_channels": [704, 1408, 2112, 2816], "cross_attention_dim": 2816}"#;

const SIDE_64: KnownCheckpoint = KnownCheckpoint {
    key: "deepfloyd-if-i-m",
    title: "DeepFloyd IF, first stage, medium: pixels, 64 x 64",
    source: "DeepFloyd/IF-I-M-v1.0",
    side: 64,
    default_t: DEFAULT_T,
    files: KnownFiles::Hub,
    config: Some(MEDIUM),
};

/// The checkpoints, by size.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    SIDE_64,
    KnownCheckpoint {
        key: "deepfloyd-if-i-l",
        title: "DeepFloyd IF, first stage, large: pixels, 64 x 64",
        source: "DeepFloyd/IF-I-L-v1.0",
        config: Some(LARGE),
        ..SIDE_64
    },
    KnownCheckpoint {
        key: "deepfloyd-if-i-xl",
        title: "DeepFloyd IF, first stage, extra large: pixels, 64 x 64",
        source: "DeepFloyd/IF-I-XL-v1.0",
        config: Some(EXTRA_LARGE),
        ..SIDE_64
    },
];

/// The whole configuration of a checkpoint.
pub(super) fn whole_config(known: &KnownCheckpoint) -> Result<Value> {
    let mut json = json!({
        "act_fn": "gelu", "addition_embed_type": "text", "addition_embed_type_num_heads": 64, "attention_head_dim": 64,
        "cross_attention_norm": "group_norm", "encoder_hid_dim": 4096, "in_channels": 3, "layers_per_block": 3, "out_channels": 6,
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "resnet_time_scale_shift": "scale_shift",
        "_class_name": "UNet2DConditionModel",
        "down_block_types": [
            "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"
        ],
        "up_block_types": [
            "SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"
        ]
    });
    for (key, value) in known.config_json()?.as_object().into_iter().flatten() {
        json[key] = value.clone();
    }
    Ok(json)
}

#[cfg(test)]
pub(super) fn config_of(key: &str) -> Option<Value> {
    whole_config(KNOWN.iter().find(|known| known.key == key)?).ok()
}
