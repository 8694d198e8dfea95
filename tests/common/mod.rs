//! What the tests share: where the reference data lies and how numbers are compared.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test says what it expects"
)]

pub mod case;
pub mod gguf;
pub mod program;
pub mod program_case;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use featscope::activation::{Probe, Selection, Stop, Tap, no_progress};

pub type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Tolerances of the reference: |d| ≤ `ATOL_REL`·std + `RTOL`·|x| everywhere.
pub const ATOL_REL: f64 = 2e-4;
pub const RTOL: f64 = 2e-4;

pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

pub fn model(name: &str) -> PathBuf {
    data("models").join(name)
}

pub fn case_file(case: &str, file: &str) -> PathBuf {
    data("cases").join(case).join(file)
}

pub fn expected(case: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(case_file(case, "expected.safetensors"), &Device::Cpu)
        .expect("reference data is there")
}

pub fn case_json(case: &str) -> serde_json::Value {
    let text = fs::read_to_string(case_file(case, "case.json")).expect("reference data is there");
    serde_json::from_str(&text).expect("reference data is JSON")
}

pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(candle_core::DType::F64)
        .and_then(|t| t.flatten_all())
        .and_then(|t| t.to_vec1())
        .expect("a tensor in memory can be read")
}

/// The rule of the reference's comparison. Gives max|d|/std, or says what is wrong.
pub fn compare(name: &str, expected: &Tensor, found: &Tensor) -> Result<f64, String> {
    if expected.dims() != found.dims() {
        return Err(format!(
            "{name}: expected {:?}, found {:?}",
            expected.dims(),
            found.dims()
        ));
    }
    let (x, y) = (numbers(expected), numbers(found));
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let mut std = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
    if std == 0.0 {
        std = x
            .iter()
            .fold(0.0, |most: f64, x| most.max(x.abs()))
            .max(f64::MIN_POSITIVE);
    }
    let mut worst = 0.0_f64;
    for (index, (x, y)) in x.iter().zip(&y).enumerate() {
        let d = (x - y).abs();
        if d.is_nan() || d > ATOL_REL * std + RTOL * x.abs() {
            return Err(format!("{name}[{index}]: expected {x}, found {y}; std {std}"));
        }
        worst = worst.max(d / std);
    }
    Ok(worst)
}

/// Compares every tensor of the reference whose name begins with `prefix`, found under the rest of its name.
pub fn compare_all(
    reference: &HashMap<String, Tensor>,
    prefix: &str,
    found: &HashMap<String, Tensor>,
) -> Result<usize, String> {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (name, tensor) in reference {
        let Some(id) = name.strip_prefix(prefix) else { continue };
        compared += 1;
        match found.get(id) {
            None => wrong.push(format!("{id} is missing")),
            Some(found) => wrong.extend(compare(id, tensor, found).err()),
        }
    }
    wrong.sort();
    if wrong.is_empty() {
        Ok(compared)
    } else {
        Err(wrong.join("\n"))
    }
}

/// The one activation of a selection, among so many, that a forward pass meets.
pub fn met(
    selection: &Selection,
    length: usize,
    forward: impl FnOnce(&mut Probe<'_>) -> Result<Tensor, Stop>,
) -> Result<Tensor, Box<dyn std::error::Error>> {
    let mut found = None;
    let mut record = |_: Tap, tensor: &Tensor| {
        found = Some(tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let ended = forward(&mut Probe::new(selection, length, &mut record, &mut watch));
    if let Err(Stop::Error(error)) = ended {
        return Err(error.into());
    }
    Ok(found.ok_or("the activation was not met")?)
}
