//! Safetensors files, read tensor by tensor: of a file only its header stays in memory, and what is read is read once, into
//! the place where it is kept. (A mapped file would count as memory of the program beside the copies that are computed with.)

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use candle_core::{Device, Tensor, bail, safetensors::Load};
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};

use crate::error::{Error, Result};

/// What a stand-in of Git's large file storage begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// The length of the header comes first.
const LENGTH_BYTES: usize = 8;
/// The longest header that is read: the format's own bound.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// The tensors of one or several files.
pub struct SafetensorsFiles {
    files: Vec<OpenFile>,
    /// In which file a tensor is, and where.
    tensors: HashMap<String, (usize, TensorInfo)>,
    /// What the headers say besides, by key; of several files the first that says it counts.
    metadata: HashMap<String, String>,
}

struct OpenFile {
    path: PathBuf,
    file: Mutex<File>,
    /// Where the numbers begin, in bytes.
    data_start: u64,
}

impl SafetensorsFiles {
    /// Opens one file, or the shards of one network, and reads their headers.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::with_capacity(paths.len());
        let mut tensors = HashMap::new();
        let mut said: HashMap<String, String> = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            let (file, metadata) = open(path)?;
            files.push(file);
            for (key, value) in metadata.metadata().iter().flatten() {
                said.entry(key.clone()).or_insert_with(|| value.clone());
            }
            let infos = metadata.tensors().into_iter();
            tensors.extend(infos.map(|(name, info)| (name, (index, info.clone()))));
        }
        Ok(Self {
            files,
            tensors,
            metadata: said,
        })
    }

    /// Every tensor's name and shape, in no order.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, (_, info))| (name.as_str(), info.shape.as_slice()))
    }

    /// What a header says under a key of its `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Whether there is a tensor of that name.
    pub fn holds(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor in the number format of the file, on the CPU.
    pub fn load(&self, name: &str) -> candle_core::Result<Tensor> {
        let Some((index, info)) = self.tensors.get(name) else {
            bail!("there is no tensor {name}");
        };
        let place = &self.files[*index];
        let (start, end) = info.data_offsets;
        let read = |bytes: &mut [u8]| {
            let mut file = place.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(place.data_start + start as u64))
                .and_then(|_| file.read_exact(bytes))
                .map_err(|error| candle_core::Error::msg(Error::io("read", &place.path, &error)))
        };
        if info.dtype == Dtype::F32 {
            let mut values = vec![0.0_f32; (end - start) / size_of::<f32>()];
            read(bytemuck::cast_slice_mut(&mut values))?;
            return Tensor::from_vec(values, info.shape.as_slice(), &Device::Cpu);
        }
        let mut bytes = vec![0; end - start];
        read(&mut bytes)?;
        TensorView::new(info.dtype, info.shape.clone(), &bytes)
            .map_err(candle_core::Error::wrap)?
            .load(&Device::Cpu)
    }
}

