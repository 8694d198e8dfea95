//! GIF: its first frame.

use ::image::metadata::Orientation;
use weezl::{BitOrder, LzwStatus, decode::Decoder};

use super::{
    Bytes, Decoded, FIRST_FRAME, Fault,
    canvas::{Canvas, Colours, pixels, zeros},
    check_promise,
};
use crate::geometry::Size;

const SIGNATURE_BYTES: usize = 6;
/// First byte of a block.
const EXTENSION: u8 = b'!';
const FRAME: u8 = b',';
const END: u8 = b';';
/// The extension that names the transparent colour.
const GRAPHIC_CONTROL: u8 = 0xf9;
/// Flags of a palette, of rows in four passes, of a transparent colour.
const HAS_PALETTE: u8 = 0x80;
const INTERLACED: u8 = 0x40;
const HAS_TRANSPARENT: u8 = 1;
/// Most bits of a colour's index.
const MOST_BITS: u8 = 8;
/// A code of 12 bits stands for at most so many pixels, and a byte holds two thirds of one.
const PIXELS_PER_BYTE: u64 = 4096 * 2 / 3 + 1;
/// Passes of an interlaced picture: first row and distance.
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

type Palette = Vec<[u8; 3]>;

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let mut file = Bytes::new(bytes);
    file.take(SIGNATURE_BYTES)?;
    let mut size = two_sizes(&mut file)?;
    let [flags, _background, _aspect] = file.array()?;
    let mut palette = read_palette(&mut file, flags)?;
    let mut transparent = None;
    loop {
        match file.byte()? {
            EXTENSION => {
                let label = file.byte()?;
                let data = blocks(&mut file);
                if let (GRAPHIC_CONTROL, [flags, _, _, index, ..]) = (label, data.as_slice()) {
                    transparent = (flags & HAS_TRANSPARENT != 0).then_some(*index);
                }
            }
            FRAME => break,
            END => return Err(Fault::Damaged("it holds no picture".to_owned())),
            other => return Err(Fault::Damaged(format!("a block begins with 0x{other:02x}"))),
        }
    }
    let left = usize::from(u16::from_le_bytes(file.array()?));
    let top = usize::from(u16::from_le_bytes(file.array()?));
    let frame = two_sizes(&mut file)?;
    let flags = file.byte()?;
    if flags & HAS_PALETTE != 0 {
        palette = read_palette(&mut file, flags)?;
    }
    // A frame that reaches over the edge makes the picture larger.
    size.width = size.width.max(left + frame.width);
    size.height = size.height.max(top + frame.height);
    check_promise(size, bytes.len(), PIXELS_PER_BYTE)?;
    let held = bytes.len() as u64 * 2 + pixels(frame);
    let mut canvas = Canvas::new(size, held, Orientation::NoTransforms, background)?;
    let bits = file.byte()?;
    let data = blocks(&mut file);
    let indices = unpacked(&data, bits, frame)?;
    let rgba = |index: u8| {
        let [red, green, blue] = palette.get(usize::from(index)).copied().unwrap_or_default();
        let alpha = if transparent == Some(index) { 0 } else { u8::MAX };
        [red, green, blue, alpha]
    };
    if frame != size {
        let around = rgba(transparent.unwrap_or_default()).repeat(size.width);
        for y in 0..size.height {
            canvas.put_row(y, Colours::Rgba, &around, u8::MAX);
        }
    }
    let rows = rows_in_order(frame.height, flags & INTERLACED != 0);
    for (y, row) in rows.zip(indices.chunks_exact(frame.width.max(1))) {
        let colours: Vec<u8> = row.iter().flat_map(|index| rgba(*index)).collect();
        canvas.put(top + y, left, 1, Colours::Rgba, &colours, u8::MAX);
    }
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation: Orientation::NoTransforms,
        notes: notes(&mut file),
    })
}

fn two_sizes(file: &mut Bytes<'_>) -> Result<Size, Fault> {
    let width = u16::from_le_bytes(file.array()?);
    let height = u16::from_le_bytes(file.array()?);
    Ok(Size::new(usize::from(width), usize::from(height)))
}

/// A palette; colours it does not have are greys, and so is one that is not there.
fn read_palette(file: &mut Bytes<'_>, flags: u8) -> Result<Palette, Fault> {
    let mut palette: Palette = (0..=u8::MAX).map(|level| [level; 3]).collect();
    if flags & HAS_PALETTE != 0 {
        let count = 2_usize << (flags & 7);
        let named = file.take(3 * count)?.as_chunks::<3>().0;
        palette[..count].copy_from_slice(named);
    }
    Ok(palette)
}

/// The contents of blocks that each say how long they are, up to an empty one or to the end of the file: what is missing is
/// missed where it is needed.
fn blocks(file: &mut Bytes<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    while let Ok(length @ 1..) = file.byte() {
        let length = usize::from(length).min(file.rest.len());
        data.extend_from_slice(file.take(length).unwrap_or_default());
    }
    data
}

/// The indices of a frame, (height, width) in the order in which they are stored.
fn unpacked(data: &[u8], bits: u8, frame: Size) -> Result<Vec<u8>, Fault> {
    if bits == 0 || bits > MOST_BITS {
        return Err(Fault::Damaged(format!("its indices have {bits} bits")));
    }
    let mut indices: Vec<u8> = zeros(frame.pixels())?;
    let mut decoder = Decoder::new(BitOrder::Lsb, bits);
    let [mut read, mut done] = [0, 0];
    while done < indices.len() {
        let result = decoder.decode_bytes(&data[read..], &mut indices[done..]);
        read += result.consumed_in;
        done += result.consumed_out;
        let short = || Fault::Damaged(format!("{done} of {} pixels are there", frame.pixels()));
        match result.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::Done | LzwStatus::NoProgress) if done < frame.pixels() => return Err(short()),
            Ok(_) => break,
            Err(error) => return Err(Fault::Damaged(format!("{error} after {done} pixels"))),
        }
    }
    Ok(indices)
}

/// Where the stored rows belong.
fn rows_in_order(height: usize, interlaced: bool) -> impl Iterator<Item = usize> {
    let passes = match interlaced {
        true => &PASSES[..],
        false => &[(0, 1)],
    };
    passes
        .iter()
        .flat_map(move |&(first, step)| (first..height).step_by(step))
}

/// Whether another frame follows.
fn notes(file: &mut Bytes<'_>) -> Vec<String> {
    let mut more = || -> Result<bool, Fault> {
        loop {
            match file.byte()? {
                EXTENSION => {
                    file.byte()?;
                    blocks(file);
                }
                FRAME => return Ok(true),
                _ => return Ok(false),
            }
        }
    };
    match more() {
        Ok(true) => vec![FIRST_FRAME.to_owned()],
        _ => Vec::new(),
    }
}
