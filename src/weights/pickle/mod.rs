//! PyTorch's checkpoints (`.pt`, `.pth`, `.ckpt`) as data. In: a file, in the zip layout of PyTorch 1.6 and later or
//! the stream before it. Out: named tensors, read when asked for. Code in the file is never run: tensors and plain
//! containers are taken, objects of any other class are skipped unconstructed. [`super::Store`] calls it.
//!
//! The tensors are those under the key `state_dict` if there are any, else those under `ema`, else under `model`, else all there are;
//! names in nested containers are joined with dots.

mod archive;
mod machine;
mod tensors;

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufReader, Read, Seek, SeekFrom},
    sync::{Mutex, PoisonError},
};

pub(crate) use archive::Archive;
use archive::Entry;
use candle_core::Tensor;
use machine::{Pickle, Value};
use safetensors::Dtype;
use tensors::Description;

use super::{
    bytes::{Bytes, room},
    contents::Contents,
    file::TensorInfo,
    numbers,
};
use crate::error::{Error, Result};

/// The one version of the old layout there is.
const OLD_VERSION: i64 = 1001;

/// The tensors of a PyTorch file.
pub(super) struct TorchFile {
    tensors: BTreeMap<String, Description>,
    places: HashMap<String, Place>,
    /// Texts in the dictionary at the top, by their keys.
    texts: HashMap<String, String>,
    bytes: Mutex<Bytes>,
}

/// Where the numbers of a storage lie.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In an archive.
    Entry(Entry),
    /// In a stream: from which byte on, and how many.
    Span(u64, u64),
}

impl Place {
    fn bytes(self) -> u64 {
        match self {
            Self::Entry(entry) => entry.bytes,
            Self::Span(_, bytes) => bytes,
        }
    }
}

impl TorchFile {
    /// Reads names and shapes of the tensors.
    pub(super) fn read(bytes: Bytes, format: Contents) -> Result<Self> {
        let length = bytes.length().map_err(damaged)?;
        let found = match format {
            Contents::Zip => Self::read_zip(bytes, length)?,
            _ => Self::read_stream(bytes, length)?,
        };
        if found.tensors.is_empty() {
            return Err(Error::failed(
                "it holds no tensors in plain containers (of a whole pickled module, save its state_dict() instead)",
            ));
        }
        for (name, tensor) in &found.tensors {
            found
                .check(tensor)
                .map_err(|error| error.context(format_args!("tensor {name}")))?;
        }
        Ok(found)
    }

    fn read_zip(mut bytes: Bytes, length: u64) -> Result<Self> {
        const PICKLE: &str = "data.pkl";
        let archive = Archive::read(&mut bytes, length)?;
        // PyTorch puts everything into a folder named after the file.
        let folder = archive
            .names()
            .filter_map(|name| name.strip_suffix(PICKLE))
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
            // Of several it is always the same one, whatever the order of a map.
            .min()
            .ok_or_else(|| Error::failed(format!("it is a zip archive without {PICKLE}, so not of PyTorch")))?
            .to_owned();
        let mut entry = |name: &str, most: u64| -> Result<Vec<u8>> {
            let Some(entry) = archive.get(&format!("{folder}{name}"))? else {
                return Ok(Vec::new());
            };
            if entry.bytes > most {
                return Err(Error::failed(format!(
                    "its {name} has {} bytes; more than {most} are not read",
                    entry.bytes
                )));
            }
            entry.load(&mut bytes, 0, entry.bytes as usize)
        };
        let pickle = Pickle::read(&mut entry(PICKLE, machine::MAX_PICKLE_BYTES)?.as_slice())?;
        const ORDER_BYTES: u64 = 16;
        if entry("byteorder", ORDER_BYTES)?.starts_with(b"big") {
            return Err(Error::failed("its numbers are big-endian, which is not read"));
        }
        let mut places = HashMap::new();
        for key in tensors::storages(&pickle).into_keys() {
            // A storage that is missing matters only if a tensor of the network needs it.
            if let Some(entry) = archive.get(&format!("{folder}data/{key}"))? {
                places.insert(key, Place::Entry(entry));
            }
        }
        Ok(Self {
            tensors: tensors::tensors(&pickle)?,
            places,
            texts: tensors::texts(&pickle),
            bytes: Mutex::new(bytes),
        })
    }

