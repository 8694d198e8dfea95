//! One file of weights of whichever format.

use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;

use super::{
    bytes::Bytes,
    contents::{Contents, START_BYTES, contents},
    gguf::GgufFile,
    pickle::TorchFile,
    safetensors_file::SafetensorsFile,
};
use crate::{
    error::{Error, Result},
    files,
};

/// A file whose names and shapes were read.
pub(super) enum WeightFile {
    Safetensors(SafetensorsFile),
    Torch(TorchFile),
    Gguf(GgufFile),
}

/// A tensor of a file, before its numbers are read.
pub(super) struct TensorInfo<'a> {
    pub(super) name: &'a str,
    /// None where the file has a type that has no name here, as quantised weights have.
    pub(super) dtype: Option<Dtype>,
    pub(super) shape: &'a [usize],
}

impl WeightFile {
    /// Opens a file by what it holds, whatever its name.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut bytes = Bytes::open(path)?;
        let start = bytes
            .start(START_BYTES)
            .map_err(|error| Error::io("read", path, &error))?;
        files::refuse_pointer(path, &start)?;
        Self::read(bytes, &path.display().to_string())
    }

    /// Reads what is called `label` in messages.
    pub(super) fn read(mut bytes: Bytes, label: &str) -> Result<Self> {
        let start = bytes
            .start(START_BYTES)
            .map_err(|error| Error::failed(format!("cannot read {label}: {error}")))?;
        match contents(&start) {
            Ok(Contents::Safetensors) => SafetensorsFile::read(bytes, label).map(Self::Safetensors),
            Ok(Contents::Gguf) => GgufFile::read(bytes, label).map(Self::Gguf),
            Ok(format) => TorchFile::read(bytes, format)
                .map(Self::Torch)
                .map_err(|error| error.context(format_args!("{label} is not usable"))),
            Err(found) => Err(Error::failed(format!(
                "{label} is no file of weights: {found}; safetensors, PyTorch's own format (.pt, .pth, .ckpt, .bin) or \
                 GGUF is expected, under whatever name"
            ))),
        }
    }

    /// Every tensor, in no order.
    pub(super) fn tensors(&self) -> Box<dyn Iterator<Item = TensorInfo<'_>> + '_> {
        match self {
            Self::Safetensors(file) => Box::new(file.tensors().map(|(name, dtype, shape)| TensorInfo {
                name,
                dtype: Some(dtype),
                shape,
            })),
            Self::Torch(file) => Box::new(file.tensors()),
            Self::Gguf(file) => Box::new(file.tensors()),
        }
    }

    /// See [`super::Store::metadata`].
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        match self {
            Self::Safetensors(file) => file.metadata(key),
            Self::Torch(file) => file.text(key),
            Self::Gguf(file) => file.text(key),
        }
    }

    /// A tensor in the number format of the file, or one that has all its values, on the CPU.
    pub(super) fn load(&self, name: &str) -> Result<Tensor> {
        match self {
            Self::Safetensors(file) => file.load(name),
            Self::Torch(file) => file.load(name),
            Self::Gguf(file) => file.load(name),
        }
    }
}
