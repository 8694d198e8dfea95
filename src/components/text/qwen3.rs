//! Qwen3's decoder as a text encoder (Yang et al., 2025), as transformers' `Qwen3Model` computes it: every token sees those before it,
//! and the states between two layers are what a transformer reads.

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{
    Module, VarBuilder,
    ops::{silu, softmax_last_dim},
    rotary_emb::rope,
};
use serde_json::{Value, json};

use crate::{
    activation::Progress,
    components::blocks::{Blocks, Holding},
    error::{Error, Result},
    nn::{
        attention::{join_heads, split_heads},
        layers::{Embedding, Linear, embedding, linear_no_bias},
        rms_norm::{RmsNorm, rms_norm},
    },
    weights::{
        Store,
        config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
    },
};

/// No Qwen3 has a larger vocabulary: all have 151,936 ids.
const MAX_VOCABULARY: usize = 1 << 20;
/// The longest prompt: scores are as large as its square.
const MAX_TOKENS: usize = 1 << 10;

/// `config.json` of a Qwen3.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen3Config {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width D of the states.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values, a divisor of those.
    pub num_key_value_heads: usize,
    /// Width of one head; all heads together need not be D.
    pub head_dim: usize,
    /// Epsilon of every norm.
    pub rms_norm_eps: f64,
    /// Longest period of the turns by position, over 2π.
    pub rope_theta: f64,
}

impl Qwen3Config {
    /// Reads the JSON of a `config.json`, with transformers' defaults for what it lacks.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another encoder than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the Qwen3 encoder's config.json")?;
        config.choice("model_type", "qwen3", &["qwen3"])?;
        config.only("hidden_act", &json!("silu"))?;
        config.only("attention_bias", &json!(false))?;
        config.absent("rope_scaling")?;
        config.absent("use_sliding_window")?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let read = Self {
            vocab_size: config.count("vocab_size", Some(151_936), 1, MAX_VOCABULARY)?,
            hidden_size: width("hidden_size", 4096)?,
            intermediate_size: width("intermediate_size", 22_016)?,
            num_hidden_layers: config.count("num_hidden_layers", Some(32), 1, MAX_LAYERS)?,
            num_attention_heads: width("num_attention_heads", 32)?,
            num_key_value_heads: width("num_key_value_heads", 32)?,
            head_dim: width("head_dim", 128)?,
            rms_norm_eps: config.number("rms_norm_eps", 1e-6)?,
            rope_theta: config.number("rope_theta", 10_000.0)?,
        };
        if !read.num_attention_heads.is_multiple_of(read.num_key_value_heads) {
            return Err(config.refuse("num_key_value_heads", "a divisor of num_attention_heads"));
        }
        if read.head_dim * read.num_attention_heads > MAX_WIDTH || !read.head_dim.is_multiple_of(2) {
            return Err(config.refuse(
                "head_dim",
                &format!("an even number, at most {MAX_WIDTH} times all heads"),
            ));
        }
        if read.rms_norm_eps <= 0.0 || read.rms_norm_eps >= 1.0 {
            return Err(config.refuse("rms_norm_eps", "a number between 0 and 1"));
        }
        if read.rope_theta <= 1.0 {
            return Err(config.refuse("rope_theta", "a number above 1"));
        }
        Ok(read)
    }
}

/// Qwen3 with its weights, as far as its states are read.
pub struct Qwen3Encoder {
    embed_tokens: Embedding,
    layers: Blocks<Layer>,
    config: Qwen3Config,
    device: Device,
}

