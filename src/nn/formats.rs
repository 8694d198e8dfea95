//! Computations in f32 although a model is in f16 or bf16, as it runs on a GPU. Both have too few bits for statistics, and
//! f16 ends at 65504.
//!
//! | what | in f32 |
//! |---|---|
//! | sinusoids of timesteps and of SDXL's sizes | always, made on the CPU ([`super::time_embedding`]) |
//! | norms: statistics, weight and bias, SiLU after a GroupNorm | rounded once, behind all of it ([`super::norms`]) |
//! | attention: scores and softmax, and the maps that are recorded | weights are rounded before they meet the values ([`super::attention`]) |
//! | sums of matrix products and convolutions | candle asks cuBLAS for f32 accumulators unless it is told otherwise, and it is not |
//! | autoencoder, text encoders; noise, latents and their mixture | always (`extract`) |
//!
//! Of candle's features `cudnn` stays off: with it, convolutions in f16 would be summed in f16. Without it a convolution is a
//! matrix product.

use candle_core::{DType, Result, Tensor};

/// The same numbers (any shape) in a format with the precision of f32 or more.
pub fn wide(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
