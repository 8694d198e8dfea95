//! CLIP's text encoder, as transformers' `CLIPTextModel` and `CLIPTextModelWithProjection` compute it.

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{VarBuilder, ops::softmax_last_dim};
use serde_json::Value;

use crate::{
    activation::Progress,
    error::{Error, Result},
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{join_heads, split_heads},
        feed_forward::{gelu, quick_gelu},
        layers::{Embedding, Linear, embedding, linear, linear_no_bias},
        norms::{LayerNorm, layer_norm},
    },
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

/// End id of configurations older than the id's correction: those models pool at the largest id instead.
const LEGACY_EOS_TOKEN_ID: u32 = 2;

/// Longer sequences and larger vocabularies than these are in no CLIP: each is some ten times the largest.
const MAX_POSITIONS: usize = 1 << 10;
const MAX_VOCABULARY: usize = 1 << 20;

/// `config.json` of a CLIP text encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width D of the states.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads, a divisor of D.
    pub num_attention_heads: usize,
    /// Most tokens in one sequence.
    pub max_position_embeddings: usize,
    /// Nonlinearity of the feed-forward part.
    pub hidden_act: Activation,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// The id whose state is pooled; 2 stands for the largest id of a sequence.
    pub eos_token_id: u32,
    /// Width of the pooled state where the file has a projection.
    pub projection_dim: usize,
}

impl ClipConfig {
    /// Reads the JSON of a `config.json`, with transformers' defaults for what it lacks. A configuration that no
    /// network can have is refused, before any weight is read.
    ///
    /// # Errors
    ///
    /// Where a value is of another type or out of its range, or names what this program does not compute.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the text encoder's config.json")?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let hidden_size = width("hidden_size", 512)?;
        let num_attention_heads = config.count("num_attention_heads", Some(8), 1, hidden_size)?;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            return Err(config.refuse(
                "num_attention_heads",
                &format!("a divisor of hidden_size {hidden_size}"),
            ));
        }
        let layer_norm_eps = config.number("layer_norm_eps", 1e-5)?;
        if layer_norm_eps <= 0.0 || layer_norm_eps >= 1.0 {
            return Err(config.refuse("layer_norm_eps", "a number between 0 and 1"));
        }
        let hidden_act = match config.choice("hidden_act", QUICK_GELU, &[QUICK_GELU, GELU])? {
            QUICK_GELU => Activation::QuickGelu,
            _ => Activation::Gelu,
        };
        let eos_token_id = config.count("eos_token_id", Some(49407), 0, MAX_VOCABULARY)?;
        Ok(Self {
            vocab_size: config.count("vocab_size", Some(49408), 1, MAX_VOCABULARY)?,
            hidden_size,
            intermediate_size: width("intermediate_size", 2048)?,
            num_hidden_layers: config.count("num_hidden_layers", Some(12), 1, MAX_LAYERS)?,
            num_attention_heads,
            max_position_embeddings: config.count("max_position_embeddings", Some(77), 1, MAX_POSITIONS)?,
            hidden_act,
            layer_norm_eps,
            eos_token_id: u32::try_from(eos_token_id).map_err(|_| config.refuse("eos_token_id", "a token id"))?,
            projection_dim: width("projection_dim", 512)?,
        })
    }
}

/// Nonlinearity of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(1.702·x).
    QuickGelu,
    /// x·Φ(x) with the exact error function.
    Gelu,
}

/// Names of the nonlinearities in configurations.
const QUICK_GELU: &str = "quick_gelu";
const GELU: &str = "gelu";

impl Activation {
    /// Any shape, in f32.
    fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::QuickGelu => quick_gelu(x),
            Self::Gelu => gelu(x),
        }
    }
}

