//! Linear layers and 2-D convolutions that can carry low-rank branches beside their weights.
//!
//! A LoRA says W' = W + s·up·down. Here a layer computes W·x + (s·up)·(down·x) instead: the weights stay as they were read
//! (shared, mapped, packed), a LoRA costs the memory of its factors, and switching one off gives back the very same numbers.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use super::formats::wide;
use crate::ops;

/// Bytes of the matrix that candle makes of a convolution's input on a device, at most: it is as large as the input times the
/// positions of the kernel, 4.5 GiB for the largest of the autoencoder's at 1024 x 1024 pixels.
const COLUMN_BYTES: usize = 512 << 20;

/// Something whose layers can carry low-rank branches.
pub trait Adaptable {
    /// Shows every layer's branches to `visit`.
    fn each_layer(&mut self, visit: &mut dyn FnMut(&mut LowRank));
}

/// The low-rank branches of one layer.
#[derive(Debug, Clone)]
pub struct LowRank {
    layer: String,
    weight_shape: Vec<usize>,
    branches: Vec<Branch>,
}

/// The two factors of what is added to a weight.
#[derive(Debug, Clone)]
pub struct Branch {
    /// (rank, in), or (rank, in, kh, kw) for a convolution.
    pub down: Tensor,
    /// (out, rank), or (out, rank, 1, 1) for a convolution, with every scale multiplied in.
    pub up: Tensor,
}

impl LowRank {
    fn new(vb: &VarBuilder<'_>, weight: &Tensor) -> Self {
        Self {
            layer: vb.prefix(),
            weight_shape: weight.dims().to_vec(),
            branches: Vec::new(),
        }
    }

    /// The layer's name: that of its weight without `.weight`.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// (out, in), or (out, in, kh, kw) for a convolution.
    pub fn weight_shape(&self) -> &[usize] {
        &self.weight_shape
    }

    /// Puts these branches in the place of those before.
    pub fn set(&mut self, branches: Vec<Branch>) {
        self.branches = branches;
    }
}

/// y = x·Wᵀ + b over the last dimension, plus its branches.
#[derive(Debug, Clone)]
pub struct Linear {
    base: candle_nn::Linear,
    low_rank: LowRank,
}

/// A linear layer with the tensors `weight` (out, in) and `bias` (out).
pub fn linear(in_width: usize, out_width: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    Ok(Linear::around(candle_nn::linear(in_width, out_width, vb.clone())?, &vb))
}

/// A linear layer with the tensor `weight` (out, in).
pub fn linear_no_bias(in_width: usize, out_width: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    Ok(Linear::around(
        candle_nn::linear_no_bias(in_width, out_width, vb.clone())?,
        &vb,
    ))
}

impl Linear {
    fn around(base: candle_nn::Linear, vb: &VarBuilder<'_>) -> Self {
        let low_rank = LowRank::new(vb, base.weight());
        Self { base, low_rank }
    }

    /// The weight (out, in) without branches.
    pub fn weight(&self) -> &Tensor {
        self.base.weight()
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = self.base.forward(x)?;
        for Branch { down, up } in &self.low_rank.branches {
            let inner = candle_nn::Linear::new(down.clone(), None).forward(x)?;
            y = (y + candle_nn::Linear::new(up.clone(), None).forward(&inner)?)?;
        }
        Ok(y)
    }
}

impl Adaptable for Linear {
    fn each_layer(&mut self, visit: &mut dyn FnMut(&mut LowRank)) {
        visit(&mut self.low_rank);
    }
}

/// A 2-D convolution with a bias, plus its branches.
#[derive(Debug, Clone)]
pub struct Conv2d {
    base: Base,
    config: Conv2dConfig,
    low_rank: LowRank,
}

/// What a convolution is computed with; weights are held once.
#[derive(Debug, Clone)]
enum Base {
    /// On the CPU in f32.
    Own(ops::Conv2d),
    /// Elsewhere: the weight, and the bias as (1, out, 1, 1).
    Plain(Tensor, Tensor),
}

/// A convolution with a square kernel and the tensors `weight` (out, in, k, k) and `bias` (out).
pub fn conv2d(
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let weight = vb.get((out_channels, in_channels, kernel, kernel), "weight")?;
    let bias = vb.get(out_channels, "bias")?;
    let low_rank = LowRank::new(&vb, &weight);
    let base = match ops::takes(&weight) {
        true => Base::Own(ops::Conv2d::new(&weight, Some(&bias), config.padding, config.stride)?),
        false => Base::Plain(weight, bias.reshape((1, out_channels, 1, 1))?),
    };
    Ok(Conv2d { base, config, low_rank })
}