impl Qwen3Encoder {
    /// Builds the first `layers` layers from tensors with the names of transformers, with or without the prefix `model.`; what lies
    /// behind them is not read.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says, and where there are fewer layers.
    pub fn new(config: Qwen3Config, layers: usize, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, layers, Holding::Whole, vb)
    }

    /// The same from a store, held after the memory for weights.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and where there is not enough memory.
    pub(crate) fn of(
        config: Qwen3Config,
        layers: usize,
        weights: &Store,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let holding = Holding::of(weights, &["model.layers.", "layers."], dtype, device)?;
        Self::held(config, layers, holding, weights.var_builder(dtype, device))
    }

    fn held(config: Qwen3Config, layers: usize, holding: Holding, vb: VarBuilder<'static>) -> Result<Self> {
        if layers > config.num_hidden_layers {
            return Err(Error::failed(format!(
                "the states behind layer {layers} are read, and the text encoder has {} layers",
                config.num_hidden_layers
            )));
        }
        let device = vb.device().clone();
        let vb = match vb.contains_tensor("embed_tokens.weight") {
            true => vb,
            false => vb.pp("model"),
        };
        let layers = {
            let (config, vb) = (config.clone(), vb.pp("layers"));
            Blocks::new(layers, holding, move |layer| Ok(Layer::new(&config, &vb.pp(layer))?))?
        };
        Ok(Self {
            embed_tokens: embedding(config.vocab_size, config.hidden_size, vb.pp("embed_tokens"))?,
            layers,
            config,
            device,
        })
    }

    /// The states behind each layer that was read, (1, L, D), before any final norm. Progress is reported after every layer. The first
    /// `real` ids are those of the text, at least one; padding behind them is seen by no token.
    ///
    /// # Errors
    ///
    /// Where there are no ids or too many, where one is outside the vocabulary, and where `progress` ends the work.
    pub fn forward(&self, ids: &[u32], real: usize, progress: &mut Progress<'_>) -> Result<Vec<Tensor>> {
        let length = ids.len();
        if !(1..=MAX_TOKENS).contains(&length) {
            return Err(Error::usage(format!(
                "the text encoder takes 1 to {MAX_TOKENS} tokens, not {length}"
            )));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(Error::failed(format!(
                "the token id {id} is outside the text encoder's vocabulary of {}: tokenizer and text encoder do not belong together",
                self.config.vocab_size
            )));
        }
        progress(0.0)?;
        let ids = Tensor::new(ids, &self.device)?.unsqueeze(0)?;
        let mut states = self.embed_tokens.forward(&ids)?;
        let turns = self.turns(length)?;
        let mask = self.mask(length, real.max(1))?;
        let mut all = Vec::with_capacity(self.layers.len());
        self.layers.each(|layer| {
            states = layer.forward(&states, &turns, &mask)?;
            all.push(states.clone());
            progress(all.len() as f32 / self.layers.len() as f32)
        })?;
        Ok(all)
    }

    /// Cosines and sines of every position, (L, d/2) in f32 each.
    fn turns(&self, length: usize) -> CandleResult<[Tensor; 2]> {
        let half = self.config.head_dim / 2;
        let angle = |place: usize, k: usize| place as f64 * self.config.rope_theta.powf(-(k as f64) / half as f64);
        let table = |of: fn(f64) -> f64| {
            let places = (0..length).flat_map(|place| (0..half).map(move |k| (place, k)));
            let numbers: Vec<f32> = places.map(|(place, k)| of(angle(place, k)) as f32).collect();
            Tensor::from_vec(numbers, (length, half), &self.device)
        };
        Ok([table(f64::cos)?, table(f64::sin)?])
    }

    /// (L, L) in f32: 0 where a token may look, −∞ at the tokens after it and at padding.
    fn mask(&self, length: usize, real: usize) -> CandleResult<Tensor> {
        let places = (0..length).flat_map(|query| (0..length).map(move |key| key > query || key >= real));
        let mask: Vec<f32> = places
            .map(|hidden| if hidden { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        Tensor::from_vec(mask, (length, length), &self.device)
    }
}

/// x += attention(RMS(x)); x += down(silu(gate y)·up y), y = RMS(x).
struct Layer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    heads: usize,
    key_heads: usize,
}

