//! The convolution against a plain loop in f64.

use candle_core::{Device, Result, Tensor};
use proptest::prelude::*;

use super::CpuConv2d;

/// Far above rounding with a few hundred terms, far below any mistake.
const TOLERANCE: f64 = 2e-5;

struct Case {
    batch: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    kernel: usize,
    padding: usize,
    stride: usize,
    bias: bool,
}

/// Numbers in (-1, 1) that look random and are the same each time.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

impl Case {
    fn weight(&self) -> Result<Tensor> {
        let (o, c, k) = (self.outputs, self.inputs, self.kernel);
        let scale = 1.0 / ((c * k * k) as f64).sqrt();
        Tensor::from_vec(noise(o * c * k * k, 1), (o, c, k, k), &Device::Cpu)? * scale
    }

    fn bias(&self) -> Result<Option<Tensor>> {
        match self.bias {
            true => Tensor::from_vec(noise(self.outputs, 2), self.outputs, &Device::Cpu).map(Some),
            false => Ok(None),
        }
    }

    fn input(&self) -> Result<Tensor> {
        let shape = (self.batch, self.inputs, self.height, self.width);
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        Tensor::from_vec(noise(count, 3), shape, &Device::Cpu)
    }

    fn conv(&self) -> Result<CpuConv2d> {
        CpuConv2d::new(&self.weight()?, self.bias()?.as_ref(), self.padding, self.stride)
    }

    /// The definition: the shape and the values.
    fn naive(&self, x: &Tensor) -> Result<(Vec<usize>, Vec<f64>)> {
        let (batch, inputs, height, width) = x.dims4()?;
        let x = x.flatten_all()?.to_vec1::<f32>()?;
        let weight = self.weight()?.flatten_all()?.to_vec1::<f32>()?;
        let bias = match self.bias()? {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; self.outputs],
        };
        let out = |n: usize| (n + 2 * self.padding - self.kernel) / self.stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        let mut result = Vec::new();
        for b in 0..batch {
            for (o, &bias) in bias.iter().enumerate() {
                for at in 0..out_height * out_width {
                    let (y, x0) = (at / out_width * self.stride, at % out_width * self.stride);
                    let mut sum = f64::from(bias);
                    for c in 0..inputs {
                        for tap in 0..self.kernel * self.kernel {
                            let y = (y + tap / self.kernel).wrapping_sub(self.padding);
                            let x1 = (x0 + tap % self.kernel).wrapping_sub(self.padding);
                            if y < height && x1 < width {
                                let w = (o * inputs + c) * self.kernel * self.kernel + tap;
                                let v = x[((b * inputs + c) * height + y) * width + x1];
                                sum += f64::from(weight[w]) * f64::from(v);
                            }
                        }
                    }
                    result.push(sum);
                }
            }
        }
        Ok((vec![batch, self.outputs, out_height, out_width], result))
    }

    /// The largest difference from the definition.
    fn error_for(&self, x: &Tensor) -> Result<f64> {
        let (shape, expected) = self.naive(x)?;
        let got = self.conv()?.forward(x)?;
        assert_eq!(got.dims(), shape);
        assert!(got.is_contiguous());
        let got = got.flatten_all()?.to_vec1::<f32>()?;
        let difference = |(g, e): (&f32, &f64)| (f64::from(*g) - e).abs();
        Ok(got.iter().zip(&expected).map(difference).fold(0.0, f64::max))
    }

    fn check(&self) -> Result<()> {
        let error = self.error_for(&self.input()?)?;
        assert!(error < TOLERANCE, "off by {error}");
        Ok(())
    }
}

/// A case with one image, a bias, padding that keeps the grid and stride 1.
fn same(inputs: usize, outputs: usize, height: usize, width: usize, kernel: usize) -> Case {
    Case {
        batch: 1,
        inputs,
        outputs,
        height,
        width,
        kernel,
        padding: kernel / 2,
        stride: 1,
        bias: true,
    }
}

#[test]
fn odd_shapes() -> Result<()> {
    for (height, width) in [(1, 1), (1, 9), (5, 7), (13, 9), (8, 8), (33, 4), (12, 70)] {
        for (inputs, outputs) in [(3, 5), (17, 1), (16, 16), (37, 50)] {
            for kernel in [1, 3] {
                same(inputs, outputs, height, width, kernel).check()?;
            }
        }
    }
    Ok(())
}

#[test]
fn more_channels_than_fit_in_a_block() -> Result<()> {
    for kernel in [1, 3] {
        same(300, 20, 6, 6, kernel).check()?;
    }
    Ok(())
}

