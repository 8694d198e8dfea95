//! The blocks of Flux.2: with a stream for the picture and one for the text, and with one for both. What modulates them is made once
//! for all blocks of a kind.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::config::Flux2Config;
use crate::{
    activation::{Catalogue, Probe, Stop},
    components::{
        joint::{Heads, JointPart, JointTaps, NORM_EPS, Projections, Rotation, attend_jointly},
        massive::without_massive,
    },
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Linear, linear_no_bias},
        modulation::{add_gated, modulated_norm},
    },
};

/// Shift, scale and gate of a branch, (B, D) each.
#[derive(Debug)]
pub(super) struct Vectors {
    shift: Tensor,
    scale: Tensor,
    gate: Tensor,
}

impl Vectors {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    /// Of `BRANCHES` branches beside each other, (B, 3·BRANCHES·D).
    pub(super) fn of<const BRANCHES: usize>(modulation: &Tensor) -> CandleResult<[Self; BRANCHES]> {
        let width = modulation.dim(1)? / (Self::COUNT * BRANCHES);
        let vector = |place: usize| modulation.narrow(1, place * width, width)?.contiguous();
        let mut branches = Vec::with_capacity(BRANCHES);
        for first in (0..BRANCHES).map(|branch| Self::COUNT * branch) {
            branches.push(Self {
                shift: vector(first)?,
                scale: vector(first + 1)?,
                gate: vector(first + 2)?,
            });
        }
        let wrong = |_| candle_core::Error::Msg("as many vectors as branches".to_owned());
        branches.try_into().map_err(wrong)
    }

    fn norm(&self, x: &Tensor) -> CandleResult<Tensor> {
        modulated_norm(x, &self.shift, &self.scale, NORM_EPS)
    }

    fn add(&self, x: &Tensor, branch: &Tensor) -> CandleResult<Tensor> {
        add_gated(x, &self.gate, branch)
    }
}

/// How the tokens of picture and text are turned by their positions.
#[derive(Debug)]
pub(super) struct Rotations {
    pub(super) picture: Rotation,
    pub(super) text: Rotation,
}

impl Rotations {
    /// Queries, keys and values of the text, with the first two turned.
    fn turn_text(&self, [q, k, v]: [Tensor; 3]) -> CandleResult<[Tensor; 3]> {
        Ok([self.text.turn(&q)?, self.text.turn(&k)?, v])
    }
}

/// silu(first half)·second half of the channels.
fn swiglu(x: &Tensor) -> CandleResult<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let gate = x.narrow(D::Minus1, 0, half)?.contiguous()?;
    silu(&gate)? * x.narrow(D::Minus1, half, half)?
}

/// linear_out(swiglu(linear_in x)).
#[derive(Debug)]
struct FeedForward {
    linear_in: Linear,
    linear_out: Linear,
}

impl FeedForward {
    fn new(config: &Flux2Config, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner) = (config.width(), config.ffn_width());
        Ok(Self {
            linear_in: linear_no_bias(width, 2 * inner, vb.pp("linear_in"))?,
            linear_out: linear_no_bias(inner, width, vb.pp("linear_out"))?,
        })
    }

    fn inner(&self, x: &Tensor) -> CandleResult<Tensor> {
        swiglu(&self.linear_in.forward(x)?)
    }
}

/// A block of two streams: x += gate·to_out(attention(y)), x += gate·ff(y), y = LN(x)·(1 + scale) + shift, for each of them.
#[derive(Debug)]
pub(super) struct DoubleBlock {
    picture: Projections,
    text: Projections,
    to_out: Linear,
    to_add_out: Linear,
    ff: FeedForward,
    ff_context: FeedForward,
    taps: JointTaps,
}

/// What modulates a stream: attention, feed-forward part.
pub(super) type OfStream = [Vectors; 2];

impl DoubleBlock {
    /// Reads a block from tensors named as in diffusers' `transformer_blocks.N`.
    pub(super) fn new(config: &Flux2Config, block: u16, list: &Catalogue, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, heads) = (config.width(), config.num_attention_heads);
        let attn = vb.pp("attn");
        let projections = |names, norms| Projections::new((width, heads), names, Some(norms), linear_no_bias, &attn);
        let out = |name| linear_no_bias(width, width, attn.pp(name));
        Ok(Self {
            picture: projections(["to_q", "to_k", "to_v"], ["norm_q", "norm_k"])?,
            text: projections(
                ["add_q_proj", "add_k_proj", "add_v_proj"],
                ["norm_added_q", "norm_added_k"],
            )?,
            to_out: out("to_out.0")?,
            to_add_out: out("to_add_out")?,
            ff: FeedForward::new(config, &vb.pp("ff"))?,
            ff_context: FeedForward::new(config, &vb.pp("ff_context"))?,
            taps: JointTaps::new(block, list),
        })
    }

    /// Tokens of the picture (B, N, D) and of the text (B, T, D) behind the block.
    pub(super) fn forward(
        &self,
        [x, text]: [&Tensor; 2],
        [of_picture, of_text]: &[OfStream; 2],
        rotations: &Rotations,
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<[Tensor; 2], Stop> {
        let taps = &self.taps;
        let ([attention, ffn], [text_attention, text_ffn]) = (of_picture, of_text);
        let normal = taps.visit(probe, JointPart::Norm1Out, attention.norm(x)?, grid)?;
        taps.visit_made(probe, JointPart::Norm1DropMassive, grid, || {
            attention.norm(&without_massive(x)?)
        })?;
        let parts = [JointPart::Q, JointPart::K, JointPart::V];
        let own = self.picture.of_picture(&normal, grid, (taps, parts), probe)?;
        let of_text = rotations.turn_text(self.text.of_text(&text_attention.norm(text)?)?)?;
        let joined = attend_jointly(of_text, own, Some(&rotations.picture), grid, taps, probe)?;
        let branch = self.to_out.forward(&joined.picture)?;
        let branch = taps.visit(probe, JointPart::AttnOut, branch, grid)?;
        let x = attention.add(x, &branch)?;
        let normal = taps.visit(probe, JointPart::NormOut, ffn.norm(&x)?, grid)?;
        let inner = taps.visit(probe, JointPart::FfnInner, self.ff.inner(&normal)?, grid)?;
        let x = ffn.add(&x, &self.ff.linear_out.forward(&inner)?)?;
        let x = taps.visit(probe, JointPart::Out, x, grid)?;
        let branch = self.to_add_out.forward(&joined.text.contiguous()?)?;
        let text = text_attention.add(text, &branch)?;
        let inner = self.ff_context.inner(&text_ffn.norm(&text)?)?;
        let text = text_ffn.add(&text, &self.ff_context.linear_out.forward(&inner)?)?;
        Ok([x, text])
    }
}

