//! The checkpoints of Stable Diffusion 3 and 3.5 with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json` of 3 medium; what is not there is diffusers' default.
const MEDIUM: &str =
    r#"{"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192}"#;
/// The same of 3.5 medium.
const MEDIUM_35: &str = r#"{"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
    "qk_norm": "rms_norm", "dual_attention_layers": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}"#;
/// The same of 3.5 large.
const LARGE_35: &str = r#"{"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "pos_embed_max_size": 192,
    "qk_norm": "rms_norm"}"#;
/// The nominal 50 of papers through the schedule's shift of 3.
pub(super) const DEFAULT_T: Timestep = Timestep::of_tenths(1364);
const SIDE: usize = 1024;

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "sd3-medium",
        title: "Stable Diffusion 3 medium",
        source: "stabilityai/stable-diffusion-3-medium-diffusers",
        side: SIDE,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(MEDIUM),
    },
    KnownCheckpoint {
        key: "sd3.5-medium",
        title: "Stable Diffusion 3.5 medium",
        source: "stabilityai/stable-diffusion-3.5-medium",
        side: SIDE,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(MEDIUM_35),
    },
    KnownCheckpoint {
        key: "sd3.5-large",
        title: "Stable Diffusion 3.5 large",
        source: "stabilityai/stable-diffusion-3.5-large",
        side: SIDE,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(LARGE_35),
    },
];
