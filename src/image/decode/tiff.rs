//! TIFF and BigTIFF: the first picture, in strips or tiles, row by row.

mod compressed;
mod directory;

use std::io::Read;

use ::image::metadata::Orientation;

use self::{
    compressed::{Compression, open},
    directory::{Directory, Field},
};
use super::{
    Decoded, FIRST_PAGE, Fault,
    canvas::{Canvas, Colours, check_held, unmultiplied, zeros},
};
use crate::geometry::Size;

/// Most samples of a pixel: four colours and those that are no colour.
const MOST_SAMPLES: usize = 16;
/// Most pixels that one byte can stand for in a picture whose rows are all the same.
const PIXELS_PER_BYTE: u64 = 4096 * 8;
/// Parts may share bytes, but where each is copied before it is read, all together have at most so many times the file's.
const MOST_COPIES: u64 = 16;
const INDEX_BITS: usize = 8;
/// Numbers of fields and of what they say.
const REDUCED: u64 = 1;
const SEPARATE_PLANES: u64 = 2;
const BY_DIFFERENCES: u64 = 2;
const MULTIPLIED_ALPHA: u64 = 1;
const ALPHA: u64 = 2;
/// Corel Draw's marker of alpha.
const OTHER_ALPHA: u64 = 999;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Index,
    Cmyk,
    YCbCr,
}

/// How a picture lies in its file.
struct Layout {
    size: Size,
    /// Bits of a sample.
    bits: usize,
    /// Samples of a pixel, with those that are no colour.
    samples: usize,
    meaning: Meaning,
    /// Where alpha is, and whether colours are multiplied by it.
    alpha: Option<(usize, bool)>,
    separate: bool,
    by_differences: bool,
    compression: Compression,
    little_endian: bool,
    low_bit_first: bool,
    /// Columns and rows of a strip or a tile.
    chunk: Size,
    across: usize,
    is_tiled: bool,
}

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let directory = Directory::first(bytes)?;
    refuse_raw(&directory)?;
    let layout = Layout::read(&directory)?;
    let number = directory.one(Field::ORIENTATION)?.unwrap_or(1);
    let orientation = u8::try_from(number).ok().and_then(Orientation::from_exif);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let size = layout.size;
    // Rows of a strip are read one by one; of a strip in JPEG all.
    let beside = bytes.len() as u64 + layout.held();
    check_held(size, beside, orientation)?;
    super::check_promise(size, bytes.len(), PIXELS_PER_BYTE)?;
    let chunks = layout.chunks(&directory, bytes)?;
    let palette = match layout.meaning {
        Meaning::Index => directory.many(Field::PALETTE)?,
        _ => Vec::new(),
    };
    let tables = directory.bytes(Field::JPEG_TABLES)?;
    let mut canvas = Canvas::new(size, beside, orientation, background)?;
    layout.fill(&mut canvas, &chunks, &palette, tables)?;
    let mut notes = Vec::new();
    notes.extend(directory.is_followed.then(|| FIRST_PAGE.to_owned()));
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation,
        notes,
    })
}

/// Files of cameras begin with a small picture and keep what was seen elsewhere.
fn refuse_raw(directory: &Directory<'_>) -> Result<(), Fault> {
    const COLOUR_FILTER: u64 = 32803;
    const LINEAR_RAW: u64 = 34892;
    let is_small = directory.one(Field::KIND)?.is_some_and(|kind| kind & REDUCED != 0);
    let is_raw = directory.has(Field::DNG_VERSION)
        || is_small && directory.has(Field::SUB_DIRECTORIES)
        || matches!(directory.one(Field::MEANING)?, Some(COLOUR_FILTER | LINEAR_RAW));
    match is_raw {
        true => Err(Fault::Unsupported(
            "it is a camera's raw file (such as DNG, NEF or ARW)".to_owned(),
        )),
        false => Ok(()),
    }
}

