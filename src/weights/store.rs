//! The tensors of one network, whatever file they lie in.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    io::Cursor,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{DType, Device, Shape, Tensor, bail};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use safetensors::Dtype;

use super::{
    bytes::{Bytes, ask_memory},
    file::WeightFile,
    header::MOST_TENSORS,
    held::Room,
    numbers,
    renamed::{Rename, RenamedStore},
    tensors::Tensors,
};
use crate::{
    error::{Error, Result},
    files::names,
};

/// Named tensors of one network. Nothing is copied before it is read.
#[derive(Clone)]
pub struct Store {
    source: Arc<Source>,
    shapes: Arc<HashMap<String, Vec<usize>>>,
    /// The files of the tensors, for messages and provenance.
    label: Arc<str>,
    /// Where nothing is read, the tensors that were asked for: see [`Self::without_values`].
    outline: Option<Arc<Mutex<HashSet<String>>>>,
}

enum Source {
    Files(Tensors),
    Renamed(RenamedStore),
}

impl Store {
    /// Opens one file: safetensors, PyTorch's own format (an archive, or the stream before 1.6), or GGUF, whose quantised weights are
    /// multiplied out when they are read. What it holds decides, not its name. Of PyTorch's, tensors in plain containers are taken,
    /// also under `state_dict`, `ema` or `model`; no code in it is ever run.
    ///
    /// # Errors
    ///
    /// Says of a file that is neither what it seems to be, and names a stand-in of Git LFS; as [`Self::open_files`].
    pub fn open(file: &Path) -> Result<Self> {
        Self::open_files(&[file.to_owned()])
    }

    /// Opens the files of one network: one, or its shards. Names lose what training puts before them (`module.`,
    /// `_orig_mod.`), and weights in 8 bits with a factor beside them are multiplied out when they are read.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, where there are more tensors than any network has, where one is there twice, where a factor
    /// does not fit its weight, and where weights are quantised in a way that is not read.
    pub fn open_files(files: &[PathBuf]) -> Result<Self> {
        let mut held = 0;
        let opened = files.iter().map(|path| {
            let file = WeightFile::open(path)?;
            held += file.tensors().count();
            // Counted file by file: names of all of them together may take more memory than there is.
            if held > MOST_TENSORS {
                return Err(Error::failed(format!(
                    "{} and the files before it hold more than {MOST_TENSORS} tensors",
                    path.display()
                )));
            }
            Ok((names::text(path), file))
        });
        Self::of_files(opened.collect::<Result<_>>()?)
    }

