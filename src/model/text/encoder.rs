//! A tokenizer and its text encoder, from the folders of a model.

use std::path::Path;

use candle_core::{DType, Device};

use super::{ClipConfig, ClipTextModel, TextStates, Tokenizer};
use crate::{
    activation::Watch,
    error::Result,
    weights::{open_weights, read_json},
};

/// Name of the weights of transformers' models.
pub const TEXT_WEIGHTS_STEM: &str = "model";

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
    pub fn encoder_folder(self) -> &'static str {
        match self {
            Self::First => "text_encoder",
            Self::Second => "text_encoder_2",
        }
    }

    /// The tokenizer's folder in the hub's layout.
    pub fn tokenizer_folder(self) -> &'static str {
        match self {
            Self::First => "tokenizer",
            Self::Second => "tokenizer_2",
        }
    }
}

/// A CLIP text encoder with the tokenizer it was trained with.
pub struct TextEncoder {
    /// Prompts → ids.
    pub tokenizer: Tokenizer,
    /// Ids → states.
    pub model: ClipTextModel,
}

impl ClipTextModel {
    /// Opens the encoder in a folder of the hub's layout, with configuration and weights.
    pub fn from_folder(folder: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let config = ClipConfig::from_json(&read_json(&folder.join("config.json"))?)
            .map_err(|error| error.context(folder.display()))?;
        let weights = open_weights(folder, TEXT_WEIGHTS_STEM)?;
        Self::new(config, weights.var_builder(dtype, device))
    }
}

impl TextEncoder {
    /// Opens an encoder of a model in the hub's layout: `encoder_subfolder` (`text_encoder`, `text_encoder_2`) with
    /// configuration and weights, `tokenizer_subfolder` (`tokenizer`, `tokenizer_2`) with the vocabulary.
    pub fn open(
        model_folder: &Path,
        encoder_subfolder: &str,
        tokenizer_subfolder: &str,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        Ok(Self {
            tokenizer: Tokenizer::from_folder(&model_folder.join(tokenizer_subfolder))?,
            model: ClipTextModel::from_folder(&model_folder.join(encoder_subfolder), device, dtype)?,
        })
    }

    /// Encodes one prompt; `last` and `penultimate` are (1, 77·chunks, D), `pooled` is that of the first chunk, (1, P).
    ///
    /// A prompt that does not fit into one chunk is split into several, each with its own start and end.
    pub fn encode(&self, prompt: &str, watch: &mut Watch<'_>) -> Result<TextStates> {
        self.model.encode_chunks(&self.tokenizer.chunks(prompt)?, watch)
    }
}
