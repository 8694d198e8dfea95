//! Activations: SiLU, GELU (erf and quick), and the gated GELU of a transformer's feed-forward.
//!
//! In: f32 on the CPU, of any shape; a non-contiguous input is copied first. Out: a contiguous tensor. Each is one pass
//! of vector code over memory, with no tensors in between (candle's own gated GELU makes five).

use candle_core::{D, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use super::vector::{filled, gelu as gelu_vector, gelu_tanh as gelu_tanh_vector, map, map_pairs, read, swish};

/// Floats that one task of a pass writes: they stay in the first cache, and repay the task's start.
const PIECE: usize = 4096;

const PIECES: usize = 4;

/// The slope of the sigmoid in the quick GELU.
const QUICK_SLOPE: f32 = 1.702;

#[derive(Clone, Copy)]
enum Kind {
    /// x · σ(slope · x)
    Swish(f32),
    /// x · Φ(x)
    Gelu,
    /// x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))
    GeluTanh,
}

/// x · σ(x), any shape.
///
/// # Errors
///
/// Where `x` is not f32 on the CPU.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    activate(x, Kind::Swish(1.0))
}

/// x · Φ(x), the exact (erf) GELU, any shape.
///
/// # Errors
///
/// Where `x` is not f32 on the CPU.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Kind::Gelu)
}

/// x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))), the GELU of T5 and of diffusion transformers, any shape.
pub(crate) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    activate(x, Kind::GeluTanh)
}

/// x · σ(1.702 x), CLIP's GELU, any shape.
///
/// # Errors
///
/// Where `x` is not f32 on the CPU.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Kind::Swish(QUICK_SLOPE))
}

/// (.., 2·D) -> (.., D): the first half of each row times the GELU of the second.
///
/// # Errors
///
/// Where the last dimension is odd or 0, and where `x` is not f32 on the CPU.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    if width == 0 || width % 2 != 0 {
        bail!(
            "a gated activation needs an even number of channels, not {:?}",
            x.dims()
        );
    }
    let half = width / 2;
    let mut shape = x.dims().to_vec();
    shape[x.rank() - 1] = half;
    let rows_in_task = (PIECE * PIECES).div_ceil(half);
    let output = read(x, |input| {
        Ok(filled(input.len() / 2, rows_in_task * half, |task, fresh| {
            let rows = input[task * rows_in_task * width..]
                .chunks_exact(width)
                .take(rows_in_task);
            for row in rows {
                let (hidden, gate) = row.split_at(half);
                for (hidden, gate) in hidden.chunks(PIECE).zip(gate.chunks(PIECE)) {
                    Arch::new().dispatch(Gated {
                        hidden,
                        gate,
                        output: fresh.next(hidden.len()),
                    });
                }
            }
        }))
    })?;
    Tensor::from_vec(output, shape, x.device())
}

fn activate(x: &Tensor, kind: Kind) -> Result<Tensor> {
    let output = read(x, |input| {
        Ok(filled(input.len(), PIECE * PIECES, |task, fresh| {
            for input in input[task * PIECE * PIECES..].chunks(PIECE).take(PIECES) {
                Arch::new().dispatch(Activate {
                    input,
                    output: fresh.next(input.len()),
                    kind,
                });
            }
        }))
    })?;
    Tensor::from_vec(output, x.shape(), x.device())
}

struct Activate<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    kind: Kind,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.kind {
            Kind::Swish(slope) => map(
                simd,
                self.input,
                self.output,
                #[inline(always)]
                |x| swish(simd, x, slope),
            ),
            Kind::Gelu => map(
                simd,
                self.input,
                self.output,
                #[inline(always)]
                |x| gelu_vector(simd, x),
            ),
            Kind::GeluTanh => map(
                simd,
                self.input,
                self.output,
                #[inline(always)]
                |x| gelu_tanh_vector(simd, x),
            ),
        }
    }
}

