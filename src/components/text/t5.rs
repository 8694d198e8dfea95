//! T5's text encoder (Raffel et al., 2020, as version 1.1), as transformers' `T5EncoderModel` computes it.
//!
//! No position has a vector of its own: the scores of every layer get the same bias, which depends on how far a key is from a
//! query. Scores are not divided by √d.

use std::path::Path;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::softmax_last_dim};
use serde_json::Value;

use super::encoder::TEXT_WEIGHTS_STEM;
use crate::{
    activation::Progress,
    components::blocks::{Blocks, Holding},
    error::{Error, Result},
    nn::{
        attention::{join_heads, split_heads},
        feed_forward::gelu_tanh,
        layers::{Embedding, Linear, embedding, linear_no_bias},
        rms_norm::{RmsNorm, rms_norm},
    },
    weights::{
        Store,
        config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
        open_weights, read_json,
    },
};

/// No T5 has a larger vocabulary, or more buckets of distances: umT5 has 256,384 ids, all have 32
/// distances.
const MAX_VOCABULARY: usize = 1 << 20;
const MAX_BUCKETS: usize = 1 << 10;
/// The longest prompt: scores are as large as its square.
const MAX_TOKENS: usize = 1 << 10;

/// `config.json` of a T5 encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct T5Config {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width D of the states.
    pub d_model: usize,
    /// Width of one head's queries, keys and values; heads · `d_kv` need not be D.
    pub d_kv: usize,
    /// Width inside the feed-forward part.
    pub d_ff: usize,
    /// Number of transformer layers.
    pub num_layers: usize,
    /// Number of attention heads.
    pub num_heads: usize,
    /// Buckets of distances between keys and queries, half of them for keys behind the query.
    pub relative_attention_num_buckets: usize,
    /// The distance from which on all are one.
    pub relative_attention_max_distance: usize,
    /// Epsilon of every norm.
    pub layer_norm_epsilon: f64,
}

