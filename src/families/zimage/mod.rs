//! Z-Image and its Turbo (Tongyi-MAI, 2025; diffusers' ZImageTransformer2DModel): one stream for a picture's tokens and those of a
//! Qwen3, each refined alone before, with every activation of the vocabulary.

mod architecture;
mod blocks;
mod catalogue;
mod config;
mod configure;
mod known;
mod network;

pub use self::{
    catalogue::catalogue,
    config::ZImageConfig,
    network::{ZImage, ZImageConditions},
};
use crate::{
    error::{Error, Result},
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
            CheckpointLayout::File(..) => false,
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("a Z-Image")?;
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => configure::in_folder(checkpoint.name, folder),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: a Z-Image is read from a folder of the hub's layout",
                path.display()
            ))),
            CheckpointLayout::Known(known) => configure::from_config(checkpoint.name, known),
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of Z-Image's has transformer/config.json"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block16-out", "vit-block2-out"]
    }
}