/// Output of the text encoder for a batch of B sequences of L tokens.
#[derive(Debug, Clone)]
pub struct TextStates {
    /// The last hidden states after the final LayerNorm, (B, L, D).
    pub last: Tensor,
    /// The input of the last layer, before any final LayerNorm, (B, L, D).
    pub penultimate: Tensor,
    /// The final state at the end token, (B, P); projected where the file has a projection, else P = D.
    pub pooled: Tensor,
}

/// CLIP's text encoder.
pub struct ClipTextModel {
    token_embedding: Embedding,
    position_embedding: Embedding,
    layers: Vec<EncoderLayer>,
    final_layer_norm: LayerNorm,
    text_projection: Option<Linear>,
    /// Vectors of added tokens, with the first id of each.
    added: Vec<AddedTokens>,
    config: ClipConfig,
    device: Device,
}

/// The vectors of an embedding.
struct AddedTokens {
    /// The id of the first.
    first: u32,
    /// (n, D).
    vectors: Tensor,
}

impl ClipTextModel {
    /// Builds the encoder from tensors with the names of transformers, with or without the prefix `text_model.`.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or has another shape than the configuration says.
    pub fn new(config: ClipConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let device = vb.device().clone();
        let text_projection = vb
            .contains_tensor("text_projection.weight")
            .then(|| linear_no_bias(config.hidden_size, config.projection_dim, vb.pp("text_projection")))
            .transpose()?;
        let vb = if vb.contains_tensor("embeddings.token_embedding.weight") {
            vb
        } else {
            vb.pp("text_model")
        };
        let width = config.hidden_size;
        let embeddings = vb.pp("embeddings");
        let layers = (0..config.num_hidden_layers)
            .map(|layer| EncoderLayer::new(&config, vb.pp("encoder.layers").pp(layer)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            token_embedding: embedding(config.vocab_size, width, embeddings.pp("token_embedding"))?,
            position_embedding: embedding(
                config.max_position_embeddings,
                width,
                embeddings.pp("position_embedding"),
            )?,
            layers,
            final_layer_norm: layer_norm(width, config.layer_norm_eps, vb.pp("final_layer_norm"))?,
            text_projection,
            added: Vec::new(),
            config,
            device,
        })
    }

    /// The configuration the encoder was built from.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Adds vectors (n, D) in f32 that are read for the ids from `first` on.
    ///
    /// # Errors
    ///
    /// Where they are of another width than the encoder's states.
    pub(crate) fn add_tokens(&mut self, first: u32, vectors: &Tensor) -> Result<()> {
        let (_, width) = vectors.dims2()?;
        if width != self.config.hidden_size {
            return Err(Error::usage(format!(
                "an embedding holds vectors of width {width}, the text encoder reads {}",
                self.config.hidden_size
            )));
        }
        let vectors = vectors
            .to_device(&self.device)?
            .to_dtype(self.token_embedding.embeddings().dtype())?;
        self.added.push(AddedTokens { first, vectors });
        Ok(())
    }

    /// The embedding of each id, (B·L, D).
    fn embedded(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let table = self.token_embedding.embeddings();
        let look_up = |table: &Tensor, ids: Vec<u32>| {
            let count = ids.len();
            table.index_select(&Tensor::from_vec(ids, count, &self.device)?, 0)
        };
        let added = |id: u32| self.added.iter().any(|added| added.has(id));
        let known = ids.iter().map(|id| if added(*id) { 0 } else { *id });
        let mut embedded = look_up(table, known.collect())?;
        for added in &self.added {
            let here: Vec<u8> = ids.iter().map(|id| u8::from(added.has(*id))).collect();
            if here.contains(&1) {
                let own = ids.iter().map(|id| if added.has(*id) { id - added.first } else { 0 });
                let own = look_up(&added.vectors, own.collect())?;
                let here = Tensor::from_vec(here, (ids.len(), 1), &self.device)?.broadcast_as(own.shape())?;
                embedded = here.where_cond(&own, &embedded)?;
            }
        }
        Ok(embedded)
    }

