//! TGA. It has no signature: it is recognised by its footer, or by a header of which every field makes sense.

use ::image::metadata::Orientation;

use super::{
    Bytes, Decoded, Fault,
    canvas::{Canvas, Colours, pixels, zeros},
    check_promise,
    kind::TGA_FOOTER,
};
use crate::geometry::Size;

const HEADER_BYTES: usize = 18;
/// Where the footer says where the extension is, and where that says what alpha means.
const FOOTER_BYTES: usize = 26;
const ALPHA_KIND_AT: usize = 494;
/// A run of 128 pixels takes two bytes.
const RUN_PIXELS_PER_BYTE: u64 = 64;
/// Kinds of pictures: indices, colours, greys; and the flag of run-length code.
const INDEXED: u8 = 1;
const COLOURED: u8 = 2;
const GREY: u8 = 3;
const RUNS: u8 = 8;
/// Flags: the first column is the right one, the first row is the upper one, and obsolete ones.
const FROM_RIGHT: u8 = 0x10;
const FROM_ABOVE: u8 = 0x20;
const INTERLEAVED: u8 = 0xc0;

struct Header {
    id_bytes: usize,
    has_palette: bool,
    kind: u8,
    runs: bool,
    palette_start: usize,
    palette_count: usize,
    palette_bits: u8,
    size: Size,
    bits: u8,
    flags: u8,
}

/// Whether this begins as a TGA does.
pub(super) fn is_header(start: &[u8]) -> bool {
    Header::read(start).is_some()
}

impl Header {
    /// None where a field makes no sense.
    fn read(start: &[u8]) -> Option<Self> {
        let head = start.first_chunk::<HEADER_BYTES>()?;
        let two = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let header = Self {
            id_bytes: usize::from(head[0]),
            has_palette: head[1] == 1,
            kind: head[2] & !RUNS,
            runs: head[2] & RUNS != 0,
            palette_start: two(3),
            palette_count: two(5),
            palette_bits: head[7],
            size: Size::new(two(12), two(14)),
            bits: head[16],
            flags: head[17],
        };
        let sound = matches!(
            (header.kind, header.bits),
            (INDEXED, 8) | (COLOURED, 16 | 24 | 32) | (GREY, 8 | 16)
        ) && head[1] <= 1
            && (header.kind == INDEXED) == header.has_palette
            && (!header.has_palette || matches!(header.palette_bits, 15 | 16 | 24 | 32))
            && (header.has_palette || header.palette_count == 0)
            && header.size.pixels() > 0
            && header.flags & INTERLEAVED == 0;
        sound.then_some(header)
    }
}

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let header = Header::read(bytes).ok_or_else(|| Fault::Damaged("its header makes no sense".to_owned()))?;
    let mut file = Bytes::new(bytes);
    file.take(HEADER_BYTES + header.id_bytes)?;
    let mut palette = Vec::new();
    if header.has_palette {
        let entry = usize::from(header.palette_bits.div_ceil(8));
        let colours = file.take(entry * header.palette_count)?;
        palette = vec![[0, 0, 0, u8::MAX]; header.palette_start];
        palette.extend(colours.chunks_exact(entry).map(colour));
    }
    let size = header.size;
    let pixel_bytes = usize::from(header.bits / 8);
    let per_byte = if header.runs { RUN_PIXELS_PER_BYTE } else { 1 };
    check_promise(size, bytes.len(), per_byte)?;
    let beside = bytes.len() as u64
        + if header.runs {
            pixels(size) * pixel_bytes as u64
        } else {
            0
        };
    let mut canvas = Canvas::new(size, beside, Orientation::NoTransforms, background)?;
    let length = size.pixels() * pixel_bytes;
    let expanded;
    let data = match header.runs {
        true => {
            expanded = expand(&mut file, pixel_bytes, length)?;
            &expanded
        }
        false => file.take(length)?,
    };
    let opaque = alpha_means_nothing(bytes);
    for (number, row) in data.chunks_exact(size.width * pixel_bytes).enumerate() {
        let y = match header.flags & FROM_ABOVE {
            0 => size.height - 1 - number,
            _ => number,
        };
        let mut rgba: Vec<[u8; 4]> = row
            .chunks_exact(pixel_bytes)
            .map(|pixel| match header.kind {
                INDEXED => palette
                    .get(usize::from(pixel[0]))
                    .copied()
                    .unwrap_or([0, 0, 0, u8::MAX]),
                GREY => [pixel[0], pixel[0], pixel[0], pixel.get(1).copied().unwrap_or(u8::MAX)],
                _ => colour(pixel),
            })
            .collect();
        if opaque && header.kind == COLOURED {
            rgba.iter_mut().for_each(|pixel| pixel[3] = u8::MAX);
        }
        if header.flags & FROM_RIGHT != 0 {
            rgba.reverse();
        }
        canvas.put_row(y, Colours::Rgba, rgba.as_flattened(), u8::MAX);
    }
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation: Orientation::NoTransforms,
        notes: Vec::new(),
    })
}

/// A stored colour of two, three or four bytes. The highest bit of two says that it is transparent, as Pillow reads it.
fn colour(bytes: &[u8]) -> [u8; 4] {
    const FIVE_BITS: u32 = 31;
    match *bytes {
        [low, high] => {
            let word = u32::from(u16::from_le_bytes([low, high]));
            let level = |shift: u32| ((word >> shift & FIVE_BITS) * u32::from(u8::MAX) / FIVE_BITS) as u8;
            let alpha = if word >> 15 == 0 { u8::MAX } else { 0 };
            [level(10), level(5), level(0), alpha]
        }
        [blue, green, red] => [red, green, blue, u8::MAX],
        [blue, green, red, alpha] => [red, green, blue, alpha],
        _ => [0, 0, 0, u8::MAX],
    }
}

/// The pixels of run-length code.
fn expand(file: &mut Bytes<'_>, pixel_bytes: usize, length: usize) -> Result<Vec<u8>, Fault> {
    const IS_RUN: u8 = 0x80;
    let mut out: Vec<u8> = zeros(length)?;
    let mut done = 0;
    while done < length {
        let head = file.byte()?;
        let count = usize::from(head & !IS_RUN) + 1;
        let place = &mut out[done..length.min(done + count * pixel_bytes)];
        match head & IS_RUN {
            0 => {
                let literal = file.take(count * pixel_bytes)?;
                place.copy_from_slice(&literal[..place.len()]);
            }
            _ => {
                let pixel = file.take(pixel_bytes)?;
                place
                    .chunks_exact_mut(pixel_bytes)
                    .for_each(|place| place.copy_from_slice(pixel));
            }
        }
        done += place.len();
    }
    Ok(out)
}

/// Whether the file says in its extension that there is no alpha, though every pixel has a byte of it.
fn alpha_means_nothing(bytes: &[u8]) -> bool {
    let Some((_, footer)) = bytes.split_last_chunk::<FOOTER_BYTES>() else {
        return false;
    };
    let extension = u32::from_le_bytes([footer[0], footer[1], footer[2], footer[3]]) as usize;
    footer.ends_with(TGA_FOOTER)
        && extension > 0
        && extension
            .checked_add(ALPHA_KIND_AT)
            .and_then(|at| bytes.get(at))
            .is_some_and(|kind| *kind == 0)
}
