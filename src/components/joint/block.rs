//! A block with two streams: joint attention, and a feed-forward part for each, all modulated by timestep and pooled text.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    attention::{Joined, Projections, attend_jointly},
    last_norm::{NORM_EPS, last_norm},
    parts::{JointPart, JointTaps},
    rotary::Rotation,
};
use crate::{
    activation::{Probe, Stop},
    components::massive::without_massive,
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, join_heads, visit_map},
        feed_forward::gelu_tanh,
        layers::{Linear, linear},
        modulation::{add_gated, modulated_norm},
    },
};

/// Vectors that modulate a stream: shift, scale and gate of the attention, then of the feed-forward part.
const MODULATIONS: usize = 6;
/// The same of a second attention, behind these.
const MODULATIONS_2: usize = 3;
/// Vectors of a text's stream that ends in the block: scale and shift.
const MODULATIONS_OF_LAST: usize = 2;

/// Which block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JointShape {
    /// Width D of the tokens.
    pub(crate) width: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Width inside the feed-forward parts.
    pub(crate) inner: usize,
    /// Whether queries and keys have norms.
    pub(crate) qk_norm: bool,
    /// Whether the picture attends to itself alone, too.
    pub(crate) dual: bool,
    /// Whether the text's stream ends here.
    pub(crate) ends_text: bool,
}

/// A block of two streams with its weights.
#[derive(Debug)]
pub(crate) struct JointBlock {
    norm1: Linear,
    norm1_context: Linear,
    picture: Projections,
    text: Projections,
    to_out: Linear,
    second: Option<Second>,
    ff: FeedForward,
    /// None where the text's stream ends here.
    after_text: Option<(Linear, FeedForward)>,
    taps: JointTaps,
}

/// The attention of the picture to itself alone.
#[derive(Debug)]
struct Second {
    projections: Projections,
    to_out: Linear,
}

/// net.2(gelu(net.0.proj x)), with a tanh in the GELU.
#[derive(Debug)]
struct FeedForward {
    proj: Linear,
    out: Linear,
}

/// The six vectors of a stream, (B, D) each, and three more where there are so many.
struct Modulation(Vec<Tensor>);

impl Modulation {
    fn of(norm: &Linear, modulation: &Tensor, count: usize) -> CandleResult<Self> {
        Ok(Self(norm.forward(modulation)?.chunk(count, 1)?))
    }

    /// LN(x)·(1 + scale) + shift by the vectors from `first` on.
    fn norm(&self, x: &Tensor, first: usize) -> CandleResult<Tensor> {
        modulated_norm(x, &self.0[first], &self.0[first + 1], NORM_EPS)
    }

    /// x + gate·branch by the gate of the vectors from `first` on.
    fn add(&self, x: &Tensor, first: usize, branch: &Tensor) -> CandleResult<Tensor> {
        add_gated(x, &self.0[first + 2], branch)
    }
}

