//! The tensors of one network, whatever file they lie in.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Shape, Tensor, bail, safetensors::SliceSafetensors};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};

use super::{
    pickle::TorchFile,
    renamed::{Rename, RenamedStore},
    safetensors_file::SafetensorsFiles,
};
use crate::error::{Error, Result};

const SAFETENSORS_EXTENSION: &str = "safetensors";
const PICKLE_EXTENSIONS: [&str; 4] = ["pt", "pth", "ckpt", "bin"];

/// Named tensors of one network. Nothing is copied before it is asked for.
#[derive(Clone)]
pub struct Store {
    source: Arc<Source>,
    shapes: Arc<HashMap<String, Vec<usize>>>,
    /// What the tensors are read from, for messages and provenance.
    label: Arc<str>,
    /// Whether nothing is read: see [`Self::without_values`].
    without_values: bool,
}

enum Source {
    Files(SafetensorsFiles),
    Embedded(SliceSafetensors<'static>),
    Pickle(TorchFile),
    Renamed(RenamedStore),
}

impl Store {
    /// Opens safetensors files: one, or the shards of one network.
    pub fn open_safetensors(files: &[PathBuf]) -> Result<Self> {
        let label = names_of(files);
        let files = SafetensorsFiles::open(files)?;
        let shapes = files
            .shapes()
            .map(|(name, shape)| (name.to_owned(), shape.to_vec()))
            .collect();
        Self::new(Source::Files(files), shapes, label)
    }

    /// Opens one file by its ending: safetensors, or PyTorch's own format.
    pub fn open(file: &Path) -> Result<Self> {
        let extension = file.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some(SAFETENSORS_EXTENSION) => Self::open_safetensors(&[file.to_owned()]),
            Some(pickle) if PICKLE_EXTENSIONS.contains(&pickle) => Self::open_pickle(file),
            _ => Err(Error::failed(format!(
                "{} is no file of weights: a name that ends in .{SAFETENSORS_EXTENSION}, .{} is expected, or a folder",
                file.display(),
                PICKLE_EXTENSIONS.join(", .")
            ))),
        }
    }

    /// Tensors in the bytes of a safetensors file.
    pub fn from_bytes(bytes: &'static [u8], label: &str) -> Result<Self> {
        let embedded = SliceSafetensors::new(bytes).map_err(|error| safetensors_error(label, error))?;
        let shapes = embedded
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.shape().to_vec()))
            .collect();
        Self::new(Source::Embedded(embedded), shapes, label.to_owned())
    }

    /// Opens a PyTorch file (`.pt`, `.pth`, `.ckpt`). Tensors and plain containers are taken, also under
    /// `state_dict` or `model`; no code in it is ever run.
    pub fn open_pickle(file: &Path) -> Result<Self> {
        let tensors = TorchFile::open(file)?;
        let shapes = tensors
            .shapes()
            .map(|(name, shape)| (name.to_owned(), shape.to_vec()))
            .collect();
        Self::new(Source::Pickle(tensors), shapes, file.display().to_string())
    }

    fn new(source: Source, shapes: HashMap<String, Vec<usize>>, label: String) -> Result<Self> {
        Ok(Self {
            source: Arc::new(source),
            shapes: Arc::new(shapes),
            label: label.into(),
            without_values: false,
        })
    }

    /// The same tensors under other names; those that no rule names are left out. Nothing is read or copied.
    pub fn renamed(&self, rules: Vec<Rename>) -> Result<Self> {
        let label = self.label().to_owned();
        let (renamed, shapes) = RenamedStore::new(self.clone(), rules);
        Self::new(Source::Renamed(renamed), shapes, label)
    }

    /// The same tensors, of which only names and shapes are looked at: a network that is built from them takes neither time
    /// nor memory, and says whether the file has what it needs.
    pub fn without_values(&self) -> Self {
        Self {
            without_values: true,
            ..self.clone()
        }
    }

    /// What the tensors are read from.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What the file says beside its tensors: under a key of a safetensors header's `__metadata__`, or of the dictionary at the top
    /// of a pickle.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        match &*self.source {
            Source::Files(files) => files.metadata(key),
            Source::Renamed(renamed) => renamed.inner().metadata(key),
            Source::Pickle(file) => file.text(key),
            Source::Embedded(_) => None,
        }
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    /// The tensors as candle's constructors take them, cast to `dtype` on `device`.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), dtype, device.clone())
    }

    /// A tensor as it is in the file, on the CPU.
    pub(super) fn raw(&self, name: &str) -> candle_core::Result<Tensor> {
        let raw = match &*self.source {
            Source::Files(files) => files.load(name)?,
            Source::Embedded(bytes) => bytes.load(name, &Device::Cpu)?,
            Source::Pickle(file) => match file.load(name) {
                Ok(Some(tensor)) => tensor,
                Ok(None) => bail!("{} lacks the tensor {name}", self.label),
                Err(error) => bail!("{}: {error}", self.label),
            },
            Source::Renamed(renamed) => renamed.raw(name)?,
        };
        Ok(raw)
    }

    /// A tensor's name, with the one it has in the file if that is another.
    fn in_file(&self, name: &str) -> String {
        match &*self.source {
            Source::Renamed(renamed) => renamed.in_file(name),
            _ => name.to_owned(),
        }
    }

    fn load(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        if self.without_values {
            let shape = self.shape(name).unwrap_or_default();
            return Tensor::zeros((), dtype, device)?.broadcast_as(shape);
        }
        let raw = self.raw(name)?;
        // A number that is not finite makes the sum so too, so one pass over what was just read settles it; a NaN found
        // later would have no name.
        let wide = raw.to_dtype(DType::F32)?;
        if !wide.sum_all()?.to_scalar::<f32>()?.is_finite() && has_non_finite(&wide)? {
            bail!("{}: the tensor {name} holds NaN or infinite numbers", self.label);
        }
        let cast = if raw.dtype() == dtype {
            raw
        } else {
            wide.to_dtype(dtype)?
        };
        cast.to_device(device)
    }
}

fn names_of(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(", ")
}

/// Large finite numbers can overflow a sum: this looks at each.
fn has_non_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().any(|x| !x.is_finite()))
}

/// Says of an error of the format's reader what it most often means.
fn safetensors_error(label: &str, error: candle_core::Error) -> Error {
    Error::from(error).context(format!(
        "{label} cannot be read as safetensors, it may be cut off or damaged"
    ))
}

impl SimpleBackend for Store {
    fn get(&self, expected: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        match self.shape(name) {
            None => bail!(
                "{} lacks the tensor {} of shape {:?}",
                self.label,
                self.in_file(name),
                expected.dims()
            ),
            Some(found) if found != expected.dims() => bail!(
                "{}: the tensor {} has shape {found:?}, the configuration expects {:?}",
                self.label,
                self.in_file(name),
                expected.dims()
            ),
            Some(_) => self.load(name, dtype, device),
        }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        if !self.contains_tensor(name) {
            bail!("{} lacks the tensor {}", self.label, self.in_file(name));
        }
        self.load(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }
}