/// hidden · gelu(gate).
struct Gated<'a> {
    hidden: &'a [f32],
    gate: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        map_pairs(
            simd,
            (self.hidden, self.gate),
            self.output,
            #[inline(always)]
            |hidden, gate| simd.mul_f32s(hidden, gelu_vector(simd, gate)),
        );
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    /// Φ by the series of erf in f64, and its continued fraction far out.
    fn phi(x: f64) -> f64 {
        let z = x.abs() / std::f64::consts::SQRT_2;
        let tail = if z < 3.0 {
            let (mut term, mut sum) = (z, z);
            for n in 1..200 {
                term *= -z * z / n as f64;
                sum += term / (2 * n + 1) as f64;
            }
            1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum
        } else {
            let fraction = (1..=80).rev().fold(z, |below, n| z + n as f64 / 2.0 / below);
            (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
        };
        if x < 0.0 { tail / 2.0 } else { 1.0 - tail / 2.0 }
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// The largest error in ulps of max(|x|, 1).
    fn ulps(inputs: &[f32], outputs: &[f32], exact: impl Fn(f64) -> f64) -> f64 {
        assert_eq!(inputs.len(), outputs.len());
        let errors = inputs.iter().zip(outputs).map(|(x, y)| {
            let error = (*y as f64 - exact(*x as f64)).abs();
            assert!(!error.is_nan(), "{x} -> {y}");
            error / f32::EPSILON as f64 / x.abs().max(1.0) as f64
        });
        errors.fold(0.0, f64::max)
    }

    fn sweep() -> Vec<f32> {
        let mut values: Vec<f32> = (-120_000..=120_000).map(|i| i as f32 * 1e-4).collect();
        values.extend([
            0.0,
            -0.0,
            1e-30,
            -1e-30,
            88.0,
            -88.0,
            1e4,
            -1e4,
            1e30,
            -1e30,
            f32::MAX,
            f32::MIN,
        ]);
        values
    }

    #[test]
    fn a_sweep_is_exact_to_a_few_ulps() -> Result<()> {
        let values = sweep();
        let x = Tensor::new(values.as_slice(), &Device::Cpu)?;
        let silu_error = ulps(&values, &silu(&x)?.to_vec1()?, |x| x * sigmoid(x));
        let quick_error = ulps(&values, &quick_gelu(&x)?.to_vec1()?, |x| x * sigmoid(1.702 * x));
        let gelu_error = ulps(&values, &gelu(&x)?.to_vec1()?, |x| x * phi(x));
        let tanh_error = ulps(&values, &gelu_tanh(&x)?.to_vec1()?, |x| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x * sigmoid(2.0 * u)
        });
        assert!(tanh_error < 2.5, "gelu with tanh {tanh_error}");
        assert!(silu_error < 2.0, "silu {silu_error}");
        assert!(quick_error < 2.0, "quick gelu {quick_error}");
        assert!(gelu_error < 2.5, "gelu {gelu_error}");
        Ok(())
    }

    #[test]
    fn nan_and_infinities_are_kept() -> Result<()> {
        let x = Tensor::new(&[f32::NAN, f32::INFINITY], &Device::Cpu)?;
        for y in [silu(&x)?, gelu(&x)?, gelu_tanh(&x)?, quick_gelu(&x)?] {
            let y: Vec<f32> = y.to_vec1()?;
            assert!(y[0].is_nan(), "{y:?}");
            assert_eq!(y[1], f32::INFINITY);
        }
        Ok(())
    }

    #[test]
    fn a_gate_takes_the_second_half() -> Result<()> {
        for (rows, half) in [(1, 1), (3, 5), (7, 33), (50, 1280), (2, 5000)] {
            let x = (Tensor::randn(0_f32, 2.0, (2, rows, 2 * half), &Device::Cpu))?;
            let y = geglu(&x)?;
            assert_eq!(y.dims(), [2, rows, half]);
            let expected = (x.narrow(2, 0, half)? * gelu(&x.narrow(2, half, half)?)?)?;
            assert_eq!(
                y.flatten_all()?.to_vec1::<f32>()?,
                expected.flatten_all()?.to_vec1::<f32>()?
            );
        }
        Ok(())
    }

    #[test]
    fn a_view_is_read_in_its_own_order() -> Result<()> {
        let x = Tensor::randn(0_f32, 2.0, (3, 10, 14), &Device::Cpu)?
            .transpose(0, 2)?
            .narrow(1, 1, 7)?;
        assert_eq!(silu(&x)?.to_vec3::<f32>()?, silu(&x.contiguous()?)?.to_vec3::<f32>()?);
        let wide = Tensor::randn(0_f32, 2.0, (4, 6), &Device::Cpu)?.t()?;
        assert_eq!(
            geglu(&wide)?.to_vec2::<f32>()?,
            geglu(&wide.contiguous()?)?.to_vec2::<f32>()?
        );
        Ok(())
    }

    #[test]
    fn wrong_inputs_are_errors() -> Result<()> {
        let doubles = Tensor::zeros((2, 4), candle_core::DType::F64, &Device::Cpu)?;
        assert!(silu(&doubles).is_err());
        assert!(geglu(&Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?).is_err());
        assert!(geglu(&Tensor::new(1_f32, &Device::Cpu)?).is_err());
        assert_eq!(
            silu(&Tensor::zeros((0, 3), candle_core::DType::F32, &Device::Cpu)?)?.dims(),
            [0, 3]
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn any_length_is_whole(values in prop::collection::vec(-30_f32..30.0, 0..100)) {
            let x = Tensor::new(values.as_slice(), &Device::Cpu)?;
            prop_assert!(ulps(&values, &gelu(&x)?.to_vec1()?, |x| x * phi(x)) < 2.5);
            prop_assert!(ulps(&values, &silu(&x)?.to_vec1()?, |x| x * sigmoid(x)) < 2.0);
        }
    }
}
