//! Flux.2 \[klein\] (Black Forest Labs, 2026; diffusers' Flux2Transformer2DModel): blocks in which the picture's tokens and the text's
//! attend to each other, as in Flux.1, with modulations that all blocks of a kind share, and a Qwen3 that reads the prompt.

mod architecture;
mod blocks;
mod catalogue;
mod config;
mod configure;
mod file;
mod known;
mod network;

pub use self::{
    catalogue::catalogue,
    config::Flux2Config,
    file::Flux2File,
    network::{Flux2, pack},
};
use crate::{
    error::Result,
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
};

/// Class of the transformer in configurations.
const CLASS: &str = "Flux2Transformer2DModel";

/// Key of the family.
pub const KEY: &str = "flux2";

/// Flux.2.
pub struct Flux2Family;

impl Family for Flux2Family {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.class_of("transformer").as_deref() == Some(CLASS),
            CheckpointLayout::File(_, store) => Flux2File::find(store).is_some(),
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        configure::configure(checkpoint)
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a file of Flux.2 has double_stream_modulation_img.lin.weight"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block12-out", "vit-block2-out"]
    }
}
