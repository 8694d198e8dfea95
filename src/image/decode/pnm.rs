//! PNM: PBM, PGM and PPM as text and as bytes, and PAM.

use ::image::metadata::Orientation;

use super::{
    Bytes, Decoded, Fault,
    canvas::{Canvas, Colours, zeros},
};
use crate::geometry::Size;

/// Longest number that is read.
const MOST_DIGITS: usize = 10;
/// Longest line of a PAM's header.
const MOST_LINE_BYTES: usize = 256;
const MOST_LEVEL: u32 = u16::MAX as u32;

struct Header {
    size: Size,
    colours: Colours,
    /// The sample that is white.
    max: u32,
    stored: Stored,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// Digits 0 (white) and 1 (black).
    BitText,
    /// Eight pixels in a byte, 1 is black.
    Bits,
    Text,
    Bytes,
}

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let mut file = Bytes::new(bytes);
    let header = read_header(&mut file)?;
    let size = header.size;
    check_length(&header, file.rest.len())?;
    let mut canvas = Canvas::new(size, bytes.len() as u64, Orientation::NoTransforms, background)?;
    let mut row: Vec<u8> = zeros(size.width * header.colours.channels())?;
    for y in 0..size.height {
        match header.stored {
            Stored::Bits => {
                let bits = file.take(size.width.div_ceil(8))?;
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = if bits[x / 8] >> (7 - x % 8) & 1 == 0 {
                        u8::MAX
                    } else {
                        0
                    };
                }
            }
            Stored::BitText => {
                for sample in &mut row {
                    *sample = match digit(&mut file)? {
                        b'0' => u8::MAX,
                        b'1' => 0,
                        other => return Err(Fault::Damaged(format!("a pixel is 0x{other:02x}, not 0 or 1"))),
                    };
                }
            }
            Stored::Text => {
                for sample in &mut row {
                    let level = number(&mut file)?;
                    if level > header.max {
                        return Err(Fault::Damaged(format!(
                            "a sample is {level}, the largest is to be {}",
                            header.max
                        )));
                    }
                    *sample = scaled(level, header.max);
                }
            }
            Stored::Bytes if header.max > u32::from(u8::MAX) => {
                let samples = file.take(2 * row.len())?.as_chunks::<2>().0;
                for (sample, pair) in row.iter_mut().zip(samples) {
                    *sample = scaled(u32::from(u16::from_be_bytes(*pair)), header.max);
                }
            }
            Stored::Bytes => {
                let samples = file.take(row.len())?;
                for (sample, level) in row.iter_mut().zip(samples) {
                    *sample = scaled(u32::from(*level), header.max);
                }
            }
        }
        canvas.put_row(y, header.colours, &row, u8::MAX);
    }
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation: Orientation::NoTransforms,
        notes: Vec::new(),
    })
}

/// Refuses what its bytes cannot hold before anything is allocated for it.
fn check_length(header: &Header, bytes: usize) -> Result<(), Fault> {
    let [width, height] = [header.size.width as u64, header.size.height as u64];
    let row = width.saturating_mul(header.colours.channels() as u64);
    let least = match header.stored {
        Stored::Bits => width.div_ceil(8),
        Stored::BitText => row,
        // A digit, and a space or the end behind it.
        Stored::Text => row.saturating_mul(2).saturating_sub(1),
        Stored::Bytes => row.saturating_mul(1 + u64::from(header.max > u32::from(u8::MAX))),
    };
    match least.saturating_mul(height) > (bytes as u64).saturating_add(height) {
        true => Err(Fault::Damaged(format!(
            "it promises {} pixels but ends after {bytes} bytes of them",
            header.size
        ))),
        false => Ok(()),
    }
}

fn read_header(file: &mut Bytes<'_>) -> Result<Header, Fault> {
    let [_, kind] = file.array()?;
    let (colours, stored) = match kind {
        b'1' => (Colours::Grey, Stored::BitText),
        b'2' => (Colours::Grey, Stored::Text),
        b'3' => (Colours::Rgb, Stored::Text),
        b'4' => (Colours::Grey, Stored::Bits),
        b'5' => (Colours::Grey, Stored::Bytes),
        b'6' => (Colours::Rgb, Stored::Bytes),
        _ => return read_pam(file),
    };
    let width = number(file)? as usize;
    let height = number(file)? as usize;
    let max = match stored {
        Stored::Bits | Stored::BitText => u32::from(u8::MAX),
        _ => number(file)?,
    };
    check_max(max)?;
    Ok(Header {
        size: Size::new(width, height),
        colours,
        max,
        stored,
    })
}