impl JointBlock {
    /// Reads a block from tensors named as in diffusers' `transformer_blocks.N`.
    pub(crate) fn new(shape: JointShape, taps: JointTaps, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let JointShape {
            width, heads, inner, ..
        } = shape;
        let attn = vb.pp("attn");
        let norms = |names| shape.qk_norm.then_some(names);
        let count = MODULATIONS + if shape.dual { MODULATIONS_2 } else { 0 };
        let count_of_text = if shape.ends_text {
            MODULATIONS_OF_LAST
        } else {
            MODULATIONS
        };
        let second = |vb: VarBuilder<'_>| -> CandleResult<Second> {
            let names = ["to_q", "to_k", "to_v"];
            Ok(Second {
                projections: Projections::new((width, heads), names, norms(["norm_q", "norm_k"]), linear, &vb)?,
                to_out: linear(width, width, vb.pp("to_out.0"))?,
            })
        };
        let after_text = || -> CandleResult<(Linear, FeedForward)> {
            Ok((
                linear(width, width, attn.pp("to_add_out"))?,
                FeedForward::new(width, inner, vb.pp("ff_context"))?,
            ))
        };
        let added = (
            ["add_q_proj", "add_k_proj", "add_v_proj"],
            ["norm_added_q", "norm_added_k"],
        );
        Ok(Self {
            norm1: linear(width, count * width, vb.pp("norm1.linear"))?,
            norm1_context: linear(width, count_of_text * width, vb.pp("norm1_context.linear"))?,
            picture: Projections::new(
                (width, heads),
                ["to_q", "to_k", "to_v"],
                norms(["norm_q", "norm_k"]),
                linear,
                &attn,
            )?,
            text: Projections::new((width, heads), added.0, norms(added.1), linear, &attn)?,
            to_out: linear(width, width, attn.pp("to_out.0"))?,
            second: shape.dual.then(|| second(vb.pp("attn2"))).transpose()?,
            ff: FeedForward::new(width, inner, vb.pp("ff"))?,
            after_text: (!shape.ends_text).then(after_text).transpose()?,
            taps,
        })
    }

    /// Tokens of the picture (B, N, D) and of the text (B, T, D) behind the block. `modulation` is (B, D), behind its SiLU;
    /// `slips` says that the output is to be shown as generic-diffusion-feature shows it, which is the norm before the
    /// feed-forward part.
    pub(crate) fn forward(
        &self,
        [x, text]: [&Tensor; 2],
        modulation: &Tensor,
        rotation: Option<&Rotation>,
        (grid, slips): (Grid, bool),
        probe: &mut Probe<'_>,
    ) -> Result<[Tensor; 2], Stop> {
        let taps = &self.taps;
        let count = MODULATIONS + if self.second.is_some() { MODULATIONS_2 } else { 0 };
        let vectors = Modulation::of(&self.norm1, modulation, count)?;
        let normal = taps.visit(probe, JointPart::Norm1Out, vectors.norm(x, 0)?, grid)?;
        taps.visit_made(probe, JointPart::Norm1DropMassive, grid, || {
            vectors.norm(&without_massive(x)?, 0)
        })?;
        let own = [JointPart::Q, JointPart::K, JointPart::V];
        let of_picture = self.picture.of_picture(&normal, grid, (taps, own), probe)?;
        let (of_text, text_vectors) = match &self.after_text {
            Some(_) => {
                let vectors = Modulation::of(&self.norm1_context, modulation, MODULATIONS)?;
                (self.text.of_text(&vectors.norm(text, 0)?)?, Some(vectors))
            }
            None => {
                let normal = last_norm(&self.norm1_context, text, modulation)?;
                (self.text.of_text(&normal)?, None)
            }
        };
        let joined = attend_jointly(of_text, of_picture, rotation, grid, taps, probe)?;
        let Joined {
            text: text_branch,
            picture: branch,
        } = joined;
        let branch = taps.visit(probe, JointPart::AttnOut, self.to_out.forward(&branch)?, grid)?;
        let mut y = vectors.add(x, 0, &branch)?;
        if let Some(second) = &self.second {
            // Both attentions read what enters the block.
            let branch = second.forward(&vectors.norm(x, MODULATIONS)?, grid, taps, probe)?;
            y = vectors.add(&y, MODULATIONS, &branch)?;
        }
        const OF_FF: usize = 3;
        let normal = taps.visit(probe, JointPart::NormOut, vectors.norm(&y, OF_FF)?, grid)?;
        let inner = taps.visit(probe, JointPart::FfnInner, self.ff.inner(&normal)?, grid)?;
        let y = vectors.add(&y, OF_FF, &self.ff.out.forward(&inner)?)?;
        let y = match slips {
            true => {
                taps.visit(probe, JointPart::Out, normal, grid)?;
                y
            }
            false => taps.visit(probe, JointPart::Out, y, grid)?,
        };
        let text = match (&self.after_text, text_vectors) {
            (Some((to_add_out, ff)), Some(vectors)) => {
                let text = vectors.add(text, 0, &to_add_out.forward(&text_branch.contiguous()?)?)?;
                let inner = ff.inner(&vectors.norm(&text, OF_FF)?)?;
                vectors.add(&text, OF_FF, &ff.out.forward(&inner)?)?
            }
            _ => text.clone(),
        };
        Ok([y, text])
    }
}

impl Second {
    fn forward(&self, x: &Tensor, grid: Grid, taps: &JointTaps, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let parts = [JointPart::Attn2Q, JointPart::Attn2K, JointPart::Attn2V];
        let [q, k, v] = self.projections.of_picture(x, grid, (taps, parts), probe)?;
        let scale = 1.0 / (q.dim(3)? as f64).sqrt();
        taps.visit_made(probe, JointPart::Attn2MapQ, grid, || join_heads(&q))?;
        taps.visit_made(probe, JointPart::Attn2MapK, grid, || join_heads(&k))?;
        visit_map(probe, taps.expect(JointPart::Attn2Map)?, &q, &k, scale)?;
        let branch = self.to_out.forward(&attend(&q, &k, &v, scale)?)?;
        taps.visit(probe, JointPart::Attn2Out, branch, grid)
    }
}

impl FeedForward {
    fn new(width: usize, inner: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self {
            proj: linear(width, inner, vb.pp("net.0.proj"))?,
            out: linear(inner, width, vb.pp("net.2"))?,
        })
    }

    fn inner(&self, x: &Tensor) -> CandleResult<Tensor> {
        gelu_tanh(&self.proj.forward(x)?)
    }
}

impl Adaptable for FeedForward {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.proj.each_layer(visit);
        self.out.each_layer(visit);
    }
}

impl Adaptable for JointBlock {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.norm1.each_layer(visit);
        self.norm1_context.each_layer(visit);
        self.picture.each_layer(visit);
        self.text.each_layer(visit);
        self.to_out.each_layer(visit);
        if let Some(second) = &mut self.second {
            second.projections.each_layer(visit);
            second.to_out.each_layer(visit);
        }
        self.ff.each_layer(visit);
        if let Some((to_add_out, ff)) = &mut self.after_text {
            to_add_out.each_layer(visit);
            ff.each_layer(visit);
        }
    }
}
