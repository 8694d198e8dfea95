//! QOI.

use ::image::metadata::Orientation;

use super::{
    Bytes, Decoded, Fault,
    canvas::{Canvas, Colours, zeros},
    check_promise,
};
use crate::geometry::Size;

const SIGNATURE_BYTES: usize = 4;
/// A byte repeats a pixel at most so often.
const PIXELS_PER_BYTE: u64 = 62;
/// Colours that are remembered.
const SEEN: usize = 64;
const RGB: u8 = 0xfe;
const RGBA: u8 = 0xff;

pub(super) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let mut file = Bytes::new(bytes);
    file.take(SIGNATURE_BYTES)?;
    let width = u32::from_be_bytes(file.array()?) as usize;
    let height = u32::from_be_bytes(file.array()?) as usize;
    let [channels, _colour_space] = file.array()?;
    let size = Size::new(width, height);
    check_promise(size, bytes.len(), PIXELS_PER_BYTE)?;
    let mut canvas = Canvas::new(size, bytes.len() as u64, Orientation::NoTransforms, background)?;
    let mut seen = [[0_u8; 4]; SEEN];
    let mut pixel = [0, 0, 0, u8::MAX];
    let mut run = 0;
    let mut row: Vec<u8> = zeros(4 * width)?;
    for y in 0..height {
        for place in row.as_chunks_mut::<4>().0 {
            if run > 0 {
                run -= 1;
            } else {
                (pixel, run) = next(&mut file, pixel, &seen)?;
                seen[slot(pixel)] = pixel;
            }
            *place = pixel;
            if channels == 3 {
                place[3] = u8::MAX;
            }
        }
        canvas.put_row(y, Colours::Rgba, &row, u8::MAX);
    }
    Ok(Decoded {
        size,
        rgb: canvas.into_rgb(),
        orientation: Orientation::NoTransforms,
        notes: Vec::new(),
    })
}

/// Where a colour is remembered.
fn slot([red, green, blue, alpha]: [u8; 4]) -> usize {
    let sum = [(red, 3), (green, 5), (blue, 7), (alpha, 11)].map(|(level, factor)| usize::from(level) * factor);
    sum.iter().sum::<usize>() % SEEN
}

/// The next pixel, and how often it is repeated behind itself.
fn next(file: &mut Bytes<'_>, last: [u8; 4], seen: &[[u8; 4]; SEEN]) -> Result<([u8; 4], u8), Fault> {
    let [red, green, blue, alpha] = last;
    let byte = file.byte()?;
    let low = byte & 0x3f;
    Ok(match (byte, byte >> 6) {
        (RGB, _) => {
            let [red, green, blue] = file.array()?;
            ([red, green, blue, alpha], 0)
        }
        (RGBA, _) => (file.array()?, 0),
        (_, 0) => (seen[usize::from(low)], 0),
        (_, 1) => {
            let change = |level: u8, shift: u8| level.wrapping_add(low >> shift & 3).wrapping_sub(2);
            ([change(red, 4), change(green, 2), change(blue, 0), alpha], 0)
        }
        (_, 2) => {
            const GREEN_BIAS: u8 = 32;
            const OTHER_BIAS: u8 = 8;
            let others = file.byte()?;
            let change = low.wrapping_sub(GREEN_BIAS);
            let other = |level: u8, more: u8| {
                let more = more.wrapping_sub(OTHER_BIAS);
                level.wrapping_add(change).wrapping_add(more)
            };
            (
                [
                    other(red, others >> 4),
                    green.wrapping_add(change),
                    other(blue, others & 0x0f),
                    alpha,
                ],
                0,
            )
        }
        _ => (last, low),
    })
}