    /// Encodes a batch of sequences of one length, at most `max_position_embeddings`. Progress is reported after every layer.
    ///
    /// # Errors
    ///
    /// Where the sequences differ in length, are empty or too long, where an id is outside of the vocabulary, and where
    /// `progress` ends the work.
    pub fn forward(&self, ids: &[Vec<u32>], progress: &mut Progress<'_>) -> Result<TextStates> {
        let length = self.check_ids(ids)?;
        progress(0.0)?;
        let flat: Vec<u32> = ids.iter().flatten().copied().collect();
        let tokens = self
            .embedded(&flat)?
            .reshape((ids.len(), length, self.config.hidden_size))?;
        let positions = self.position_embedding.embeddings().narrow(0, 0, length)?;
        let mut states = tokens.broadcast_add(&positions)?;
        let mut penultimate = states.clone();
        let mask = causal_mask(length, &self.device)?;
        for (done, layer) in (1_usize..).zip(&self.layers) {
            penultimate = states;
            states = layer.forward(&penultimate, &mask)?;
            progress(done as f32 / self.layers.len() as f32)?;
        }
        let last = self.final_layer_norm.forward(&states)?;
        let pooled = self.pool(&last, ids)?;
        Ok(TextStates {
            last,
            penultimate,
            pooled,
        })
    }

    /// Encodes the chunks of one prompt, each of one length; `last` and `penultimate` are those of all chunks one after
    /// another, (1, L·chunks, D), `pooled` is that of the first, (1, P).
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn encode_chunks(&self, chunks: &[Vec<u32>], progress: &mut Progress<'_>) -> Result<TextStates> {
        let states = self.forward(chunks, progress)?;
        let (count, length, width) = states.last.dims3()?;
        let joined = (1, count * length, width);
        Ok(TextStates {
            last: states.last.reshape(joined)?,
            penultimate: states.penultimate.reshape(joined)?,
            pooled: states.pooled.narrow(0, 0, 1)?,
        })
    }

    /// The common length of the sequences.
    fn check_ids(&self, ids: &[Vec<u32>]) -> Result<usize> {
        let length = ids.first().map_or(0, Vec::len);
        let most = self.config.max_position_embeddings;
        if length == 0 || length > most || ids.iter().any(|sequence| sequence.len() != length) {
            return Err(Error::usage(format!(
                "the text encoder takes sequences of one length in 1..={most} tokens, not of {:?}",
                ids.iter().map(Vec::len).collect::<Vec<_>>()
            )));
        }
        let vocabulary = self.config.vocab_size;
        let known = |id: u32| (id as usize) < vocabulary || self.added.iter().any(|added| added.has(id));
        match ids.iter().flatten().find(|id| !known(**id)) {
            Some(id) => Err(Error::failed(format!(
                "the token id {id} is outside the text encoder's vocabulary of {vocabulary}: tokenizer and text encoder \
                 do not belong together"
            ))),
            None => Ok(length),
        }
    }

    /// (B, L, D) → (B, P): the states at the end tokens, projected where the file says how.
    fn pool(&self, last: &Tensor, ids: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let rows = ids
            .iter()
            .enumerate()
            .map(|(row, sequence)| last.narrow(0, row, 1)?.narrow(1, self.end_of(sequence), 1)?.squeeze(1))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let pooled = Tensor::cat(&rows, 0)?;
        match &self.text_projection {
            Some(projection) => projection.forward(&pooled),
            None => Ok(pooled),
        }
    }

    /// Where a sequence's end token is: as in transformers, 0 where there is none.
    fn end_of(&self, sequence: &[u32]) -> usize {
        let end = match self.config.eos_token_id {
            LEGACY_EOS_TOKEN_ID => sequence.iter().copied().max(),
            id => Some(id),
        };
        sequence.iter().position(|id| Some(*id) == end).unwrap_or(0)
    }
}

impl AddedTokens {
    fn has(&self, id: u32) -> bool {
        id.checked_sub(self.first)
            .is_some_and(|index| (index as usize) < self.vectors.dims()[0])
    }
}

