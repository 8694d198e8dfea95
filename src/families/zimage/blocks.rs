//! One block of Z-Image: attention and a gated feed-forward part, each between two norms.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::config::ZImageConfig;
use crate::{
    activation::{Probe, Stop},
    components::{
        joint::{JointPart, JointTaps, Rotation},
        massive::without_massive,
    },
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, join_heads, row_log_sums, split_heads, visit_parts_of_map},
        layers::{Linear, linear, linear_no_bias},
        rms_norm::{RmsNorm, rms_norm},
    },
};

/// Epsilon of the norms of queries and keys.
const QK_NORM_EPS: f64 = 1e-5;
/// Vectors that modulate a block: scale and gate of the attention, then of the feed-forward part.
const MODULATIONS: usize = 4;

/// Tokens of a pass: so many of the picture, its padding, and behind these the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    /// The picture's own.
    pub(super) grid: Grid,
    /// Where the text begins, and how many tokens it has with its padding; none in a block of the picture alone.
    pub(super) text: Option<(usize, usize)>,
}

/// x += gate·norm2(attention(norm1(x)·(1 + scale))); x += gate·norm2(ff(norm1(x)·(1 + scale))).
#[derive(Debug)]
pub(super) struct Block {
    /// None in a block of the text alone.
    modulation: Option<Linear>,
    attention_norms: [RmsNorm; 2],
    ffn_norms: [RmsNorm; 2],
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
    w1: Linear,
    w2: Linear,
    w3: Linear,
    heads: usize,
}

/// (1 + scale, tanh gate), (B, 1, D) each, of attention and feed-forward part.
type Vectors = [Option<(Tensor, Tensor)>; 2];

