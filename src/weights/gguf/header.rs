//! The header of a GGUF file: metadata, of which a few texts and the shapes of reshaped tensors are kept; names, shapes, types and
//! places of the tensors.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::Seek,
};

use safetensors::Dtype;

use super::{blocks::BlockType, reader::Reader};
use crate::{
    error::clipped,
    weights::{
        bytes::Bytes,
        header::{MOST_NAME_BYTES, MOST_TENSORS},
        numbers::MAX_DIMENSIONS,
    },
};

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
/// Versions with counts of 64 bits.
const VERSIONS: [u32; 2] = [2, 3];
/// More entries than any metadata has.
const MOST_ENTRIES: usize = 4096;
/// Texts of metadata up to this length are kept: names of architectures.
const MOST_KEPT_BYTES: usize = 256;
/// Elements of a longer list than any is; they are passed over.
const MOST_ELEMENTS: usize = 1 << 22;
/// Lists in lists up to this depth.
const MOST_DEPTH: usize = 4;
/// The key of the shape that a tensor had before it was brought into rows.
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";
/// The key of the multiple of bytes at which tensors begin, and what it is where it is missing.
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Larger multiples are in no file.
const MOST_ALIGNMENT: u64 = 1 << 16;
/// Least bytes of an entry, and of a tensor: lengths, types and an empty name.
const LEAST_ENTRY_BYTES: u64 = 12;
const LEAST_TENSOR_BYTES: u64 = 24;

/// A file's tensors, and the texts beside them.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: HashMap<String, Info>,
    pub(super) texts: HashMap<String, String>,
}

/// A tensor in the file.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) number: Number,
    /// As other formats have it: the last side is the one whose numbers lie beside each other.
    pub(super) shape: Vec<usize>,
    /// Its first byte in the file.
    pub(super) start: u64,
    pub(super) bytes: usize,
}

/// Format of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Plain(Dtype),
    Blocks(BlockType),
}

impl Number {
    /// Its type, where it is not quantised.
    pub(super) fn plain(self) -> Option<Dtype> {
        match self {
            Self::Plain(dtype) => Some(dtype),
            Self::Blocks(_) => None,
        }
    }

    /// The format of a number in the file.
    fn of(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::Plain(Dtype::F32),
            1 => Self::Plain(Dtype::F16),
            24 => Self::Plain(Dtype::I8),
            25 => Self::Plain(Dtype::I16),
            26 => Self::Plain(Dtype::I32),
            27 => Self::Plain(Dtype::I64),
            28 => Self::Plain(Dtype::F64),
            30 => Self::Plain(Dtype::BF16),
            _ => match BlockType::of(number) {
                Some(kind) => Self::Blocks(kind),
                None => return Err(format!("are quantised as {}, which is not read", name_of(number))),
            },
        })
    }

    /// Bytes of so many numbers in rows of `row`; none where rows are no whole blocks.
    fn bytes(self, count: usize, row: usize) -> Option<usize> {
        match self {
            Self::Plain(dtype) => count.checked_mul(dtype.bitsize() / u8::BITS as usize),
            Self::Blocks(kind) if row.is_multiple_of(kind.numbers()) => {
                (count / kind.numbers()).checked_mul(kind.bytes())
            }
            Self::Blocks(_) => None,
        }
    }
}

/// What a format that is not read is called.
fn name_of(number: u32) -> String {
    const KNOWN: [(u32, &str); 15] = [
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
    ];
    let known = KNOWN.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("type {number}"), |(_, name)| (*name).to_owned())
}

/// Reads the header of a file of `length` bytes; the error says what is wrong with it.
pub(super) fn read_header(bytes: &mut Bytes, length: u64) -> Result<Header, String> {
    bytes.rewind().map_err(|error| error.to_string())?;
    let mut reader = Reader::new(bytes, length);
    let (magic, version) = (reader.u32()?, reader.u32()?);
    if magic != MAGIC || !VERSIONS.contains(&version) {
        return Err(format!(
            "its version is {version}; versions {} and {} are read, in the order of bytes of this machine",
            VERSIONS[0], VERSIONS[1]
        ));
    }
    let tensors = reader.count("tensors", MOST_TENSORS, LEAST_TENSOR_BYTES)?;
    let entries = reader.count("entries of metadata", MOST_ENTRIES, LEAST_ENTRY_BYTES)?;
    let mut metadata = Metadata::default();
    for _ in 0..entries {
        metadata.take(&mut reader)?;
    }
    let mut header = Header::default();
    for _ in 0..tensors {
        let (name, info) = tensor(&mut reader)?;
        match header.tensors.entry(name) {
            Entry::Vacant(place) => drop(place.insert(info)),
            Entry::Occupied(place) => return Err(format!("the tensor {} is there twice", clipped(place.key()))),
        }
    }
    let alignment = metadata.alignment.unwrap_or(DEFAULT_ALIGNMENT);
    let data_start = reader.at().next_multiple_of(alignment);
    place(&mut header.tensors, data_start, length, alignment)?;
    for (name, shape) in metadata.shapes {
        if let Some(info) = header.tensors.get_mut(&name) {
            let count = |shape: &[usize]| {
                shape
                    .iter()
                    .try_fold(1_usize, |product, side| product.checked_mul(*side))
            };
            if count(&shape) != count(&info.shape) {
                return Err(format!(
                    "the tensor {} has the shape {:?} and is said to be of {shape:?}",
                    clipped(&name),
                    info.shape
                ));
            }
            info.shape = shape;
        }
    }
    header.texts = metadata.texts;
    Ok(header)
}

