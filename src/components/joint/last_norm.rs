//! The norm of a stream that ends.

use candle_core::{Result, Tensor};
use candle_nn::Module;

use crate::nn::{layers::Linear, modulation::modulated_norm};

/// Epsilon of the norms that are modulated.
pub(crate) const NORM_EPS: f64 = 1e-6;

/// The norm behind all blocks, LN(x)·(1 + scale) + shift: here, as diffusers has it, the scale comes first.
pub(crate) fn last_norm(norm: &Linear, x: &Tensor, modulation: &Tensor) -> Result<Tensor> {
    let vectors = norm.forward(modulation)?.chunk(2, 1)?;
    modulated_norm(x, &vectors[1], &vectors[0], NORM_EPS)
}