/// A block of one stream: x += gate·to_out([attention(y), swiglu(m)]), where one layer makes queries, keys, values and m of
/// y = LN(x)·(1 + scale) + shift.
#[derive(Debug)]
pub(super) struct SingleBlock {
    to_qkv_mlp_proj: Linear,
    to_out: Linear,
    heads: Heads,
    width: usize,
    taps: JointTaps,
}

impl SingleBlock {
    /// Reads a block from tensors named as in diffusers' `single_transformer_blocks.N`; `block` is its number among all.
    pub(super) fn new(config: &Flux2Config, block: u16, list: &Catalogue, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner, vb) = (config.width(), config.ffn_width(), vb.pp("attn"));
        let norms = Some(["norm_q", "norm_k"]);
        Ok(Self {
            to_qkv_mlp_proj: linear_no_bias(width, 3 * width + 2 * inner, vb.pp("to_qkv_mlp_proj"))?,
            to_out: linear_no_bias(width + inner, width, vb.pp("to_out"))?,
            heads: Heads::new((width, config.num_attention_heads), norms, &vb)?,
            width,
            taps: JointTaps::new(block, list),
        })
    }

    /// Tokens of the picture (B, N, D) and of the text (B, T, D) behind the block.
    pub(super) fn forward(
        &self,
        [x, text]: [&Tensor; 2],
        vectors: &Vectors,
        rotations: &Rotations,
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<[Tensor; 2], Stop> {
        let taps = &self.taps;
        let normal = taps.visit(probe, JointPart::Norm1Out, vectors.norm(x)?, grid)?;
        taps.visit_made(probe, JointPart::Norm1DropMassive, grid, || {
            vectors.norm(&without_massive(x)?)
        })?;
        let ([q, k, v], mlp) = self.project(&normal)?;
        let q = taps.visit(probe, JointPart::Q, q, grid)?;
        let k = taps.visit(probe, JointPart::K, k, grid)?;
        let v = taps.visit(probe, JointPart::V, v, grid)?;
        let own = self.heads.divide([q, k, v])?;
        let (of_text, text_mlp) = self.project(&vectors.norm(text)?)?;
        let of_text = rotations.turn_text(self.heads.divide(of_text)?)?;
        let joined = attend_jointly(of_text, own, Some(&rotations.picture), grid, taps, probe)?;
        let attended = taps.visit(probe, JointPart::AttnOut, joined.picture, grid)?;
        let inner = taps.visit(probe, JointPart::FfnInner, swiglu(&mlp)?, grid)?;
        let behind = |x: &Tensor, attended: &Tensor, inner: &Tensor| -> CandleResult<Tensor> {
            let branch = self.to_out.forward(&Tensor::cat(&[attended, inner], 2)?)?;
            vectors.add(x, &branch)
        };
        let x = taps.visit(probe, JointPart::Out, behind(x, &attended, &inner)?, grid)?;
        Ok([x, behind(text, &joined.text, &swiglu(&text_mlp)?)?])
    }

    /// Queries, keys and values (B, N, D), and both halves of the feed-forward part, beside each other.
    fn project(&self, normal: &Tensor) -> CandleResult<([Tensor; 3], Tensor)> {
        const THIRDS: usize = 3;
        let all = self.to_qkv_mlp_proj.forward(normal)?;
        let third = |place: usize| all.narrow(2, place * self.width, self.width)?.contiguous();
        let behind = THIRDS * self.width;
        let mlp = all.narrow(2, behind, all.dim(2)? - behind)?;
        Ok(([third(0)?, third(1)?, third(2)?], mlp))
    }
}

impl Adaptable for FeedForward {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.linear_in.each_layer(visit);
        self.linear_out.each_layer(visit);
    }
}

impl Adaptable for DoubleBlock {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.picture.each_layer(visit);
        self.text.each_layer(visit);
        self.to_out.each_layer(visit);
        self.to_add_out.each_layer(visit);
        self.ff.each_layer(visit);
        self.ff_context.each_layer(visit);
    }
}

impl Adaptable for SingleBlock {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.to_qkv_mlp_proj.each_layer(visit);
        self.to_out.each_layer(visit);
    }
}
