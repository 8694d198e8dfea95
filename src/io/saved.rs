//! Files → arrays: what an extraction wrote, read back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{array::Array, npy::read_npy};
use crate::{
    error::{Error, Result},
    weights::SafetensorsFile,
    words::did_you_mean,
};

/// Extension of NumPy's arrays.
const NPY: &str = "npy";

/// Activations in a safetensors file, in a folder of .npy files, or in one .npy file.
pub struct SavedActivations {
    path: PathBuf,
    source: Source,
}

enum Source {
    Safetensors(Box<SafetensorsFile>),
    /// (name, file).
    Npy(Vec<(String, PathBuf)>),
}

impl SavedActivations {
    /// Opens an output of `extract`, or any safetensors or .npy file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
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
            Source::Npy(named(path.to_owned()).into_iter().collect())
        } else {
            Source::Safetensors(Box::new(SafetensorsFile::open(path)?))
        };
        Ok(Self {
            path: path.to_owned(),
            source,
        })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.source {
            Source::Safetensors(file) => file.tensors().map(|(name, ..)| name.to_owned()).collect(),
            Source::Npy(files) => files.iter().map(|(name, _)| name.clone()).collect(),
        };
        names.sort();
        names
    }

    /// The tensor of a name; an unknown one is answered with the nearest.
    ///
    /// # Errors
    ///
    /// Where there is none of that name, or it cannot be read.
    pub fn array(&self, name: &str) -> Result<Array> {
        self.find(name)?.ok_or_else(|| self.unknown(name))
    }

    /// The tensor of a name, if it is there.
    ///
    /// # Errors
    ///
    /// Where it is there and cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Array>> {
        match &self.source {
            Source::Safetensors(file) if file.holds(name) => {
                let array = file.load(name).and_then(|tensor| Array::from_tensor(&tensor));
                array
                    .map(Some)
                    .map_err(|error| error.context(format_args!("the tensor {name} of {}", self.path.display())))
            }
            Source::Safetensors(_) => Ok(None),
            Source::Npy(files) => {
                let file = files.iter().find(|(known, _)| known == name);
                file.map(|(_, file)| read_npy(file)).transpose()
            }
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.names();
        let hint = did_you_mean(name, names.iter().map(String::as_str));
        Error::usage(format!(
            "{} holds no tensor \"{name}\"{hint} (it holds {})",
            self.path.display(),
            self.listing()
        ))
    }

    /// The first names and how many more there are, for a message.
    pub fn listing(&self) -> String {
        const SHOWN: usize = 5;
        let names = self.names();
        let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
        match names.len().saturating_sub(SHOWN) {
            0 if names.is_empty() => "nothing".to_owned(),
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}
