//! One file of weights of whichever format.

use std::{ops::Range, path::Path};

use candle_core::Tensor;
use safetensors::Dtype;

use super::{
    bytes::Bytes,
    contents::{Contents, START_BYTES, contents},
    gguf::GgufFile,
    held::Room,
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

    /// See [`super::Store::keep`]. An archive's parts are checked and put together whenever they are read: of those none is
    /// kept.
    pub(super) fn keep(&self, room: &Room) {
        match self {
            Self::Safetensors(file) => file.keep(room),
            Self::Torch(_) => {}
            Self::Gguf(file) => file.keep(room),
        }
    }

    /// Rows of a tensor as [`Self::load`] has it; none where the file has no such tensor or does not hold them in one piece.
    pub(super) fn load_rows(&self, name: &str, rows: &Range<usize>) -> Result<Option<Tensor>> {
        match self {
            Self::Safetensors(file) => file.load_rows(name, rows),
            Self::Torch(_) => Ok(None),
            Self::Gguf(file) => file.load_rows(name, rows),
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

/// The bytes of some rows of a tensor that has so many, and the shape of these rows; none where it has no such rows.
pub(super) fn rows_of(shape: &[usize], bytes: usize, rows: &Range<usize>) -> Option<(Range<usize>, Vec<usize>)> {
    let [count, rest @ ..] = shape else { return None };
    if rows.end > *count || rows.start > rows.end || !bytes.is_multiple_of(*count) {
        return None;
    }
    let row = bytes / count;
    Some((row * rows.start..row * rows.end, [&[rows.len()], rest].concat()))
}