impl Layer {
    fn new(config: &Qwen3Config, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (queries, keys) = (head * config.num_attention_heads, head * config.num_key_value_heads);
        let (attention, mlp) = (vb.pp("self_attn"), vb.pp("mlp"));
        let norm = |width, vb| rms_norm(width, config.rms_norm_eps, vb);
        Ok(Self {
            input_layernorm: norm(width, vb.pp("input_layernorm"))?,
            q_proj: linear_no_bias(width, queries, attention.pp("q_proj"))?,
            k_proj: linear_no_bias(width, keys, attention.pp("k_proj"))?,
            v_proj: linear_no_bias(width, keys, attention.pp("v_proj"))?,
            o_proj: linear_no_bias(queries, width, attention.pp("o_proj"))?,
            q_norm: norm(head, attention.pp("q_norm"))?,
            k_norm: norm(head, attention.pp("k_norm"))?,
            post_attention_layernorm: norm(width, vb.pp("post_attention_layernorm"))?,
            gate_proj: linear_no_bias(width, inner, mlp.pp("gate_proj"))?,
            up_proj: linear_no_bias(width, inner, mlp.pp("up_proj"))?,
            down_proj: linear_no_bias(inner, width, mlp.pp("down_proj"))?,
            heads: config.num_attention_heads,
            key_heads: config.num_key_value_heads,
        })
    }

    /// (1, L, D) → (1, L, D). Scores are made and normalised in f32 whatever the weights' type.
    fn forward(&self, x: &Tensor, [cos, sin]: &[Tensor; 2], mask: &Tensor) -> CandleResult<Tensor> {
        let normal = self.input_layernorm.forward(x)?;
        let turned = |projection: &Linear, norm: &RmsNorm, heads: usize| -> CandleResult<Tensor> {
            let by_head = split_heads(&projection.forward(&normal)?, heads)?;
            let exact = norm.forward(&by_head)?.to_dtype(DType::F32)?.contiguous()?;
            rope(&exact, cos, sin)
        };
        let q = turned(&self.q_proj, &self.q_norm, self.heads)?;
        let k = self.for_all_queries(&turned(&self.k_proj, &self.k_norm, self.key_heads)?)?;
        let v = self.for_all_queries(&split_heads(&self.v_proj.forward(&normal)?, self.key_heads)?)?;
        let scale = (q.dim(3)? as f64).sqrt().recip();
        let scores = (q * scale)?
            .matmul(&k.transpose(2, 3)?.contiguous()?)?
            .broadcast_add(mask)?;
        let attended = softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(&v)?;
        let x = (x + self.o_proj.forward(&join_heads(&attended)?)?)?;
        let normal = self.post_attention_layernorm.forward(&x)?;
        let inner = (silu(&self.gate_proj.forward(&normal)?)? * self.up_proj.forward(&normal)?)?;
        x + self.down_proj.forward(&inner)?
    }

    /// Keys or values (1, heads, L, d) with each head repeated for all of its queries' heads.
    fn for_all_queries(&self, x: &Tensor) -> CandleResult<Tensor> {
        let (rows, heads, length, width) = x.dims4()?;
        let times = self.heads / heads;
        let all = x
            .unsqueeze(2)?
            .broadcast_as((rows, heads, times, length, width))?
            .contiguous()?;
        all.reshape((rows, heads * times, length, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("model_type", json!("llama")),
            ("hidden_act", json!("gelu")),
            ("attention_bias", json!(true)),
            ("rope_scaling", json!({"type": "yarn"})),
            ("use_sliding_window", json!(true)),
            ("hidden_size", json!(0)),
            ("num_hidden_layers", json!(1_000_000)),
            ("num_key_value_heads", json!(5)),
            ("head_dim", json!(3)),
            ("head_dim", json!(60_000)),
            ("rms_norm_eps", json!(-1)),
            ("rope_theta", json!(0)),
            ("vocab_size", json!(1_u64 << 40)),
        ] {
            let error = Qwen3Config::from_json(&json!({key: value})).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}
