//! RMSNorm (Zhang and Sennrich, 2019): a norm by the root of the mean square, without a mean and without a bias.

use candle_core::{DType, Result, Tensor};
use candle_nn::{
    Module, VarBuilder,
    ops::{rms_norm as candle_rms_norm, rms_norm_slow},
};

use super::formats::wide;

/// x·weight/√(mean(x²) + eps) over the last dimension.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// (C), at least in f32.
    weight: Tensor,
    eps: f64,
}

/// An RMSNorm with the tensor `weight` (C).
pub(crate) fn rms_norm(width: usize, eps: f64, vb: VarBuilder<'_>) -> Result<RmsNorm> {
    let weight = wide(&vb.get(width, "weight")?)?;
    Ok(RmsNorm { weight, eps })
}

impl Module for RmsNorm {
    /// (…, C) → (…, C), at least in f32 and rounded once.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let eps = self.eps as f32;
        let exact = wide(x)?.contiguous()?;
        let normal = match exact.dtype() {
            DType::F32 => candle_rms_norm(&exact, &self.weight, eps)?,
            _ => rms_norm_slow(&exact, &self.weight, eps)?,
        };
        normal.to_dtype(x.dtype())
    }
}