    /// The layout before PyTorch 1.6: magic number, version, facts about the writing machine, the object, the keys
    /// of its storages, each as a pickle; then the storages, each as its length and its numbers.
    fn read_stream(file: Bytes, length: u64) -> Result<Self> {
        let mut reader = BufReader::new(file);
        let foreign = || Error::failed("it is a pickle, but not one that PyTorch writes");
        let magic = Pickle::read(&mut reader).map_err(|_| foreign())?;
        let version = match magic.root {
            Value::Magic => Pickle::read(&mut reader)?,
            _ => return Err(foreign()),
        };
        let machine = Pickle::read(&mut reader)?;
        let little_endian = machine.get(&machine.root, "little_endian");
        if !matches!(version.root, Value::Int(OLD_VERSION)) || matches!(little_endian, Some(Value::Bool(false))) {
            return Err(Error::failed("its version or byte order is none that is read"));
        }
        let pickle = Pickle::read(&mut reader)?;
        let keys = Pickle::read(&mut reader)?;
        let storages = tensors::storages(&pickle);
        let mut places = HashMap::new();
        for key in keys
            .sequence(&keys.root)
            .unwrap_or_default()
            .iter()
            .filter_map(Value::text)
        {
            let storage = storages
                .get(key)
                .ok_or_else(|| Error::failed(format!("storage {key} is not described")))?;
            let width = width(&storage.kind)?;
            let mut count = [0; size_of::<i64>()];
            reader.read_exact(&mut count).map_err(damaged)?;
            let start = reader.stream_position().map_err(damaged)?;
            let bytes = u64::try_from(i64::from_le_bytes(count))
                .ok()
                .and_then(|count| count.checked_mul(width as u64));
            let bytes = bytes
                .filter(|bytes| *bytes <= length.saturating_sub(start))
                .ok_or_else(|| Error::failed(format!("it is cut off inside storage {key}")))?;
            reader.seek(SeekFrom::Start(start + bytes)).map_err(damaged)?;
            places.insert(key.to_owned(), Place::Span(start, bytes));
        }
        let tensors = tensors::tensors(&pickle)?;
        Ok(Self {
            tensors,
            places,
            texts: tensors::texts(&pickle),
            bytes: Mutex::new(reader.into_inner()),
        })
    }