    /// Tensors in the bytes of a file, called `label` in messages.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, label: &str) -> Result<Self> {
        let file = WeightFile::read(Bytes::Memory(Cursor::new(bytes.into())), label)?;
        Self::of_files(vec![(label.to_owned(), file)])
    }

    fn of_files(files: Vec<(String, WeightFile)>) -> Result<Self> {
        let labels: Vec<&str> = files.iter().map(|(label, _)| label.as_str()).collect();
        let label = labels.join(", ");
        let tensors = Tensors::new(files)?;
        let shapes = tensors
            .entries()
            .map(|(name, entry)| (name.to_owned(), entry.shape.clone()))
            .collect();
        Ok(Self::new(Source::Files(tensors), shapes, label))
    }

    fn new(source: Source, shapes: HashMap<String, Vec<usize>>, label: String) -> Self {
        Self {
            source: Arc::new(source),
            shapes: Arc::new(shapes),
            label: label.into(),
            outline: None,
        }
    }

    /// The same tensors under other names; those that no rule names are left out. Nothing is read or copied: a rule that does not
    /// fit its tensor is an error when the tensor is read.
    pub fn renamed(&self, rules: Vec<Rename>) -> Self {
        let label = self.label().to_owned();
        let (renamed, shapes) = RenamedStore::new(self.clone(), rules);
        Self::new(Source::Renamed(renamed), shapes, label)
    }

    /// The same tensors without their numbers, of names and shapes: a network that is built from them takes neither time
    /// nor memory, and shows whether the file has its tensors.
    pub(crate) fn without_values(&self) -> Self {
        Self {
            outline: Some(Arc::default()),
            ..self.clone()
        }
    }

    /// The names in the file of what no rule of [`Self::renamed`] names, in no order.
    pub(crate) fn left_out(&self) -> Vec<&str> {
        match &*self.source {
            Source::Files(_) => Vec::new(),
            Source::Renamed(renamed) => renamed.left_out(),
        }
    }

    /// Keeps copies of what is read from now on, in the format of the files, up to so many bytes.
    pub(crate) fn keep(&self, bytes: usize) {
        match &*self.source {
            Source::Files(files) => files.keep(&Room::new(bytes)),
            Source::Renamed(renamed) => renamed.inner().keep(bytes),
        }
    }

    /// The names of tensors that no network was built from, in order, of a store [`Self::without_values`].
    pub(crate) fn unread(&self) -> Vec<&str> {
        let Some(outline) = &self.outline else {
            return Vec::new();
        };
        let read = outline.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unread: Vec<&str> = self.names().filter(|name| !read.contains(*name)).collect();
        unread.sort_unstable();
        unread
    }

    /// The files of the tensors.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A text beside the tensors: under a key of a safetensors header's `__metadata__`, or of the dictionary at the top
    /// of a pickle.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        match &*self.source {
            Source::Files(files) => files.metadata(key),
            Source::Renamed(renamed) => renamed.inner().metadata(key),
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

    /// A tensor as it is in the file, on the CPU; multiplied out in f32 where it has a factor.
    pub(super) fn raw(&self, name: &str) -> candle_core::Result<Tensor> {
        match &*self.source {
            Source::Files(tensors) => match tensors.get(name) {
                Some(entry) => tensors.load(entry).map_err(candle_core::Error::msg),
                None => bail!("{} lacks the tensor {name}", self.label),
            },
            Source::Renamed(renamed) => renamed.raw(name),
        }
    }

    /// So many rows of a tensor as [`Self::raw`] has it.
    pub(super) fn raw_rows(&self, name: &str, rows: &Range<usize>) -> candle_core::Result<Tensor> {
        if let Source::Files(tensors) = &*self.source
            && let Some(entry) = tensors.get(name)
        {
            return tensors.load_rows(entry, rows).map_err(candle_core::Error::msg);
        }
        self.raw(name)?.narrow(0, rows.start, rows.len())?.contiguous()
    }

    /// The type of a tensor's numbers in the file; none where it has no factor and no name here.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        match &*self.source {
            // A tensor with factors is no integer, whatever its bits are stored as.
            Source::Files(tensors) => tensors.get(name).and_then(|entry| entry.bits.or(entry.dtype)),
            Source::Renamed(renamed) => renamed.dtype(name),
        }
    }

    /// Whether the file of this label holds a tensor under a name of its own.
    pub(super) fn file_holds(&self, file: &Path, name: &str) -> bool {
        match &*self.source {
            Source::Files(tensors) => tensors.file_holds(&names::text(file), name),
            Source::Renamed(renamed) => renamed.inner().file_holds(file, name),
        }
    }

    /// A tensor's name, with the one it has in the file if that is another.
    fn in_file(&self, name: &str) -> String {
        match &*self.source {
            Source::Renamed(renamed) => renamed.in_file(name),
            Source::Files(tensors) => match tensors.get(name) {
                Some(entry) if entry.name != name => format!("{} ({name})", entry.name),
                _ => name.to_owned(),
            },
        }
    }

    /// Bytes that each number of a tensor takes while it is read: in the file's type and as a tensor of it, in f32, once more
    /// where it is multiplied out, and in the target's type.
    fn bytes_each(&self, name: &str, wanted: DType) -> usize {
        const FLOAT: usize = size_of::<f32>();
        let cast = if wanted == DType::F32 {
            0
        } else {
            wanted.size_in_bytes()
        };
        let width = |dtype: Dtype| dtype.bitsize().div_ceil(u8::BITS as usize);
        match self.dtype(name) {
            // Read into its place.
            Some(Dtype::F32) => FLOAT + cast,
            Some(dtype) if numbers::is_f8(dtype) => width(dtype) + size_of::<u16>() + 2 * FLOAT + cast,
            other => 2 * other.map_or(FLOAT, width) + 2 * FLOAT + cast,
        }
    }

    fn load(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let shape = self.shape(name).unwrap_or_default();
        let count = shape.iter().product::<usize>();
        // A single number, as the alpha of a LoRA, may be an integer: as a weight nothing is.
        if count != 1
            && !dtype.is_int()
            && let Some(integer) = self.dtype(name).filter(|dtype| numbers::is_integer(*dtype))
        {
            bail!(
                "{}: the tensor {} holds integers ({integer:?}), not weights; quantised weights are read as fp8 with their \
                 factors, or not at all",
                self.label,
                self.in_file(name)
            );
        }
        if let Some(outline) = &self.outline {
            let mut read = outline.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(name.to_owned());
            return Tensor::zeros((), dtype, device)?.broadcast_as(shape);
        }
        ask_memory(count.saturating_mul(self.bytes_each(name, dtype))).map_err(|error| {
            let name = self.in_file(name);
            candle_core::Error::msg(error.context(format_args!("{}: the tensor {name}", self.label)))
        })?;
        let raw = self.raw(name)?;
        // A number that is not finite makes the sum so too, so one pass over what was just read settles it; a NaN found
        // later would have no name.
        let wide = raw.to_dtype(DType::F32)?;
        if !wide.sum_all()?.to_scalar::<f32>()?.is_finite() && has_non_finite(&wide)? {
            bail!(
                "{}: the tensor {} holds NaN or infinite numbers",
                self.label,
                self.in_file(name)
            );
        }
        let cast = if raw.dtype() == dtype {
            raw
        } else {
            wide.to_dtype(dtype)?
        };
        cast.to_device(device)
    }
}

/// Large finite numbers can overflow a sum: this looks at each.
fn has_non_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().any(|x| !x.is_finite()))
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
