//! BERT's encoder (Devlin et al., 2019), as transformers' `BertModel` computes its last hidden state.

use std::path::Path;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::softmax_last_dim};
use serde_json::Value;

use super::encoder::TEXT_WEIGHTS_STEM;
use crate::{
    activation::Progress,
    error::{Error, Result},
    nn::{
        attention::{join_heads, split_heads},
        feed_forward::gelu,
        layers::{Embedding, Linear, embedding, linear},
        norms::{LayerNorm, layer_norm},
    },
    weights::{
        config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
        open_weights, read_json,
    },
};

/// No BERT has a larger vocabulary.
const MAX_VOCABULARY: usize = 1 << 20;
/// The longest prompt: scores are as large as its square.
const MAX_TOKENS: usize = 1 << 10;
/// What stands before the names of tensors where the encoder is a part of another network.
const PREFIX: &str = "bert";

/// `config.json` of a BERT.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width D of the states.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// The most tokens.
    pub max_position_embeddings: usize,
    /// Kinds of tokens, of which the first is used.
    pub type_vocab_size: usize,
    /// Epsilon of every norm.
    pub layer_norm_eps: f64,
}

impl BertConfig {
    /// Reads the JSON of a `config.json`, with transformers' defaults for what it lacks.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another encoder than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the BERT encoder's config.json")?;
        config.choice("model_type", "bert", &["bert"])?;
        config.choice("hidden_act", "gelu", &["gelu"])?;
        config.choice("position_embedding_type", "absolute", &["absolute"])?;
        for key in ["is_decoder", "add_cross_attention"] {
            config.absent(key)?;
        }
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let read = Self {
            vocab_size: config.count("vocab_size", Some(30_522), 1, MAX_VOCABULARY)?,
            hidden_size: width("hidden_size", 768)?,
            intermediate_size: width("intermediate_size", 3072)?,
            num_hidden_layers: config.count("num_hidden_layers", Some(12), 1, MAX_LAYERS)?,
            num_attention_heads: width("num_attention_heads", 12)?,
            max_position_embeddings: config.count("max_position_embeddings", Some(512), 1, MAX_VOCABULARY)?,
            type_vocab_size: config.count("type_vocab_size", Some(2), 1, MAX_WIDTH)?,
            layer_norm_eps: config.number("layer_norm_eps", 1e-12)?,
        };
        if !read.hidden_size.is_multiple_of(read.num_attention_heads) {
            let allowed = format!("a divisor of hidden_size, {}", read.hidden_size);
            return Err(config.refuse("num_attention_heads", &allowed));
        }
        if read.layer_norm_eps <= 0.0 || read.layer_norm_eps >= 1.0 {
            return Err(config.refuse("layer_norm_eps", "a number between 0 and 1"));
        }
        Ok(read)
    }
}

/// A BERT with its weights.
pub struct BertEncoder {
    words: Embedding,
    positions: Embedding,
    kinds: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    config: BertConfig,
    device: Device,
}

impl BertEncoder {
    /// Opens the encoder in a folder of the hub's layout.
    ///
    /// # Errors
    ///
    /// As [`BertConfig::from_json`] and [`Self::new`].
    pub fn from_folder(folder: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let config = BertConfig::from_json(&read_json(&folder.join("config.json"))?)
            .map_err(|error| error.context(folder.display()))?;
        let weights = open_weights(folder, TEXT_WEIGHTS_STEM)?;
        Self::new(config, weights.var_builder(dtype, device))
    }

