//! Linear layers and 2-D convolutions that can carry low-rank branches beside their weights.
//!
//! A LoRA says W' = W + s·up·down. Here a layer computes W·x + (s·up)·(down·x) instead: the weights stay as they were read
//! (shared, mapped, packed), a LoRA costs the memory of its factors, and switching one off gives back the very same numbers.

use candle_core::{Result, Tensor};
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use crate::ops;

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
    /// Elsewhere.
    Plain(candle_nn::Conv2d),
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
        false => Base::Plain(candle_nn::Conv2d::new(weight, Some(bias), config)),
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
            Base::Plain(plain) => {
                candle_nn::Conv2d::new(plain.weight().clone(), plain.bias().cloned(), config).forward(x)?
            }
        };
        self.with_branches(y, x, config)
    }

    fn with_branches(&self, mut y: Tensor, x: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
        for Branch { down, up } in &self.low_rank.branches {
            // The branch sees the picture as the layer does: its first factor has the layer's kernel, padding and stride.
            let inner = candle_nn::Conv2d::new(down.clone(), None, config).forward(x)?;
            y = (y + candle_nn::Conv2d::new(up.clone(), None, Conv2dConfig::default()).forward(&inner)?)?;
        }
        Ok(y)
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.base {
            Base::Own(own) => own.forward(x)?,
            Base::Plain(plain) => plain.forward(x)?,
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