impl Layout {
    fn read(directory: &Directory<'_>) -> Result<Self, Fault> {
        let one = |field, otherwise| -> Result<u64, Fault> { Ok(directory.one(field)?.unwrap_or(otherwise)) };
        let needed = |field: Field, name: &str| {
            directory
                .one(field)?
                .ok_or_else(|| Fault::Damaged(format!("it does not say its {name}")))
        };
        let length = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let size = Size::new(
            length(needed(Field::WIDTH, "width")?),
            length(needed(Field::HEIGHT, "height")?),
        );
        let bits_of_all = directory.many(Field::BITS)?;
        let bits = bits_of_all.first().copied().unwrap_or(1);
        let samples = length(one(Field::SAMPLES, 1)?);
        let compression = Compression::of(one(Field::COMPRESSION, 1)?)?;
        let is_jpeg = compression == Compression::Jpeg;
        if bits_of_all.iter().any(|other| *other != bits) || !matches!(bits, 1..=16) || is_jpeg && bits != 8 {
            return Err(Fault::Unsupported(format!("its samples have {bits_of_all:?} bits")));
        }
        if samples == 0 || samples > MOST_SAMPLES {
            return Err(Fault::Unsupported(format!("a pixel has {samples} samples")));
        }
        if let Some(format) = directory
            .many(Field::SAMPLE_FORMAT)?
            .into_iter()
            .find(|format| *format != 1)
        {
            let name = if format == 3 {
                "floats"
            } else {
                "no whole numbers from 0 on"
            };
            return Err(Fault::Unsupported(format!("its samples are {name}")));
        }
        let meaning = match needed(Field::MEANING, "colours")? {
            0 => Meaning::WhiteIsZero,
            1 => Meaning::BlackIsZero,
            2 => Meaning::Rgb,
            3 => Meaning::Index,
            5 => Meaning::Cmyk,
            6 if is_jpeg => Meaning::YCbCr,
            other => {
                return Err(Fault::Unsupported(format!(
                    "its colours are of kind {other} (such as YCbCr without JPEG, or L*a*b*)"
                )));
            }
        };
        let shown = meaning.channels();
        if samples < shown || bits as usize > meaning.most_bits() {
            return Err(Fault::Unsupported(format!(
                "a pixel has {samples} samples of {bits} bits for colours of kind {}",
                needed(Field::MEANING, "colours")?
            )));
        }
        let extra = directory.many(Field::EXTRA_SAMPLES)?;
        let alpha = match extra.first() {
            Some(&MULTIPLIED_ALPHA) => Some((shown, true)),
            Some(&(ALPHA | OTHER_ALPHA)) => Some((shown, false)),
            // Four samples that are not explained are colours and alpha.
            None if meaning == Meaning::Rgb && samples == shown + 1 => Some((shown, false)),
            _ => None,
        };
        let alpha = alpha.filter(|_| samples > shown && meaning != Meaning::Cmyk && meaning != Meaning::YCbCr);
        let is_tiled = directory.has(Field::TILE_WIDTH);
        let chunk = match is_tiled {
            true => Size::new(
                length(needed(Field::TILE_WIDTH, "tiles' width")?),
                length(needed(Field::TILE_HEIGHT, "tiles' height")?),
            ),
            false => Size::new(
                size.width,
                length(one(Field::ROWS_PER_STRIP, u64::MAX)?).min(size.height),
            ),
        };
        if chunk.width == 0 || chunk.height == 0 {
            return Err(Fault::Damaged(format!("its parts have {chunk} pixels")));
        }
        let by_differences = match one(Field::PREDICTOR, 1)? {
            1 => false,
            BY_DIFFERENCES if matches!(bits, 8 | 16) => true,
            other => {
                return Err(Fault::Unsupported(format!(
                    "its predictor is of kind {other}, with {bits} bits"
                )));
            }
        };
        Ok(Self {
            size,
            bits: bits as usize,
            samples,
            meaning,
            alpha,
            separate: one(Field::PLANES, 1)? == SEPARATE_PLANES && samples > 1,
            by_differences: by_differences && !is_jpeg,
            compression,
            little_endian: directory.little_endian,
            low_bit_first: one(Field::FILL_ORDER, 1)? == 2,
            chunk,
            across: size.width.div_ceil(chunk.width),
            is_tiled,
        })
    }

    /// Samples of a pixel that lie beside each other.
    const fn together(&self) -> usize {
        if self.separate { 1 } else { self.samples }
    }

    const fn planes(&self) -> usize {
        if self.separate { self.samples } else { 1 }
    }

    fn row_bytes(&self) -> u64 {
        let bits = (self.chunk.width as u64).saturating_mul((self.together() * self.bits) as u64);
        bits.div_ceil(8)
    }

