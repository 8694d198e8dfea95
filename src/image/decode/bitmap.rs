//! BMP.

use ::image::metadata::Orientation;

use super::{
    Bytes, Decoded, Fault,
    canvas::{Canvas, Colours, zeros},
    check_promise,
};
use crate::geometry::Size;

/// Bytes before the header that says how long it is.
const FILE_HEADER_BYTES: usize = 14;
/// Length of the oldest header, whose sizes have two bytes.
const CORE_HEADER_BYTES: usize = 12;
/// Lengths of the headers that are known.
const HEADER_BYTES: [usize; 7] = [CORE_HEADER_BYTES, 40, 52, 56, 64, 108, 124];
/// From this length on a header holds the masks of red, green and blue, and then of alpha.
const WITH_MASKS: usize = 52;
const WITH_ALPHA_MASK: usize = 56;
const NOT_COMPRESSED: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;
/// Two bytes of run-length code hold at most so many pixels.
const RLE_PIXELS_PER_BYTE: u64 = 128;

struct Header {
    size: Size,
    top_down: bool,
    bits: u32,
    compression: u32,
    /// Red, green, blue, alpha.
    masks: [u32; 4],
    /// Colours of indices; those that the file does not name are greys.
    palette: Vec<[u8; 3]>,
}

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let (header, data) = read_header(bytes)?;
    let size = header.size;
    let held = bytes.len() as u64;
    let rgb = match header.compression {
        RLE8 | RLE4 => {
            check_promise(size, data.len(), RLE_PIXELS_PER_BYTE)?;
            let mut canvas = Canvas::new(
                size,
                held + super::canvas::pixels(size),
                Orientation::NoTransforms,
                background,
            )?;
            let indices = unpacked(data, size, header.compression == RLE4)?;
            for (number, row) in indices.chunks_exact(size.width).enumerate() {
                header.put_indices(&mut canvas, number, row);
            }
            canvas.into_rgb()
        }
        _ => {
            let row_bits = size.width as u64 * u64::from(header.bits);
            let stride = row_bits.div_ceil(32) * 4;
            if stride.saturating_mul(size.height as u64) > data.len() as u64 {
                return Err(Fault::Damaged(format!(
                    "it promises {size} pixels of {} bits but ends after {} bytes",
                    header.bits,
                    bytes.len()
                )));
            }
            let mut canvas = Canvas::new(size, held, Orientation::NoTransforms, background)?;
            for (number, row) in data.chunks_exact(stride as usize).take(size.height).enumerate() {
                header.put_row(&mut canvas, number, row);
            }
            canvas.into_rgb()
        }
    };
    Ok(Decoded {
        size,
        rgb,
        orientation: Orientation::NoTransforms,
        notes: Vec::new(),
    })
}

