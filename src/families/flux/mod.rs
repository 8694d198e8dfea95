//! Flux.1 dev and schnell (Black Forest Labs, 2024; diffusers' FluxTransformer2DModel): blocks in which the picture's tokens and the
//! text's attend to each other, with two streams at first and one behind them, with every activation of the vocabulary.

mod architecture;
mod catalogue;
mod config;
mod configure;
mod file;
mod known;
mod network;
mod single;

pub use self::{
    catalogue::catalogue,
    config::FluxConfig,
    file::FluxFile,
    network::{Flux, FluxConditions, pack},
};
use crate::{
    error::Result,
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
};

/// Latent positions of a side of one token.
const PATCH: usize = 2;
/// Width of a feed-forward's inside over the width of its block.
const FFN_RATIO: usize = 4;
/// Class of the transformer in configurations.
const CLASS: &str = "FluxTransformer2DModel";

/// Key of the family.
pub const KEY: &str = "flux";

/// Flux.1.
pub struct FluxFamily;

impl Family for FluxFamily {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.class_of("transformer").as_deref() == Some(CLASS),
            CheckpointLayout::File(_, store) => FluxFile::find(store).is_some(),
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
        "a file of Flux has double_blocks.0.img_attn.qkv.weight"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block18-out", "vit-block1-out"]
    }
}
