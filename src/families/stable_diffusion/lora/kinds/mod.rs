//! Changes of a layer by each kind of adapter. In: the tensors of one layer in a file, the layer's weight. Out: a branch beside
//! the layer, or a weight in the place of its own. Shapes are compared with the layer's before anything is computed.

mod decompose;
mod factors;
mod linalg;
mod products;
mod recipe;
mod rotations;

use candle_core::{DType, Device, Tensor};

pub(super) use self::recipe::Recipe;
use super::scale::OftSettings;
use crate::{
    error::{Error, Result},
    nn::adaptable::{LayerInfo, LayerKind},
    weights::Store,
};

/// How strongly an adapter acts on a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Strength {
    /// Scale of the file: alpha / rank.
    pub(super) factor: f64,
    /// Scale of the request.
    pub(super) scale: f64,
}

impl Strength {
    fn both(self) -> f64 {
        self.factor * self.scale
    }
}

/// The tensors of a file.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    pub(super) oft: Option<OftSettings>,
}

impl Source<'_> {
    fn shape(&self, name: &str) -> &[usize] {
        self.store.shape(name).unwrap_or_default()
    }

    /// A tensor in f32 on the CPU; one that holds NaN or infinite numbers is refused by name.
    fn load(&self, name: &str) -> Result<Tensor> {
        Ok(self.store.var_builder(DType::F32, &Device::Cpu).get_unchecked(name)?)
    }

    /// The number of a tensor of one.
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        let shape = self.shape(name);
        if shape.iter().product::<usize>() != 1 {
            return Err(Error::failed(format!(
                "{name} is not one number but has the shape {shape:?}"
            )));
        }
        let numbers = self.load(name)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(numbers.first().copied().map_or(0.0, f64::from))
    }
}

/// A layer that is changed.
pub(super) struct Target<'a> {
    pub(super) info: &'a LayerInfo,
    /// Its weight as it was read, in f32 on the CPU.
    pub(super) weight: &'a dyn Fn() -> Result<Tensor>,
    /// Its bias as it was read, in f32 on the CPU; none where it has none.
    pub(super) bias: &'a dyn Fn() -> Result<Option<Tensor>>,
}

/// Change of a layer by one adapter, in f32 on the CPU.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Both factors, the second with every scale.
    pub(super) branch: Option<[Tensor; 2]>,
    /// The weight in the place of the layer's own.
    pub(super) weight: Option<Tensor>,
    /// Difference of the bias.
    pub(super) bias: Option<Tensor>,
}

/// The sides of a layer's weight: rows, columns, and positions of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sides<'a> {
    rows: usize,
    columns: usize,
    kernel: &'a [usize],
}

impl<'a> Sides<'a> {
    fn of(info: &'a LayerInfo) -> Result<Self> {
        match info.weight.as_slice() {
            [rows, columns, kernel @ ..] => Ok(Self {
                rows: *rows,
                columns: *columns,
                kernel,
            }),
            _ => Err(Error::failed(format!(
                "{} is a norm, whose weight is {:?}: only a difference can be added to it",
                info.name, info.weight
            ))),
        }
    }

    fn positions(self) -> usize {
        self.kernel.iter().product()
    }
}

/// Whether two shapes are the same but for sides of 1 behind the others: 1x1 convolutions and linear layers stand for each
/// other.
fn same_shape(a: &[usize], b: &[usize]) -> bool {
    let shared = a.len().min(b.len());
    a[..shared] == b[..shared] && a[shared..].iter().chain(&b[shared..]).all(|side| *side == 1)
}

/// A refusal of tensors whose shapes do not fit a layer.
fn unfit(tensors: &[(&str, &[usize])], info: &LayerInfo, wanted: &str) -> Error {
    let tensors: Vec<String> = tensors
        .iter()
        .map(|(name, shape)| format!("{name} {shape:?}"))
        .collect();
    Error::failed(format!(
        "{} do not fit the layer {}, whose weight is {:?}: they would have to be {wanted}; it is for another model",
        tensors.join(" and "),
        info.name,
        info.weight
    ))
}

/// A refusal of a kind that is not for layers like this.
fn not_for(kind: &str, info: &LayerInfo) -> Error {
    let layer = match info.kind {
        LayerKind::Linear => "a linear layer",
        LayerKind::Conv => "a convolution",
        LayerKind::Norm => "a norm",
        LayerKind::Embedding => "a table of embeddings",
    };
    Error::failed(format!("{kind} on {}, which is {layer}, is not computed", info.name))
}
