//! Linear layers, 2-D convolutions and tables of embeddings that adapters can change; see [`super::adaptable`].

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use super::{
    adaptable::{
        Adaptable, AdaptableLayer, Branch, Changed, LayerInfo, LayerKind, Visit, WeightChange, changed_in_two_steps,
    },
    formats::wide,
};
use crate::ops;

/// Bytes of the matrix that candle makes of a convolution's input on a device, at most: it is as large as the input times the
/// positions of the kernel, 4.5 GiB for the largest of the autoencoder's at 1024 x 1024 pixels.
const COLUMN_BYTES: usize = 512 << 20;

/// y = x·Wᵀ + b over the last dimension.
#[derive(Debug, Clone)]
pub struct Linear {
    base: candle_nn::Linear,
    info: LayerInfo,
    changed: Changed<ChangedLinear>,
}

/// Replacement of a linear layer's weight, and the branches beside it.
#[derive(Debug, Clone)]
struct ChangedLinear {
    base: Option<candle_nn::Linear>,
    branches: Vec<Branch>,
    bias: Option<Tensor>,
}

/// A linear layer with the tensors `weight` (out, in) and `bias` (out).
///
/// # Errors
///
/// Where `vb` lacks one of the tensors, or has it in another shape.
pub fn linear(in_width: usize, out_width: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    Ok(Linear::around(candle_nn::linear(in_width, out_width, vb.clone())?, &vb))
}

/// A linear layer with the tensor `weight` (out, in).
///
/// # Errors
///
/// Where `vb` lacks the tensor, or has it in another shape.
pub fn linear_no_bias(in_width: usize, out_width: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    Ok(Linear::around(
        candle_nn::linear_no_bias(in_width, out_width, vb.clone())?,
        &vb,
    ))
}

impl Linear {
    fn around(base: candle_nn::Linear, vb: &VarBuilder<'_>) -> Self {
        let info = LayerInfo::new(vb, LayerKind::Linear, base.weight(), base.bias().is_some());
        Self {
            base,
            info,
            changed: Changed::nothing(),
        }
    }

    /// The weight (out, in) as it was read.
    pub fn weight(&self) -> &Tensor {
        self.base.weight()
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Some(ChangedLinear { base, branches, bias }) = self.changed.acting() else {
            return self.base.forward(x);
        };
        let mut y = base.as_ref().unwrap_or(&self.base).forward(x)?;
        for Branch { down, up } in branches {
            let inner = candle_nn::Linear::new(down.clone(), None).forward(x)?;
            y = (y + candle_nn::Linear::new(up.clone(), None).forward(&inner)?)?;
        }
        match bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl AdaptableLayer for Linear {
    changed_in_two_steps!();

    fn weight(&self) -> Result<Tensor> {
        Ok(self.base.weight().clone())
    }

    fn bias(&self) -> Option<Tensor> {
        self.base.bias().cloned()
    }

    fn prepare(&mut self, change: WeightChange) -> Result<()> {
        let bias = self.base.bias();
        self.changed.prepare(ChangedLinear {
            base: change
                .weight
                .map(|weight| candle_nn::Linear::new(weight, bias.cloned())),
            branches: change.branches,
            bias: change.bias,
        });
        Ok(())
    }
}

impl Adaptable for Linear {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        visit(self);
    }
}

/// A table of embeddings (rows, width), of which rows are looked up.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Tensor,
    info: LayerInfo,
    changed: Changed<Option<Tensor>>,
}

/// A table with the tensor `weight` (rows, width).
///
/// # Errors
///
/// Where `vb` lacks the tensor, or has it in another shape.
pub fn embedding(rows: usize, width: usize, vb: VarBuilder<'_>) -> Result<Embedding> {
    let table = vb.get((rows, width), "weight")?;
    Ok(Embedding {
        info: LayerInfo::new(&vb, LayerKind::Embedding, &table, false),
        table,
        changed: Changed::nothing(),
    })
}

impl Embedding {
    /// The table that acts, (rows, width).
    pub fn embeddings(&self) -> &Tensor {
        self.changed.acting().and_then(Option::as_ref).unwrap_or(&self.table)
    }
}

impl Module for Embedding {
    /// (B, L) of row numbers → (B, L, width).
    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let table = self.embeddings().clone();
        let width = table.dim(D::Minus1)?;
        candle_nn::Embedding::new(table, width).forward(rows)
    }
}

impl AdaptableLayer for Embedding {
    changed_in_two_steps!();

    fn weight(&self) -> Result<Tensor> {
        Ok(self.table.clone())
    }

