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
const WEIGHTS_STEM: &str = "model";

/// A CLIP text encoder with the tokenizer it was trained with.
pub struct TextEncoder {
    /// Prompts → ids.
    pub tokenizer: Tokenizer,
    /// Ids → states.
    pub model: ClipTextModel,
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
        let tokenizer = Tokenizer::from_folder(&model_folder.join(tokenizer_subfolder))?;
        let folder = model_folder.join(encoder_subfolder);
        let config = ClipConfig::from_json(&read_json(&folder.join("config.json"))?)
            .map_err(|error| error.context(folder.display()))?;
        let weights = open_weights(&folder, WEIGHTS_STEM)?;
        let model = ClipTextModel::new(config, weights.var_builder(dtype, device))?;
        Ok(Self { tokenizer, model })
    }

    /// Encodes one prompt; `last` and `penultimate` are (1, 77·chunks, D), `pooled` is that of the first chunk, (1, P).
    ///
    /// A prompt that does not fit into one chunk is split into several, each with its own start and end.
    pub fn encode(&self, prompt: &str, watch: &mut Watch<'_>) -> Result<TextStates> {
        let states = self.model.forward(&self.tokenizer.chunks(prompt)?, watch)?;
        let (chunks, length, width) = states.last.dims3()?;
        let joined = (1, chunks * length, width);
        Ok(TextStates {
            last: states.last.reshape(joined)?,
            penultimate: states.penultimate.reshape(joined)?,
            pooled: states.pooled.narrow(0, 0, 1)?,
        })
    }
}