    /// Bytes that are held beside the file and the RGB pixels.
    fn held(&self) -> u64 {
        let samples = (self.chunk.width as u64).saturating_mul(self.samples as u64 * 4);
        let whole = match self.compression {
            Compression::Jpeg => self
                .row_bytes()
                .saturating_mul((self.chunk.height as u64).saturating_mul(4)),
            _ => 0,
        };
        samples
            .saturating_add(self.row_bytes().saturating_mul(2))
            .saturating_add(whole)
    }

    /// The compressed bytes of every strip or tile, planes one after the other.
    fn chunks<'a>(&self, directory: &Directory<'a>, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Fault> {
        let (at, lengths) = match self.is_tiled {
            true => (Field::TILE_OFFSETS, Field::TILE_BYTES),
            false => (Field::STRIP_OFFSETS, Field::STRIP_BYTES),
        };
        let offsets = directory.many(at)?;
        let lengths = directory.many(lengths)?;
        let count = self.across as u64 * self.size.height.div_ceil(self.chunk.height) as u64 * self.planes() as u64;
        if (offsets.len() as u64) < count {
            return Err(Fault::Damaged(format!(
                "{} of its {count} parts are there",
                offsets.len()
            )));
        }
        let found = offsets.iter().take(count as usize).enumerate().map(|(number, offset)| {
            let rest = usize::try_from(*offset).ok().and_then(|at| bytes.get(at..));
            let rest = rest.ok_or_else(|| {
                Fault::Damaged(format!(
                    "part {number} should begin at byte {offset}, it has {}",
                    bytes.len()
                ))
            })?;
            // Files of one strip may leave its length out.
            let length = lengths.get(number).and_then(|length| usize::try_from(*length).ok());
            let length = length.filter(|length| *length > 0).unwrap_or(rest.len());
            Ok(&rest[..length.min(rest.len())])
        });
        let parts: Vec<&[u8]> = found.collect::<Result<_, Fault>>()?;
        let copied = self.compression == Compression::Jpeg || self.low_bit_first;
        let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if copied && total > MOST_COPIES.saturating_mul(bytes.len() as u64) {
            return Err(Fault::Damaged(format!(
                "its {count} parts have {total} bytes together, the file has {}",
                bytes.len()
            )));
        }
        Ok(parts)
    }

    fn fill(&self, canvas: &mut Canvas, chunks: &[&[u8]], palette: &[u64], tables: &[u8]) -> Result<(), Fault> {
        let down = self.size.height.div_ceil(self.chunk.height);
        let in_plane = self.across * down;
        let row_bytes = usize::try_from(self.row_bytes()).unwrap_or(usize::MAX);
        let mut stored: Vec<u8> = zeros(row_bytes)?;
        let mut samples: Vec<u16> = zeros(self.chunk.width * self.samples)?;
        for place in 0..in_plane {
            let (left, top) = (
                place % self.across * self.chunk.width,
                place / self.across * self.chunk.height,
            );
            let mut planes = Vec::new();
            for plane in 0..self.planes() {
                let chunk = chunks[plane * in_plane + place];
                planes.push(open(self.compression, chunk, self.jpeg(tables), self.low_bit_first)?);
            }
            for row in 0..self.chunk.height.min(self.size.height - top) {
                for (plane, reader) in planes.iter_mut().enumerate() {
                    reader.read_exact(&mut stored).map_err(|error| {
                        Fault::Damaged(format!(
                            "row {} of {} is not there ({error})",
                            top + row,
                            self.size.height
                        ))
                    })?;
                    self.unpack(&mut stored, plane, &mut samples);
                }
                let shown = self.chunk.width.min(self.size.width - left);
                self.put(canvas, top + row, left, &mut samples[..shown * self.samples], palette)?;
            }
        }
        Ok(())
    }

