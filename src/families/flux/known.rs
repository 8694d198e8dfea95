//! The checkpoints of Flux.1 with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json` of dev; what is not there is diffusers' default.
const DEV: &str = r#"{"guidance_embeds": true}"#;
/// The same of schnell.
const SCHNELL: &str = r#"{"guidance_embeds": false}"#;
/// What runs in generic-diffusion-feature at t 50 and 1024 pixels.
pub(super) const DEFAULT_T: Timestep = Timestep::of_tenths(1955);
/// Short side of the pictures of both.
pub(super) const SIDE: usize = 1024;

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "flux.1-dev",
        title: "FLUX.1 dev",
        source: "black-forest-labs/FLUX.1-dev",
        side: SIDE,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(DEV),
    },
    KnownCheckpoint {
        key: "flux.1-schnell",
        title: "FLUX.1 schnell",
        source: "black-forest-labs/FLUX.1-schnell",
        side: SIDE,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(SCHNELL),
    },
];
