//! A block with one stream for text and picture, whose attention and feed-forward part lie side by side.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::config::FluxConfig;
use crate::{
    activation::{Catalogue, Probe, Stop},
    components::{
        joint::{JointPart, JointTaps, NORM_EPS, Projections, Rotation, attend_jointly},
        massive::without_massive,
    },
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        feed_forward::gelu_tanh,
        layers::{Linear, linear},
        modulation::{add_gated, modulated_norm},
    },
};

/// Vectors that modulate a block: shift, scale, gate.
const MODULATIONS: usize = 3;

/// x += gate·proj_out([attention(y), gelu(proj_mlp y)]), y = LN(x)·(1 + scale) + shift, for tokens of the text, then of the
/// picture.
#[derive(Debug)]
pub(super) struct SingleBlock {
    norm: Linear,
    projections: Projections,
    proj_mlp: Linear,
    proj_out: Linear,
    taps: JointTaps,
}

impl SingleBlock {
    /// Reads a block from tensors named as in diffusers' `single_transformer_blocks.N`; `block` is its number among all.
    pub(super) fn new(config: &FluxConfig, block: u16, list: &Catalogue, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner) = (config.width(), config.ffn_width());
        Ok(Self {
            norm: linear(width, MODULATIONS * width, vb.pp("norm.linear"))?,
            projections: Projections::new(
                (width, config.num_attention_heads),
                ["to_q", "to_k", "to_v"],
                Some(["norm_q", "norm_k"]),
                linear,
                &vb.pp("attn"),
            )?,
            proj_mlp: linear(width, inner, vb.pp("proj_mlp"))?,
            proj_out: linear(width + inner, width, vb.pp("proj_out"))?,
            taps: JointTaps::new(block, list),
        })
    }

    /// Tokens of the picture (B, N, D) and of the text (B, T, D) behind the block. `modulation` is (B, D), behind its SiLU.
    pub(super) fn forward(
        &self,
        [x, text]: [&Tensor; 2],
        modulation: &Tensor,
        rotation: &Rotation,
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<[Tensor; 2], Stop> {
        let taps = &self.taps;
        let vectors = self.norm.forward(modulation)?.chunk(MODULATIONS, 1)?;
        let (shift, scale, gate) = (&vectors[0], &vectors[1], &vectors[2]);
        let normal = taps.visit(
            probe,
            JointPart::Norm1Out,
            modulated_norm(x, shift, scale, NORM_EPS)?,
            grid,
        )?;
        taps.visit_made(probe, JointPart::Norm1DropMassive, grid, || {
            modulated_norm(&without_massive(x)?, shift, scale, NORM_EPS)
        })?;
        let normal_text = modulated_norm(text, shift, scale, NORM_EPS)?;
        let parts = [JointPart::Q, JointPart::K, JointPart::V];
        let of_picture = self.projections.of_picture(&normal, grid, (taps, parts), probe)?;
        let of_text = self.projections.of_text(&normal_text)?;
        let joined = attend_jointly(of_text, of_picture, Some(rotation), grid, taps, probe)?;
        let branch = taps.visit(probe, JointPart::AttnOut, joined.picture, grid)?;
        let behind = |x: &Tensor, normal: &Tensor, attended: &Tensor| -> CandleResult<Tensor> {
            let inner = gelu_tanh(&self.proj_mlp.forward(normal)?)?;
            let branch = self.proj_out.forward(&Tensor::cat(&[attended, &inner], 2)?)?;
            add_gated(x, gate, &branch)
        };
        let x = taps.visit(probe, JointPart::Out, behind(x, &normal, &branch)?, grid)?;
        Ok([x, behind(text, &normal_text, &joined.text)?])
    }
}

impl Adaptable for SingleBlock {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.norm.each_layer(visit);
        self.projections.each_layer(visit);
        self.proj_mlp.each_layer(visit);
        self.proj_out.each_layer(visit);
    }
}
