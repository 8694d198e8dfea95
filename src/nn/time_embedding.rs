//! The sinusoidal embedding of a timestep, always in f32.

use candle_core::{Device, Result, Tensor};

/// Longest period of the sinusoids.
const MAX_PERIOD: f64 = 10_000.0;

/// (B, dim) in f32 for B timesteps: frequencies exp(−ln 10000·i/(dim/2 − `freq_shift`)), cosines first if `cos_first`.
pub(crate) fn timestep_embedding(
    t: &[f32],
    dim: usize,
    cos_first: bool,
    freq_shift: f64,
    device: &Device,
) -> Result<Tensor> {
    let half = dim / 2;
    let step = -(MAX_PERIOD.ln() as f32);
    let span = half as f32 - freq_shift as f32;
    let mut rows = Vec::with_capacity(t.len() * dim);
    for &t in t {
        let angles: Vec<f32> = (0..half).map(|i| t * (step * i as f32 / span).exp()).collect();
        let (sin, cos) = (angles.iter().map(|a| a.sin()), angles.iter().map(|a| a.cos()));
        if cos_first {
            rows.extend(cos.chain(sin));
        } else {
            rows.extend(sin.chain(cos));
        }
        rows.resize(rows.len() + dim % 2, 0.0);
    }
    Tensor::from_vec(rows, (t.len(), dim), device)
}
