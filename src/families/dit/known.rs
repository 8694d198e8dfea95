//! The checkpoints of DiT, SiT and REPA with short names.

use super::kind::DitKind;
use crate::model::family::{KnownCheckpoint, KnownFiles};

/// `transformer/config.json` of the models for 256 and 512 pixels.
const DIT_256: &str = r#"{"sample_size": 32, "out_channels": 8}"#;
const DIT_512: &str = r#"{"sample_size": 64, "out_channels": 8}"#;
/// The authors' configurations.
const SIT_256: &str = r#"{"kind": "sit", "hidden_size": 1152, "depth": 28, "num_heads": 16}"#;
const REPA_256: &str = r#"{"kind": "repa", "hidden_size": 1152, "depth": 28, "num_heads": 16, "learn_sigma": false}"#;

const SIDE_256: KnownCheckpoint = KnownCheckpoint {
    key: "dit-xl-2-256",
    title: "DiT-XL/2 of ImageNet for 256 pixels",
    source: "facebook/DiT-XL-2-256",
    side: 256,
    default_t: DitKind::Dit.default_t(),
    files: KnownFiles::Hub,
    config: Some(DIT_256),
};

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    SIDE_256,
    KnownCheckpoint {
        key: "dit-xl-2-512",
        title: "DiT-XL/2 of ImageNet for 512 pixels",
        source: "facebook/DiT-XL-2-512",
        side: 512,
        config: Some(DIT_512),
        ..SIDE_256
    },
    KnownCheckpoint {
        key: "sit-xl-2",
        title: "SiT-XL/2 of ImageNet for 256 pixels (give the authors' file: sit-xl-2+SiT-XL-2-256x256.pt)",
        source: "https://github.com/willisma/SiT",
        default_t: DitKind::Sit.default_t(),
        files: KnownFiles::Elsewhere,
        config: Some(SIT_256),
        ..SIDE_256
    },
    KnownCheckpoint {
        key: "repa-xl-2",
        title: "SiT-XL/2 trained with REPA on ImageNet, for 256 pixels (give the authors' file: repa-xl-2+last.pt)",
        source: "https://github.com/sihyun-yu/REPA",
        default_t: DitKind::Repa.default_t(),
        files: KnownFiles::Elsewhere,
        config: Some(REPA_256),
        ..SIDE_256
    },
];
