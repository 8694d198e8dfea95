//! GGUF files (llama.cpp's format, with quantised weights; of diffusion models in ComfyUI-GGUF's layout), read tensor by tensor: of a
//! file only names, shapes, places and a few texts stay in memory. Quantised weights are multiplied out in f32 when they are read.
//!
//! The reader is our own: candle's allocates what a length in the file says before it is looked at, and hands blocks to code that
//! trusts their number.

mod blocks;
mod header;
mod reader;

use std::{collections::HashMap, ops::Range};

use candle_core::{Device, Tensor};

use self::{
    blocks::BlockType,
    header::{Info, Number, read_header},
};
use super::{
    bytes::{Bytes, ask_memory, room},
    file::{TensorInfo, rows_of},
    held::{Held, Room},
    numbers,
};
use crate::error::{Error, Result};

/// Bytes of blocks that are read at a time: what is multiplied out is held beside few of them.
const PIECE_BYTES: usize = 1 << 20;

/// The tensors of a file.
pub(super) struct GgufFile {
    /// Its label in messages.
    label: String,
    tensors: HashMap<String, Info>,
    texts: HashMap<String, String>,
    bytes: Held,
}

impl GgufFile {
    /// Reads the header of what is called `label`.
    ///
    /// # Errors
    ///
    /// Where it is cut off, damaged, of a version or of types that are not read, or asks for more than any file has.
    pub(super) fn read(mut bytes: Bytes, label: &str) -> Result<Self> {
        let length = bytes
            .length()
            .map_err(|error| Error::failed(format!("cannot read {label}: {error}")))?;
        let header = read_header(&mut bytes, length)
            .map_err(|problem| Error::failed(format!("{label} cannot be read as GGUF: {problem}")))?;
        Ok(Self {
            label: label.to_owned(),
            tensors: header.tensors,
            texts: header.texts,
            bytes: Held::new(bytes),
        })
    }

