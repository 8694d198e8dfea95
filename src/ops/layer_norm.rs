//! Layer normalisation over the last dimension, (x - mean) / √(variance + eps) · weight + bias.
//!
//! In: f32 on the CPU, (.., C); a non-contiguous input is copied first. Out: the same shape, contiguous. A row is read
//! from memory once: the mean, the variance around it and the result are three passes over the first cache.

use candle_core::{D, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use super::vector::{Fresh, deviations, filled, parameter, read};

/// Floats in a task: enough rows to repay its start.
const TASK: usize = 16_384;

/// Layer normalisation with its parameters.
#[derive(Debug, Clone)]
pub struct CpuLayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl CpuLayerNorm {
    /// With a weight and a bias of shape (C).
    ///
    /// # Errors
    ///
    /// Where C is 0, where the bias has another length, and where a tensor is not f32 on the CPU.
    pub fn new(weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if channels == 0 {
            bail!("a layer norm needs at least one channel");
        }
        Ok(Self {
            weight: parameter(weight, channels, "a norm's weight")?,
            bias: parameter(bias, channels, "a norm's bias")?,
            eps,
        })
    }

    /// (.., C) -> (.., C).
    ///
    /// # Errors
    ///
    /// Where the last dimension is not C, and where `x` is not f32 on the CPU.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.weight.len();
        if x.dim(D::Minus1)? != channels {
            bail!("a layer norm of {channels} channels cannot take {:?}", x.dims());
        }
        let task = TASK.div_ceil(channels) * channels;
        let output = read(x, |input| {
            Ok(filled(input.len(), task, |index, fresh| {
                let input = &input[index * task..input.len().min((index + 1) * task)];
                Arch::new().dispatch(Rows {
                    norm: self,
                    input,
                    fresh,
                });
            }))
        })?;
        Tensor::from_vec(output, x.shape(), x.device())
    }
}

