//! Stable Diffusion 3 and 3.5 (Esser et al., 2024; diffusers' SD3Transformer2DModel): blocks in which the picture's tokens and those of
//! three text encoders attend to each other, with every activation of the vocabulary.

mod architecture;
mod catalogue;
mod config;
mod configure;
mod file;
mod known;
mod network;

pub use self::{
    catalogue::catalogue,
    config::Sd3Config,
    file::Sd3File,
    network::{Sd3, Sd3Conditions},
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
const CLASS: &str = "SD3Transformer2DModel";

/// Key of the family.
pub const KEY: &str = "sd3";

/// Stable Diffusion 3 and 3.5.
pub struct Sd3Family;

impl Family for Sd3Family {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.class_of("transformer").as_deref() == Some(CLASS),
            CheckpointLayout::File(_, store) => Sd3File::find(store).is_some(),
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
        "a file of Stable Diffusion 3 has joint_blocks.0.x_block.attn.qkv.weight"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block11-out", "vit-block1-out"]
    }
}