impl Block {
    pub(super) fn new(config: &ZImageConfig, is_modulated: bool, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner, head) = (config.dim, config.ffn_width(), config.dim / config.n_heads);
        let (attention, ffn) = (vb.pp("attention"), vb.pp("feed_forward"));
        let norm = |name| rms_norm(width, config.norm_eps, vb.pp(name));
        let square = |name| linear_no_bias(width, width, attention.pp(name));
        let of_time = || {
            linear(
                config.modulation_width(),
                MODULATIONS * width,
                vb.pp("adaLN_modulation.0"),
            )
        };
        Ok(Self {
            modulation: is_modulated.then(of_time).transpose()?,
            attention_norms: [norm("attention_norm1")?, norm("attention_norm2")?],
            ffn_norms: [norm("ffn_norm1")?, norm("ffn_norm2")?],
            to_q: square("to_q")?,
            to_k: square("to_k")?,
            to_v: square("to_v")?,
            to_out: square("to_out.0")?,
            norm_q: rms_norm(head, QK_NORM_EPS, attention.pp("norm_q"))?,
            norm_k: rms_norm(head, QK_NORM_EPS, attention.pp("norm_k"))?,
            w1: linear_no_bias(width, inner, ffn.pp("w1"))?,
            w2: linear_no_bias(inner, width, ffn.pp("w2"))?,
            w3: linear_no_bias(width, inner, ffn.pp("w3"))?,
            heads: config.n_heads,
        })
    }

    /// Tokens (B, all, D) behind a block of the text alone, which shows nothing.
    pub(super) fn forward(&self, x: &Tensor, rotation: &Rotation) -> CandleResult<Tensor> {
        let [of_attention, of_ffn] = self.vectors(None)?;
        let normal = scaled(&self.attention_norms[0].forward(x)?, of_attention.as_ref())?;
        let [q, k, v] = [&self.to_q, &self.to_k, &self.to_v].map(|projection| projection.forward(&normal));
        let (q, k, v) = self.by_head([q?, k?, v?], rotation)?;
        let branch = self.to_out.forward(&attend(&q, &k, &v, scale_of(&q)?)?)?;
        let x = add(x, &self.attention_norms[1], &branch, of_attention.as_ref())?;
        let normal = scaled(&self.ffn_norms[0].forward(&x)?, of_ffn.as_ref())?;
        let branch = self.w2.forward(&self.inner(&normal)?)?;
        add(&x, &self.ffn_norms[1], &branch, of_ffn.as_ref())
    }

    /// Tokens (B, all, D) behind a block that `time` (B, modulation) modulates, whose tensors of the picture are met.
    pub(super) fn forward_shown(
        &self,
        x: &Tensor,
        time: &Tensor,
        rotation: &Rotation,
        tokens: Tokens,
        taps: &JointTaps,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        let grid = tokens.grid;
        let [of_attention, of_ffn] = self.vectors(Some(time))?;
        let visit = |probe: &mut Probe<'_>, part, x: Tensor| -> Result<Tensor, Stop> {
            // What is shown is the picture's part; what goes on is all.
            taps.visit_made(probe, part, grid, || x.narrow(1, 0, grid.positions()))?;
            Ok(x)
        };
        let normal = scaled(&self.attention_norms[0].forward(x)?, of_attention.as_ref())?;
        let normal = visit(probe, JointPart::Norm1Out, normal)?;
        taps.visit_made(probe, JointPart::Norm1DropMassive, grid, || {
            let x = without_massive(&x.narrow(1, 0, grid.positions())?)?;
            scaled(&self.attention_norms[0].forward(&x)?, of_attention.as_ref())
        })?;
        let q = visit(probe, JointPart::Q, self.to_q.forward(&normal)?)?;
        let k = visit(probe, JointPart::K, self.to_k.forward(&normal)?)?;
        let v = visit(probe, JointPart::V, self.to_v.forward(&normal)?)?;
        let (q, k, v) = self.by_head([q, k, v], rotation)?;
        let scale = scale_of(&q)?;
        self.show_map([&q, &k], scale, tokens, taps, probe)?;
        let branch = self.to_out.forward(&attend(&q, &k, &v, scale)?)?;
        let branch = visit(probe, JointPart::AttnOut, branch)?;
        let x = add(x, &self.attention_norms[1], &branch, of_attention.as_ref())?;
        let normal = scaled(&self.ffn_norms[0].forward(&x)?, of_ffn.as_ref())?;
        let normal = visit(probe, JointPart::NormOut, normal)?;
        let inner = visit(probe, JointPart::FfnInner, self.inner(&normal)?)?;
        let x = add(&x, &self.ffn_norms[1], &self.w2.forward(&inner)?, of_ffn.as_ref())?;
        visit(probe, JointPart::Out, x)
    }

    /// Meets the picture's rows of the map, and what they are made of.
    fn show_map(
        &self,
        [q, k]: [&Tensor; 2],
        scale: f64,
        tokens: Tokens,
        taps: &JointTaps,
        probe: &mut Probe<'_>,
    ) -> Result<(), Stop> {
        let (grid, positions) = (tokens.grid, tokens.grid.positions());
        let own = |x: &Tensor| x.narrow(2, 0, positions)?.contiguous();
        let queries = own(q)?;
        taps.visit_made(probe, JointPart::MapQ, grid, || join_heads(&queries))?;
        taps.visit_made(probe, JointPart::MapK, grid, || join_heads(&own(k)?))?;
        taps.visit_made(probe, JointPart::MapSums, grid, || {
            row_log_sums(&queries, k, scale)?.transpose(1, 2)?.contiguous()
        })?;
        let cross = taps.get(JointPart::CrossMap).zip(tokens.text);
        let cross = cross.map(|(tap, (first, count))| (tap, first, count));
        let own = (taps.expect(JointPart::SelfMap)?, 0, positions);
        visit_parts_of_map(probe, [&queries, k], scale, cross.into_iter().chain([own]))
    }

    fn vectors(&self, time: Option<&Tensor>) -> CandleResult<Vectors> {
        let (Some(modulation), Some(time)) = (&self.modulation, time) else {
            return Ok([None, None]);
        };
        let vectors = modulation.forward(time)?.unsqueeze(1)?.chunk(MODULATIONS, 2)?;
        let of = |scale: usize| -> CandleResult<Option<(Tensor, Tensor)>> {
            Ok(Some(((&vectors[scale] + 1.0)?, vectors[scale + 1].tanh()?)))
        };
        Ok([of(0)?, of(2)?])
    }

    fn by_head(&self, [q, k, v]: [Tensor; 3], rotation: &Rotation) -> CandleResult<(Tensor, Tensor, Tensor)> {
        let heads = |x: &Tensor| split_heads(x, self.heads);
        let q = rotation.turn(&self.norm_q.forward(&heads(&q)?)?)?;
        let k = rotation.turn(&self.norm_k.forward(&heads(&k)?)?)?;
        Ok((q, k, heads(&v)?))
    }

    /// silu(w1 x)·w3 x.
    fn inner(&self, x: &Tensor) -> CandleResult<Tensor> {
        silu(&self.w1.forward(x)?)? * self.w3.forward(x)?
    }
}

/// 1/√d of heads (B, heads, N, d).
fn scale_of(q: &Tensor) -> CandleResult<f64> {
    Ok((q.dim(3)? as f64).sqrt().recip())
}

/// x + gate·norm(branch), without a gate where there is none.
fn add(x: &Tensor, norm: &RmsNorm, branch: &Tensor, vectors: Option<&(Tensor, Tensor)>) -> CandleResult<Tensor> {
    let branch = norm.forward(branch)?;
    match vectors {
        Some((_, gate)) => x + branch.broadcast_mul(gate)?,
        None => x + branch,
    }
}

/// x·(1 + scale), where there is one.
fn scaled(x: &Tensor, vectors: Option<&(Tensor, Tensor)>) -> CandleResult<Tensor> {
    match vectors {
        Some((scale, _)) => x.broadcast_mul(scale),
        None => Ok(x.clone()),
    }
}

impl Adaptable for Block {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        if let Some(modulation) = &mut self.modulation {
            modulation.each_layer(visit);
        }
        for layer in [
            &mut self.to_q,
            &mut self.to_k,
            &mut self.to_v,
            &mut self.to_out,
            &mut self.w1,
            &mut self.w2,
            &mut self.w3,
        ] {
            layer.each_layer(visit);
        }
    }
}
