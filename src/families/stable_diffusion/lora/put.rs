//! Adapters on a network.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::{
    file::{LoraFile, Tensors, by_flat_name},
    kinds::{Made, Strength, Target},
    names::Part,
};
use crate::{
    error::{Error, Result},
    nn::adaptable::{Adaptable, AdaptableLayer, Branch, LayerInfo, WeightChange},
};

/// The layers of a network.
pub fn layers_of(network: &mut dyn Adaptable) -> Vec<LayerInfo> {
    let mut layers = Vec::new();
    network.each_layer(&mut |layer| layers.push(layer.info().clone()));
    layers
}

/// Puts adapters, each at its scale, on one part of a model in the place of those before. On an error the part is as it was.
/// Tensors are made in the format and on the device of the network.
///
/// # Errors
///
/// Where a change cannot be computed from the file's tensors, or the device fails; the part is as it was then.
pub fn put(
    loras: &[(&LoraFile, f64)],
    part: Part,
    layers_per_block: &[usize],
    network: &mut dyn Adaptable,
    to: &(DType, Device),
) -> Result<()> {
    let layers = layers_of(network);
    let names = by_flat_name(&layers, part, layers_per_block);
    let mut wanted: HashMap<&str, Vec<(&LoraFile, &Tensors, f64)>> = HashMap::new();
    for (lora, scale) in loras {
        // At 0 an adapter changes nothing, to the last digit.
        if *scale == 0.0 {
            continue;
        }
        for (name, tensors) in lora.layers_of(part) {
            if let Some(layer) = names.get(name) {
                wanted.entry(&layer.name).or_default().push((lora, tensors, *scale));
            }
        }
    }
    let mut failed = None;
    network.each_layer(&mut |layer| {
        if failed.is_some() {
            return;
        }
        if let Some(uses) = wanted.get(layer.info().name.as_str())
            && let Err(error) = change(layer, uses, part, to).and_then(|change| Ok(layer.prepare(change)?))
        {
            failed = Some(error);
        }
    });
    network.each_layer(&mut |layer| match failed {
        None => layer.commit(),
        Some(_) => layer.discard(),
    });
    failed.map_or(Ok(()), Err)
}

/// Sums the changes of a layer by several adapters: all of the weight as it was read, and their differences from it add up.
fn change(
    layer: &dyn AdaptableLayer,
    uses: &[(&LoraFile, &Tensors, f64)],
    part: Part,
    to: &(DType, Device),
) -> Result<WeightChange> {
    let info = layer.info();
    let (dtype, device) = to;
    let read = || Ok::<_, Error>(plain(&layer.weight()?)?);
    let placed = |tensor: &Tensor| Ok::<_, Error>(tensor.to_dtype(*dtype)?.to_device(device)?);
    let mut change = WeightChange::default();
    let mut weight: Option<Tensor> = None;
    let mut bias: Option<Tensor> = None;
    for (lora, tensors, scale) in uses {
        let made = made(layer, lora, tensors, part, *scale).map_err(|error| lora.in_context(error))?;
        if let Some([down, up]) = made.branch {
            change.branches.push(Branch {
                down: placed(&down)?,
                up: placed(&up)?,
            });
        }
        weight = match (weight, made.weight) {
            (Some(before), Some(made)) => Some((before + (made - read()?)?)?),
            (before, made) => before.or(made),
        };
        bias = match (bias, made.bias) {
            (Some(before), Some(made)) => Some((before + made)?),
            (before, made) => before.or(made),
        };
    }
    let shaped = |tensor: Tensor| placed(&tensor.reshape(info.weight.as_slice())?);
    change.weight = weight.map(shaped).transpose()?;
    change.bias = bias.as_ref().map(placed).transpose()?;
    Ok(change)
}

fn made(layer: &dyn AdaptableLayer, lora: &LoraFile, tensors: &Tensors, part: Part, scale: f64) -> Result<Made> {
    let info = layer.info();
    let (recipe, factor) = lora.recipe(part, info, tensors)?;
    let strength = Strength {
        factor: factor.map_or(1.0, |factor| factor.number),
        scale,
    };
    let target = Target {
        info,
        weight: &|| Ok(plain(&layer.weight()?)?),
        bias: &|| Ok(layer.bias().as_ref().map(plain).transpose()?),
    };
    let made = recipe.make(&lora.source(part), &target, strength)?;
    let [down, up] = made
        .branch
        .as_ref()
        .map_or([None, None], |[down, up]| [Some(down), Some(up)]);
    for tensor in [down, up, made.weight.as_ref(), made.bias.as_ref()]
        .into_iter()
        .flatten()
    {
        if !is_finite(tensor)? {
            return Err(Error::failed(format!(
                "what it makes of the layer {} at the scale {scale} is not finite",
                info.name
            )));
        }
    }
    Ok(made)
}

/// In f32 on the CPU.
fn plain(tensor: &Tensor) -> candle_core::Result<Tensor> {
    tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)
}

/// Whether all numbers are finite: one that is not makes the sum so, which large finite ones can do too.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
        return Ok(true);
    }
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|x| x.is_finite()))
}
