//! Layers whose numbers an adapter can change: what they are, what is put on them, and how they are found in a network.
//!
//! The weights stay as they were read. A LoRA, W' = W + s·up·down, becomes a branch beside its layer, which computes
//! W·x + (s·up)·(down·x) and costs the memory of the factors. What is no product of two factors becomes a whole weight beside
//! the one that was read, and costs as much as that. Taking either off gives back the very same numbers.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Kind of a layer, as far as adapters distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// x·Wᵀ + b.
    Linear,
    /// A 2-D convolution.
    Conv,
    /// A norm's scale and shift of every channel.
    Norm,
    /// A table of which rows are looked up.
    Embedding,
}

/// A layer of a network that an adapter may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its name: that of its weight without `.weight`.
    pub name: String,
    /// Its kind.
    pub kind: LayerKind,
    /// The shape of its weight: (out, in), (out, in, kh, kw) for a convolution, (C) for a norm.
    pub weight: Vec<usize>,
    /// Whether it has a bias.
    pub bias: bool,
}

impl LayerInfo {
    pub(super) fn new(vb: &VarBuilder<'_>, kind: LayerKind, weight: &Tensor, bias: bool) -> Self {
        Self {
            name: vb.prefix(),
            kind,
            weight: weight.dims().to_vec(),
            bias,
        }
    }
}

/// The two factors of a low-rank difference of the weight of a linear layer or a convolution.
#[derive(Debug, Clone)]
pub struct Branch {
    /// (rank, in), or (rank, in, kh, kw) for a convolution.
    pub down: Tensor,
    /// (out, rank), or (out, rank, 1, 1) for a convolution, with every scale multiplied in.
    pub up: Tensor,
}

/// Change of one layer by adapters. Tensors are in the layer's format on its device.
#[derive(Debug, Clone, Default)]
pub struct WeightChange {
    /// Low-rank branches beside the layer, for linear layers and convolutions.
    pub branches: Vec<Branch>,
    /// Replacement of the layer's weight, of the shape in [`LayerInfo::weight`].
    pub weight: Option<Tensor>,
    /// Difference of the bias, (out).
    pub bias: Option<Tensor>,
}

/// A layer that can be changed, in two steps, so that a network of which one layer cannot be changed stays as it was.
pub trait AdaptableLayer {
    /// Name, kind and shape of the layer.
    fn info(&self) -> &LayerInfo;

    /// The weight as it was read, without changes, on its device, of the shape in [`LayerInfo::weight`].
    ///
    /// # Errors
    ///
    /// Where the device fails.
    fn weight(&self) -> Result<Tensor>;

    /// The bias (out) as it was read, on its device; none where there is none.
    fn bias(&self) -> Option<Tensor>;

    /// Prepares a change that [`Self::commit`] will make.
    ///
    /// # Errors
    ///
    /// Where the change's tensors do not fit the layer, or the device fails.
    fn prepare(&mut self, change: WeightChange) -> Result<()>;

    /// Makes the prepared change; with nothing prepared the layer becomes as it was read.
    fn commit(&mut self);

    /// Drops the prepared change: the layer stays as it is.
    fn discard(&mut self);
}

/// Callback for every layer of a network.
pub type Visit<'a> = dyn FnMut(&mut dyn AdaptableLayer) + 'a;

/// Something with layers that adapters can change.
pub trait Adaptable {
    /// Calls `visit` for every layer.
    fn each_layer(&mut self, visit: &mut Visit<'_>);
}

impl<T: Adaptable> Adaptable for Option<T> {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        if let Some(layer) = self {
            layer.each_layer(visit);
        }
    }
}

impl<T: Adaptable> Adaptable for [T] {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for layer in self {
            layer.each_layer(visit);
        }
    }
}

/// The change that acts in a layer, and the prepared one.
#[derive(Debug, Clone)]
pub(super) struct Changed<T> {
    acting: Option<T>,
    next: Option<T>,
}

impl<T> Changed<T> {
    pub(super) fn nothing() -> Self {
        Self {
            acting: None,
            next: None,
        }
    }

    pub(super) fn acting(&self) -> Option<&T> {
        self.acting.as_ref()
    }

    pub(super) fn prepare(&mut self, next: T) {
        self.next = Some(next);
    }

    pub(super) fn commit(&mut self) {
        self.acting = self.next.take();
    }

    pub(super) fn discard(&mut self) {
        self.next = None;
    }
}

/// The second step and the information, alike for all layers with fields `info` and `changed`.
macro_rules! changed_in_two_steps {
    () => {
        fn info(&self) -> &LayerInfo {
            &self.info
        }

        fn commit(&mut self) {
            self.changed.commit();
        }

        fn discard(&mut self) {
            self.changed.discard();
        }
    };
}

pub(super) use changed_in_two_steps;