    fn bias(&self) -> Option<Tensor> {
        None
    }

    fn prepare(&mut self, change: WeightChange) -> Result<()> {
        self.changed.prepare(change.weight);
        Ok(())
    }
}

impl Adaptable for Embedding {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        visit(self);
    }
}

/// A 2-D convolution with a bias.
#[derive(Debug, Clone)]
pub struct Conv2d {
    base: Base,
    /// (out).
    bias: Tensor,
    config: Conv2dConfig,
    info: LayerInfo,
    changed: Changed<ChangedConv>,
}

/// Replacement of a convolution's weight, and the branches beside it.
#[derive(Debug, Clone)]
struct ChangedConv {
    base: Option<Base>,
    branches: Vec<Branch>,
    /// (1, out, 1, 1).
    bias: Option<Tensor>,
}

/// Operator of a convolution; weights are held once.
#[derive(Debug, Clone)]
enum Base {
    /// On the CPU in f32.
    Own(ops::CpuConv2d),
    /// Elsewhere: the weight, and the bias as (1, out, 1, 1).
    Plain(Tensor, Tensor),
}

impl Base {
    fn new(weight: Tensor, bias: &Tensor, config: Conv2dConfig) -> Result<Self> {
        Ok(match ops::supports(&weight) {
            true => Self::Own(ops::CpuConv2d::new(&weight, Some(bias), config.padding, config.stride)?),
            false => Self::Plain(weight, over_grid(bias)?),
        })
    }
}

/// (out) → (1, out, 1, 1).
fn over_grid(bias: &Tensor) -> Result<Tensor> {
    bias.reshape((1, bias.elem_count(), 1, 1))
}

/// A convolution with a square kernel and the tensors `weight` (out, in, k, k) and `bias` (out).
///
/// # Errors
///
/// Where `vb` lacks one of the tensors, or has it in another shape.
pub fn conv2d(
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let weight = vb.get((out_channels, in_channels, kernel, kernel), "weight")?;
    let bias = vb.get(out_channels, "bias")?;
    Ok(Conv2d {
        info: LayerInfo::new(&vb, LayerKind::Conv, &weight, true),
        base: Base::new(weight, &bias, config)?,
        bias,
        config,
        changed: Changed::nothing(),
    })
}

impl Conv2d {
    /// The same of an input that has zeros, or its neighbours' values, around it already: none are put there.
    pub(crate) fn forward_unpadded(&self, x: &Tensor) -> Result<Tensor> {
        let config = Conv2dConfig {
            padding: 0,
            ..self.config
        };
        let base = |base: &Base| match base {
            Base::Own(own) => own.forward_unpadded(x),
            Base::Plain(weight, bias) => convolve(x, weight, config)?.broadcast_add(bias),
        };
        self.with_changes(base, x, config)
    }

    fn with_changes(&self, run: impl Fn(&Base) -> Result<Tensor>, x: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
        let Some(ChangedConv { base, branches, bias }) = self.changed.acting() else {
            return run(&self.base);
        };
        let mut y = run(base.as_ref().unwrap_or(&self.base))?;
        for Branch { down, up } in branches {
            // The branch sees the picture as the layer does: its first factor has the layer's kernel, padding and stride.
            let inner = convolve(x, down, config)?;
            y = (y + convolve(&inner, up, Conv2dConfig::default())?)?;
        }
        match bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A convolution of x (B, in, h, w) by candle's operators, without a bias.
fn convolve(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    if ops::supports(x) {
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
        let base = |base: &Base| match base {
            Base::Own(own) => own.forward(x),
            Base::Plain(weight, bias) => convolve(x, weight, self.config)?.broadcast_add(bias),
        };
        self.with_changes(base, x, self.config)
    }
}

impl AdaptableLayer for Conv2d {
    changed_in_two_steps!();

    fn weight(&self) -> Result<Tensor> {
        match &self.base {
            Base::Own(own) => own.weight(),
            Base::Plain(weight, _) => Ok(weight.clone()),
        }
    }

    fn bias(&self) -> Option<Tensor> {
        Some(self.bias.clone())
    }

    fn prepare(&mut self, change: WeightChange) -> Result<()> {
        let base = |weight| Base::new(weight, &self.bias, self.config);
        self.changed.prepare(ChangedConv {
            base: change.weight.map(base).transpose()?,
            branches: change.branches,
            bias: change.bias.as_ref().map(over_grid).transpose()?,
        });
        Ok(())
    }
}

impl Adaptable for Conv2d {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        visit(self);
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