impl Conv2d {
    /// The same of an input that has zeros, or its neighbours' values, around it already: none are put there.
    pub fn forward_unpadded(&self, x: &Tensor) -> Result<Tensor> {
        let config = Conv2dConfig {
            padding: 0,
            ..self.config
        };
        let y = match &self.base {
            Base::Own(own) => own.forward_unpadded(x)?,
            Base::Plain(weight, bias) => convolve(x, weight, config)?.broadcast_add(bias)?,
        };
        self.with_branches(y, x, config)
    }

    fn with_branches(&self, mut y: Tensor, x: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
        for Branch { down, up } in &self.low_rank.branches {
            // The branch sees the picture as the layer does: its first factor has the layer's kernel, padding and stride.
            let inner = convolve(x, down, config)?;
            y = (y + convolve(&inner, up, Conv2dConfig::default())?)?;
        }
        Ok(y)
    }
}

/// A convolution of x (B, in, h, w) by candle's operators, without a bias.
fn convolve(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    if ops::takes(x) {
        return convolve_whole(x, weight, config);
    }
    convolve_within(COLUMN_BYTES, x, weight, config)
}

/// [`convolve`], of so many rows at a time that what candle makes of the input has no more than `most_bytes`.
fn convolve_within(most_bytes: usize, x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let kernel = weight.dim(D::Minus1)?;
    let Conv2dConfig { padding, stride, .. } = config;
    let out = |side: usize| (side + 2 * padding).saturating_sub(kernel) / stride + 1;
    let row_bytes = batch * out(width) * channels * kernel * kernel * x.dtype().size_in_bytes();
    let (all, rows) = (out(height), (most_bytes / row_bytes.max(1)).max(1));
    if rows >= all {
        return convolve_whole(x, weight, config);
    }
    let padded = x
        .pad_with_zeros(D::Minus2, padding, padding)?
        .pad_with_zeros(D::Minus1, padding, padding)?;
    let config = Conv2dConfig { padding: 0, ..config };
    let bands = (0..all).step_by(rows).map(|start| {
        let seen = (rows.min(all - start) - 1) * stride + kernel;
        convolve_whole(&padded.narrow(D::Minus2, start * stride, seen)?, weight, config)
    });
    Tensor::cat(&bands.collect::<Result<Vec<_>>>()?, D::Minus2)
}

fn convolve_whole(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let Conv2dConfig {
        padding,
        stride,
        dilation,
        groups,
        ..
    } = config;
    // Candle's convolution lacks bf16 on the CPU, where no user computes in it: the tests do, and round where a GPU rounds.
    if x.dtype() == DType::BF16 && x.device().is_cpu() {
        let y = wide(x)?.conv2d(&wide(weight)?, padding, stride, dilation, groups)?;
        return y.to_dtype(x.dtype());
    }
    x.conv2d(weight, padding, stride, dilation, groups)
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.base {
            Base::Own(own) => own.forward(x)?,
            Base::Plain(weight, bias) => convolve(x, weight, self.config)?.broadcast_add(bias)?,
        };
        self.with_branches(y, x, self.config)
    }
}

impl Adaptable for Conv2d {
    fn each_layer(&mut self, visit: &mut dyn FnMut(&mut LowRank)) {
        visit(&mut self.low_rank);
    }
}

impl<T: Adaptable> Adaptable for Option<T> {
    fn each_layer(&mut self, visit: &mut dyn FnMut(&mut LowRank)) {
        if let Some(layer) = self {
            layer.each_layer(visit);
        }
    }
}

impl<T: Adaptable> Adaptable for [T] {
    fn each_layer(&mut self, visit: &mut dyn FnMut(&mut LowRank)) {
        for layer in self {
            layer.each_layer(visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Shape};

    use super::*;

    fn numbers(seed: f64, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let values: Vec<f64> = (0..shape.elem_count()).map(|i| (seed * i as f64).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    }

    #[test]
    fn a_convolution_in_bands_is_that_of_the_whole() -> Result<()> {
        let x = numbers(0.7, (2, 3, 11, 6))?;
        for (kernel, padding, stride) in [(3, 1, 1), (3, 0, 1), (3, 1, 2), (3, 0, 2), (1, 0, 1)] {
            let weight = numbers(1.3, (4, 3, kernel, kernel))?;
            let config = Conv2dConfig {
                padding,
                stride,
                ..Conv2dConfig::default()
            };
            let whole = convolve_whole(&x, &weight, config)?;
            let row_bytes = 2 * whole.dim(3)? * 3 * kernel * kernel * size_of::<f64>();
            // Less than a row is a row.
            for most_bytes in [1, row_bytes, 3 * row_bytes, 100 * row_bytes] {
                let found = convolve_within(most_bytes, &x, &weight, config)?;
                assert_eq!(found.dims(), whole.dims());
                let difference = (found - &whole)?.abs()?.max_all()?.to_scalar::<f64>()?;
                assert!(difference < 1e-13, "{kernel} {padding} {stride}: {difference}");
            }
        }
        Ok(())
    }
}
