//! Norms: our own on the CPU in f32, where one pass over memory does what several would, candle's elsewhere.

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use crate::ops;

/// GroupNorm over (B, C, h, w) with what often follows it.
#[derive(Debug)]
pub struct GroupNorm {
    plain: candle_nn::GroupNorm,
    /// None where the weights are not on the CPU in f32.
    own: Option<ops::GroupNorm>,
}

/// A GroupNorm with the tensors `weight` (C) and `bias` (C).
pub fn group_norm(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    let weight = vb.get(channels, "weight")?;
    let bias = vb.get(channels, "bias")?;
    let own = ops::takes(&weight)
        .then(|| ops::GroupNorm::new(groups, &weight, &bias, eps))
        .transpose()?;
    let plain = candle_nn::GroupNorm::new(weight, bias, channels, groups, eps)?;
    Ok(GroupNorm { plain, own })
}

impl GroupNorm {
    fn own(&self, x: &Tensor) -> Option<&ops::GroupNorm> {
        self.own.as_ref().filter(|_| ops::takes(x))
    }

    /// norm(x), (B, C, h, w).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward(x),
            None => self.plain.forward(x),
        }
    }

    /// SiLU(norm(x)), (B, C, h, w).
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_silu(x),
            None => silu(&self.plain.forward(x)?),
        }
    }

    /// SiLU(norm(x + shift)), (B, C, h, w), for a shift (B, C).
    pub fn forward_shifted_silu(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_shifted_silu(x, &of_rows(shift, x)?),
            None => silu(&self.plain.forward(&x.broadcast_add(&over_grid(shift)?)?)?),
        }
    }

    /// SiLU(norm(x)·(1 + s) + t), (B, C, h, w), for s and t beside each other, (B, 2·C).
    pub fn forward_scaled_silu(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        if let Some(own) = self.own(x) {
            return own.forward_scaled_silu(x, &of_rows(scale_shift, x)?);
        }
        let channels = x.dim(1)?;
        let both = over_grid(scale_shift)?;
        let (scale, shift) = (both.narrow(1, 0, channels)?, both.narrow(1, channels, channels)?);
        let normed = self.plain.forward(x)?;
        silu(&normed.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift)?)
    }

    /// norm(x) as tokens, (B, h·w, C).
    pub fn forward_tokens(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_tokens(x),
            None => self.plain.forward(x)?.flatten_from(2)?.transpose(1, 2)?.contiguous(),
        }
    }
}

/// (B, C) for x (B, …), from the same or from (1, C), which is for all rows.
fn of_rows(shift: &Tensor, x: &Tensor) -> Result<Tensor> {
    shift.broadcast_as((x.dim(0)?, shift.dim(1)?))?.contiguous()
}

/// (B, C) → (B, C, 1, 1).
fn over_grid(x: &Tensor) -> Result<Tensor> {
    x.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)
}

/// LayerNorm over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    plain: candle_nn::LayerNorm,
    own: Option<ops::LayerNorm>,
}

/// A LayerNorm with the tensors `weight` (C) and `bias` (C).
pub fn layer_norm(width: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    let (weight, bias) = (vb.get(width, "weight")?, vb.get(width, "bias")?);
    let own = ops::takes(&weight)
        .then(|| ops::LayerNorm::new(&weight, &bias, eps))
        .transpose()?;
    let plain = candle_nn::LayerNorm::new(weight, bias, eps);
    Ok(LayerNorm { plain, own })
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.own.as_ref().filter(|_| ops::takes(x)) {
            Some(own) => own.forward(x),
            None => self.plain.forward(x),
        }
    }
}
