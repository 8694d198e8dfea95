//! What a pass is given beside the latent: text of two encoders, the timestep, sizes.

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::config::HunyuanConfig;
use crate::{
    components::mlp::Mlp,
    error::{Error, Result},
    geometry::Size,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads},
        layers::{Embedding, Linear, embedding, linear},
        time_embedding::timestep_embedding,
    },
};

/// Width of the sinusoids that timesteps and sizes become.
const SINUSOIDS: usize = 256;
/// Heads of the attention that pools mT5's states.
pub(super) const POOL_HEADS: usize = 8;
/// Sizes that a network is told: height and width of the original, of the target, and of what was cut off.
const SIZES: usize = 6;
/// Side of the original that pictures are said to have, as diffusers' pipeline does.
const ORIGINAL_SIDE: f32 = 1024.0;
/// Inner width of what brings a vector to another width, over the width it comes from or goes to.
const WIDENING: usize = 4;

/// Beside the noisy latent, what a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct HunyuanConditions<'a> {
    /// BERT's states, (1, T, C).
    pub bert: &'a Tensor,
    /// 1 for every one of them that counts, 0 for padding.
    pub bert_mask: &'a [u8],
    /// mT5's states, (1, T2, C2).
    pub t5: &'a Tensor,
    /// The same of these.
    pub t5_mask: &'a [u8],
    /// The picture's size.
    pub size: Size,
}

/// The six numbers that a network is told of a picture's size: heights come first.
pub(super) fn sizes(size: Size) -> [f32; SIZES] {
    let (height, width) = (size.height as f32, size.width as f32);
    [ORIGINAL_SIDE, ORIGINAL_SIDE, height, width, 0.0, 0.0]
}

/// The text as the blocks read it: BERT's states and projected ones of mT5, of which padding is replaced.
#[derive(Debug)]
pub(super) struct TextEmbedder {
    projection: Mlp,
    /// (T + T2, C), in the place of padding.
    padding: Tensor,
}

impl TextEmbedder {
    pub(super) fn new(config: &HunyuanConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (from, to) = (config.cross_attention_dim_t5, config.cross_attention_dim);
        Ok(Self {
            projection: Mlp::widening([from, WIDENING * from, to], silu, vb.pp("text_embedder"))?,
            padding: vb.get((config.tokens(), to), "text_embedding_padding")?,
        })
    }

    /// (1, T + T2, C).
    pub(super) fn forward(&self, conditions: &HunyuanConditions<'_>) -> CandleResult<Tensor> {
        let states = Tensor::cat(&[conditions.bert, &self.projection.forward(conditions.t5)?], 1)?;
        let mask: Vec<u8> = [conditions.bert_mask, conditions.t5_mask].concat();
        let mask = Tensor::from_vec(mask, (1, self.padding.dim(0)?, 1), states.device())?;
        let mask = mask.broadcast_as(states.shape())?;
        mask.where_cond(&states.contiguous()?, &self.padding.unsqueeze(0)?.contiguous()?)
    }
}

/// What timestep, pooled text, sizes and style become.
#[derive(Debug)]
pub(super) struct TimeEmbedder {
    timestep: Mlp,
    pooler: Pooler,
    /// The one style; none where sizes and style are not read.
    style: Option<Embedding>,
    extra: Mlp,
}

impl TimeEmbedder {
    pub(super) fn new(config: &HunyuanConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let width = config.width();
        let beside = if config.reads_sizes {
            SIZES * SINUSOIDS + width
        } else {
            0
        };
        let style = match config.reads_sizes {
            true => Some(embedding(1, width, vb.pp("style_embedder"))?),
            false => None,
        };
        Ok(Self {
            timestep: Mlp::new([SINUSOIDS, width], silu, vb.pp("timestep_embedder"))?,
            pooler: Pooler::new(config, vb.pp("pooler"))?,
            style,
            extra: Mlp::widening(
                [config.pooled_projection_dim + beside, WIDENING * width, width],
                silu,
                vb.pp("extra_embedder"),
            )?,
        })
    }