    /// The text under a key of the dictionary at the top.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = TensorInfo<'_>> {
        self.tensors.iter().map(|(name, tensor)| TensorInfo {
            name,
            dtype: dtype_of(&tensor.kind),
            shape: &tensor.shape,
        })
    }

    /// Whether there is a tensor of that name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether the numbers that a tensor claims are there. Their type is checked only when they are read: a
    /// network may not need them.
    fn check(&self, tensor: &Description) -> Result<()> {
        let storage = &tensor.storage;
        let place = self
            .places
            .get(&storage.key)
            .ok_or_else(|| Error::failed(format!("its storage {} is missing", storage.key)))?;
        if tensor.count().is_none() {
            return Err(Error::failed(format!(
                "shape {:?} has more numbers than can be counted",
                tensor.shape
            )));
        }
        let Ok(width) = width(&tensor.kind) else {
            return Ok(());
        };
        let held = place.bytes() / width as u64;
        let fits = tensor.count().is_some_and(|count| count as u64 <= held)
            && tensor.end().is_some_and(|end| end as u64 <= held);
        if fits {
            return Ok(());
        }
        Err(Error::failed(format!(
            "shape {:?} with strides {:?} from number {} on does not fit its storage of {held} numbers",
            tensor.shape, tensor.strides, tensor.offset
        )))
    }

    /// Reads a tensor.
    pub(super) fn load(&self, name: &str) -> Result<Tensor> {
        let tensor = self.tensors.get(name);
        let tensor = tensor.ok_or_else(|| Error::failed(format!("it lacks the tensor {name}")))?;
        self.load_described(tensor)
            .map_err(|error| error.context(format_args!("tensor {name}")))
    }

    fn load_described(&self, tensor: &Description) -> Result<Tensor> {
        let dtype = dtype_of(&tensor.kind).ok_or_else(|| not_read(&tensor.kind))?;
        let width = width(&tensor.kind)?;
        let (Some(place), Some(end)) = (self.places.get(&tensor.storage.key), tensor.end()) else {
            return Err(Error::failed("its storage is missing"));
        };
        let span = self.read_span(*place, tensor.offset * width, (end - tensor.offset) * width)?;
        let bytes = if tensor.is_contiguous() {
            span
        } else {
            tensor.gather(&span, width)?
        };
        numbers::tensor(dtype, &bytes, &tensor.shape).map_err(|_| not_read(&tensor.kind))
    }

    /// `length` bytes of a storage from byte `skip` on.
    fn read_span(&self, place: Place, skip: usize, length: usize) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Place::Entry(entry) => entry.load(&mut bytes, skip as u64, length),
            Place::Span(start, _) => {
                let mut span = room(length)?;
                bytes.seek(SeekFrom::Start(start + skip as u64)).map_err(damaged)?;
                bytes.read_exact(&mut span).map_err(damaged)?;
                Ok(span)
            }
        }
    }
}

impl Description {
    /// How many numbers the tensor has; none where its sides multiply to more than can be counted, even if another
    /// side is 0.
    fn count(&self) -> Option<usize> {
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |count, side| count.checked_mul((*side).max(1)))?;
        Some(if self.shape.contains(&0) { 0 } else { count })
    }

    /// One past the last number of the storage that the tensor uses.
    fn end(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (side, stride)| {
                last.checked_add((side - 1).checked_mul(*stride)?)
            })?;
        last.checked_add(1)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(side, stride)| {
            let fits = *side == 1 || *stride == expected;
            expected *= side;
            fits
        })
    }

    /// The numbers in row-major order, from the span of the storage that holds them.
    fn gather(&self, span: &[u8], width: usize) -> Result<Vec<u8>> {
        let mut out = room(self.count().unwrap_or(0).saturating_mul(width))?;
        let mut index = vec![0; self.shape.len()];
        for number in out.chunks_exact_mut(width) {
            let start: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            if let Some(found) = span.get(start * width..(start + 1) * width) {
                number.copy_from_slice(found);
            }
            for (i, side) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *side {
                    break;
                }
                *i = 0;
            }
        }
        Ok(out)
    }
}

/// The type of numbers, from PyTorch's name of a storage or of the type itself; none for what has no name here.
fn dtype_of(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "FloatStorage" | "float32" => Dtype::F32,
        "DoubleStorage" | "float64" => Dtype::F64,
        "HalfStorage" | "float16" => Dtype::F16,
        "BFloat16Storage" | "bfloat16" => Dtype::BF16,
        "LongStorage" | "int64" => Dtype::I64,
        "IntStorage" | "int32" => Dtype::I32,
        "ShortStorage" | "int16" => Dtype::I16,
        "CharStorage" | "int8" => Dtype::I8,
        "ByteStorage" | "uint8" | "UntypedStorage" => Dtype::U8,
        "BoolStorage" | "bool" => Dtype::BOOL,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "ComplexFloatStorage" | "complex64" => Dtype::C64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        _ => return None,
    })
}

/// Bytes of one number.
fn width(kind: &str) -> Result<usize> {
    let dtype = dtype_of(kind).ok_or_else(|| not_read(kind))?;
    Ok(dtype.bitsize() / u8::BITS as usize)
}

fn not_read(kind: &str) -> Error {
    Error::failed(format!("numbers of type {kind} are not read"))
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::failed(format!("it is cut off or damaged: {error}"))
}