/// Opens a file; one that is cut off or is no safetensors file at all is named here.
fn open(path: &Path) -> Result<(OpenFile, Metadata)> {
    let read_error = |error| Error::io("read", path, &error);
    let wrong = |problem: String| Error::failed(format!("{} cannot be read as safetensors: {problem}", path.display()));
    let meta = fs::metadata(path).map_err(read_error)?;
    if !meta.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let mut file = File::open(path).map_err(read_error)?;
    let mut start = Vec::new();
    file.by_ref()
        .take(LFS_POINTER.len() as u64)
        .read_to_end(&mut start)
        .map_err(read_error)?;
    if start == LFS_POINTER {
        let remedy = "it only stands for a file of Git LFS; fetch the file itself with `git lfs pull`";
        return Err(wrong(remedy.to_owned()));
    }
    let Some(length) = start.first_chunk::<LENGTH_BYTES>() else {
        return Err(wrong(format!("it is cut off after {} bytes", meta.len())));
    };
    let header_bytes = u64::from_le_bytes(*length);
    let data_start = header_bytes.saturating_add(LENGTH_BYTES as u64);
    if data_start > meta.len() {
        return Err(wrong(format!(
            "its header would end at byte {data_start}, the file has {}: it is cut off or of another kind",
            meta.len()
        )));
    }
    if header_bytes > MOST_HEADER_BYTES {
        return Err(wrong(format!(
            "its header would have {header_bytes} bytes: it is of another kind"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    file.seek(SeekFrom::Start(LENGTH_BYTES as u64))
        .and_then(|_| file.read_exact(&mut header))
        .map_err(read_error)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| wrong(format!("its header is damaged ({error})")))?;
    let data_bytes = meta.len() - data_start;
    check_offsets(&metadata, data_bytes).map_err(wrong)?;
    let path = path.to_owned();
    let file = Mutex::new(file);
    Ok((OpenFile { path, file, data_start }, metadata))
}

/// The tensors lie one behind the other, each as long as its shape says, and end with the file.
fn check_offsets(metadata: &Metadata, data_bytes: u64) -> std::result::Result<(), String> {
    let tensors = metadata.tensors();
    let mut infos: Vec<(&String, &&TensorInfo)> = tensors.iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in infos {
        let (from, to) = info.data_offsets;
        let values = info
            .shape
            .iter()
            .try_fold(1_usize, |product, side| product.checked_mul(*side));
        let bits = values.and_then(|values| values.checked_mul(info.dtype.bitsize()));
        if from != end || to < from || bits.is_none_or(|bits| bits.div_ceil(u8::BITS as usize) != to - from) {
            return Err(format!(
                "the place of the tensor {name} in it is wrong, it may be damaged"
            ));
        }
        end = to;
    }
    if end as u64 != data_bytes {
        return Err(format!(
            "its tensors have {end} bytes, the file holds {data_bytes} of them: it may be cut off or damaged"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::DType;
    use safetensors::{serialize, tensor::TensorView};

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// A file with a tensor of f32 and one of f16, as bytes.
    fn written() -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
        let wide: Vec<u8> = [1.0_f32, -2.5, 3.25].iter().flat_map(|x| x.to_le_bytes()).collect();
        let narrow: Vec<u8> = [0.5_f32, 8.0]
            .iter()
            .flat_map(|x| half::f16::from_f32(*x).to_le_bytes())
            .collect();
        let tensors = [
            ("wide", TensorView::new(Dtype::F32, vec![3, 1], &wide)?),
            ("narrow", TensorView::new(Dtype::F16, vec![2], &narrow)?),
        ];
        serialize(tensors, None)
    }

    fn opened(bytes: &[u8]) -> std::result::Result<Result<SafetensorsFiles>, std::io::Error> {
        let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
        file.write_all(bytes)?;
        Ok(SafetensorsFiles::open(&[file.path().to_owned()]))
    }

    #[test]
    fn tensors_come_with_their_shape_format_and_numbers() -> TestResult {
        let files = opened(&written()?)??;
        let wide = files.load("wide")?;
        assert_eq!((wide.dims(), wide.dtype()), ([3, 1].as_slice(), DType::F32));
        assert_eq!(wide.flatten_all()?.to_vec1::<f32>()?, [1.0, -2.5, 3.25]);
        let narrow = files.load("narrow")?;
        assert_eq!((narrow.dims(), narrow.dtype()), ([2].as_slice(), DType::F16));
        assert_eq!(narrow.to_dtype(DType::F32)?.to_vec1::<f32>()?, [0.5, 8.0]);
        assert!(files.holds("wide") && !files.holds("other"));
        assert!(files.load("other").is_err());
        Ok(())
    }

    #[test]
    fn a_file_that_is_cut_off_or_longer_or_lies_about_its_tensors_is_refused() -> TestResult {
        let whole = written()?;
        for length in [0, 7, 8, 40, whole.len() - 1] {
            let error = opened(&whole[..length])?.err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|error| error.contains("cannot be read as safetensors")),
                "{length}"
            );
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(opened(&longer)?.is_err());
        // One side more than there are numbers for.
        let position = whole.windows(5).position(|part| part == b"[3,1]").ok_or("no shape")?;
        let mut lying = whole.clone();
        lying[position..position + 5].copy_from_slice(b"[3,2]");
        assert!(opened(&lying)?.is_err());
        Ok(())
    }
}