#[test]
fn a_grid_of_several_chunks() -> Result<()> {
    for (inputs, kernel) in [(16, 3), (4, 3), (40, 1)] {
        let case = Case {
            batch: 2,
            ..same(inputs, 3, 130, 126, kernel)
        };
        case.check()?;
    }
    Ok(())
}

#[test]
fn the_encoder_s_way_to_halve_a_grid() -> Result<()> {
    let case = Case {
        padding: 0,
        stride: 2,
        ..same(20, 30, 17, 17, 3)
    };
    case.check()
}

#[test]
fn inputs_with_any_strides() -> Result<()> {
    for (inputs, kernel) in [(18, 3), (5, 3), (18, 1)] {
        let case = same(inputs, 7, 10, 11, kernel);
        let whole = same(inputs + 3, 7, 15, 11, kernel).input()?;
        let narrowed = whole.narrow(1, 2, inputs)?.narrow(2, 4, 10)?;
        assert!(case.error_for(&narrowed)? < TOLERANCE);
        let transposed = case.input()?.transpose(2, 3)?;
        assert!(case.error_for(&transposed)? < TOLERANCE);
    }
    Ok(())
}

#[test]
fn the_number_of_threads_does_not_matter() -> Result<()> {
    for (stride, inputs) in [(1, 150), (2, 150), (1, 4)] {
        let case = Case {
            batch: 2,
            stride,
            ..same(inputs, 40, 40, 36, 3)
        };
        let (conv, x) = (case.conv()?, case.input()?);
        let bits = |threads: usize| -> Result<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(candle_core::Error::wrap)?;
            let out = pool.install(|| conv.forward(&x))?.flatten_all()?;
            Ok(out.to_vec1::<f32>()?.iter().map(|v| v.to_bits()).collect())
        };
        let one = bits(1)?;
        for threads in [2, 3, 8] {
            assert!(one == bits(threads)?, "{threads} threads, stride {stride}");
        }
    }
    Ok(())
}

#[test]
fn zeros_in_the_input_count_as_padding() -> Result<()> {
    for (inputs, stride) in [(3, 1), (20, 1), (20, 2)] {
        let case = Case {
            batch: 2,
            inputs,
            outputs: 7,
            height: 9,
            width: 11,
            kernel: 3,
            padding: 1,
            stride,
            bias: true,
        };
        let (conv, x) = (case.conv()?, case.input()?);
        let padded = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
        let [expected, found] = [conv.forward(&x)?, conv.forward_unpadded(&padded)?]
            .map(|y| y.flatten_all().and_then(|y| y.to_vec1::<f32>()));
        assert_eq!(expected?, found?, "{inputs} channels, stride {stride}");
    }
    Ok(())
}

#[test]
fn wrong_shapes_are_errors() -> Result<()> {
    let cpu = &Device::Cpu;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, cpu);
    assert!(CpuConv2d::new(&zeros(&[4, 2, 3, 1])?, None, 1, 1).is_err());
    assert!(CpuConv2d::new(&zeros(&[4, 2, 3])?, None, 1, 1).is_err());
    assert!(CpuConv2d::new(&zeros(&[4, 2, 3, 3])?, None, 1, 0).is_err());
    assert!(CpuConv2d::new(&zeros(&[4, 2, 3, 3])?, Some(&zeros(&[5])?), 1, 1).is_err());
    for stride in [1, 2] {
        for inputs in [2, 20] {
            let conv = CpuConv2d::new(&zeros(&[4, inputs, 3, 3])?, None, 0, stride)?;
            assert!(conv.forward(&zeros(&[1, inputs + 1, 5, 5])?).is_err());
            assert!(conv.forward(&zeros(&[1, inputs, 2, 5])?).is_err());
            assert!(conv.forward(&zeros(&[inputs, 5, 5])?).is_err());
            assert_eq!(conv.forward(&zeros(&[0, inputs, 3, 3])?)?.dims()[0], 0);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape(
        (batch, inputs, outputs) in (1usize..4, 1usize..40, 1usize..60),
        (height, width) in (3usize..22, 3usize..22),
        (kernel, stride) in (prop_oneof![Just(1usize), Just(3)], 1usize..3),
        (padding, bias) in (0usize..3, any::<bool>()),
    ) {
        let case = Case {
            batch, inputs, outputs, height, width, kernel, padding, stride, bias,
        };
        let error = case.error_for(&case.input()?)?;
        prop_assert!(error < TOLERANCE, "off by {}", error);
    }
}