struct Rows<'a, 'b> {
    norm: &'a CpuLayerNorm,
    input: &'a [f32],
    fresh: &'a mut Fresh<'b>,
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.norm.weight.len();
        let count = channels as f64;
        let (weight, weight_tail) = S::as_simd_f32s(&self.norm.weight);
        let (bias, bias_tail) = S::as_simd_f32s(&self.norm.bias);
        for row in self.input.chunks_exact(channels) {
            // The sums are around a number near the mean, so that a mean far from zero costs no digits.
            let centre = (row[0] as f64 + deviations(simd, row, row[0]).0 / count) as f32;
            let (sum, squares) = deviations(simd, row, centre);
            let rest = sum / count;
            let inverse = 1.0 / ((squares / count - rest * rest).max(0.0) + self.norm.eps).sqrt();
            let (centre, scale) = (simd.splat_f32s(centre), simd.splat_f32s(inverse as f32));
            let shift = simd.splat_f32s((-rest * inverse) as f32);
            let normal = |x: S::f32s, weight: S::f32s, bias: S::f32s| {
                let x = simd.mul_add_e_f32s(simd.sub_f32s(x, centre), scale, shift);
                simd.mul_add_e_f32s(x, weight, bias)
            };
            let (out, out_tail) = S::as_mut_simd_f32s(self.fresh.next(channels));
            let (head, tail) = S::as_simd_f32s(row);
            for (((y, x), weight), bias) in out.iter_mut().zip(head).zip(weight).zip(bias) {
                *y = normal(*x, *weight, *bias);
            }
            if !out_tail.is_empty() {
                let load = |floats| simd.partial_load_f32s(floats);
                simd.partial_store_f32s(out_tail, normal(load(tail), load(weight_tail), load(bias_tail)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    fn naive(x: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
        let count = weight.len() as f64;
        let mut out = vec![];
        for row in x.chunks(weight.len()) {
            let mean = row.iter().map(|x| *x as f64).sum::<f64>() / count;
            let variance = row.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / count;
            for ((x, weight), bias) in row.iter().zip(weight).zip(bias) {
                out.push((*x as f64 - mean) / (variance + eps).sqrt() * *weight as f64 + *bias as f64);
            }
        }
        out
    }

    fn largest_error(x: &Tensor, channels: usize) -> Result<f64> {
        let weight = Tensor::randn(1_f32, 0.3, channels, &Device::Cpu)?;
        let bias = Tensor::randn(0_f32, 0.3, channels, &Device::Cpu)?;
        let y = CpuLayerNorm::new(&weight, &bias, 1e-5)?.forward(x)?;
        assert_eq!(y.dims(), x.dims());
        let exact = naive(
            &x.flatten_all()?.to_vec1::<f32>()?,
            &weight.to_vec1()?,
            &bias.to_vec1()?,
            1e-5,
        );
        let y = y.flatten_all()?.to_vec1::<f32>()?;
        Ok(y.iter()
            .zip(exact)
            .map(|(y, exact)| (*y as f64 - exact).abs())
            .fold(0.0, f64::max))
    }

    #[test]
    fn rows_agree_with_f64() -> Result<()> {
        for (rows, channels) in [(1, 1), (3, 7), (5, 33), (77, 320), (9, 1280), (1, 40_000)] {
            let x = Tensor::randn(0.5_f32, 2.0, (2, rows, channels), &Device::Cpu)?;
            let error = largest_error(&x, channels)?;
            assert!(error < 3e-6, "{rows} x {channels}: {error}");
        }
        Ok(())
    }

    #[test]
    fn a_mean_of_1000_deviations_costs_no_digits() -> Result<()> {
        let x = Tensor::randn(1000_f32, 1.0, (9, 640), &Device::Cpu)?;
        assert!(largest_error(&x, 640)? < 3e-6);
        Ok(())
    }

    #[test]
    fn constant_rows_give_the_bias() -> Result<()> {
        let bias = Tensor::randn(0_f32, 1.0, 37, &Device::Cpu)?;
        let norm = CpuLayerNorm::new(&Tensor::ones(37, candle_core::DType::F32, &Device::Cpu)?, &bias, 1e-5)?;
        let y = norm
            .forward(&Tensor::full(123.456_f32, (2, 37), &Device::Cpu)?)?
            .to_vec2::<f32>()?;
        assert_eq!(y, vec![bias.to_vec1::<f32>()?; 2]);
        Ok(())
    }

    #[test]
    fn a_view_is_read_in_its_own_order_and_threads_change_nothing() -> Result<()> {
        let x = Tensor::randn(0_f32, 1.0, (48, 900), &Device::Cpu)?.t()?;
        let one = Tensor::ones(48, candle_core::DType::F32, &Device::Cpu)?;
        let norm = CpuLayerNorm::new(&one, &one, 1e-5)?;
        let expected = norm.forward(&x.contiguous()?)?.to_vec2::<f32>()?;
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(candle_core::Error::wrap)?;
            assert_eq!(pool.install(|| norm.forward(&x))?.to_vec2::<f32>()?, expected);
        }
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_errors() -> Result<()> {
        let one = Tensor::ones(4, candle_core::DType::F32, &Device::Cpu)?;
        let norm = CpuLayerNorm::new(&one, &one, 1e-5)?;
        assert!(
            norm.forward(&Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu)?)
                .is_err()
        );
        assert!(
            norm.forward(&Tensor::zeros((2, 4), candle_core::DType::F64, &Device::Cpu)?)
                .is_err()
        );
        assert!(CpuLayerNorm::new(&one, &Tensor::ones(3, candle_core::DType::F32, &Device::Cpu)?, 1e-5).is_err());
        Ok(())
    }

    proptest! {
        #[test]
        fn any_size_agrees(rows in 1_usize..6, channels in 1_usize..70, mean in -50_f32..50.0) {
            let x = Tensor::randn(mean, 1.0, (rows, channels), &Device::Cpu)?;
            // A pair of close numbers has a small deviation, and so a large rounding of the inputs' last digits.
            prop_assume!(channels > 8);
            prop_assert!(largest_error(&x, channels)? < 5e-6);
        }
    }
}
