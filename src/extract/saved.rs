//! Files → arrays: what an extraction wrote, read back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor, safetensors::MmapedSafetensors};

use super::array::Array;
use crate::error::{Error, Result};

/// Extension of NumPy's arrays.
const NPY: &str = "npy";

/// Activations in a safetensors file, in a folder of .npy files, or in one .npy file.
pub struct SavedActivations {
    path: PathBuf,
    source: Source,
}

enum Source {
    Safetensors(MmapedSafetensors),
    /// (name, file).
    Npy(Vec<(String, PathBuf)>),
}

impl SavedActivations {
    /// Opens an output of `extract`, or any safetensors or .npy file.
    pub fn open(path: &Path) -> Result<Self> {
        let is_npy = |path: &Path| path.extension().is_some_and(|extension| extension == NPY);
        let named = |path: PathBuf| {
            let stem = path.file_stem()?.to_str()?.to_owned();
            Some((stem, path))
        };
        let source = if path.is_dir() {
            let entries = fs::read_dir(path).map_err(|error| Error::io("read the folder", path, &error))?;
            let mut files: Vec<_> = entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| is_npy(path))
                .filter_map(named)
                .collect();
            files.sort();
            if files.is_empty() {
                return Err(Error::failed(format!(
                    "the folder {} holds no .npy files",
                    path.display()
                )));
            }
            Source::Npy(files)
        } else if is_npy(path) {
            fs::metadata(path).map_err(|error| Error::io("read", path, &error))?;
            Source::Npy(named(path.to_owned()).into_iter().collect())
        } else {
            fs::metadata(path).map_err(|error| Error::io("read", path, &error))?;
            // SAFETY: the map is only read; see `weights::Store`.
            #[allow(unsafe_code)]
            let mapped = unsafe { MmapedSafetensors::new(path) }
                .map_err(|error| Error::failed(format!("{} cannot be read as safetensors: {error}", path.display())))?;
            Source::Safetensors(mapped)
        };
        Ok(Self {
            path: path.to_owned(),
            source,
        })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.source {
            Source::Safetensors(file) => file.tensors().into_iter().map(|(name, _)| name).collect(),
            Source::Npy(files) => files.iter().map(|(name, _)| name.clone()).collect(),
        };
        names.sort();
        names
    }

    /// The tensor of a name; an unknown one is answered with the nearest.
    pub fn array(&self, name: &str) -> Result<Array> {
        let tensor = match &self.source {
            Source::Safetensors(file) if file.get(name).is_ok() => file.load(name, &Device::Cpu)?,
            Source::Npy(files) => match files.iter().find(|(known, _)| known == name) {
                Some((_, file)) => Tensor::read_npy(file)
                    .map_err(|error| Error::failed(format!("cannot read {}: {error}", file.display())))?,
                None => return Err(self.unknown(name)),
            },
            Source::Safetensors(_) => return Err(self.unknown(name)),
        };
        Array::from_tensor(&tensor)
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.names();
        let nearest = names
            .iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let hint = nearest
            .map(|name| format!("; did you mean \"{name}\"?"))
            .unwrap_or_default();
        Error::usage(format!(
            "{} holds no tensor \"{name}\"{hint} (it holds {})",
            self.path.display(),
            names.len()
        ))
    }
}
