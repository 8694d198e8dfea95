//! The checkpoints of Flux.2 with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json` of klein with 4 billion weights.
const KLEIN_4B: &str = r#"{"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680,
    "guidance_embeds": false}"#;
/// The nominal 50 of papers through the pipeline's shift at 1024 pixels and the four steps that it was distilled for.
pub(super) const DEFAULT_T: Timestep = Timestep::of_tenths(3423);
/// Short side of the pictures.
pub(super) const SIDE: usize = 1024;

/// The checkpoints.
pub(super) const KNOWN: &[KnownCheckpoint] = &[KnownCheckpoint {
    key: "flux.2-klein-4b",
    title: "FLUX.2 [klein] 4B",
    source: "black-forest-labs/FLUX.2-klein-4B",
    side: SIDE,
    default_t: DEFAULT_T,
    files: KnownFiles::Hub,
    config: Some(KLEIN_4B),
}];
