//! Safetensors files, read tensor by tensor: of a file only its header stays in memory, and what is read is read once, into
//! its final place. (A mapped file would count as memory of the program beside the copies that are computed with.)

use std::{
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::{
    bytes::{Bytes, room},
    file::rows_of,
    header::{Header, Info, MOST_BYTES},
    held::{Held, Room},
    numbers,
};
use crate::{
    error::{Error, Result},
    files,
};

/// The length of the header comes first.
const LENGTH_BYTES: usize = 8;

/// The tensors of a file.
pub struct SafetensorsFile {
    /// Its label in messages.
    label: String,
    header: Header,
    bytes: Held,
    /// Where the numbers begin, in bytes.
    data_start: u64,
}

impl SafetensorsFile {
    /// Opens a file and reads its header; one that is cut off or is no safetensors file at all is named here.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, and where its header is cut off, damaged or none of safetensors.
    pub fn open(path: &Path) -> Result<Self> {
        let mut bytes = Bytes::open(path)?;
        let start = bytes.start(super::contents::START_BYTES);
        files::refuse_pointer(path, &start.map_err(|error| Error::io("read", path, &error))?)?;
        Self::read(bytes, &path.display().to_string())
    }

    /// Reads the header of what is called `label`.
    pub(super) fn read(mut bytes: Bytes, label: &str) -> Result<Self> {
        let unread = |error: std::io::Error| Error::failed(format!("cannot read {label}: {error}"));
        let wrong = |problem: String| Error::failed(format!("{label} cannot be read as safetensors: {problem}"));
        let length = bytes.length().map_err(unread)?;
        let start = bytes.start(LENGTH_BYTES).map_err(unread)?;
        let Some(header_bytes) = start.first_chunk::<LENGTH_BYTES>() else {
            return Err(wrong(format!("it is cut off after {length} bytes")));
        };
        let header_bytes = u64::from_le_bytes(*header_bytes);
        let data_start = header_bytes.saturating_add(LENGTH_BYTES as u64);
        if data_start > length {
            return Err(wrong(format!(
                "its header would end at byte {data_start}, the file has {length}: it is cut off or of another kind"
            )));
        }
        if header_bytes > MOST_BYTES {
            return Err(wrong(format!(
                "its header has {header_bytes} bytes; more than {MOST_BYTES} are not read"
            )));
        }
        let mut json = room(header_bytes as usize)?;
        bytes
            .seek(SeekFrom::Start(LENGTH_BYTES as u64))
            .and_then(|_| bytes.read_exact(&mut json))
            .map_err(unread)?;
        let header = Header::parse(&json, length - data_start).map_err(wrong)?;
        Ok(Self {
            label: label.to_owned(),
            header,
            bytes: Held::new(bytes),
            data_start,
        })
    }

    /// Every tensor's name, type of numbers and shape, in no order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[usize])> {
        let tensors = self.header.tensors.iter();
        tensors.map(|(name, info)| (name.as_str(), info.dtype, info.shape.as_slice()))
    }

    /// The text under a key of the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata.get(key).map(String::as_str)
    }

    /// Whether there is a tensor of that name.
    pub fn holds(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }

    /// See [`super::Store::keep`].
    pub(super) fn keep(&self, room: &Room) {
        self.bytes.keep(room);
    }

    /// A tensor in the number format of the file, or one that has all its values, on the CPU.
    ///
    /// # Errors
    ///
    /// Where the file has no such tensor, where its numbers cannot be read, and where there is no memory for them.
    pub fn load(&self, name: &str) -> Result<Tensor> {
        let info = self
            .header
            .tensors
            .get(name)
            .ok_or_else(|| Error::failed(format!("{} lacks the tensor {name}", self.label)))?;
        self.load_bytes(info, info.data_offsets, &info.shape)
            .map_err(|error| error.context(format_args!("{}: the tensor {name}", self.label)))
    }

    /// Rows of a tensor as [`Self::load`] has it; none where they have no bytes of their own.
    pub(super) fn load_rows(&self, name: &str, rows: &Range<usize>) -> Result<Option<Tensor>> {
        let Some(info) = self.header.tensors.get(name) else {
            return Ok(None);
        };
        let (start, end) = info.data_offsets;
        let Some((bytes, shape)) = rows_of(&info.shape, end - start, rows) else {
            return Ok(None);
        };
        self.load_bytes(info, (start + bytes.start, start + bytes.end), &shape)
            .map(Some)
            .map_err(|error| error.context(format_args!("{}: the tensor {name}", self.label)))
    }

    fn load_bytes(&self, info: &Info, (start, end): (usize, usize), shape: &[usize]) -> Result<Tensor> {
        let read = |into: &mut [u8]| self.bytes.read_at(self.data_start + start as u64, into);
        if info.dtype == Dtype::F32 {
            let mut values: Vec<f32> = Vec::new();
            let count = (end - start) / size_of::<f32>();
            values
                .try_reserve_exact(count)
                .map_err(|_| Error::failed(format!("there is not enough memory for its {} bytes", end - start)))?;
            values.resize(count, 0.0);
            read(bytemuck::cast_slice_mut(&mut values))?;
            return Ok(Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        let mut bytes = room(end - start)?;
        read(&mut bytes)?;
        Ok(numbers::tensor(info.dtype, &bytes, shape)?)
    }
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

    fn opened(bytes: &[u8]) -> std::result::Result<Result<SafetensorsFile>, std::io::Error> {
        let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
        file.write_all(bytes)?;
        Ok(SafetensorsFile::open(file.path()))
    }

    #[test]
    fn tensors_come_with_their_shape_format_and_numbers() -> TestResult {
        let file = opened(&written()?)??;
        let wide = file.load("wide")?;
        assert_eq!((wide.dims(), wide.dtype()), ([3, 1].as_slice(), DType::F32));
        assert_eq!(wide.flatten_all()?.to_vec1::<f32>()?, [1.0, -2.5, 3.25]);
        let narrow = file.load("narrow")?;
        assert_eq!((narrow.dims(), narrow.dtype()), ([2].as_slice(), DType::F16));
        assert_eq!(narrow.to_dtype(DType::F32)?.to_vec1::<f32>()?, [0.5, 8.0]);
        let rows = |name, rows| Ok::<_, Error>(file.load_rows(name, &rows)?.map(|tensor| tensor.to_dtype(DType::F32)));
        let last = rows("wide", 1..3)?.ok_or("rows are in one piece")??;
        assert_eq!(last.to_vec2::<f32>()?, [[-2.5], [3.25]]);
        let last = rows("narrow", 1..2)?.ok_or("rows are in one piece")??;
        assert_eq!(last.to_vec1::<f32>()?, [8.0]);
        assert!(rows("narrow", 1..3)?.is_none() && rows("other", 0..1)?.is_none());
        assert!(file.holds("wide") && !file.holds("other"));
        assert!(file.load("other").is_err());
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

    #[test]
    fn a_header_longer_than_any_is_not_read() -> TestResult {
        let mut file = tempfile::tempfile()?;
        file.write_all(&(MOST_BYTES + 1).to_le_bytes())?;
        // No block of it is written: nothing reads them.
        file.set_len(MOST_BYTES + 100)?;
        let error = SafetensorsFile::read(Bytes::File(file), "x")
            .err()
            .ok_or("it was read")?;
        assert!(error.to_string().contains("16777217 bytes"), "{error}");
        Ok(())
    }
}
