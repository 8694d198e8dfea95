//! PyTorch's checkpoints (`.pt`, `.pth`, `.ckpt`) as data. In: a file, in the zip layout of PyTorch 1.6 and later or
//! the stream before it. Out: named tensors, read when asked for. Code in the file is never run: tensors and plain
//! containers are taken, objects of any other class are skipped unconstructed. [`super::Store`] calls it.
//!
//! The tensors are those under the key `state_dict` if there are any, else those under `model`, else all there are;
//! names in nested containers are joined with dots.

mod machine;
mod tensors;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

use candle_core::{DType, Device, Tensor};
use machine::{Pickle, Value};
use tensors::Description;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Error, Result};

/// First number of a checkpoint in the old layout.
const OLD_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The one version of the old layout there is.
const OLD_VERSION: i128 = 1001;

/// The tensors of a PyTorch file.
pub(super) struct TorchFile {
    tensors: BTreeMap<String, Description>,
    places: HashMap<String, Place>,
    /// Texts in the dictionary at the top, by their keys.
    texts: HashMap<String, String>,
    source: Source,
}

/// Where the numbers of a storage lie.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Entry of the archive, or position in the file.
    start: u64,
    bytes: u64,
}

enum Source {
    Zip(Mutex<ZipArchive<BufReader<File>>>),
    Stream(Mutex<File>),
}

