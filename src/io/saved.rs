//! Files → arrays: what an extraction wrote, read back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    array::Array,
    npy::read_npy,
    npz::NpzFile,
    writers::{in_a_sentence, map_extensions},
};
use crate::{
    error::{Error, Result},
    image::decode,
    weights::SafetensorsFile,
    words::{did_you_mean, fits, is_pattern, near_ones},
};

/// Extension of NumPy's arrays.
const NPY: &str = "npy";
/// Extension of NumPy's archives.
const NPZ: &str = "npz";

/// Activations in a safetensors file, in a folder of .npy files, in one .npy file, or in an .npz file.
pub struct SavedActivations {
    path: PathBuf,
    source: Source,
}

enum Source {
    Safetensors(Box<SafetensorsFile>),
    /// (name, file).
    Npy(Vec<(String, PathBuf)>),
    Npz(NpzFile),
}

/// Refuses a picture, and says how features of it are made.
fn refuse_picture(path: &Path) -> Result<()> {
    let wanted = format!(
        "features: `featscope extract --image {}` makes them, in {} or a folder",
        path.display(),
        in_a_sentence(&map_extensions())
    );
    decode::refuse_as(&wanted, path)
}

impl SavedActivations {
    /// Opens an output of `extract`, or any safetensors, .npy or .npz file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let ends_in = |path: &Path, ending: &str| path.extension().is_some_and(|extension| extension == ending);
        let is_npy = |path: &Path| ends_in(path, NPY);
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
        } else if ends_in(path, NPZ) {
            Source::Npz(NpzFile::open(path)?)
        } else {
            refuse_picture(path)?;
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
            Source::Npz(file) => file.names().map(str::to_owned).collect(),
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
            Source::Npz(file) => file.load(&self.path, name),
        }
    }

    /// The names that a pattern fits, or the one that it is.
    ///
    /// # Errors
    ///
    /// Where it fits none.
    pub fn fitting(&self, name: &str) -> Result<Vec<String>> {
        if !is_pattern(name) {
            return Ok(vec![name.to_owned()]);
        }
        let names = self.names();
        let found: Vec<String> = names.iter().filter(|known| fits(name, known)).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let hint = near_ones(name, names.iter().map(String::as_str));
        Err(Error::usage(format!(
            "no tensor of {} fits \"{name}\"{hint} (it holds {})",
            self.path.display(),
            self.listing()
        )))
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