struct EncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl EncoderLayer {
    fn new(config: &ClipConfig, vb: VarBuilder<'_>) -> candle_core::Result<Self> {
        let norm = |name| layer_norm(config.hidden_size, config.layer_norm_eps, vb.pp(name));
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            self_attn: Attention::new(config, vb.pp("self_attn"))?,
            layer_norm2: norm("layer_norm2")?,
            mlp: Mlp::new(config, vb.pp("mlp"))?,
        })
    }

    /// (B, L, D) → (B, L, D).
    fn forward(&self, x: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
        let x = (x + self.self_attn.forward(&self.layer_norm1.forward(x)?, mask)?)?;
        &x + self.mlp.forward(&self.layer_norm2.forward(&x)?)?
    }
}

struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

impl Attention {
    fn new(config: &ClipConfig, vb: VarBuilder<'_>) -> candle_core::Result<Self> {
        let square = |name| linear(config.hidden_size, config.hidden_size, vb.pp(name));
        Ok(Self {
            q_proj: square("q_proj")?,
            k_proj: square("k_proj")?,
            v_proj: square("v_proj")?,
            out_proj: square("out_proj")?,
            heads: config.num_attention_heads,
        })
    }

    /// (B, L, D) → (B, L, D). Scores are made and normalised in f32 whatever the weights' type.
    fn forward(&self, x: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
        let heads = |projection: &Linear| split_heads(&projection.forward(x)?, self.heads)?.contiguous();
        let q = heads(&self.q_proj)?;
        let k = heads(&self.k_proj)?.transpose(2, 3)?.contiguous()?;
        let v = heads(&self.v_proj)?;
        let scale = (q.dim(D::Minus1)? as f64).sqrt().recip();
        let scores = (q * scale)?.matmul(&k)?.to_dtype(DType::F32)?.broadcast_add(mask)?;
        let attended = softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(&v)?;
        self.out_proj.forward(&join_heads(&attended)?)
    }
}

struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Mlp {
    fn new(config: &ClipConfig, vb: VarBuilder<'_>) -> candle_core::Result<Self> {
        Ok(Self {
            fc1: linear(config.hidden_size, config.intermediate_size, vb.pp("fc1"))?,
            fc2: linear(config.intermediate_size, config.hidden_size, vb.pp("fc2"))?,
            activation: config.hidden_act,
        })
    }

    /// (B, L, D) → (B, L, D). The nonlinearity is computed in f32.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.fc1.forward(x)?;
        let active = self.activation.apply(&inner.to_dtype(DType::F32)?)?;
        self.fc2.forward(&active.to_dtype(inner.dtype())?)
    }
}

impl Adaptable for ClipTextModel {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.token_embedding.each_layer(visit);
        self.position_embedding.each_layer(visit);
        self.layers.each_layer(visit);
        self.final_layer_norm.each_layer(visit);
        self.text_projection.each_layer(visit);
    }
}

impl Adaptable for EncoderLayer {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        let Self {
            layer_norm1,
            self_attn,
            layer_norm2,
            mlp,
        } = self;
        layer_norm1.each_layer(visit);
        for layer in [
            &mut self_attn.q_proj,
            &mut self_attn.k_proj,
            &mut self_attn.v_proj,
            &mut self_attn.out_proj,
        ] {
            layer.each_layer(visit);
        }
        layer_norm2.each_layer(visit);
        mlp.fc1.each_layer(visit);
        mlp.fc2.each_layer(visit);
    }
}

/// (L, L) in f32: 0 where a token may look, −∞ at the tokens after it.
fn causal_mask(length: usize, device: &Device) -> candle_core::Result<Tensor> {
    let mask: Vec<f32> = (0..length)
        .flat_map(|query| (0..length).map(move |key| if key > query { f32::NEG_INFINITY } else { 0.0 }))
        .collect();
    Tensor::from_vec(mask, (length, length), device)
}
