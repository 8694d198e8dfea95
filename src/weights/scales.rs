//! Weights in 8 bits with a factor beside each: which factor belongs to which weight, and which quantised weights are not
//! read. What of a file only belongs to its weights is no tensor of a network, and is taken away from them.
//!
//! A layer's factor is `LAYER.scale_weight` or `LAYER.weight_scale`: one number, or one for each output channel. Which
//! format the bits have, the type of the numbers says; where that is plain bytes, the file says it by a tensor `scaled_fp8`
//! of that type, by `LAYER.comfy_quant` (JSON in bytes), or by `_quantization_metadata` in its header.

use std::collections::{HashMap, HashSet};

use candle_core::Tensor;
use safetensors::Dtype;
use serde::Deserialize;

use super::{
    numbers,
    tensors::{Entry, Tensors},
};
use crate::error::{Error, Result, clipped};

/// Names of a layer's factor.
const FACTORS: [&str; 2] = ["scale_weight", "weight_scale"];
/// Factors of what goes into a layer: only arithmetic in 8 bits uses them.
const OF_INPUTS: [&str; 2] = ["scale_input", "input_scale"];
/// The tensor that marks a file with factors.
const MARK: &str = "scaled_fp8";
/// The tensor with a layer's format.
const SAID_BY_TENSOR: &str = "comfy_quant";
/// The key of the header with all layers' formats.
const SAID_BY_HEADER: &str = "_quantization_metadata";
/// The most bytes that either of them has: a few hundred layers of some 60 bytes each.
const MOST_SAID_BYTES: usize = 1 << 20;
/// Prefixes that the header leaves out of the layers' names, or adds to them.
const PREFIXES: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", "model."];

/// Endings of tensors that belong to weights in formats that are not read.
const NOT_READ: [(&str, &str); 17] = [
    ("absmax", "bitsandbytes (nf4 or fp4)"),
    ("quant_map", "bitsandbytes (nf4 or fp4)"),
    ("nested_absmax", "bitsandbytes (nf4 or fp4)"),
    ("nested_quant_map", "bitsandbytes (nf4 or fp4)"),
    ("bitsandbytes__nf4", "bitsandbytes (nf4)"),
    ("bitsandbytes__fp4", "bitsandbytes (fp4)"),
    ("SCB", "bitsandbytes (int8)"),
    ("qweight", "GPTQ, AWQ or SVDQuant"),
    ("qzeros", "GPTQ or AWQ"),
    ("wscales", "SVDQuant"),
    ("weight_scale_2", "nvfp4"),
    ("weight_scale_inv", "fp8 with a factor for each block"),
    ("weight_zero_point", "integers with a zero point"),
    ("pre_quant_scale", "weights that were changed for scaled inputs"),
    ("_data", "quanto"),
    ("_scale", "quanto"),
    ("weight_packed", "packed integers"),
];

/// The numbers that a weight is multiplied with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factor {
    file: usize,
    name: String,
    /// Whether there is one for each output channel.
    per_channel: bool,
}

/// Weights with their factors.
#[derive(Debug, Default)]
pub(super) struct Scaled {
    /// A weight by its plain name, its factor, and what its bits are where they are plain bytes.
    pub(super) weights: Vec<(String, Factor, Option<Dtype>)>,
    /// Tensors that belong to others, or only mark something.
    pub(super) used: Vec<String>,
}

