//! What timestep and text become: one vector for the resnets, states for the attentions.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::config::IfConfig;
use crate::{
    components::mlp::Mlp,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads},
        feed_forward::gelu,
        layers::{Linear, linear},
        norms::{LayerNorm, layer_norm},
        time_embedding::timestep_embedding,
    },
};

/// Epsilon of the norms around the pooled text.
const NORM_EPS: f64 = 1e-5;

/// Embedding of the timestep, to which the pooled text is added, and the projection of the text for the attentions.
#[derive(Debug)]
pub(super) struct Embedders {
    /// Width of the sinusoids.
    sinusoids: usize,
    time: Mlp,
    norm1: LayerNorm,
    pool: Pool,
    proj: Linear,
    norm2: LayerNorm,
    text: Linear,
}

impl Embedders {
    pub(super) fn new(config: &IfConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (sinusoids, dim, states) = (
            config.block_out_channels[0],
            config.time_embed_dim(),
            config.encoder_hid_dim,
        );
        let pooled = vb.pp("add_embedding");
        Ok(Self {
            sinusoids,
            time: Mlp::new([sinusoids, dim], gelu, vb.pp("time_embedding"))?,
            norm1: layer_norm(states, NORM_EPS, pooled.pp("norm1"))?,
            pool: Pool::new(states, config.pool_heads, pooled.pp("pool"))?,
            proj: linear(states, dim, pooled.pp("proj"))?,
            norm2: layer_norm(dim, NORM_EPS, pooled.pp("norm2"))?,
            text: linear(states, config.cross_attention_dim, vb.pp("encoder_hid_proj"))?,
        })
    }

    /// (B, 4·C0) for B timesteps and text states (1 or B, T, S).
    pub(super) fn time(&self, t: &[f32], text: &Tensor) -> CandleResult<Tensor> {
        let sinusoids = timestep_embedding(t, self.sinusoids, true, 0.0, text.device())?;
        let time = self.time.forward(&sinusoids.to_dtype(text.dtype())?)?;
        let pooled = self.proj.forward(&self.pool.forward(&self.norm1.forward(text)?)?)?;
        time.broadcast_add(&self.norm2.forward(&pooled)?)
    }

    /// The text as the attentions read it, (1 or B, T, cross_attention_dim).
    pub(super) fn text(&self, states: &Tensor) -> CandleResult<Tensor> {
        self.text.forward(states)
    }
}

/// Attention of the mean of all states, padding included, to the mean and the states; nothing is projected behind it.
#[derive(Debug)]
struct Pool {
    /// (1, S), added to the mean.
    positional_embedding: Tensor,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    heads: usize,
    scale: f64,
}

impl Pool {
    fn new(width: usize, heads: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let square = |name| linear(width, width, vb.pp(name));
        Ok(Self {
            positional_embedding: vb.get((1, width), "positional_embedding")?,
            q_proj: square("q_proj")?,
            k_proj: square("k_proj")?,
            v_proj: square("v_proj")?,
            heads,
            scale: 1.0 / ((width / heads) as f64).sqrt(),
        })
    }

    /// (B, T, S) → (B, S).
    fn forward(&self, states: &Tensor) -> CandleResult<Tensor> {
        let mean = states.mean_keepdim(1)?.broadcast_add(&self.positional_embedding)?;
        let all = Tensor::cat(&[&mean, states], 1)?;
        let heads = |x: &Tensor| split_heads(x, self.heads)?.contiguous();
        let q = heads(&self.q_proj.forward(&mean)?)?;
        let (k, v) = (heads(&self.k_proj.forward(&all)?)?, heads(&self.v_proj.forward(&all)?)?);
        attend(&q, &k, &v, self.scale)?.squeeze(1)
    }
}

impl Adaptable for Embedders {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.time.each_layer(visit);
        self.norm1.each_layer(visit);
        for layer in [&mut self.pool.q_proj, &mut self.pool.k_proj, &mut self.pool.v_proj] {
            layer.each_layer(visit);
        }
        self.proj.each_layer(visit);
        self.norm2.each_layer(visit);
        self.text.each_layer(visit);
    }
}
