//! Z-Image and its Turbo (Tongyi-MAI, 2025; diffusers' ZImageTransformer2DModel): one stream for a picture's tokens and those of a
//! Qwen3, each refined alone before, with every activation of the vocabulary.

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
    config::ZImageConfig,
    file::ZImageFile,
    network::{ZImage, ZImageConditions},
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
/// Both the picture and the text have a multiple of so many tokens in the network.
const MULTIPLE: usize = 32;
/// Class of the transformer in configurations.
const CLASS: &str = "ZImageTransformer2DModel";

/// Key of the family.
pub const KEY: &str = "zimage";

/// So many tokens with their padding.
fn padded(tokens: usize) -> usize {
    tokens.next_multiple_of(MULTIPLE)
}

/// Z-Image.
pub struct ZImageFamily;

impl Family for ZImageFamily {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.class_of("transformer").as_deref() == Some(CLASS),
            CheckpointLayout::File(_, store) => ZImageFile::find(store).is_some(),
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
        "a file of Z-Image has layers.0.attention.qkv.weight and cap_pad_token"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block16-out", "vit-block2-out"]
    }
}