impl T5Config {
    /// Reads the JSON of a `config.json`, with transformers' defaults for what it lacks.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another encoder than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the T5 encoder's config.json")?;
        config.choice("model_type", "t5", &["t5", "mt5"])?;
        config.choice("feed_forward_proj", "relu", &["gated-gelu"])?;
        config.choice("dense_act_fn", "gelu_new", &["gelu_new", "gelu_pytorch_tanh"])?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let buckets_key = "relative_attention_num_buckets";
        let buckets = config.count(buckets_key, Some(32), 4, MAX_BUCKETS)?;
        if !buckets.is_multiple_of(4) {
            return Err(config.refuse(buckets_key, "a multiple of 4"));
        }
        let layer_norm_epsilon = config.number("layer_norm_epsilon", 1e-6)?;
        if layer_norm_epsilon <= 0.0 || layer_norm_epsilon >= 1.0 {
            return Err(config.refuse("layer_norm_epsilon", "a number between 0 and 1"));
        }
        let read = Self {
            vocab_size: config.count("vocab_size", Some(32_128), 1, MAX_VOCABULARY)?,
            d_model: width("d_model", 512)?,
            d_kv: width("d_kv", 64)?,
            d_ff: width("d_ff", 2048)?,
            num_layers: config.count("num_layers", Some(6), 1, MAX_LAYERS)?,
            num_heads: width("num_heads", 8)?,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: config.count(
                "relative_attention_max_distance",
                Some(128),
                buckets / 4 + 1,
                MAX_VOCABULARY,
            )?,
            layer_norm_epsilon,
        };
        if read.inner_width() > MAX_WIDTH {
            return Err(config.refuse("d_kv", &format!("at most {MAX_WIDTH} times all heads")));
        }
        Ok(read)
    }

    /// Width of all heads' queries side by side.
    pub fn inner_width(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Which of the biases a key has that is `distance` tokens behind a query (before it where that is negative).
    ///
    /// Half of the buckets are for keys behind the query. Of each half, one half has a bucket for every distance; in the
    /// other they grow with the logarithm of the distance. In f32, as transformers computes it.
    fn bucket(&self, distance: i64) -> usize {
        let half = self.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let away = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
        let bucket = if away < exact {
            away
        } else {
            let longest = (self.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
            let grown = (away as f32 / exact as f32).ln() / longest * (half - exact) as f32;
            (exact + grown as usize).min(half - 1)
        };
        bucket + if distance > 0 { half } else { 0 }
    }
}

/// T5's encoder with its weights.
pub struct T5Encoder {
    token_embedding: Embedding,
    /// Bias of every layer's scores by distance, (buckets, heads).
    relative_attention_bias: Embedding,
    layers: Blocks<Layer>,
    final_layer_norm: RmsNorm,
    config: T5Config,
    device: Device,
}

impl T5Encoder {
    /// Opens the encoder in a folder of the hub's layout: `config.json`, and weights in one file or in shards.
    ///
    /// # Errors
    ///
    /// As [`T5Config::from_json`] and [`Self::new`].
    pub fn from_folder(folder: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let config = T5Config::from_json(&read_json(&folder.join("config.json"))?)
            .map_err(|error| error.context(folder.display()))?;
        Self::of(config, &open_weights(folder, TEXT_WEIGHTS_STEM)?, device, dtype)
    }

    /// Builds the encoder from tensors with the names of transformers, held after the memory for weights.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and where there is not enough memory.
    pub(crate) fn of(config: T5Config, weights: &Store, device: &Device, dtype: DType) -> Result<Self> {
        let holding = Holding::of(weights, &["encoder.block."], dtype, device)?;
        Self::held(config, holding, weights.var_builder(dtype, device))
    }

    /// Builds the encoder from tensors with the names of transformers; those of a decoder beside them are not read.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: T5Config, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, Holding::Whole, vb)
    }

    fn held(config: T5Config, holding: Holding, vb: VarBuilder<'static>) -> Result<Self> {
        let device = vb.device().clone();
        let encoder = vb.pp("encoder");
        let table = match vb.contains_tensor("shared.weight") {
            true => vb.pp("shared"),
            false => encoder.pp("embed_tokens"),
        };
        let layers = {
            let (config, blocks) = (config.clone(), encoder.pp("block"));
            Blocks::new(config.num_layers, holding, move |layer| {
                Ok(Layer::new(&config, blocks.pp(layer).pp("layer"))?)
            })?
        };
        Ok(Self {
            token_embedding: embedding(config.vocab_size, config.d_model, table)?,
            relative_attention_bias: embedding(
                config.relative_attention_num_buckets,
                config.num_heads,
                encoder.pp("block.0.layer.0.SelfAttention.relative_attention_bias"),
            )?,
            layers,
            final_layer_norm: rms_norm(
                config.d_model,
                config.layer_norm_epsilon,
                encoder.pp("final_layer_norm"),
            )?,
            config,
            device,
        })
    }

    /// The configuration the encoder was built from.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// The states (B, L, D) after the final norm of B sequences of L token ids. `masks` has a 0 for every token that no other
    /// attends to; without them all attend to all. Progress is reported after every layer.
    ///
    /// # Errors
    ///
    /// Where sequences and masks are not of one length, and where an id is outside the vocabulary.
    pub fn forward(&self, ids: &[Vec<u32>], masks: Option<&[Vec<u8>]>, progress: &mut Progress<'_>) -> Result<Tensor> {
        let length = self.check(ids, masks)?;
        progress(0.0)?;
        let flat: Vec<u32> = ids.iter().flatten().copied().collect();
        let ids = Tensor::from_vec(flat, (ids.len(), length), &self.device)?;
        let mut states = self.token_embedding.forward(&ids)?;
        let bias = self.bias(length, masks)?;
        let mut done = 0;
        self.layers.each(|layer| {
            states = layer.forward(&states, &bias)?;
            done += 1;
            progress(done as f32 / self.layers.len() as f32)
        })?;
        Ok(self.final_layer_norm.forward(&states)?)
    }

    /// Bias of all scores, (1 or B, heads, L, L) in f32.
    fn bias(&self, length: usize, masks: Option<&[Vec<u8>]>) -> CandleResult<Tensor> {
        let places = || 0..length as i64;
        let buckets: Vec<u32> = places()
            .flat_map(|query| places().map(move |key| key - query))
            .map(|distance| self.config.bucket(distance) as u32)
            .collect();
        let buckets = Tensor::from_vec(buckets, length * length, &self.device)?;
        let table = self.relative_attention_bias.embeddings().to_dtype(DType::F32)?;
        let bias = table
            .index_select(&buckets, 0)?
            .reshape((length, length, self.config.num_heads))?
            .permute((2, 0, 1))?
            .contiguous()?
            .unsqueeze(0)?;
        let Some(masks) = masks else { return Ok(bias) };
        let hidden = masks.iter().flatten().map(|mask| (1.0 - f32::from(*mask)) * f32::MIN);
        let hidden = Tensor::from_vec(hidden.collect(), (masks.len(), 1, 1, length), &self.device)?;
        bias.broadcast_add(&hidden)
    }

    /// The common length of sequences and masks.
    fn check(&self, ids: &[Vec<u32>], masks: Option<&[Vec<u8>]>) -> Result<usize> {
        let length = ids.first().map_or(0, Vec::len);
        let even = ids.iter().all(|sequence| sequence.len() == length);
        let masked = masks.is_none_or(|masks| {
            let fits = |mask: &Vec<u8>| mask.len() == length && mask.iter().all(|mask| *mask <= 1);
            masks.len() == ids.len() && masks.iter().all(fits)
        });
        if length == 0 || length > MAX_TOKENS || !even || !masked {
            return Err(Error::usage(format!(
                "the T5 encoder takes sequences of one length in 1..={MAX_TOKENS} tokens with a mask of zeros and ones for \
                 each, not of {:?} tokens",
                ids.iter().map(Vec::len).collect::<Vec<_>>()
            )));
        }
        let vocabulary = self.config.vocab_size;
        match ids.iter().flatten().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(Error::failed(format!(
                "the token id {id} is outside the T5 encoder's vocabulary of {vocabulary}: tokenizer and text encoder do not \
                 belong together"
            ))),
            None => Ok(length),
        }
    }
}

