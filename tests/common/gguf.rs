//! GGUF files, written for tests.

use std::{fs, path::Path};

use candle_core::{
    Tensor,
    quantized::{GgmlDType, QTensor, gguf_file},
};

use super::TestResult;

/// Writes tensors, matrices in `dtype` where their rows are whole blocks of it and all else in f32, with the name of an architecture where
/// one is given.
pub fn write<'a>(
    path: &Path,
    architecture: Option<&str>,
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
    dtype: GgmlDType,
) -> TestResult {
    let tensors: Vec<(String, QTensor)> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let has_blocks = matches!(tensor.dims(), [_, columns] if columns.is_multiple_of(dtype.block_size()));
            let dtype = if has_blocks { dtype } else { GgmlDType::F32 };
            Ok((name, QTensor::quantize(tensor, dtype)?))
        })
        .collect::<candle_core::Result<_>>()?;
    let named: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let architecture = architecture.map(|name| gguf_file::Value::String(name.to_owned()));
    let metadata: Vec<_> = architecture.iter().map(|name| ("general.architecture", name)).collect();
    gguf_file::write(&mut fs::File::create(path)?, &metadata, &named)?;
    Ok(())
}
