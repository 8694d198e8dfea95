//! The attention of two streams: projections of each, and one softmax over both.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    parts::{JointPart, JointTaps},
    rotary::Rotation,
};
use crate::{
    activation::{Probe, Stop},
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, join_heads, row_log_sums, split_heads, visit_parts_of_map},
        layers::Linear,
        rms_norm::{RmsNorm, rms_norm},
    },
};

/// Epsilon of the norms of queries and keys.
const QK_NORM_EPS: f64 = 1e-6;

/// How queries, keys and values are divided among heads, and the norms of the first two.
#[derive(Debug)]
pub(crate) struct Heads {
    /// Norms of the queries and the keys of each head.
    norms: Option<[RmsNorm; 2]>,
    heads: usize,
}

impl Heads {
    /// So many heads of tokens of a width; `norms` names those of queries and keys, where there are some.
    pub(crate) fn new(
        (width, heads): (usize, usize),
        norms: Option<[&str; 2]>,
        vb: &VarBuilder<'_>,
    ) -> CandleResult<Self> {
        let norm = |name| rms_norm(width / heads, QK_NORM_EPS, vb.pp(name));
        Ok(Self {
            norms: match norms {
                Some([q, k]) => Some([norm(q)?, norm(k)?]),
                None => None,
            },
            heads,
        })
    }

    /// (B, N, D) each → (B, heads, N, d) each.
    pub(crate) fn divide(&self, [q, k, v]: [Tensor; 3]) -> CandleResult<[Tensor; 3]> {
        let heads = |tokens: &Tensor| split_heads(tokens, self.heads);
        let (q, k, v) = (heads(&q)?, heads(&k)?, heads(&v)?);
        Ok(match &self.norms {
            Some([norm_q, norm_k]) => [norm_q.forward(&q)?, norm_k.forward(&k)?, v],
            None => [q, k, v],
        })
    }
}

/// Makes a linear layer of (width in, width out, where its tensors are): with a bias or without.
pub(crate) type MakeLinear = fn(usize, usize, VarBuilder<'_>) -> CandleResult<Linear>;

/// Queries, keys and values of one stream.
#[derive(Debug)]
pub(crate) struct Projections {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    heads: Heads,
}

impl Projections {
    /// From tensors of these names; `norms` names those of queries and keys, where there are some.
    pub(crate) fn new(
        (width, heads): (usize, usize),
        [q, k, v]: [&str; 3],
        norms: Option<[&str; 2]>,
        linear: MakeLinear,
        vb: &VarBuilder<'_>,
    ) -> CandleResult<Self> {
        let square = |name| linear(width, width, vb.pp(name));
        Ok(Self {
            to_q: square(q)?,
            to_k: square(k)?,
            to_v: square(v)?,
            heads: Heads::new((width, heads), norms, vb)?,
        })
    }

    /// Those of the picture, whose plain projections are met as `parts`, by head and with their norms.
    pub(crate) fn of_picture(
        &self,
        x: &Tensor,
        grid: Grid,
        (taps, parts): (&JointTaps, [JointPart; 3]),
        probe: &mut Probe<'_>,
    ) -> Result<[Tensor; 3], Stop> {
        let [q, k, v] = parts;
        let q = taps.visit(probe, q, self.to_q.forward(x)?, grid)?;
        let k = taps.visit(probe, k, self.to_k.forward(x)?, grid)?;
        let v = taps.visit(probe, v, self.to_v.forward(x)?, grid)?;
        Ok(self.heads.divide([q, k, v])?)
    }

    /// Those of tokens (B, T, D) that are not looked at, (B, heads, T, d) each.
    pub(crate) fn of_text(&self, x: &Tensor) -> CandleResult<[Tensor; 3]> {
        let all = [self.to_q.forward(x)?, self.to_k.forward(x)?, self.to_v.forward(x)?];
        self.heads.divide(all)
    }
}

impl Adaptable for Projections {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for layer in [&mut self.to_q, &mut self.to_k, &mut self.to_v] {
            layer.each_layer(visit);
        }
    }
}

/// What joint attention gives each stream, (B, tokens, D).
pub(crate) struct Joined {
    /// The text's, (B, T, D).
    pub(crate) text: Tensor,
    /// The picture's, (B, N, D).
    pub(crate) picture: Tensor,
}

/// One softmax over the keys of the text and of the picture, (B, heads, tokens, d) each, with the picture's turned where a rotation
/// is given; its maps are met.
pub(crate) fn attend_jointly(
    text: [Tensor; 3],
    [q, k, v]: [Tensor; 3],
    rotation: Option<&Rotation>,
    grid: Grid,
    taps: &JointTaps,
    probe: &mut Probe<'_>,
) -> Result<Joined, Stop> {
    let (_, heads, tokens, width) = text[0].dims4()?;
    let scale = 1.0 / (width as f64).sqrt();
    let (q, k) = match rotation {
        Some(rotation) => (rotation.turn(&q)?, rotation.turn(&k)?),
        None => (q, k),
    };
    taps.visit_made(probe, JointPart::MapQ, grid, || join_heads(&q))?;
    taps.visit_made(probe, JointPart::MapK, grid, || join_heads(&k))?;
    let [text_q, text_k, text_v] = text;
    let all_keys = Tensor::cat(&[&text_k, &k], 2)?;
    taps.visit_made(probe, JointPart::MapSums, grid, || {
        row_log_sums(&q, &all_keys, scale)?.transpose(1, 2)?.contiguous()
    })?;
    let positions = grid.positions();
    let parts = [
        (taps.expect(JointPart::CrossMap)?, 0, tokens),
        (taps.expect(JointPart::SelfMap)?, tokens, positions),
    ];
    visit_parts_of_map(probe, [&q, &all_keys], scale, parts.into_iter())?;
    let (all_queries, all_values) = (Tensor::cat(&[&text_q, &q], 2)?, Tensor::cat(&[&text_v, &v], 2)?);
    let joined = attend(&all_queries, &all_keys, &all_values, scale)?;
    debug_assert_eq!(joined.dims()[2], heads * width);
    Ok(Joined {
        text: joined.narrow(1, 0, tokens)?,
        picture: joined.narrow(1, tokens, positions)?,
    })
}
