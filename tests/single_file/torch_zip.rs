//! Writes tensors as PyTorch's `torch.save({"state_dict": …})` does.

use std::{
    fs::File,
    io::{Seek, Write},
    path::Path,
};

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{common::TestResult, names::Tensors};

/// A pickle under construction.
struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, code: u8) -> &mut Self {
        self.0.push(code);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.op(b'X').0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn int(&mut self, number: usize) -> &mut Self {
        self.op(b'J').0.extend((number as i32).to_le_bytes());
        self
    }

    fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(b'c').0.extend(format!("{module}\n{name}\n").as_bytes());
        self
    }

    fn tuple(&mut self, numbers: &[usize]) -> &mut Self {
        self.op(b'(');
        for number in numbers {
            self.int(*number);
        }
        self.op(b't')
    }

    fn tensor(&mut self, tensor: &Tensor, key: &str) {
        let storage = match tensor.dtype() {
            DType::F16 => "HalfStorage",
            DType::BF16 => "BFloat16Storage",
            _ => "FloatStorage",
        };
        self.global("torch._utils", "_rebuild_tensor_v2").op(b'(');
        self.op(b'(')
            .text("storage")
            .global("torch", storage)
            .text(key)
            .text("cpu");
        self.int(tensor.elem_count()).op(b't').op(b'Q');
        let dims = tensor.dims();
        let strides: Vec<usize> = (0..dims.len()).map(|axis| dims[axis + 1..].iter().product()).collect();
        self.int(0).tuple(dims).tuple(&strides).op(0x89);
        self.global("collections", "OrderedDict").op(b')').op(b'R');
        self.op(b't').op(b'R');
    }
}

fn bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::F16 => flat.to_vec1::<f16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::BF16 => flat.to_vec1::<bf16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

/// Tensors of f32, f16 or bf16.
pub fn save(tensors: &Tensors, path: &Path) -> TestResult {
    let mut pickle = Pickle(vec![0x80, 2]);
    pickle.op(b'}').op(b'(').text("state_dict").op(b'}').op(b'(');
    let mut zip = ZipWriter::new(File::create(path)?);
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        let key = index.to_string();
        pickle.text(name).tensor(tensor, &key);
        entry(&mut zip, &format!("archive/data/{key}"), &bytes(tensor)?)?;
    }
    pickle.op(b'u').text("global_step").int(875_000).op(b'u').op(b'.');
    entry(&mut zip, "archive/data.pkl", &pickle.0)?;
    zip.finish()?;
    Ok(())
}

fn entry(zip: &mut ZipWriter<impl Write + Seek>, name: &str, bytes: &[u8]) -> TestResult {
    zip.start_file(
        name,
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
    )?;
    zip.write_all(bytes)?;
    Ok(())
}