/// The header, and the pixels as they are stored.
fn read_header(bytes: &[u8]) -> Result<(Header, &[u8]), Fault> {
    let mut file = Bytes::new(bytes);
    let start = file.array::<FILE_HEADER_BYTES>()?;
    let data_at = u32::from_le_bytes([start[10], start[11], start[12], start[13]]) as usize;
    let header_bytes = u32::from_le_bytes(file.array()?) as usize;
    if !HEADER_BYTES.contains(&header_bytes) {
        return Err(Fault::Unsupported(format!(
            "its header has {header_bytes} bytes, which none has that is known"
        )));
    }
    let fields = file.take(header_bytes - 4)?;
    let two = |at: usize| {
        fields
            .get(at..at + 2)
            .map_or(0, |two| u32::from(u16::from_le_bytes([two[0], two[1]])))
    };
    let four = |at: usize| {
        fields
            .get(at..at + 4)
            .map_or(0, |four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
    };
    let core = header_bytes == CORE_HEADER_BYTES;
    let (width, height, bits) = match core {
        true => (two(0), two(2) as i32, two(6)),
        false => (four(0), four(4) as i32, two(10)),
    };
    let (compression, colours) = match core {
        true => (NOT_COMPRESSED, 0),
        false => (four(12), four(28)),
    };
    if !matches!(
        (compression, bits),
        (NOT_COMPRESSED, 1 | 4 | 8 | 16 | 24 | 32) | (RLE8, 8) | (RLE4, 4) | (BIT_FIELDS, 16 | 24 | 32)
    ) {
        return Err(Fault::Unsupported(format!(
            "its compression is number {compression}, of {bits} bits"
        )));
    }
    let masks = match (compression, header_bytes) {
        (BIT_FIELDS, WITH_MASKS..) => {
            let alpha = if header_bytes >= WITH_ALPHA_MASK { four(48) } else { 0 };
            [four(36), four(40), four(44), alpha]
        }
        (BIT_FIELDS, _) => {
            let mut mask = || file.array().map(u32::from_le_bytes);
            [mask()?, mask()?, mask()?, 0]
        }
        (_, _) if bits == 16 => [0x7c00, 0x03e0, 0x001f, 0],
        _ => [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0],
    };
    let masks = match masks {
        // All zeros stand for what most files have.
        [0, 0, 0, 0] if bits == 32 => [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0xff00_0000],
        [0, 0, 0, 0] => {
            return Err(Fault::Unsupported(
                "its masks of red, green and blue are empty".to_owned(),
            ));
        }
        masks => masks,
    };
    let mut palette = Vec::new();
    if bits <= 8 {
        let most = 1_usize << bits;
        let count = if colours == 0 { most } else { colours as usize };
        let entry = if core { 3 } else { 4 };
        let available = file.rest.len() / entry;
        palette = (0..=u8::MAX).map(|level| [level; 3]).collect();
        let named = file.rest.chunks_exact(entry).take(count.min(available).min(most));
        for (colour, bgr) in palette.iter_mut().zip(named) {
            *colour = [bgr[2], bgr[1], bgr[0]];
        }
        file.take(entry * count.min(available))?;
    }
    let after_header = bytes.len() - file.rest.len();
    // A file that says that its pixels begin in its palette means behind it.
    let data_at = match data_at {
        0 => after_header,
        at if at == FILE_HEADER_BYTES + header_bytes && bits <= 8 => after_header,
        at => at,
    };
    let data = bytes.get(data_at..).ok_or_else(|| {
        Fault::Damaged(format!(
            "its pixels should begin at byte {data_at}, it has {}",
            bytes.len()
        ))
    })?;
    let header = Header {
        size: Size::new(width as usize, height.unsigned_abs() as usize),
        top_down: height < 0,
        bits,
        compression,
        masks,
        palette,
    };
    if (width as i32) < 0 {
        return Err(Fault::Damaged(format!("its width is {}", width as i32)));
    }
    Ok((header, data))
}

impl Header {
    /// Where the `number`-th stored row belongs.
    fn y(&self, number: usize) -> usize {
        match self.top_down {
            true => number,
            false => self.size.height - 1 - number,
        }
    }

    fn put_indices(&self, canvas: &mut Canvas, number: usize, indices: &[u8]) {
        let rgb: Vec<u8> = indices
            .iter()
            .flat_map(|index| self.palette.get(usize::from(*index)).copied().unwrap_or_default())
            .collect();
        canvas.put_row(self.y(number), Colours::Rgb, &rgb, u8::MAX);
    }

    fn put_row(&self, canvas: &mut Canvas, number: usize, row: &[u8]) {
        if self.bits <= 8 {
            let per_byte = 8 / self.bits as usize;
            let mask = (1_u16 << self.bits) as u8;
            let indices: Vec<u8> = (0..self.size.width)
                .map(|x| {
                    let shift = 8 - self.bits as usize * (x % per_byte + 1);
                    (row[x / per_byte] >> shift) & mask.wrapping_sub(1)
                })
                .collect();
            return self.put_indices(canvas, number, &indices);
        }
        let bytes = self.bits as usize / 8;
        let pixels = row.chunks_exact(bytes).take(self.size.width);
        let pixels = pixels.map(|pixel| {
            let mut word = [0; 4];
            word[..bytes].copy_from_slice(pixel);
            u32::from_le_bytes(word)
        });
        let [red, green, blue, alpha] = self.masks;
        match alpha {
            0 => {
                let samples: Vec<u8> = pixels
                    .flat_map(|pixel| [red, green, blue].map(|mask| field(pixel, mask)))
                    .collect();
                canvas.put_row(self.y(number), Colours::Rgb, &samples, u8::MAX);
            }
            _ => {
                let samples: Vec<u8> = pixels
                    .flat_map(|pixel| self.masks.map(|mask| field(pixel, mask)))
                    .collect();
                canvas.put_row(self.y(number), Colours::Rgba, &samples, u8::MAX);
            }
        }
    }
}

/// The bits of a mask as 0 to 255, rounded down as Pillow does it.
fn field(pixel: u32, mask: u32) -> u8 {
    match mask {
        0 => 0,
        mask => {
            let shift = mask.trailing_zeros();
            let most = u64::from(mask >> shift);
            (u64::from((pixel & mask) >> shift) * u64::from(u8::MAX) / most) as u8
        }
    }
}

/// The indices of a picture in run-length code, (height, width) as they are stored. What is skipped, or left out before
/// the end is marked, is index 0.
fn unpacked(data: &[u8], size: Size, four_bits: bool) -> Result<Vec<u8>, Fault> {
    const END_OF_ROW: u8 = 0;
    const END: u8 = 1;
    const SKIP: u8 = 2;
    let mut indices: Vec<u8> = zeros(size.pixels())?;
    let mut file = Bytes::new(data);
    let [mut x, mut y] = [0, 0];
    let halves = |byte: u8, number: usize| match (four_bits, number % 2) {
        (false, _) => byte,
        (true, 0) => byte >> 4,
        (true, _) => byte & 0x0f,
    };
    while y < size.height {
        if x >= size.width && y + 1 == size.height {
            break;
        }
        let [count, byte] = file.array()?;
        let row = y * size.width;
        let mut put = |x: usize, index: u8| {
            if x < size.width {
                indices[row + x] = index;
            }
        };
        match (count, byte) {
            (0, END_OF_ROW) => [x, y] = [0, y + 1],
            (0, END) => break,
            (0, SKIP) => {
                let [right, down] = file.array()?;
                let at = x + usize::from(right);
                [x, y] = [at, y + usize::from(down)];
            }
            (0, count) => {
                let count = usize::from(count);
                let bytes = if four_bits { count.div_ceil(2) } else { count };
                let literal = file.take(bytes)?;
                for number in 0..count {
                    let byte = if four_bits {
                        literal[number / 2]
                    } else {
                        literal[number]
                    };
                    put(x + number, halves(byte, number));
                }
                x += count;
                if bytes % 2 == 1 && !file.rest.is_empty() {
                    file.byte()?;
                }
            }
            (count, byte) => {
                for number in 0..usize::from(count) {
                    put(x + number, halves(byte, number));
                }
                x += usize::from(count);
            }
        }
    }
    Ok(indices)
}
