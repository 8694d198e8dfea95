//! The text encoders of a model, and where they lie in its folder.

use std::path::Path;

use candle_core::{DType, Device};

use super::{ClipConfig, ClipTextModel};
use crate::{
    error::Result,
    weights::{Store, open_weights, read_json},
};

/// Name of the weights of transformers' models.
pub(crate) const TEXT_WEIGHTS_STEM: &str = "model";

/// One of a model's text encoders, in the order of their states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPart {
    /// The one that every Stable Diffusion has.
    First,
    /// SDXL's second.
    Second,
}

impl TextPart {
    /// The encoder's folder in the hub's layout.
    pub(crate) fn encoder_folder(self) -> &'static str {
        match self {
            Self::First => "text_encoder",
            Self::Second => "text_encoder_2",
        }
    }

    /// The tokenizer's folder in the hub's layout.
    pub(crate) fn tokenizer_folder(self) -> &'static str {
        match self {
            Self::First => "tokenizer",
            Self::Second => "tokenizer_2",
        }
    }
}

impl ClipTextModel {
    /// Opens the encoder in a folder of the hub's layout, with configuration and weights.
    ///
    /// # Errors
    ///
    /// Where configuration or weights are missing, or do not fit each other.
    pub fn from_folder(folder: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let (config, weights) = open_folder(folder)?;
        Self::new(config, weights.var_builder(dtype, device))
    }

    /// The encoder in a folder of the hub's layout without its numbers: what layers it has.
    pub(crate) fn open_without_weights(folder: &Path) -> Result<Self> {
        let (config, weights) = open_folder(folder)?;
        Self::without_weights(config, &weights)
    }

    /// An encoder without its numbers, which takes neither time nor memory.
    pub(crate) fn without_weights(config: ClipConfig, weights: &Store) -> Result<Self> {
        // In a format that no operator prepares its weights for.
        Self::new(config, weights.without_values().var_builder(DType::F16, &Device::Cpu))
    }
}

fn open_folder(folder: &Path) -> Result<(ClipConfig, Store)> {
    let config = ClipConfig::from_json(&read_json(&folder.join("config.json"))?)
        .map_err(|error| error.context(folder.display()))?;
    Ok((config, open_weights(folder, TEXT_WEIGHTS_STEM)?))
}
