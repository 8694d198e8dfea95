//! The checkpoints of PixArt with short names.

use super::Version;
use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json` of the models for 1024 pixels.
const SIDE_1024: &str = r#"{"sample_size": 128, "caption_channels": 4096}"#;
/// The same for 512 pixels, without size conditions.
const SIDE_512: &str = r#"{"sample_size": 64, "caption_channels": 4096}"#;
const DEFAULT_T: Timestep = Timestep::of(50);
/// Short name of the one that is a PixArt-Sigma.
const SIGMA: &str = "pixart-sigma";

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "pixart-alpha-512",
        title: "PixArt-alpha for 512 pixels",
        source: "PixArt-alpha/PixArt-XL-2-512x512",
        side: 512,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(SIDE_512),
    },
    KnownCheckpoint {
        key: "pixart-alpha",
        title: "PixArt-alpha for 1024 pixels",
        source: "PixArt-alpha/PixArt-XL-2-1024-MS",
        side: 1024,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(SIDE_1024),
    },
    KnownCheckpoint {
        key: SIGMA,
        title: "PixArt-Sigma for 1024 pixels",
        source: "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        side: 1024,
        default_t: DEFAULT_T,
        files: KnownFiles::Hub,
        config: Some(SIDE_1024),
    },
];

/// The version of a checkpoint.
pub(super) fn version_of(known: &KnownCheckpoint) -> Version {
    match known.key == SIGMA {
        true => Version::Sigma,
        false => Version::Alpha,
    }
}
