//! Tokens without their massive channels, as a block reads them on the way to "norm1-drop-massive" (Gan et al., *Unleashing Diffusion
//! Transformers for Visual Correspondence by Modulating Massive Activations*): zeros BEFORE the norm, which then spreads over what
//! the picture shows. The same zeros behind the norm are another thing.

use candle_core::{DType, Result, Tensor};

use crate::activation::{MASSIVE_RATIO, in_medians};

/// Tokens x (B, N, D) whose massive channels are 0, those of every row by its own tokens; with no such channel, the same numbers.
pub(crate) fn without_massive(x: &Tensor) -> Result<Tensor> {
    let magnitudes: Vec<Vec<f64>> = x
        .to_dtype(DType::F32)?
        .abs()?
        .mean(1)?
        .to_dtype(DType::F64)?
        .to_vec2()?;
    let kept = |ratio: f64| if ratio > MASSIVE_RATIO { 0_f32 } else { 1.0 };
    let mask: Vec<f32> = magnitudes
        .iter()
        .flat_map(|magnitudes| in_medians(magnitudes).into_iter().map(kept))
        .collect();
    let (rows, _, width) = x.dims3()?;
    let mask = Tensor::from_vec(mask, (rows, 1, width), x.device())?;
    x.broadcast_mul(&mask.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Every row loses its own channels, in every format, and what is just below the ratio stays.
    #[test]
    fn rows_lose_each_their_own_massive_channels() -> Result<()> {
        let row = |massive: usize| -> Vec<f64> {
            let token = |sign: f64| {
                (0..5).map(move |channel| match channel {
                    channel if channel == massive => sign * 128.0,
                    4 => 64.0,
                    _ => sign,
                })
            };
            token(1.0).chain(token(-1.0)).collect()
        };
        let x = Tensor::from_vec([row(1), row(2)].concat(), (2, 2, 5), &Device::Cpu)?;
        let wanted = Tensor::new(
            &[
                [[1_f64, 0.0, 1.0, 1.0, 64.0], [-1.0, 0.0, -1.0, -1.0, 64.0]],
                [[1.0, 1.0, 0.0, 1.0, 64.0], [-1.0, -1.0, 0.0, -1.0, 64.0]],
            ],
            &Device::Cpu,
        )?;
        for dtype in [DType::F64, DType::F32, DType::BF16] {
            let found = without_massive(&x.to_dtype(dtype)?)?;
            assert_eq!(found.dtype(), dtype);
            let found = found.to_dtype(DType::F64)?;
            assert_eq!(found.to_vec3::<f64>()?, wanted.to_vec3::<f64>()?, "{dtype:?}");
        }
        Ok(())
    }
}
