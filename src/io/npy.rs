//! NumPy's .npy: one array in one file.

use std::{
    io::{Read, Write},
    path::Path,
};

use half::f16;

use super::{
    array::Array,
    output::{write_error, write_numbers},
};
use crate::{
    error::{Error, Result, clipped},
    extract::request::StoreFormat,
    files,
};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header read: a few sides take a hundred bytes.
const MAX_HEADER: u32 = 1 << 16;

/// Writes an array, format 1.0.
///
/// # Errors
///
/// Where writing fails, or the array has more dimensions than a header holds.
pub fn write_npy(out: &mut dyn Write, array: &Array, format: StoreFormat) -> Result<()> {
    const VERSION: [u8; 2] = [1, 0];
    const ALIGNMENT: usize = 64;
    let descr = match format {
        StoreFormat::F32 => "<f4",
        StoreFormat::F16 => "<f2",
    };
    let sides: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let comma = if sides.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        sides.join(", ")
    );
    let unpadded = MAGIC.len() + VERSION.len() + size_of::<u16>() + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::failed(format!("an array of {} dimensions has no .npy", array.shape.len())))?;
    let start = [MAGIC.as_slice(), &VERSION, &length.to_le_bytes(), header.as_bytes()];
    out.write_all(&start.concat()).map_err(write_error)?;
    write_numbers(out, &array.data, format)
}

/// Reads an array of real floating-point numbers in row-major order.
///
/// # Errors
///
/// Where the file cannot be read, is broken, or holds other numbers.
pub fn read_npy(path: &Path) -> Result<Array> {
    let mut file = files::open(path)?;
    let meta = file.metadata().map_err(|error| Error::io("read", path, &error))?;
    parse_npy(&mut file, meta.len(), &path.display().to_string())
}

/// Reads an array from `total` bytes that `label` names.
pub(super) fn parse_npy(file: &mut dyn Read, total: u64, label: &str) -> Result<Array> {
    let wrong = |problem: &str| Error::failed(format!("{label} cannot be read as .npy: {problem}"));
    let mut start = [0; 12];
    let cut_off = || wrong("it is cut off in its header, or another kind of file");
    file.read_exact(&mut start[..10]).map_err(|_| cut_off())?;
    let (length, before) = match start {
        [m @ .., 1, _, a, b, _, _] if m == *MAGIC => (u32::from(u16::from_le_bytes([a, b])), 10),
        [m @ .., 2 | 3, _, a, b, _, _] if m == *MAGIC => {
            file.read_exact(&mut start[10..]).map_err(|_| cut_off())?;
            (u32::from_le_bytes([a, b, start[10], start[11]]), 12)
        }
        _ => return Err(wrong("it does not begin like one")),
    };
    if length > MAX_HEADER {
        return Err(wrong("its header is too long"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|_| cut_off())?;
    let header = String::from_utf8_lossy(&header);
    let (shape, kind) = parse_header(&header).ok_or_else(|| {
        wrong(&format!(
            "its header is {:?}; little-endian floating-point numbers in row-major order are read",
            clipped(header.trim_end())
        ))
    })?;
    let bytes_each = kind.bytes();
    let expected = shape
        .iter()
        .try_fold(bytes_each, |product, side| product.checked_mul(*side));
    let held = total - before - u64::from(length);
    if expected.map(|bytes| bytes as u64) != Some(held) {
        return Err(wrong(&format!(
            "its header promises the shape {shape:?}, {bytes_each} bytes each, but {held} bytes follow: it is cut off \
             or damaged"
        )));
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(held as usize)
        .map_err(|_| wrong(&format!("there is not enough memory for its {held} bytes")))?;
    file.take(held)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(&error.to_string()))?;
    Array::new(shape, kind.numbers(&bytes))
}

/// How a number is stored.
#[derive(Clone, Copy)]
enum Kind {
    F16,
    F32,
    F64,
}

impl Kind {
    const fn bytes(self) -> usize {
        match self {
            Self::F16 => size_of::<f16>(),
            Self::F32 => size_of::<f32>(),
            Self::F64 => size_of::<f64>(),
        }
    }

    fn numbers(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|x| f16::from_le_bytes(*x).to_f32())
                .collect(),
            Self::F32 => bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            Self::F64 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|x| f64::from_le_bytes(*x) as f32)
                .collect(),
        }
    }
}

/// Shape and kind in `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }`.
fn parse_header(header: &str) -> Option<(Vec<usize>, Kind)> {
    let after = |key: &str| Some(header.split_once(&format!("'{key}':"))?.1.trim_start());
    let kind = match after("descr")?.get(..5)? {
        "'<f2'" => Kind::F16,
        "'<f4'" => Kind::F32,
        "'<f8'" => Kind::F64,
        _ => return None,
    };
    if !after("fortran_order")?.starts_with("False") {
        return None;
    }
    let (sides, _) = after("shape")?.strip_prefix('(')?.split_once(')')?;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    Some((sides.map(|side| side.parse().ok()).collect::<Option<_>>()?, kind))
}
