//! The checkpoints of Z-Image with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// `transformer/config.json`; what is not there is diffusers' default.
const TURBO: &str = r#"{"axes_lens": [1536, 512, 512]}"#;
/// The nominal 50 of papers through the schedule's shift of 3.
pub(super) const DEFAULT_T: Timestep = Timestep::of_tenths(1364);
/// Short side of the pictures.
pub(super) const SIDE: usize = 1024;

/// The checkpoints.
pub(super) const KNOWN: &[KnownCheckpoint] = &[KnownCheckpoint {
    key: "z-image-turbo",
    title: "Z-Image Turbo",
    source: "Tongyi-MAI/Z-Image-Turbo",
    side: SIDE,
    default_t: DEFAULT_T,
    files: KnownFiles::Hub,
    config: Some(TURBO),
}];