    /// Builds the encoder from tensors with the names of transformers; what pools its states is not read.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: BertConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let device = vb.device().clone();
        let vb = match vb.contains_tensor(&format!("{PREFIX}.embeddings.word_embeddings.weight")) {
            true => vb.pp(PREFIX),
            false => vb,
        };
        let (width, embeddings) = (config.hidden_size, vb.pp("embeddings"));
        let table = |rows, name: &str| embedding(rows, width, embeddings.pp(name));
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            positions: table(config.max_position_embeddings, "position_embeddings")?,
            kinds: table(config.type_vocab_size, "token_type_embeddings")?,
            norm: layer_norm(width, config.layer_norm_eps, embeddings.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::new(&config, vb.pp("encoder.layer").pp(layer)))
                .collect::<CandleResult<_>>()?,
            config,
            device,
        })
    }

    /// The last states (1, L, D) of L token ids; `mask` has a 0 for every token that no other attends to. Progress is reported
    /// after every layer.
    ///
    /// # Errors
    ///
    /// Where there are more ids than positions or another number of them than of the mask, and where an id is outside the
    /// vocabulary.
    pub fn forward(&self, ids: &[u32], mask: &[u8], progress: &mut Progress<'_>) -> Result<Tensor> {
        let (length, most) = (ids.len(), self.config.max_position_embeddings.min(MAX_TOKENS));
        if length == 0 || length > most || mask.len() != length || mask.iter().any(|mask| *mask > 1) {
            return Err(Error::usage(format!(
                "this BERT takes 1 to {most} tokens with a mask of zeros and ones, not {length} with {} numbers",
                mask.len()
            )));
        }
        let vocabulary = self.config.vocab_size;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
            return Err(Error::failed(format!(
                "the token id {id} is outside the BERT encoder's vocabulary of {vocabulary}: tokenizer and text encoder do not \
                 belong together"
            )));
        }
        progress(0.0)?;
        let row = |numbers: Vec<u32>| Tensor::from_vec(numbers, (1, length), &self.device);
        let words = self.words.forward(&row(ids.to_vec())?)?;
        let places = self.positions.forward(&row((0..length as u32).collect())?)?;
        let kinds = self.kinds.forward(&row(vec![0; length])?)?;
        let mut states = self.norm.forward(&((words + places)? + kinds)?)?;
        let hidden = mask.iter().map(|mask| (1.0 - f32::from(*mask)) * f32::MIN);
        let bias = Tensor::from_vec(hidden.collect(), (1, 1, 1, length), &self.device)?;
        for (done, layer) in (1_usize..).zip(&self.layers) {
            states = layer.forward(&states, &bias)?;
            progress(done as f32 / self.layers.len() as f32)?;
        }
        Ok(states)
    }
}

/// x = LN(x + attention x); x = LN(x + feed-forward x).
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    dense: Linear,
    norm: LayerNorm,
    heads: usize,
    scale: f64,
}

impl Layer {
    fn new(config: &BertConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner, heads) = (config.hidden_size, config.intermediate_size, config.num_attention_heads);
        let square = |name: &str| linear(width, width, vb.pp(name));
        let norm = |name: &str| layer_norm(width, config.layer_norm_eps, vb.pp(name));
        Ok(Self {
            query: square("attention.self.query")?,
            key: square("attention.self.key")?,
            value: square("attention.self.value")?,
            output: square("attention.output.dense")?,
            attention_norm: norm("attention.output.LayerNorm")?,
            intermediate: linear(width, inner, vb.pp("intermediate.dense"))?,
            dense: linear(inner, width, vb.pp("output.dense"))?,
            norm: norm("output.LayerNorm")?,
            heads,
            scale: 1.0 / ((width / heads) as f64).sqrt(),
        })
    }

    /// (1, L, D) → (1, L, D). Scores are normalised in f32 whatever the weights' format.
    fn forward(&self, x: &Tensor, bias: &Tensor) -> CandleResult<Tensor> {
        let heads = |projection: &Linear| split_heads(&projection.forward(x)?, self.heads)?.contiguous();
        let (q, k, v) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        let scores = (q.matmul(&k.t()?.contiguous()?)? * self.scale)?.to_dtype(DType::F32)?;
        let attended = softmax_last_dim(&scores.broadcast_add(bias)?)?
            .to_dtype(v.dtype())?
            .matmul(&v)?;
        let x = self
            .attention_norm
            .forward(&(x + self.output.forward(&join_heads(&attended)?)?)?)?;
        let inner = gelu(&self.intermediate.forward(&x)?)?;
        self.norm.forward(&(&x + self.dense.forward(&inner)?)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_is_refused_by_name() {
        assert!(BertConfig::from_json(&json!({})).is_ok());
        for (key, value) in [
            ("model_type", json!("roberta")),
            ("hidden_size", json!(0)),
            ("hidden_size", json!(1_u64 << 60)),
            ("num_attention_heads", json!(7)),
            ("num_hidden_layers", json!(1e9)),
            ("vocab_size", json!(1_u64 << 40)),
            ("layer_norm_eps", json!(2)),
            ("hidden_act", json!("relu")),
            ("position_embedding_type", json!("relative_key")),
            ("is_decoder", json!(true)),
        ] {
            let error = BertConfig::from_json(&json!({key: value})).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}
