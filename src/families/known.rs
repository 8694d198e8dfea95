//! The models that have a short name, of all families.

use super::FAMILIES;
use crate::model::family::{Family, KnownCheckpoint, KnownFiles};

/// Every model with a short name: those inside the program first, then family by family.
pub fn known_checkpoints() -> impl Iterator<Item = &'static KnownCheckpoint> {
    let all = || FAMILIES.iter().flat_map(|family| family.known_checkpoints());
    let is_embedded = |known: &&KnownCheckpoint| known.files == KnownFiles::Embedded;
    all()
        .filter(is_embedded)
        .chain(all().filter(move |known| !is_embedded(known)))
}

/// The model with a short name.
pub fn known_checkpoint(key: &str) -> Option<&'static KnownCheckpoint> {
    known_checkpoints().find(|known| known.key == key)
}

/// The family of the model with a short name, as provenance calls it.
pub fn known_family(key: &str) -> Option<&'static str> {
    let has = |family: &&&dyn Family| family.known_checkpoints().iter().any(|known| known.key == key);
    FAMILIES.iter().find(has).map(|family| family.key())
}

/// The full-size configuration behind a short name.
pub fn known_config(key: &str) -> Option<&'static str> {
    known_checkpoint(key)?.config
}

/// What brings a model with a short name here.
pub(super) fn how_to_get(known: &KnownCheckpoint) -> String {
    let KnownCheckpoint { key, source, .. } = *known;
    match known.files {
        KnownFiles::DropIn { bases, file } => {
            let bases = bases.iter().filter_map(|base| known_checkpoint(base));
            let bases: Vec<&str> = bases.map(|base| base.source).collect();
            let bases = bases.join(" or ");
            format!("`featscope models get {key}` downloads {file} of {source} and the folder of {bases}")
        }
        KnownFiles::Hub => format!("`featscope models get {key}` downloads {source}"),
        KnownFiles::Embedded | KnownFiles::Elsewhere => format!("get it from {source}"),
    }
}

/// A ControlNet that the window offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlNetEntry {
    /// What it looks at and what it is for, in a few words.
    pub title: &'static str,
    /// Its name on the hub.
    pub source: &'static str,
}

/// The ControlNets of the papers' settings.
pub const CONTROL_NETS: &[ControlNetEntry] = &[
    ControlNetEntry {
        title: "ControlNet of Canny edges, for Stable Diffusion 1.5",
        source: "lllyasviel/sd-controlnet-canny",
    },
    ControlNetEntry {
        title: "ControlNet of depth, for Stable Diffusion 1.5",
        source: "lllyasviel/sd-controlnet-depth",
    },
    ControlNetEntry {
        title: "ControlNet of Canny edges, for Stable Diffusion XL",
        source: "diffusers/controlnet-canny-sdxl-1.0",
    },
];