/// x += attention(norm x); x += feed-forward(norm x).
struct Layer {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    feed_forward_norm: RmsNorm,
    wi_0: Linear,
    wi_1: Linear,
    wo: Linear,
    heads: usize,
}

impl Layer {
    fn new(config: &T5Config, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner) = (config.d_model, config.inner_width());
        let (attention, dense) = (vb.pp("0.SelfAttention"), vb.pp("1.DenseReluDense"));
        let norm = |name| rms_norm(width, config.layer_norm_epsilon, vb.pp(name));
        Ok(Self {
            attention_norm: norm("0.layer_norm")?,
            q: linear_no_bias(width, inner, attention.pp("q"))?,
            k: linear_no_bias(width, inner, attention.pp("k"))?,
            v: linear_no_bias(width, inner, attention.pp("v"))?,
            o: linear_no_bias(inner, width, attention.pp("o"))?,
            feed_forward_norm: norm("1.layer_norm")?,
            wi_0: linear_no_bias(width, config.d_ff, dense.pp("wi_0"))?,
            wi_1: linear_no_bias(width, config.d_ff, dense.pp("wi_1"))?,
            wo: linear_no_bias(config.d_ff, width, dense.pp("wo"))?,
            heads: config.num_heads,
        })
    }

    /// (B, L, D) → (B, L, D). Scores are normalised in f32 whatever the weights' format.
    fn forward(&self, x: &Tensor, bias: &Tensor) -> CandleResult<Tensor> {
        let normal = self.attention_norm.forward(x)?;
        let heads = |projection: &Linear| split_heads(&projection.forward(&normal)?, self.heads)?.contiguous();
        let (q, k, v) = (heads(&self.q)?, heads(&self.k)?, heads(&self.v)?);
        let scores = q
            .matmul(&k.t()?.contiguous()?)?
            .to_dtype(DType::F32)?
            .broadcast_add(bias)?;
        let attended = softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(&v)?;
        let x = (x + self.o.forward(&join_heads(&attended)?)?)?;

        let normal = self.feed_forward_norm.forward(&x)?;
        let inner = (gelu_tanh(&self.wi_0.forward(&normal)?)? * self.wi_1.forward(&normal)?)?;
        x + self.wo.forward(&inner)?
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn distances_fall_into_the_buckets_of_transformers() -> Result<()> {
        let config = T5Config::from_json(&json!({"feed_forward_proj": "gated-gelu"}))?;
        let distances = [0, -1, 1, -7, 7, 8, 11, 12, 16, 23, 32, 46, 64, 91, 128, -8, -128];
        let wanted = [0, 1, 17, 7, 23, 24, 24, 25, 26, 27, 28, 29, 30, 31, 31, 8, 15];
        assert_eq!(distances.map(|distance| config.bucket(distance)), wanted);
        assert_eq!(config.bucket(i64::MAX), 31);
        Ok(())
    }

    #[test]
    fn a_configuration_that_cannot_be_is_refused_by_name() {
        for (key, value) in [
            ("d_model", json!(0)),
            ("d_model", json!(1_u64 << 60)),
            ("d_ff", json!(-3)),
            ("d_kv", json!(60_000)),
            ("num_layers", json!(1e9)),
            ("num_heads", json!("many")),
            ("vocab_size", json!(1_u64 << 40)),
            ("relative_attention_num_buckets", json!(31)),
            ("relative_attention_max_distance", json!(8)),
            ("layer_norm_epsilon", json!(0)),
            ("feed_forward_proj", json!("relu")),
            ("dense_act_fn", json!("silu")),
            ("model_type", json!("umt5")),
        ] {
            let mut config = json!({"feed_forward_proj": "gated-gelu"});
            config[key] = value.clone();
            let error = T5Config::from_json(&config).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{value}: {error}");
        }
        let error = T5Config::from_json(&json!({})).expect_err("relu").to_string();
        assert!(error.contains("feed_forward_proj"), "{error}");
    }
}