    /// Tables that a strip in JPEG is decoded with.
    fn jpeg<'a>(&self, tables: &'a [u8]) -> compressed::JpegStrip<'a> {
        compressed::JpegStrip {
            tables,
            is_ycbcr: self.meaning == Meaning::YCbCr,
            samples: self.together(),
            size: self.chunk,
        }
    }

    /// Samples of a stored row, those of one plane at their places among the others.
    fn unpack(&self, stored: &mut [u8], plane: usize, samples: &mut [u16]) {
        let together = self.together();
        let step = if self.separate { self.samples } else { 1 };
        let count = self.chunk.width * together;
        let places = (0..count).map(|index| index * step + plane);
        match self.bits {
            8 => {
                if self.by_differences {
                    for index in together..count {
                        stored[index] = stored[index].wrapping_add(stored[index - together]);
                    }
                }
                places
                    .zip(&*stored)
                    .for_each(|(place, byte)| samples[place] = u16::from(*byte));
            }
            16 => {
                let words = stored.as_chunks::<2>().0.iter();
                let words = words.map(|pair| match self.little_endian {
                    true => u16::from_le_bytes(*pair),
                    false => u16::from_be_bytes(*pair),
                });
                places.zip(words).for_each(|(place, word)| samples[place] = word);
                if self.by_differences {
                    for index in together..count {
                        let [this, last] = [index, index - together].map(|index| index * step + plane);
                        samples[this] = samples[this].wrapping_add(samples[last]);
                    }
                }
            }
            bits => {
                for (index, place) in places.enumerate() {
                    samples[place] = bits_at(stored, index * bits, bits);
                }
            }
        }
    }

    /// Puts a row of samples where it belongs, as colours.
    fn put(&self, canvas: &mut Canvas, y: usize, x: usize, samples: &mut [u16], palette: &[u64]) -> Result<(), Fault> {
        let max = ((1_u32 << self.bits) - 1) as u16;
        if self.meaning == Meaning::WhiteIsZero {
            samples
                .chunks_exact_mut(self.samples)
                .for_each(|pixel| pixel[0] = max - pixel[0]);
        }
        if self.meaning == Meaning::Index {
            let colours = palette.len() / 3;
            let mut looked_up = Vec::with_capacity(samples.len() / self.samples * 4);
            for pixel in samples.chunks_exact(self.samples) {
                let index = usize::from(pixel[0]);
                if index >= colours {
                    return Err(Fault::Damaged(format!("a pixel names colour {index} of {colours}")));
                }
                let alpha = self.alpha.map_or(u16::from(u8::MAX), |(at, _)| pixel[at]);
                // Colours of a palette have 16 bits, of which Pillow takes the upper eight.
                looked_up.extend([0, 1, 2].map(|channel| (palette[channel * colours + index] >> 8) as u16));
                looked_up.push(alpha);
            }
            canvas.put(y, x, 1, Colours::Rgba, &looked_up, u16::from(u8::MAX));
            return Ok(());
        }
        let shown = self.meaning.channels();
        let colours = match (self.meaning, self.alpha) {
            (Meaning::WhiteIsZero | Meaning::BlackIsZero, None) => Colours::Grey,
            (Meaning::WhiteIsZero | Meaning::BlackIsZero, Some(_)) => Colours::GreyAlpha,
            (Meaning::Cmyk, _) => Colours::Cmyk,
            (_, None) => Colours::Rgb,
            (_, Some(_)) => Colours::Rgba,
        };
        if let Some((at, true)) = self.alpha {
            for pixel in samples.chunks_exact_mut(self.samples) {
                let alpha = pixel[at];
                pixel[..shown]
                    .iter_mut()
                    .for_each(|level| *level = unmultiplied(*level, alpha, max));
            }
        }
        let channels = colours.channels();
        if channels < self.samples {
            let pixels = samples.len() / self.samples;
            for pixel in 0..pixels {
                samples.copy_within(pixel * self.samples..pixel * self.samples + channels, pixel * channels);
            }
            canvas.put(y, x, 1, colours, &samples[..pixels * channels], max);
        } else {
            canvas.put(y, x, 1, colours, samples, max);
        }
        Ok(())
    }
}

impl Meaning {
    /// Samples that are colours.
    const fn channels(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Index => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }

    const fn most_bits(self) -> usize {
        match self {
            Self::Index | Self::YCbCr => INDEX_BITS,
            _ => 16,
        }
    }
}

/// A sample of up to 16 bits from bit `at` on.
fn bits_at(bytes: &[u8], at: usize, bits: usize) -> u16 {
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or_default());
    let first = at / 8;
    let word = byte(first) << 16 | byte(first + 1) << 8 | byte(first + 2);
    (word >> (24 - at % 8 - bits) & ((1 << bits) - 1)) as u16
}
