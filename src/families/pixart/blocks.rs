//! One transformer block: self-attention and feed-forward modulated by the timestep, attention to the text between them.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{config::PixArtConfig, ids::id};
use crate::{
    activation::{Catalogue, Probe, Stop},
    components::vit_block::{ExtraTaps, VitTaps},
    error::Result,
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads, visit_map, visit_map_as},
        feed_forward::gelu_tanh,
        layers::{Linear, linear},
        modulation::{add_gated, modulated_norm},
    },
};

/// Vectors that the timestep gives every block: shift, scale and gate of the self-attention, then of the feed-forward.
pub(super) const MODULATIONS: usize = 6;

/// x += gate1·attn1(LN(x)(1 + scale1) + shift1); x += attn2(x, text); x += gate2·ff(LN(x)(1 + scale2) + shift2).
#[derive(Debug)]
pub(super) struct Block {
    /// (6, D), added to what the timestep gives.
    scale_shift_table: Tensor,
    attn1: Attention,
    attn2: Attention,
    ff_in: Linear,
    ff_out: Linear,
    norm_eps: f64,
    taps: VitTaps,
    extra: ExtraTaps,
}

/// Text for the blocks: the states of the tokens that count, and where these lie among all.
#[derive(Debug)]
pub(super) struct Text {
    /// (1 or B, tokens that count, D).
    pub(super) states: Tensor,
    /// For every token of the prompt its place among those that count; that of none, behind the last, where it does not.
    /// None where all count.
    pub(super) places: Option<Tensor>,
}

impl Text {
    /// The map (B, heads, N, all tokens) of one over the tokens that count: columns of the others are 0.
    fn with_all_columns(&self, map: Tensor) -> CandleResult<Tensor> {
        let Some(places) = &self.places else { return Ok(map) };
        map.pad_with_zeros(3, 0, 1)?.contiguous()?.index_select(places, 3)
    }
}

impl Block {
    pub(super) fn new(config: &PixArtConfig, block: u16, list: &Catalogue, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.width(), config.ffn_width());
        Ok(Self {
            scale_shift_table: vb.get((MODULATIONS, width), "scale_shift_table")?,
            attn1: Attention::new(config, vb.pp("attn1"))?,
            attn2: Attention::new(config, vb.pp("attn2"))?,
            ff_in: linear(width, inner, vb.pp("ff.net.0.proj"))?,
            ff_out: linear(inner, width, vb.pp("ff.net.2"))?,
            norm_eps: config.norm_eps,
            taps: VitTaps::new(|part| list.expect(id(block, part)))?,
            extra: ExtraTaps::new(|part| list.tap(id(block, part))),
        })
    }

    /// Tokens (B, N, D) → (B, N, D). `time` is (B, 6, D).
    pub(super) fn forward(
        &self,
        x: &Tensor,
        time: &Tensor,
        text: &Text,
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        let taps = &self.taps;
        let modulation = time.broadcast_add(&self.scale_shift_table)?;
        let vector = |index: usize| modulation.narrow(1, index, 1)?.squeeze(1);
        let (gate1, gate2) = (vector(2)?, vector(5)?);

        let (shift, scale) = (vector(0)?, vector(1)?);
        let norm = |x: &Tensor| modulated_norm(x, &shift, &scale, self.norm_eps);
        let normal = self.extra.visit_norm(probe, x, norm, grid)?;
        let q = probe.visit_tokens(taps.self_q, self.attn1.to_q.forward(&normal)?, grid)?;
        let k = probe.visit_tokens(taps.self_k, self.attn1.to_k.forward(&normal)?, grid)?;
        let v = probe.visit_tokens(taps.self_v, self.attn1.to_v.forward(&normal)?, grid)?;
        let [q, k, v] = self.attn1.heads_of([&q, &k, &v])?;
        visit_map(probe, taps.self_map, &q, &k, self.attn1.scale)?;
        let x = add_gated(x, &gate1, &self.attn1.attend(&q, &k, &v)?)?;

        // The states of the picture enter the attention to the text as they are, and leave it without a gate.
        let q = probe.visit_tokens(taps.cross_q, self.attn2.to_q.forward(&x)?, grid)?;
        let rows = x.dim(0)?;
        let of_text = |projection: &Linear| -> CandleResult<Tensor> {
            let projected = projection.forward(&text.states)?;
            let (_, tokens, width) = projected.dims3()?;
            projected.broadcast_as((rows, tokens, width))?.contiguous()
        };
        let (k, v) = (of_text(&self.attn2.to_k)?, of_text(&self.attn2.to_v)?);
        let [q, k, v] = self.attn2.heads_of([&q, &k, &v])?;
        visit_map_as(probe, taps.cross_map, [&q, &k], self.attn2.scale, |map| {
            text.with_all_columns(map)
        })?;
        let x = (self.attn2.attend(&q, &k, &v)? + x)?;

        let normal = modulated_norm(&x, &vector(3)?, &vector(4)?, self.norm_eps)?;
        let inner = gelu_tanh(&self.ff_in.forward(&normal)?)?;
        let inner = probe.visit_tokens(taps.ffn_inner, inner, grid)?;
        let x = add_gated(&x, &gate2, &self.ff_out.forward(&inner)?)?;
        probe.visit_tokens(taps.out, x, grid)
    }
}

/// Multi-head attention; all four projections have a bias.
#[derive(Debug)]
struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    scale: f64,
}

impl Attention {
    fn new(config: &PixArtConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let square = |name| linear(config.width(), config.width(), vb.pp(name));
        Ok(Self {
            to_q: square("to_q")?,
            to_k: square("to_k")?,
            to_v: square("to_v")?,
            to_out: square("to_out.0")?,
            heads: config.num_attention_heads,
            scale: 1.0 / (config.attention_head_dim as f64).sqrt(),
        })
    }

    /// (B, N, D) → (B, heads, N, d) of each.
    fn heads_of(&self, [q, k, v]: [&Tensor; 3]) -> CandleResult<[Tensor; 3]> {
        let heads = |tokens| split_heads(tokens, self.heads);
        Ok([heads(q)?, heads(k)?, heads(v)?])
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
    }
}

impl Adaptable for Block {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.attn1.each_layer(visit);
        self.attn2.each_layer(visit);
        self.ff_in.each_layer(visit);
        self.ff_out.each_layer(visit);
    }
}
