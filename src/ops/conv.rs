//! The convolution that the networks use on the CPU.
//!
//! In go a tensor (B, C, h, w) and weights (O, C, k, k) that were laid out
//! once; out comes (B, O, h', w'). Filters of 3x3 with stride 1 go through
//! [`super::winograd`], all others through [`super::im2col`]. The result does
//! not depend on the number of threads.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use super::im2col::Im2Col;
use super::transform::TAPS;
use super::vector::check;
use super::winograd::Winograd;

/// With fewer input channels Winograd's transforms cost more than they save.
const WINOGRAD_INPUTS: usize = 16;

/// A 2-D convolution on the CPU in f32 with its weights prepared once.
#[derive(Clone, Debug)]
pub struct CpuConv2d(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    method: Method,
    outputs: usize,
    inputs: usize,
    kernel: usize,
    padding: usize,
    stride: usize,
}

#[derive(Debug)]
enum Method {
    Winograd(Winograd),
    Im2Col(Im2Col),
}

impl CpuConv2d {
    /// Prepares `weight` (O, C, k, k) and `bias` (O), both f32 on the CPU.
    ///
    /// # Errors
    ///
    /// Where the kernel is not square, where a dimension or the stride is 0, where the bias does not have O numbers,
    /// and where a tensor is not f32 on the CPU.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, padding: usize, stride: usize) -> Result<Self> {
        let (outputs, inputs, kernel, kernel_x) = weight.dims4()?;
        if kernel != kernel_x {
            bail!("a filter of {kernel}x{kernel_x} is not square");
        }
        if outputs * inputs * kernel * stride == 0 {
            bail!("a convolution with weights {:?} and stride {stride}", weight.shape());
        }
        let weight = values(weight)?;
        let bias = match bias {
            Some(bias) if bias.dims1()? != outputs => {
                bail!("{outputs} output channels, but a bias {:?}", bias.shape())
            }
            Some(bias) => values(bias)?,
            None => vec![0.0; outputs],
        };
        let winograd = kernel == TAPS && stride == 1 && inputs >= WINOGRAD_INPUTS;
        let method = match winograd {
            true => Method::Winograd(Winograd::new(&weight, &bias, outputs, inputs)),
            false => Method::Im2Col(Im2Col::new(&weight, &bias, inputs, kernel, stride)),
        };
        Ok(Self(Arc::new(Prepared {
            method,
            outputs,
            inputs,
            kernel,
            padding,
            stride,
        })))
    }

    /// The weight as it came, (O, C, k, k), copied: it is held in another order.
    ///
    /// # Errors
    ///
    /// Where there is no memory for the copy.
    pub fn weight(&self) -> Result<Tensor> {
        let Prepared {
            method,
            outputs,
            inputs,
            kernel,
            ..
        } = &*self.0;
        let weight = match method {
            Method::Winograd(conv) => conv.weight(),
            Method::Im2Col(conv) => conv.weight(),
        };
        Tensor::from_vec(weight, (*outputs, *inputs, *kernel, *kernel), &Device::Cpu)
    }

    /// Convolves `x` (B, C, h, w), with any strides, to (B, O, h', w').
    ///
    /// # Errors
    ///
    /// Where `x` has other channels than C, is smaller than the kernel, or is not f32 on the CPU.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, self.0.padding)
    }

    /// As [`Self::forward`], of an input that has zeros, or its neighbours' values, around it already: none are put there.
    pub(crate) fn forward_unpadded(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, 0)
    }

    fn run(&self, x: &Tensor, padding: usize) -> Result<Tensor> {
        x.contiguous()?.apply_op1_no_bwd(&Call { conv: &self.0, padding })
    }
}

/// A convolution with the zeros that this call puts on every side of its input.
struct Call<'a> {
    conv: &'a Prepared,
    padding: usize,
}

/// The numbers of a tensor on the CPU in f32.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    check(tensor, "weights")?;
    tensor.flatten_all()?.to_vec1()
}

impl Call<'_> {
    /// The output's length for an input's, or an error if there is none.
    fn out(&self, size: usize) -> Result<usize> {
        match (size + 2 * self.padding).checked_sub(self.conv.kernel) {
            Some(steps) if size > 0 => Ok(steps / self.conv.stride + 1),
            _ => bail!("a {0}x{0} filter on an input of length {size}", self.conv.kernel),
        }
    }
}

impl CustomOp1 for Call<'_> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, inputs, height, width) = layout.shape().dims4()?;
        let conv = self.conv;
        if inputs != conv.inputs {
            bail!("{inputs} input channels instead of {}", conv.inputs);
        }
        let shape = (batch, conv.outputs, self.out(height)?, self.out(width)?);
        let x: &[f32] = storage.as_slice()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("the input of a convolution must be contiguous here");
        };
        let x = &x[start..end];
        let out = match &conv.method {
            _ if batch == 0 => Vec::new(),
            Method::Winograd(conv) => conv.forward(x, batch, height, width, self.padding),
            Method::Im2Col(conv) => conv.forward(x, batch, height, width, self.padding),
        };
        Ok((CpuStorage::F32(out), shape.into()))
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
