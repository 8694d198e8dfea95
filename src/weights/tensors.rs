//! The tensors of one network in one file or several, under plain names, with what belongs to a weight put together.

use std::{
    collections::{HashMap, hash_map::Entry as Place},
    ops::Range,
};

use candle_core::{DType, Tensor};
use safetensors::Dtype;

use super::{
    file::WeightFile,
    held::Room,
    numbers,
    plain_names::plain_names,
    scales::{self, Factor},
};
use crate::error::{Error, Result, clipped};

/// The tensors of one network.
pub(super) struct Tensors {
    files: Vec<(String, WeightFile)>,
    entries: HashMap<String, Entry>,
}

/// A tensor in one of the files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    file: usize,
    pub(super) name: String,
    /// None where the file has a type that has no name here.
    pub(super) dtype: Option<Dtype>,
    pub(super) shape: Vec<usize>,
    /// Factors of its numbers.
    pub(super) factor: Option<Factor>,
    /// Format of the bits of unsigned bytes, where the file names it.
    pub(super) bits: Option<Dtype>,
}

impl Tensors {
    /// Puts the tensors of files together, each with what it is called in messages.
    ///
    /// # Errors
    ///
    /// Where two tensors have the same name, and where weights are quantised in a way that is not read.
    pub(super) fn new(files: Vec<(String, WeightFile)>) -> Result<Self> {
        let mut all = Vec::new();
        for (index, (_, file)) in files.iter().enumerate() {
            for held in file.tensors() {
                all.push((index, held));
            }
        }
        let names: Vec<&str> = all.iter().map(|(_, held)| held.name).collect();
        let mut entries: HashMap<String, Entry> = HashMap::with_capacity(all.len());
        for (plain, (file, held)) in plain_names(&names).into_iter().zip(all) {
            let entry = Entry {
                file,
                name: held.name.to_owned(),
                dtype: held.dtype,
                shape: held.shape.to_vec(),
                factor: None,
                bits: None,
            };
            match entries.entry(plain) {
                Place::Vacant(place) => drop(place.insert(entry)),
                Place::Occupied(place) => return Err(twice(&files, place.get(), &entry)),
            }
        }
        let mut tensors = Self { files, entries };
        let scaled = scales::scaled(&tensors).map_err(|error| {
            let labels: Vec<&str> = tensors.files.iter().map(|(label, _)| label.as_str()).collect();
            error.context(labels.join(", "))
        })?;
        for (name, factor, bits) in scaled.weights {
            if let Some(entry) = tensors.entries.get_mut(&name) {
                entry.factor = Some(factor);
                entry.bits = bits;
            }
        }
        for name in scaled.used {
            tensors.entries.remove(&name);
        }
        Ok(tensors)
    }

    /// Every tensor, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The tensor of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Whether a file of this label holds a tensor under a name of its own.
    pub(super) fn file_holds(&self, label: &str, name: &str) -> bool {
        let file = self.files.iter().find(|(known, _)| known == label);
        file.is_some_and(|(_, file)| match file {
            WeightFile::Safetensors(file) => file.holds(name),
            WeightFile::Torch(file) => file.holds(name),
            WeightFile::Gguf(file) => file.holds(name),
        })
    }

    /// See [`super::Store::keep`].
    pub(super) fn keep(&self, room: &Room) {
        self.files.iter().for_each(|(_, file)| file.keep(room));
    }

    /// The text under a key of the files' metadata; the first one counts.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.files.iter().find_map(|(_, file)| file.metadata(key))
    }

    /// A tensor on the CPU: as the file has it, or multiplied out in f32 where it has a factor.
    pub(super) fn load(&self, entry: &Entry) -> Result<Tensor> {
        let (label, file) = self
            .files
            .get(entry.file)
            .ok_or_else(|| Error::failed(format!("there is no file for the tensor {}", entry.name)))?;
        let tensor = file.load(&entry.name)?;
        self.multiplied(entry, tensor)
            .map_err(|error| error.context(format_args!("{label}: the tensor {}", entry.name)))
    }

    /// So many rows of a tensor as [`Self::load`] has it: of the file only they are read, where it has them in one piece.
    pub(super) fn load_rows(&self, entry: &Entry, rows: &Range<usize>) -> Result<Tensor> {
        if entry.factor.is_none()
            && entry.bits.is_none()
            && let Some((_, file)) = self.files.get(entry.file)
            && let Some(read) = file.load_rows(&entry.name, rows)?
        {
            return Ok(read);
        }
        Ok(self.load(entry)?.narrow(0, rows.start, rows.len())?.contiguous()?)
    }

    fn multiplied(&self, entry: &Entry, mut tensor: Tensor) -> Result<Tensor> {
        if let Some(bits) = entry.bits {
            let bytes = tensor.flatten_all()?.to_vec1::<u8>()?;
            tensor = numbers::tensor(bits, &bytes, &entry.shape)?;
        }
        let Some(factor) = &entry.factor else {
            return Ok(tensor);
        };
        let (_, file) = self
            .files
            .get(factor.file())
            .ok_or_else(|| Error::failed(format!("there is no file for its factor {}", factor.name())))?;
        let factors = file.load(factor.name())?.to_dtype(DType::F32)?;
        factor.apply(&tensor, &factors)
    }
}

impl Entry {
    /// Which of the files it is in.
    pub(super) fn file(&self) -> usize {
        self.file
    }
}

fn twice(files: &[(String, WeightFile)], first: &Entry, second: &Entry) -> Error {
    let label = |entry: &Entry| files.get(entry.file).map_or("", |(label, _)| label);
    let (here, there) = (label(first), label(second));
    Error::failed(match here == there {
        true => format!(
            "{here} has two tensors for one: {} and {}",
            clipped(&first.name),
            clipped(&second.name)
        ),
        false => format!("the tensor {} is in {here} and in {there}", clipped(&second.name)),
    })
}
