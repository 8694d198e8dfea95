//! Two linear layers with a nonlinearity between them: what transformers embed timesteps, sizes and texts with.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::{
    adaptable::{Adaptable, Visit},
    layers::{Linear, linear},
};

/// A nonlinearity, element by element.
pub(crate) type Activation = fn(&Tensor) -> Result<Tensor>;

/// linear_2(act(linear_1 x)).
#[derive(Debug)]
pub(crate) struct Mlp {
    linear_1: Linear,
    linear_2: Linear,
    act: Activation,
}

impl Mlp {
    /// From `input` to `width` numbers, and on to `width`, with the tensors `linear_1` and `linear_2`.
    pub(crate) fn new([input, width]: [usize; 2], act: Activation, vb: VarBuilder<'_>) -> Result<Self> {
        Self::widening([input, width, width], act, vb)
    }

    /// The same with a width of its own inside.
    pub(crate) fn widening([input, inner, width]: [usize; 3], act: Activation, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            linear_1: linear(input, inner, vb.pp("linear_1"))?,
            linear_2: linear(inner, width, vb.pp("linear_2"))?,
            act,
        })
    }

    /// (…, input) → (…, width).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&(self.act)(&self.linear_1.forward(x)?)?)
    }
}

impl Adaptable for Mlp {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.linear_1.each_layer(visit);
        self.linear_2.each_layer(visit);
    }
}