    /// (B, D) for B timesteps.
    pub(super) fn forward(&self, t: &[f32], conditions: &HunyuanConditions<'_>) -> CandleResult<Tensor> {
        let (device, dtype) = (conditions.t5.device(), conditions.t5.dtype());
        let embedded = |numbers: &[f32]| timestep_embedding(numbers, SINUSOIDS, true, 0.0, device)?.to_dtype(dtype);
        let time = self.timestep.forward(&embedded(t)?)?;
        let pooled = self.pooler.forward(conditions.t5)?;
        let extra = match &self.style {
            Some(style) => {
                let sizes = embedded(&sizes(conditions.size))?.flatten_all()?.unsqueeze(0)?;
                Tensor::cat(&[&pooled, &sizes, style.embeddings()], 1)?
            }
            None => pooled,
        };
        time.broadcast_add(&self.extra.forward(&extra)?)
    }
}

/// Attention of the mean of all states, padding included, to the mean and the states.
#[derive(Debug)]
struct Pooler {
    /// (1 + T2, C2).
    positional_embedding: Tensor,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    c_proj: Linear,
    scale: f64,
}

impl Pooler {
    fn new(config: &HunyuanConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let width = config.cross_attention_dim_t5;
        let square = |name| linear(width, width, vb.pp(name));
        Ok(Self {
            positional_embedding: vb.get((config.text_len_t5 + 1, width), "positional_embedding")?,
            q_proj: square("q_proj")?,
            k_proj: square("k_proj")?,
            v_proj: square("v_proj")?,
            c_proj: linear(width, config.pooled_projection_dim, vb.pp("c_proj"))?,
            scale: 1.0 / ((width / POOL_HEADS) as f64).sqrt(),
        })
    }

    /// (1, T2, C2) → (1, P).
    fn forward(&self, states: &Tensor) -> CandleResult<Tensor> {
        let all = Tensor::cat(&[&states.mean_keepdim(1)?, states], 1)?.broadcast_add(&self.positional_embedding)?;
        let heads = |x: &Tensor| split_heads(x, POOL_HEADS)?.contiguous();
        let q = heads(&self.q_proj.forward(&all.narrow(1, 0, 1)?)?)?;
        let (k, v) = (heads(&self.k_proj.forward(&all)?)?, heads(&self.v_proj.forward(&all)?)?);
        self.c_proj.forward(&attend(&q, &k, &v, self.scale)?)?.squeeze(1)
    }
}

/// Refuses text that does not go with the network.
pub(super) fn check(config: &HunyuanConfig, conditions: &HunyuanConditions<'_>) -> Result<()> {
    let wanted = [
        [1, config.text_len, config.cross_attention_dim],
        [1, config.text_len_t5, config.cross_attention_dim_t5],
    ];
    let found = [conditions.bert.dims(), conditions.t5.dims()];
    let masks = [conditions.bert_mask.len(), conditions.t5_mask.len()];
    if found[0] == wanted[0] && found[1] == wanted[1] && masks == [config.text_len, config.text_len_t5] {
        return Ok(());
    }
    Err(Error::failed(format!(
        "HunyuanDiT takes text states of the shapes {wanted:?} with a mask for each; it was given {found:?} with masks of \
         {masks:?}: text encoders and transformer do not belong together"
    )))
}

/// Tensors of the pass by their names among the intermediates: masks, and sizes where they are told.
pub(super) fn named(
    config: &HunyuanConfig,
    conditions: &HunyuanConditions<'_>,
    rows: usize,
) -> Result<Vec<(&'static str, Tensor)>> {
    let of_rows = |numbers: Vec<f32>| -> Result<Tensor> {
        let numbers = Tensor::new(numbers, &Device::Cpu)?.unsqueeze(0)?;
        Ok(numbers.repeat((rows, 1))?)
    };
    let mask = |mask: &[u8]| of_rows(mask.iter().map(|counts| f32::from(*counts)).collect());
    let mut named = vec![
        ("mid.text_embedding_mask", mask(conditions.bert_mask)?),
        ("mid.text_embedding_mask_t5", mask(conditions.t5_mask)?),
        (
            "mid.encoder_hidden_states_t5",
            conditions.t5.to_dtype(DType::F32)?.repeat((rows, 1, 1))?,
        ),
    ];
    if config.reads_sizes {
        named.push(("mid.image_meta_size", of_rows(sizes(conditions.size).to_vec())?));
    }
    Ok(named)
}

impl Adaptable for TextEmbedder {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.projection.each_layer(visit);
    }
}

impl Adaptable for TimeEmbedder {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.timestep.each_layer(visit);
        self.pooler.each_layer(visit);
        if let Some(style) = &mut self.style {
            style.each_layer(visit);
        }
        self.extra.each_layer(visit);
    }
}

impl Adaptable for Pooler {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for layer in [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.c_proj] {
            layer.each_layer(visit);
        }
    }
}