/// Makes places in the file of the offsets behind the header; each tensor begins at a multiple, ends before the file does and lies
/// over no other.
fn place(tensors: &mut HashMap<String, Info>, data_start: u64, length: u64, alignment: u64) -> Result<(), String> {
    let mut placed: Vec<(&String, &mut Info)> = tensors.iter_mut().collect();
    placed.sort_by_key(|(_, info)| info.start);
    let mut end = data_start;
    for (name, info) in placed {
        let wrong = || {
            format!(
                "the place of the tensor {} in it is wrong: it is cut off or damaged",
                clipped(name)
            )
        };
        let start = info.start.checked_add(data_start).ok_or_else(wrong)?;
        let behind = start.checked_add(info.bytes as u64).ok_or_else(wrong)?;
        if start < end || behind > length || !info.start.is_multiple_of(alignment) {
            return Err(wrong());
        }
        (info.start, end) = (start, behind);
    }
    Ok(())
}

/// A tensor's name, shape, format and offset.
fn tensor(reader: &mut Reader<'_>) -> Result<(String, Info), String> {
    let name = reader.text("the name of a tensor", MOST_NAME_BYTES)?;
    let named = |problem: String| format!("the tensor {}: {problem}", clipped(&name));
    let dimensions = reader.u32()? as usize;
    if dimensions > MAX_DIMENSIONS {
        return Err(named(format!("it has {dimensions} sides, more than {MAX_DIMENSIONS}")));
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let side = reader.u64()?;
        shape.push(usize::try_from(side).map_err(|_| named(format!("it has a side of {side}")))?);
    }
    // The file counts from the side whose numbers lie beside each other.
    shape.reverse();
    let number = Number::of(reader.u32()?).map_err(|problem| {
        named(format!(
            "its numbers {problem}; take a version of Q8_0, Q4_0 to Q5_1, Q2_K to Q6_K, F16 or BF16"
        ))
    })?;
    let offset = reader.u64()?;
    let count = shape
        .iter()
        .try_fold(1_usize, |product, side| product.checked_mul(*side));
    let row = shape.last().copied().unwrap_or(1);
    let bytes = count.and_then(|count| number.bytes(count, row));
    let bytes = bytes.ok_or_else(|| named(format!("its shape {shape:?} is of no whole blocks, or too large")))?;
    let info = Info {
        number,
        shape,
        start: offset,
        bytes,
    };
    Ok((name, info))
}

/// What is kept of the metadata.
#[derive(Default)]
struct Metadata {
    texts: HashMap<String, String>,
    shapes: HashMap<String, Vec<usize>>,
    alignment: Option<u64>,
}

/// Types of values.
const UINT32: u32 = 4;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// Bytes of a value of a type; none of texts and lists.
fn width(kind: u32) -> Option<u64> {
    match kind {
        // Bytes and truth values.
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        // Whole numbers and floats of 32 bits, then of 64.
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

impl Metadata {
    /// Takes an entry, or passes over it.
    fn take(&mut self, reader: &mut Reader<'_>) -> Result<(), String> {
        let key = reader.text("a key of the metadata", MOST_NAME_BYTES)?;
        let kind = reader.u32()?;
        if key == ALIGNMENT && kind == UINT32 {
            let alignment = u64::from(reader.u32()?);
            if !alignment.is_power_of_two() || alignment > MOST_ALIGNMENT {
                return Err(format!("its tensors are said to begin at multiples of {alignment}"));
            }
            self.alignment = Some(alignment);
            return Ok(());
        }
        if let (Some(tensor), LIST) = (key.strip_prefix(ORIGINAL_SHAPE), kind) {
            self.shapes.insert(tensor.to_owned(), shape(reader)?);
            return Ok(());
        }
        match kind {
            TEXT if key.starts_with("general.") => {
                let text = reader.text("a text of the metadata", MOST_TEXT_OF_GENERAL)?;
                if text.len() <= MOST_KEPT_BYTES {
                    self.texts.insert(key, text);
                }
                Ok(())
            }
            kind => pass(reader, kind, 0),
        }
    }
}

/// Descriptions and licences may be long.
const MOST_TEXT_OF_GENERAL: usize = 1 << 20;

/// A list of whole numbers of 32 bits: a shape, the slowest side first.
fn shape(reader: &mut Reader<'_>) -> Result<Vec<usize>, String> {
    /// Whole numbers of 32 bits, with and without a sign.
    const WHOLE: [u32; 2] = [4, 5];
    let kind = reader.u32()?;
    let count = reader.count("sides of a shape", MAX_DIMENSIONS, 4)?;
    if !WHOLE.contains(&kind) {
        return Err("a shape in its metadata is no list of whole numbers".to_owned());
    }
    let sides = (0..count).map(|_| {
        let side = reader.u32()?;
        match i32::try_from(side) {
            Ok(_) => Ok(side as usize),
            Err(_) => Err(format!("a shape in its metadata has a side of {}", side.cast_signed())),
        }
    });
    sides.collect()
}

/// Passes over a value.
fn pass(reader: &mut Reader<'_>, kind: u32, depth: usize) -> Result<(), String> {
    match (kind, width(kind)) {
        (_, Some(width)) => reader.pass(width),
        (TEXT, _) => reader.pass_text(),
        (LIST, _) if depth < MOST_DEPTH => {
            let of = reader.u32()?;
            let least = width(of).unwrap_or(8);
            let count = reader.count("elements of a list", MOST_ELEMENTS, least)?;
            match width(of) {
                Some(width) => reader.pass(count as u64 * width),
                None => (0..count).try_for_each(|_| pass(reader, of, depth + 1)),
            }
        }
        _ => Err(format!("its metadata has a value of type {kind}, which is not known")),
    }
}