/// A header of lines that each name one thing.
fn read_pam(file: &mut Bytes<'_>) -> Result<Header, Fault> {
    let [mut width, mut height, mut depth, mut max] = [0_u32; 4];
    loop {
        let length = file.rest.iter().take(MOST_LINE_BYTES).position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| Fault::Damaged("its header does not end".to_owned()))?;
        let line = file.take(length + 1)?.trim_ascii();
        let (name, value) = match line.iter().position(u8::is_ascii_whitespace) {
            Some(at) => (&line[..at], line[at..].trim_ascii()),
            None => (line, &[][..]),
        };
        let read = || {
            let text = str::from_utf8(value).ok();
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| Fault::Damaged("its header has a line without a number".to_owned()))
        };
        match name {
            b"WIDTH" => width = read()?,
            b"HEIGHT" => height = read()?,
            b"DEPTH" => depth = read()?,
            b"MAXVAL" => max = read()?,
            b"ENDHDR" => break,
            _ => {}
        }
    }
    check_max(max)?;
    let colours = match depth {
        1 => Colours::Grey,
        2 => Colours::GreyAlpha,
        3 => Colours::Rgb,
        4 => Colours::Rgba,
        _ => return Err(Fault::Unsupported(format!("a pixel has {depth} samples"))),
    };
    Ok(Header {
        size: Size::new(width as usize, height as usize),
        colours,
        max,
        stored: Stored::Bytes,
    })
}

fn check_max(max: u32) -> Result<(), Fault> {
    match max {
        1..=MOST_LEVEL => Ok(()),
        _ => Err(Fault::Damaged(format!(
            "its largest sample is {max}, 1 to {MOST_LEVEL} is sound"
        ))),
    }
}

/// 0..max to 0..255. A half goes to the even number, as Pillow rounds it; what is more than `max` is white.
fn scaled(level: u32, max: u32) -> u8 {
    let full = u32::from(u8::MAX);
    if max == full {
        return level.min(full) as u8;
    }
    let product = level.min(max) * full;
    let (whole, rest) = (product / max, product % max);
    let up = match (2 * rest).cmp(&max) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole % 2,
        std::cmp::Ordering::Greater => 1,
    };
    (whole + up) as u8
}

/// The next byte that is neither white space nor in a comment.
fn digit(file: &mut Bytes<'_>) -> Result<u8, Fault> {
    loop {
        match file.byte()? {
            b'#' => skip_comment(file)?,
            byte if is_space(byte) => {}
            byte => return Ok(byte),
        }
    }
}

/// A number, and the one byte of white space behind it.
fn number(file: &mut Bytes<'_>) -> Result<u32, Fault> {
    let mut next = digit(file)?;
    let mut value = 0_u64;
    for _ in 0..MOST_DIGITS {
        if !next.is_ascii_digit() {
            return Err(Fault::Damaged(format!("0x{next:02x} stands where a number should be")));
        }
        value = value * 10 + u64::from(next - b'0');
        next = match file.rest.first() {
            Some(_) => file.byte()?,
            None => b' ',
        };
        if next == b'#' {
            skip_comment(file)?;
            next = b' ';
        }
        if is_space(next) {
            return u32::try_from(value).map_err(|_| Fault::Damaged(format!("it has a number of {value}")));
        }
    }
    Err(Fault::Damaged("a number has too many digits".to_owned()))
}

fn skip_comment(file: &mut Bytes<'_>) -> Result<(), Fault> {
    let length = file.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    file.take(length.map_or(file.rest.len(), |length| length + 1))?;
    Ok(())
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_number() {
        assert_eq!([0, 1, 2].map(|level| scaled(level, 2)), [0, 128, 255]);
        assert_eq!([1, 3, 5].map(|level| scaled(level, 510)), [0, 2, 2]);
        assert_eq!([0, 1, 65535].map(|level| scaled(level, 65535)), [0, 0, 255]);
        assert_eq!(scaled(300, 255), 255);
    }
}
