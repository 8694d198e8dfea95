//! One transformer block: a skip, self-attention shifted by the timestep, attention to the text, feed-forward.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{config::HunyuanConfig, ids::id, rotary::Rotation};
use crate::{
    activation::{Catalogue, Probe, Stop},
    components::vit_block::{ExtraTaps, VitTaps},
    error::Result,
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads, visit_map},
        feed_forward::gelu_tanh,
        layers::{Linear, linear},
        norms::{LayerNorm, layer_norm},
    },
};

/// Epsilon of every norm.
pub(super) const NORM_EPS: f64 = 1e-6;

/// x = skip(x, earlier); x += attn1(LN(x) + shift); x += attn2(LN(x), text); x += ff(LN(x)).
#[derive(Debug)]
pub(super) struct Block {
    skip: Option<Skip>,
    norm1: LayerNorm,
    shift: Linear,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
    taps: VitTaps,
    extra: ExtraTaps,
}

/// What takes the output of an earlier block in: the current state comes first.
#[derive(Debug)]
struct Skip {
    norm: LayerNorm,
    linear: Linear,
}

impl Block {
    pub(super) fn new(config: &HunyuanConfig, block: u16, list: &Catalogue, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.width(), config.ffn_width());
        let norm = |name: &str| layer_norm(width, NORM_EPS, vb.pp(name));
        let skip = match config.has_skip(block.into()) {
            true => Some(Skip {
                norm: layer_norm(2 * width, NORM_EPS, vb.pp("skip_norm"))?,
                linear: linear(2 * width, width, vb.pp("skip_linear"))?,
            }),
            false => None,
        };
        Ok(Self {
            skip,
            norm1: norm("norm1.norm")?,
            shift: linear(width, width, vb.pp("norm1.linear"))?,
            attn1: Attention::new(config, width, vb.pp("attn1"))?,
            norm2: norm("norm2")?,
            attn2: Attention::new(config, config.cross_attention_dim, vb.pp("attn2"))?,
            norm3: norm("norm3")?,
            ff_in: linear(width, inner, vb.pp("ff.net.0.proj"))?,
            ff_out: linear(inner, width, vb.pp("ff.net.2"))?,
            taps: VitTaps::new(|part| list.expect(id(block, part)))?,
            extra: ExtraTaps::new(|part| list.tap(id(block, part))),
        })
    }

    /// Tokens (B, N, D) → (B, N, D). `time` is (B, D), `text` (1, T, C), `earlier` the output of the block that this one has a skip
    /// from.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        earlier: Option<&Tensor>,
        (time, text, rotation): (&Tensor, &Tensor, &Rotation),
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        let taps = &self.taps;
        let x = match (&self.skip, earlier) {
            (Some(skip), Some(earlier)) => {
                let both = Tensor::cat(&[x, earlier], D::Minus1)?;
                skip.linear.forward(&skip.norm.forward(&both)?)?
            }
            _ => x.clone(),
        };

        let shift = self.shift.forward(&silu(time)?)?.unsqueeze(1)?;
        let norm = |x: &Tensor| self.norm1.forward(x)?.broadcast_add(&shift);
        let normal = self.extra.visit_norm(probe, &x, norm, grid)?;
        let q = probe.visit_tokens(taps.self_q, self.attn1.to_q.forward(&normal)?, grid)?;
        let k = probe.visit_tokens(taps.self_k, self.attn1.to_k.forward(&normal)?, grid)?;
        let v = probe.visit_tokens(taps.self_v, self.attn1.to_v.forward(&normal)?, grid)?;
        let [q, k, v] = self.attn1.heads_of([&q, &k, &v])?;
        let (q, k) = (rotation.turn(&q)?, rotation.turn(&k)?);
        self.extra.visit_products(probe, [&q, &k], grid)?;
        visit_map(probe, taps.self_map, &q, &k, self.attn1.scale)?;
        let x = (self.attn1.attend(&q, &k, &v)? + x)?;

        let normal = self.norm2.forward(&x)?;
        let q = probe.visit_tokens(taps.cross_q, self.attn2.to_q.forward(&normal)?, grid)?;
        let rows = x.dim(0)?;
        let of_text = |projection: &Linear| -> CandleResult<Tensor> {
            let projected = projection.forward(text)?;
            let (_, tokens, width) = projected.dims3()?;
            projected.broadcast_as((rows, tokens, width))?.contiguous()
        };
        let (k, v) = (of_text(&self.attn2.to_k)?, of_text(&self.attn2.to_v)?);
        let [q, k, v] = self.attn2.heads_of([&q, &k, &v])?;
        // A text has no positions on the grid.
        let q = rotation.turn(&q)?;
        visit_map(probe, taps.cross_map, &q, &k, self.attn2.scale)?;
        let x = (self.attn2.attend(&q, &k, &v)? + x)?;

        let inner = gelu_tanh(&self.ff_in.forward(&self.norm3.forward(&x)?)?)?;
        let inner = probe.visit_tokens(taps.ffn_inner, inner, grid)?;
        let x = (self.ff_out.forward(&inner)? + x)?;
        probe.visit_tokens(taps.out, x, grid)
    }
}

/// Multi-head attention whose queries and keys go through a norm, head by head; all four projections have a bias.
#[derive(Debug)]
struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    norm_q: LayerNorm,
    norm_k: LayerNorm,
    to_out: Linear,
    heads: usize,
    scale: f64,
}

impl Attention {
    /// Keys and values come from states of width `from`.
    fn new(config: &HunyuanConfig, from: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let (width, head) = (config.width(), config.attention_head_dim);
        let norm = |name: &str| layer_norm(head, NORM_EPS, vb.pp(name));
        Ok(Self {
            to_q: linear(width, width, vb.pp("to_q"))?,
            to_k: linear(from, width, vb.pp("to_k"))?,
            to_v: linear(from, width, vb.pp("to_v"))?,
            norm_q: norm("norm_q")?,
            norm_k: norm("norm_k")?,
            to_out: linear(width, width, vb.pp("to_out.0"))?,
            heads: config.num_attention_heads,
            scale: 1.0 / (head as f64).sqrt(),
        })
    }

    /// (B, N, D) → (B, heads, N, d) of each, queries and keys normed.
    fn heads_of(&self, [q, k, v]: [&Tensor; 3]) -> CandleResult<[Tensor; 3]> {
        let heads = |tokens| split_heads(tokens, self.heads)?.contiguous();
        Ok([
            self.norm_q.forward(&heads(q)?)?,
            self.norm_k.forward(&heads(k)?)?,
            heads(v)?,
        ])
    }

    /// Attention and its projection, (B, N, D).
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> CandleResult<Tensor> {
        self.to_out.forward(&attend(q, k, v, self.scale)?)
    }
}

impl Adaptable for Attention {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for layer in [&mut self.to_q, &mut self.to_k, &mut self.to_v, &mut self.to_out] {
            layer.each_layer(visit);
        }
        self.norm_q.each_layer(visit);
        self.norm_k.each_layer(visit);
    }
}

impl Adaptable for Block {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        if let Some(skip) = &mut self.skip {
            skip.norm.each_layer(visit);
            skip.linear.each_layer(visit);
        }
        for norm in [&mut self.norm1, &mut self.norm2, &mut self.norm3] {
            norm.each_layer(visit);
        }
        self.attn1.each_layer(visit);
        self.attn2.each_layer(visit);
        for layer in [&mut self.shift, &mut self.ff_in, &mut self.ff_out] {
            layer.each_layer(visit);
        }
    }
}