    /// Every tensor, in no order; one that is quantised has no type of numbers.
    pub(super) fn tensors(&self) -> impl Iterator<Item = TensorInfo<'_>> {
        self.tensors.iter().map(|(name, info)| TensorInfo {
            name,
            dtype: info.number.plain(),
            shape: &info.shape,
        })
    }

    /// The text under a key of the metadata.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// Whether there is a tensor of that name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// See [`super::Store::keep`].
    pub(super) fn keep(&self, room: &Room) {
        self.bytes.keep(room);
    }

    /// A tensor on the CPU: plain numbers as the file has them, quantised ones multiplied out in f32.
    ///
    /// # Errors
    ///
    /// Where the file has no such tensor, where it cannot be read, and where there is no memory for it.
    pub(super) fn load(&self, name: &str) -> Result<Tensor> {
        let info = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::failed(format!("{} lacks the tensor {name}", self.label)))?;
        self.load_bytes(info, 0..info.bytes, &info.shape)
            .map_err(|error| error.context(format_args!("{}: the tensor {name}", self.label)))
    }

    /// Rows of a tensor as [`Self::load`] has it; none where they have no bytes of their own, as rows that share a block.
    pub(super) fn load_rows(&self, name: &str, rows: &Range<usize>) -> Result<Option<Tensor>> {
        let Some(info) = self.tensors.get(name) else {
            return Ok(None);
        };
        let Some((bytes, shape)) = rows_of(&info.shape, info.bytes, rows) else {
            return Ok(None);
        };
        if let Number::Blocks(kind) = info.number
            && (bytes.start % kind.bytes() != 0 || bytes.len() % kind.bytes() != 0)
        {
            return Ok(None);
        }
        self.load_bytes(info, bytes, &shape)
            .map(Some)
            .map_err(|error| error.context(format_args!("{}: the tensor {name}", self.label)))
    }

    /// The numbers of a shape in some of a tensor's bytes.
    fn load_bytes(&self, info: &Info, bytes: Range<usize>, shape: &[usize]) -> Result<Tensor> {
        let start = info.start + bytes.start as u64;
        match info.number {
            Number::Plain(dtype) => {
                let mut held = room(bytes.len())?;
                self.bytes.read_at(start, &mut held)?;
                Ok(numbers::tensor(dtype, &held, shape)?)
            }
            Number::Blocks(kind) => self.multiplied_out(start, bytes.len(), kind, shape),
        }
    }

    fn multiplied_out(&self, start: u64, length: usize, kind: BlockType, shape: &[usize]) -> Result<Tensor> {
        let count: usize = shape.iter().product();
        let piece = PIECE_BYTES / kind.bytes() * kind.bytes();
        let bytes = count.saturating_mul(size_of::<f32>());
        ask_memory(bytes.saturating_add(piece))?;
        let mut values = Vec::with_capacity(count);
        let mut held = vec![0; piece.min(length)];
        let mut done = 0;
        while done < length {
            let now = held.len().min(length - done);
            let part = &mut held[..now];
            self.bytes.read_at(start + done as u64, part)?;
            for block in part.chunks_exact(kind.bytes()) {
                kind.multiply_out(block, &mut values);
            }
            done += now;
        }
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, io::Cursor};

    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
    use safetensors::Dtype;

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// Numbers whose sizes differ from block to block.
    fn numbers_of(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| (0.37 * i as f32).sin() * (1.0 + (i / 64) as f32) + 0.1)
            .collect()
    }

    fn opened(bytes: Vec<u8>) -> Result<GgufFile> {
        GgufFile::read(Bytes::Memory(Cursor::new(Cow::Owned(bytes))), "the test")
    }

    /// A file as candle writes it.
    fn written(tensors: &[(&str, &QTensor)]) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
        let architecture = gguf_file::Value::String("flux".to_owned());
        let version = gguf_file::Value::U32(2);
        let words = gguf_file::Value::Array(vec![gguf_file::Value::String("word".to_owned()); 3]);
        let metadata = [
            ("general.architecture", &architecture),
            ("general.quantization_version", &version),
            ("some.words", &words),
        ];
        let mut bytes = Cursor::new(Vec::new());
        gguf_file::write(&mut bytes, &metadata, tensors)?;
        Ok(bytes.into_inner())
    }

    /// Every format as candle's own code has it.
    #[test]
    fn every_format_is_multiplied_out_as_its_authors_do() -> TestResult {
        let plain = Tensor::from_vec(numbers_of(3 * 512), (3, 512), &Device::Cpu)?;
        for dtype in [
            GgmlDType::F32,
            GgmlDType::F16,
            GgmlDType::BF16,
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
            GgmlDType::Q8_0,
            GgmlDType::Q2K,
            GgmlDType::Q3K,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
        ] {
            let quantised = QTensor::quantize(&plain, dtype)?;
            let file = opened(written(&[("a.weight", &quantised)])?)?;
            let found = file.load("a.weight")?.to_dtype(candle_core::DType::F32)?;
            let wanted = quantised.dequantize(&Device::Cpu)?;
            assert_eq!(found.dims(), wanted.dims());
            let difference = (found - &wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let most = wanted.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference <= 1e-6 * most, "{dtype:?}: {difference}");
            let rows = file.load_rows("a.weight", &(1..3))?.ok_or("rows are in one piece")?;
            let rows = rows.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
            assert_eq!(rows, found_rows(&file)?, "{dtype:?}");
            assert!(file.load_rows("a.weight", &(1..4))?.is_none());
        }
        Ok(())
    }

    /// The last two of three rows of the whole tensor.
    fn found_rows(file: &GgufFile) -> std::result::Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
        let whole = file.load("a.weight")?.to_dtype(candle_core::DType::F32)?;
        Ok(whole.narrow(0, 1, 2)?.to_vec2()?)
    }

    #[test]
    fn texts_are_kept_and_lists_are_passed_over() -> TestResult {
        let one = QTensor::quantize(&Tensor::from_vec(numbers_of(6), (2, 3), &Device::Cpu)?, GgmlDType::F32)?;
        let file = opened(written(&[("b", &one), ("c", &one)])?)?;
        assert_eq!(file.text("general.architecture"), Some("flux"));
        assert_eq!(file.text("some.words"), None);
        assert!(file.holds("b") && file.holds("c") && !file.holds("d"));
        assert!(
            file.tensors()
                .all(|held| held.shape == [2, 3] && held.dtype == Some(Dtype::F32))
        );
        assert!(file.load("d").is_err());
        Ok(())
    }

    /// Whatever byte is another, and wherever it ends: an error, or a file, and never more memory than it has bytes.
    #[test]
    fn damaged_files_are_errors() -> TestResult {
        let one = QTensor::quantize(
            &Tensor::from_vec(numbers_of(64), (2, 32), &Device::Cpu)?,
            GgmlDType::Q8_0,
        )?;
        let whole = written(&[("b", &one), ("c", &one)])?;
        let data = 2 * 2 * 34 + 64;
        for end in 0..whole.len() - data {
            assert!(opened(whole[..end].to_vec()).is_err(), "{end}");
        }
        for place in 0..whole.len() - data {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] = byte;
                if let Ok(file) = opened(bytes) {
                    for name in ["b", "c"] {
                        file.load(name).map(drop).unwrap_or_default();
                    }
                }
            }
        }
        Ok(())
    }
}
