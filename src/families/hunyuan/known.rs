//! The checkpoints of HunyuanDiT with short names.

use serde_json::json;

use super::{DEFAULT_T, HunyuanConfig};
use crate::{
    components::schedule::DiscreteSchedule,
    error::Result,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json` of 1.1, which is told sizes and a style, and of 1.2, which is not.
const WITH_SIZES: &str = r#"{"hidden_size": 1408, "mlp_ratio": 4.3637, "num_layers": 40, "sample_size": 128}"#;
const WITHOUT_SIZES: &str = r#"{"hidden_size": 1408, "mlp_ratio": 4.3637, "num_layers": 40, "sample_size": 128,
    "use_style_cond_and_image_meta_size": false}"#;

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "hunyuandit-1.1",
        title: "HunyuanDiT 1.1 for 1024 pixels",
        source: "Tencent-Hunyuan/HunyuanDiT-v1.1-Diffusers",
        side: 1024,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(WITH_SIZES),
    },
    KnownCheckpoint {
        key: "hunyuandit-1.2",
        title: "HunyuanDiT 1.2 for 1024 pixels",
        source: "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers",
        side: 1024,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(WITHOUT_SIZES),
    },
];

/// `scheduler/scheduler_config.json` of a checkpoint: the betas of 1.2 end earlier.
pub(super) fn schedule(config: &HunyuanConfig) -> Result<DiscreteSchedule> {
    let end = if config.reads_sizes { 0.03 } else { 0.018 };
    DiscreteSchedule::from_json(&json!({
        "beta_schedule": "scaled_linear", "beta_start": 0.000_85, "beta_end": end, "prediction_type": "v_prediction"
    }))
}