impl TorchFile {
    /// Opens a file; of its tensors only names and shapes are read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
        Self::read(file).map_err(|error| error.context(format_args!("{} is not usable", path.display())))
    }

    fn read(mut file: File) -> Result<Self> {
        const ZIP_MAGIC: [u8; 2] = *b"PK";
        let length = file.metadata().map_err(damaged)?.len();
        let mut start = [0; ZIP_MAGIC.len()];
        let is_zip = file.read_exact(&mut start).is_ok() && start == ZIP_MAGIC;
        file.rewind().map_err(damaged)?;
        let found = if is_zip {
            Self::read_zip(file, length)?
        } else {
            Self::read_stream(file, length)?
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

    fn read_zip(file: File, length: u64) -> Result<Self> {
        const PICKLE: &str = "data.pkl";
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        // PyTorch puts everything into a folder named after the file.
        let folder = archive
            .file_names()
            .filter_map(|name| name.ok()?.strip_suffix(PICKLE).map(str::to_owned))
            .find(|folder| folder.is_empty() || folder.ends_with('/'))
            .ok_or_else(|| Error::failed(format!("it is a zip archive without {PICKLE}, so not of PyTorch")))?;
        let pickle = {
            let entry = archive.by_name(&format!("{folder}{PICKLE}")).map_err(damaged)?;
            Pickle::read(&mut BufReader::new(entry))?
        };
        if let Ok(mut entry) = archive.by_name(&format!("{folder}byteorder")) {
            let mut order = [0; 3];
            if entry.read_exact(&mut order).is_ok() && &order == b"big" {
                return Err(Error::failed("its numbers are big-endian, which is not read"));
            }
        }
        let mut places = HashMap::new();
        for key in tensors::storages(&pickle).into_keys() {
            let name = format!("{folder}data/{key}");
            // A storage that is missing matters only if a tensor of the network needs it.
            let Some(index) = archive.index_for_name(&name) else {
                continue;
            };
            let entry = archive.by_index_raw(index).map_err(damaged)?;
            if entry.compression() != CompressionMethod::Stored || entry.size() > length {
                return Err(Error::failed(format!(
                    "{name} is compressed or longer than the file, which PyTorch does not write"
                )));
            }
            places.insert(
                key,
                Place {
                    start: index as u64,
                    bytes: entry.size(),
                },
            );
        }
        let tensors = tensors::tensors(&pickle)?;
        Ok(Self {
            tensors,
            places,
            texts: tensors::texts(&pickle),
            source: Source::Zip(Mutex::new(archive)),
        })
    }

    /// The layout before PyTorch 1.6: magic number, version, facts about the writing machine, the object, the keys
    /// of its storages, each as a pickle; then the storages, each as its length and its numbers.
    fn read_stream(file: File, length: u64) -> Result<Self> {
        let mut reader = BufReader::new(file);
        let foreign = || Error::failed("it is not a PyTorch file");
        let magic = Pickle::read(&mut reader).map_err(|_| foreign())?;
        let version = match magic.root {
            Value::Int(OLD_MAGIC) => Pickle::read(&mut reader)?,
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
            let width = Numbers::of(&storage.kind)?.width();
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
            places.insert(key.to_owned(), Place { start, bytes });
        }
        let tensors = tensors::tensors(&pickle)?;
        Ok(Self {
            tensors,
            places,
            texts: tensors::texts(&pickle),
            source: Source::Stream(Mutex::new(reader.into_inner())),
        })
    }

    /// The text under a key of the dictionary at the top.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// Names and shapes.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// Whether the numbers that a tensor claims are there. Their type is looked at only when they are asked for: a
    /// network may not need them.
    fn check(&self, tensor: &Description) -> Result<()> {
        let storage = &tensor.storage;
        let place = self
            .places
            .get(&storage.key)
            .ok_or_else(|| Error::failed(format!("its storage {} is missing", storage.key)))?;
        let Ok(numbers) = Numbers::of(&storage.kind) else {
            return Ok(());
        };
        let held = place.bytes / numbers.width() as u64;
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
    pub(super) fn load(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(tensor) = self.tensors.get(name) else {
            return Ok(None);
        };
        self.load_described(tensor)
            .map(Some)
            .map_err(|error| error.context(format_args!("tensor {name}")))
    }

    fn load_described(&self, tensor: &Description) -> Result<Tensor> {
        let numbers = Numbers::of(&tensor.storage.kind)?;
        let width = numbers.width();
        let (Some(place), Some(end)) = (self.places.get(&tensor.storage.key), tensor.end()) else {
            return Err(Error::failed("its storage is missing"));
        };
        let span = self.read_span(*place, tensor.offset * width, (end - tensor.offset) * width)?;
        let bytes = if tensor.is_contiguous() {
            span
        } else {
            tensor.gather(&span, width)
        };
        Ok(numbers.tensor(&bytes, &tensor.shape)?)
    }

    /// `length` bytes of a storage from byte `skip` on.
    fn read_span(&self, place: Place, skip: usize, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match &self.source {
            Source::Zip(archive) => {
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                let index = usize::try_from(place.start).map_err(damaged)?;
                if length as u64 == place.bytes {
                    let mut entry = archive.by_index(index).map_err(damaged)?;
                    entry.read_exact(&mut bytes).map_err(damaged)?;
                    // The checksum is compared where the end is read.
                    entry.read_to_end(&mut Vec::new()).map_err(damaged)?;
                } else {
                    let mut entry = archive.by_index_seek(index).map_err(damaged)?;
                    entry.seek(SeekFrom::Start(skip as u64)).map_err(damaged)?;
                    entry.read_exact(&mut bytes).map_err(damaged)?;
                }
            }
            Source::Stream(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(place.start + skip as u64)).map_err(damaged)?;
                file.read_exact(&mut bytes).map_err(damaged)?;
            }
        }
        Ok(bytes)
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
    fn gather(&self, span: &[u8], width: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.count().unwrap_or(0) * width);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.count().unwrap_or(0) {
            let start: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            out.extend_from_slice(span.get(start * width..(start + 1) * width).unwrap_or_default());
            for (i, side) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *side {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}

/// A type of numbers.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    /// One that candle has.
    Plain(DType),
    /// Signed bytes, which become 16-bit numbers.
    Char,
}

impl Numbers {
    /// From PyTorch's name of the storage.
    fn of(kind: &str) -> Result<Self> {
        Ok(Self::Plain(match kind {
            "FloatStorage" => DType::F32,
            "DoubleStorage" => DType::F64,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            "LongStorage" => DType::I64,
            "IntStorage" => DType::I32,
            "ShortStorage" => DType::I16,
            "ByteStorage" | "BoolStorage" => DType::U8,
            "CharStorage" => return Ok(Self::Char),
            other => return Err(Error::failed(format!("numbers of type {other} are not read"))),
        }))
    }

    /// Bytes of one number.
    fn width(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.size_in_bytes(),
            Self::Char => 1,
        }
    }

    fn tensor(self, bytes: &[u8], shape: &[usize]) -> candle_core::Result<Tensor> {
        match self {
            Self::Plain(dtype) => Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu),
            Self::Char => {
                let wide: Vec<i16> = bytes.iter().map(|byte| i16::from(byte.cast_signed())).collect();
                Tensor::from_vec(wide, shape, &Device::Cpu)
            }
        }
    }
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::failed(format!("it is cut off or damaged: {error}"))
}
