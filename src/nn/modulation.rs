//! The modulation of diffusion transformers (Peebles and Xie, *Scalable Diffusion Models with Transformers*): a LayerNorm
//! without weights of its own, whose scale and shift, and a gate behind each branch, follow from the timestep.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{layer_norm, layer_norm_slow};

use super::formats::wide;
use crate::ops;

/// LN(x)·(1 + scale) + shift for tokens x (B, N, C), scale and shift (B, C): at least in f32 and rounded once.
pub(crate) fn modulated_norm(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    let (exact, shift) = (wide(x)?.contiguous()?, wide(shift)?);
    let scale = (wide(scale)? + 1.0)?;
    // Scale and shift of a row are weight and bias of a norm: one pass over its tokens.
    let rows = (0..x.dim(0)?)
        .map(|row| {
            let tokens = exact.narrow(0, row, 1)?;
            let (weight, bias) = (scale.get(row)?.contiguous()?, shift.get(row)?.contiguous()?);
            if ops::supports(&tokens) {
                return ops::CpuLayerNorm::new(&weight, &bias, eps)?.forward(&tokens);
            }
            match tokens.dtype() {
                DType::F32 => layer_norm(&tokens, &weight, &bias, eps as f32),
                _ => layer_norm_slow(&tokens, &weight, &bias, eps as f32),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&rows, 0)?.to_dtype(x.dtype())
}

/// x + gate·branch for tokens x and branch (B, N, C), gate (B, C).
pub(crate) fn add_gated(x: &Tensor, gate: &Tensor, branch: &Tensor) -> Result<Tensor> {
    x + branch.broadcast_mul(&gate.unsqueeze(1)?)?
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn numbers(seed: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let values: Vec<f64> = (0..shape.iter().product()).map(|i| (seed * i as f64).sin()).collect();
        // Exact in every format.
        let exact = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::BF16)?;
        exact.to_dtype(dtype)
    }

    /// Every row has its own scale and shift, in every format.
    #[test]
    fn rows_are_modulated_each_by_its_own() -> Result<()> {
        let of = |dtype: DType| -> Result<Tensor> {
            let given = |seed, shape: &[usize]| numbers(seed, shape, dtype);
            let x = given(0.7, &[2, 5, 8])?;
            modulated_norm(&x, &given(1.3, &[2, 8])?, &given(2.1, &[2, 8])?, 1e-6)
        };
        let x = numbers(0.7, &[2, 5, 8], DType::F64)?;
        let mean = x.mean_keepdim(2)?;
        let centred = x.broadcast_sub(&mean)?;
        let deviation = (centred.sqr()?.mean_keepdim(2)? + 1e-6)?.sqrt()?;
        let scale = (numbers(2.1, &[2, 8], DType::F64)? + 1.0)?.unsqueeze(1)?;
        let shift = numbers(1.3, &[2, 8], DType::F64)?.unsqueeze(1)?;
        let wanted = centred
            .broadcast_div(&deviation)?
            .broadcast_mul(&scale)?
            .broadcast_add(&shift)?;
        for (dtype, most) in [
            (DType::F64, 1e-6),
            (DType::F32, 1e-5),
            (DType::F16, 4e-3),
            (DType::BF16, 3e-2),
        ] {
            let found = of(dtype)?;
            assert_eq!(found.dtype(), dtype);
            let error = (found.to_dtype(DType::F64)? - &wanted)?.abs()?.max_all()?;
            let error = error.to_scalar::<f64>()?;
            assert!(error < most, "{dtype:?}: {error}");
        }
        Ok(())
    }

    #[test]
    fn a_gate_is_for_all_tokens_of_its_row() -> Result<()> {
        let x = Tensor::new(&[[[1_f64, 2.0]], [[3.0, 4.0]]], &Device::Cpu)?;
        let gate = Tensor::new(&[[0_f64, 1.0], [2.0, -1.0]], &Device::Cpu)?;
        let found = add_gated(&x, &gate, &x)?.flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(found, [1.0, 4.0, 9.0, 0.0]);
        Ok(())
    }
}