impl Factor {
    /// In which of the files it is.
    pub(super) fn file(&self) -> usize {
        self.file
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The weight times its factor, in f32.
    pub(super) fn apply(&self, weight: &Tensor, factors: &Tensor) -> Result<Tensor> {
        let count = factors.elem_count();
        let factors = factors.flatten_all()?;
        if factors.to_vec1::<f32>()?.iter().any(|factor| !factor.is_finite()) {
            return Err(Error::failed(format!(
                "its factor {} holds NaN or infinite numbers",
                self.name
            )));
        }
        let mut shape = vec![1; weight.rank()];
        if let Some(first) = shape.first_mut().filter(|_| self.per_channel) {
            *first = count;
        }
        let wide = weight.to_dtype(candle_core::DType::F32)?;
        Ok(wide.broadcast_mul(&factors.reshape(shape)?)?)
    }
}

/// A file's entry of a layer's format.
#[derive(Debug, Deserialize)]
struct LayerSaid {
    format: String,
}

/// A header's entry of all layers' formats.
#[derive(Debug, Deserialize)]
struct HeaderSaid {
    #[serde(default)]
    layers: HashMap<String, LayerSaid>,
}

/// Finds the weights that have factors, and everything that belongs to quantised weights.
///
/// # Errors
///
/// Names the tensor where a factor has no weight or another shape than it, where the bits of integers are not stated to be
/// floats of 8 bits, and where weights are in a format that is not read.
pub(super) fn scaled(tensors: &Tensors) -> Result<Scaled> {
    let mut factors: Vec<(&str, &str, &Entry)> = Vec::new();
    let mut formats: HashMap<&str, Dtype> = HashMap::new();
    let mut mark = None;
    let mut used = Vec::new();
    for (name, entry) in tensors.entries() {
        let (layer, last) = name.rsplit_once('.').unwrap_or(("", name));
        if let Some((_, format)) = NOT_READ.iter().find(|(ending, _)| *ending == last) {
            return Err(Error::failed(format!(
                "the weights are quantised as {format}, which is not read (it has the tensor {name}); take a version in \
                 f16, bf16 or fp8"
            )));
        }
        match last {
            _ if FACTORS.contains(&last) => factors.push((layer, name, entry)),
            _ if OF_INPUTS.contains(&last) => {}
            MARK => mark = entry.dtype.filter(|dtype| numbers::is_f8(*dtype)),
            SAID_BY_TENSOR => drop(formats.insert(layer, said_by_tensor(tensors, name, entry)?)),
            _ => continue,
        }
        used.push(name.to_owned());
    }
    let said = tensors.metadata(SAID_BY_HEADER).map(said_by_header).transpose()?;
    let said = said.unwrap_or_default();
    let mut weights = Vec::with_capacity(factors.len());
    let mut seen = HashSet::new();
    for (layer, name, factor) in factors {
        let weight_name = match layer {
            "" => "weight".to_owned(),
            layer => format!("{layer}.weight"),
        };
        let weight = tensors.get(&weight_name).ok_or_else(|| {
            Error::failed(format!(
                "the factor {name} belongs to the tensor {weight_name}, which is not there"
            ))
        })?;
        if !seen.insert(weight_name.clone()) {
            return Err(Error::failed(format!("the tensor {weight_name} has two factors")));
        }
        let per_channel = per_channel(&weight.shape, &factor.shape).ok_or_else(|| {
            Error::failed(format!(
                "the factor {name} has shape {:?}, the tensor {weight_name} {:?}: one number is read, or one for each of \
                 the first side",
                factor.shape, weight.shape
            ))
        })?;
        if !factor.dtype.is_some_and(is_float) {
            let held = factor
                .dtype
                .map_or_else(|| "numbers of no known type".to_owned(), |dtype| format!("{dtype:?}"));
            return Err(Error::failed(format!("the factor {name} holds {held}, not floats")));
        }
        let format = || formats.get(layer).copied().or_else(|| of_layer(&said, layer)).or(mark);
        let bits = match weight.dtype {
            Some(Dtype::U8) => Some(format().ok_or_else(|| integers_with_factor(&weight_name, name, Dtype::U8))?),
            Some(dtype) if numbers::is_integer(dtype) => return Err(integers_with_factor(&weight_name, name, dtype)),
            Some(dtype) if numbers::is_f8(dtype) => {
                let said = formats.get(layer).copied().or_else(|| of_layer(&said, layer));
                if said.is_some_and(|said| said != dtype) {
                    return Err(Error::failed(format!(
                        "the tensor {weight_name} holds {dtype:?} and is said to hold {:?}",
                        said.unwrap_or(dtype)
                    )));
                }
                None
            }
            _ => None,
        };
        let factor = Factor {
            file: factor.file(),
            name: factor.name.clone(),
            per_channel,
        };
        weights.push((weight_name, factor, bits));
    }
    for layer in formats.keys() {
        let weight = format!("{layer}.weight");
        let is_quantised = |entry: &Entry| {
            entry
                .dtype
                .is_some_and(|dtype| numbers::is_f8(dtype) || numbers::is_integer(dtype))
        };
        if tensors.get(&weight).is_some_and(is_quantised) && !seen.contains(&weight) {
            return Err(Error::failed(format!(
                "the tensor {weight} is said to have a factor, {layer}.weight_scale, which is not there"
            )));
        }
    }
    Ok(Scaled { weights, used })
}

fn integers_with_factor(weight: &str, factor: &str, dtype: Dtype) -> Error {
    Error::failed(format!(
        "the tensor {weight} holds integers ({dtype:?}) with a factor ({factor}), and nothing says that they are floats of 8 \
         bits: that quantisation is not read; take a version in f16, bf16 or fp8"
    ))
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Whether a factor of this shape has a number for each output channel; none where it fits the weight in no way.
fn per_channel(weight: &[usize], factor: &[usize]) -> Option<bool> {
    match (weight, factor) {
        (_, factor) if factor.iter().all(|side| *side == 1) => Some(false),
        ([rows, ..], [first, rest @ ..]) if first == rows && rest.iter().all(|side| *side == 1) => Some(true),
        _ => None,
    }
}

/// The type of numbers that a format's name means.
fn of_format(format: &str) -> Result<Dtype> {
    match format {
        "float8_e4m3fn" => Ok(Dtype::F8_E4M3),
        "float8_e5m2" => Ok(Dtype::F8_E5M2),
        other => Err(Error::failed(format!(
            "the weights are quantised as {}, which is not read; take a version in f16, bf16 or fp8",
            clipped(other)
        ))),
    }
}

fn said_by_tensor(tensors: &Tensors, name: &str, entry: &Entry) -> Result<Dtype> {
    let wrong = || Error::failed(format!("the tensor {name} is no JSON with a \"format\""));
    let is_short = matches!(entry.shape.as_slice(), [length] if *length <= MOST_SAID_BYTES);
    if !is_short || entry.dtype != Some(Dtype::U8) {
        return Err(wrong());
    }
    let bytes = tensors.load(entry)?.to_vec1::<u8>()?;
    let said: LayerSaid = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    of_format(&said.format)
}

fn said_by_header(text: &str) -> Result<HashMap<String, Dtype>> {
    let wrong = |problem: String| Error::failed(format!("\"{SAID_BY_HEADER}\" in its header {problem}"));
    if text.len() > MOST_SAID_BYTES {
        return Err(wrong(format!("has {} bytes, more than {MOST_SAID_BYTES}", text.len())));
    }
    let said: HeaderSaid =
        serde_json::from_str(text).map_err(|error| wrong(format!("is damaged: {}", clipped(&error.to_string()))))?;
    let formats = said.layers.into_iter();
    formats
        .map(|(layer, said)| Ok((layer, of_format(&said.format)?)))
        .collect()
}

/// Format of a layer by the header, where it may have a longer or shorter name.
fn of_layer(said: &HashMap<String, Dtype>, layer: &str) -> Option<Dtype> {
    let longer = || PREFIXES.iter().find_map(|prefix| said.get(&format!("{prefix}{layer}")));
    let shorter = || PREFIXES.iter().find_map(|prefix| said.get(layer.strip_prefix(prefix)?));
    said.get(layer).or_else(longer).or_else(shorter).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_fit_as_one_number_or_one_for_each_output_channel() {
        for factor in [&[] as &[usize], &[1], &[1, 1]] {
            assert_eq!(per_channel(&[3, 2], factor), Some(false));
        }
        for factor in [&[3_usize] as &[usize], &[3, 1], &[3, 1, 1, 1]] {
            assert_eq!(per_channel(&[3, 2], factor), Some(true));
        }
        for factor in [&[2_usize] as &[usize], &[1, 2], &[3, 2], &[0], &[1, 3]] {
            assert_eq!(per_channel(&[3, 2], factor), None, "{factor:?}");
        }
        assert_eq!(per_channel(&[], &[3]), None);
    }

    #[test]
    fn the_header_may_name_layers_with_or_without_the_networks_prefix() -> Result<()> {
        let said = said_by_header(
            r#"{"format_version":"1.0","layers":{"model.diffusion_model.a":{"format":"float8_e4m3fn","x":1},
               "b":{"format":"float8_e5m2"}}}"#,
        )?;
        assert_eq!(of_layer(&said, "a"), Some(Dtype::F8_E4M3));
        assert_eq!(of_layer(&said, "model.diffusion_model.a"), Some(Dtype::F8_E4M3));
        assert_eq!(of_layer(&said, "model.diffusion_model.b"), Some(Dtype::F8_E5M2));
        assert_eq!(of_layer(&said, "c"), None);
        let other = said_by_header(r#"{"layers":{"a":{"format":"nvfp4"}}}"#).expect_err("not read");
        assert!(other.to_string().contains("nvfp4"), "{other}");
        assert!(said_by_header("[").is_err());
        Ok(())
    }
}
