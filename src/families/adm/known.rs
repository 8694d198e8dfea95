//! The checkpoints of ADM with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

const ADM256: &str = include_str!("../../../assets/zoo/adm256.json");

/// The embedded one first.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "demo",
        title: "small text-free ADM U-Net, embedded in the program",
        source: "embedded",
        side: 64,
        default_t: Timestep::of(100),
        files: KnownFiles::Embedded,
        config: None,
    },
    KnownCheckpoint {
        key: "adm256",
        title: "ADM 256x256 unconditional (guided-diffusion's 256x256_diffusion_uncond.pt: give the file)",
        source: "guided-diffusion",
        side: 256,
        default_t: Timestep::of(90),
        files: KnownFiles::Elsewhere,
        config: Some(ADM256),
    },
];
