//! Reads what the program writes, independently of it.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{Device, Tensor};
use half::f16;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::common::{case_file, model};

pub type Tensors = HashMap<String, Tensor>;

pub fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).expect("an output can be read")
}

/// The JSON under the key `featscope` of a safetensors file's metadata.
pub fn metadata(path: &Path) -> Value {
    let bytes = fs::read(path).expect("an output");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let metadata = header.metadata().as_ref().expect("metadata");
    serde_json::from_str(&metadata["featscope"]).expect("JSON")
}

/// A .npy file of 32 or 16 bits, in f32.
pub fn read_npy(path: &Path) -> Tensor {
    let bytes = fs::read(path).expect("a .npy file");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0, "the numbers are aligned");
    let header = std::str::from_utf8(&bytes[10..10 + length]).expect("a header");
    assert!(
        header.ends_with('\n') && header.contains("'fortran_order': False"),
        "{header}"
    );
    let (_, shape) = header.split_once("'shape': (").expect("a shape");
    let (shape, _) = shape.split_once(')').expect("a shape");
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Vec<usize> = sides.map(|side| side.parse().expect("a side")).collect();
    let data = &bytes[10 + length..];
    let numbers: Vec<f32> = if header.contains("'<f4'") {
        data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
    } else {
        assert!(header.contains("'<f2'"), "{header}");
        data.as_chunks()
            .0
            .iter()
            .map(|x| f16::from_le_bytes(*x).to_f32())
            .collect()
    };
    Tensor::from_vec(numbers, shape, &Device::Cpu).expect("as many numbers as the shape says")
}

/// The arguments of a small extraction without `--activations` and `--out`.
pub fn adm() -> Vec<String> {
    let model = model("tiny-adm").display().to_string();
    let image = picture("adm-all", 0);
    [
        "extract", "--model", &model, "--image", &image, "--t", "150", "--size", "32",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The same for a model with text.
pub fn sd15() -> Vec<String> {
    let model = model("tiny-sd15").display().to_string();
    let image = picture("sd15-all-64", 0);
    [
        "extract", "--model", &model, "--image", &image, "--t", "51", "--size", "64",
    ]
    .map(str::to_owned)
    .to_vec()
}

pub fn picture(case: &str, index: usize) -> String {
    case_file(case, &format!("image{index}.png")).display().to_string()
}

/// Arguments and more arguments.
pub fn with(mut arguments: Vec<String>, more: &[&str]) -> Vec<String> {
    arguments.extend(more.iter().map(|text| (*text).to_owned()));
    arguments
}
