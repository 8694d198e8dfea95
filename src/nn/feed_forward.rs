//! Nonlinearities of feed-forward parts: our own on the CPU in f32, candle's elsewhere.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::formats::wide;
use crate::ops;

/// Factor of the sigmoid's argument in `quick_gelu`.
const QUICK_GELU_SLOPE: f64 = 1.702;

/// hidden·GELU(gate), (…, D), for hidden and gate beside each other, (…, 2·D), with the exact error function.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    if ops::supports(x) {
        return ops::geglu(x);
    }
    let half = x.dim(D::Minus1)? / 2;
    let (hidden, gate) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    hidden * gate.contiguous()?.gelu_erf()?
}

/// GELU with the exact error function, x·Φ(x), any shape.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if ops::supports(x) { ops::gelu(x) } else { x.gelu_erf() }
}

/// GELU with a tanh in the place of the error function (Hendrycks and Gimpel, 2016), at least in f32 and rounded once.
pub(crate) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    match ops::supports(x) {
        true => ops::gelu_tanh(x),
        false => wide(x)?.gelu()?.to_dtype(x.dtype()),
    }
}

/// x·σ(1.702·x).
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    match ops::supports(x) {
        true => ops::quick_gelu(x),
        false => x * sigmoid(&(x * QUICK_GELU_SLOPE)?)?,
    }
}
