//! PNG, row by row: a picture of 16 bits is never held as such.

use std::io::{Cursor, Read};

use ::image::metadata::Orientation;
use ::png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Reader, Transformations};
use flate2::{Crc, read::ZlibDecoder};

use super::{
    Decoded, FIRST_FRAME, Fault,
    canvas::{Canvas, Colours, check_held},
    check_promise,
};
use crate::geometry::Size;

const SIGNATURE_BYTES: usize = 8;
/// Most pixels that one byte of a PNG can hold: deflate expands at most 1032 times, and a byte has 8 pixels of one bit.
const PIXELS_PER_BYTE: u64 = 1032 * 8;
/// Bytes that the decoder may hold beside the picture: rows and tables. Profiles and texts are skipped.
const DECODER_BYTES: usize = 64 << 20;
/// Passes of an interlaced picture: first column and row, and their distances.
const PASSES: [[usize; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

/// Facts from the chunks before the pixels are decoded.
struct Chunks {
    orientation: Orientation,
    notes: Vec<String>,
    /// A checksum of pixels is wrong.
    data_checksum_fails: bool,
    moves: bool,
}

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let chunks = look(bytes)?;
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_crc(chunks.data_checksum_fails);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(Limits { bytes: DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(|error| fault_of(&error))?;
    let size = Size::new(header.width as usize, header.height as usize);
    let interlaced = header.interlaced;
    check_held(size, bytes.len() as u64, chunks.orientation)?;
    check_promise(size, bytes.len(), PIXELS_PER_BYTE)?;
    if chunks.data_checksum_fails {
        check_data(bytes)?;
    }
    let mut reader = decoder.read_info().map_err(|error| fault_of(&error))?;
    let mut canvas = Canvas::new(size, bytes.len() as u64, chunks.orientation, background)?;
    match interlaced {
        true => {
            for [left, top, dx, dy] in PASSES {
                if left < size.width {
                    for y in (top..size.height).step_by(dy) {
                        put_row(&mut reader, &mut canvas, y, left, dx)?;
                    }
                }
            }
        }
        false => {
            for y in 0..size.height {
                put_row(&mut reader, &mut canvas, y, 0, 1)?;
            }
        }
    }
    let mut notes = chunks.notes;
    notes.extend(chunks.moves.then(|| FIRST_FRAME.to_owned()));
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation: chunks.orientation,
        notes,
    })
}

/// The next row that is stored, put where it belongs.
fn put_row(
    reader: &mut Reader<Cursor<&[u8]>>,
    canvas: &mut Canvas,
    y: usize,
    x: usize,
    step: usize,
) -> Result<(), Fault> {
    let (colours, depth) = reader.output_color_type();
    let colours = match colours {
        ColorType::Grayscale => Colours::Grey,
        ColorType::GrayscaleAlpha => Colours::GreyAlpha,
        ColorType::Rgb => Colours::Rgb,
        ColorType::Rgba => Colours::Rgba,
        ColorType::Indexed => return Err(Fault::Damaged("it has no palette".to_owned())),
    };
    let row = reader
        .next_row()
        .map_err(|error| fault_of(&error))?
        .ok_or_else(|| Fault::Damaged(format!("it ends in row {y}")))?;
    match depth {
        BitDepth::Sixteen => {
            let samples: Vec<u16> = row
                .data()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|pair| u16::from_be_bytes(*pair))
                .collect();
            canvas.put(y, x, step, colours, &samples, u16::MAX);
        }
        _ => canvas.put(y, x, step, colours, row.data(), u8::MAX),
    }
    Ok(())
}

fn fault_of(error: &DecodingError) -> Fault {
    match error {
        DecodingError::LimitsExceeded => Fault::TooLarge("its header asks for too much memory".to_owned()),
        error => Fault::Damaged(error.to_string()),
    }
}

/// The chunks of a file, each with its name, its contents and whether its checksum is right; the last may be cut off, and is
/// not among them then.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], bool, &[u8])> {
    let mut rest = bytes.get(SIGNATURE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (named, after) = after.split_at_checked(length.checked_add(4)?)?;
        let (checksum, after) = after.split_first_chunk::<4>()?;
        rest = after;
        let mut sum = Crc::new();
        sum.update(named);
        let (name, contents) = named.split_at(4);
        Some((name, contents, sum.sum() == u32::from_be_bytes(*checksum), after))
    })
}

/// Goes over the chunks once.
fn look(bytes: &[u8]) -> Result<Chunks, Fault> {
    let mut found = Chunks {
        orientation: Orientation::NoTransforms,
        notes: Vec::new(),
        data_checksum_fails: false,
        moves: false,
    };
    let mut ends = false;
    let mut damaged = Vec::new();
    for (name, contents, sound, after) in chunks(bytes) {
        match (name, sound) {
            (b"IEND", _) => {
                ends = true;
                if !after.is_empty() {
                    found
                        .notes
                        .push(format!("{} bytes behind its end are not read", after.len()));
                }
                break;
            }
            (b"IDAT", false) => found.data_checksum_fails = true,
            (b"IHDR" | b"PLTE" | b"tRNS", false) => {
                let name = String::from_utf8_lossy(name);
                return Err(Fault::Damaged(format!("the checksum of its chunk {name} is wrong")));
            }
            // A damaged note about the orientation is no reason to refuse the picture.
            (b"eXIf", true) => {
                found.orientation = Orientation::from_exif_chunk(contents).unwrap_or(Orientation::NoTransforms);
            }
            (b"acTL", true) => {
                let frames = contents
                    .first_chunk::<4>()
                    .map_or(0, |count| u32::from_be_bytes(*count));
                found.moves = frames > 1;
            }
            (name, false) => damaged.push(name.escape_ascii().to_string()),
            _ => {}
        }
    }
    if !ends {
        found
            .notes
            .push("its end is missing (IEND), every row is there".to_owned());
    }
    if found.data_checksum_fails {
        found
            .notes
            .push("a checksum of its pixels is wrong, that of the whole is right".to_owned());
    }
    if !damaged.is_empty() {
        damaged.truncate(8);
        found
            .notes
            .push(format!("damaged, and not used: {}", damaged.join(", ")));
    }
    Ok(found)
}

/// Where a chunk's checksum is wrong: whether the checksum over all that was compressed is right.
fn check_data(bytes: &[u8]) -> Result<(), Fault> {
    let mut parts = chunks(bytes)
        .filter(|(name, ..)| *name == b"IDAT")
        .map(|(_, contents, ..)| contents);
    let mut joined = Joined {
        part: parts.next().unwrap_or_default(),
        parts,
    };
    std::io::copy(&mut ZlibDecoder::new(&mut joined), &mut std::io::sink())
        .map_err(|error| Fault::Damaged(format!("a checksum of its pixels is wrong ({error})")))?;
    Ok(())
}

/// Parts that are read one after the other.
struct Joined<'a, I> {
    part: &'a [u8],
    parts: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Joined<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.next() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        self.part.read(buffer)
    }
}
