//! JPEG, WebP and QOI, by the decoders of the `image` crate.

use std::io::Cursor;

use ::image::{
    DynamicImage, ImageDecoder, ImageError, Limits,
    codecs::{jpeg::JpegDecoder, qoi::QoiDecoder, webp::WebPDecoder},
    metadata::Orientation,
};

use super::{
    Decoded, FIRST_FRAME, Fault, MAX_HELD_BYTES,
    canvas::{Canvas, Colours, check_held, pixels},
    check_promise, jpeg,
};
use crate::{geometry::Size, image::picture::CHANNELS};

/// A progressive picture is held as numbers of two bytes for each of three or four samples.
const PROGRESSIVE_BYTES_PER_PIXEL: u64 = 8;
/// Bytes that a WebP decoder holds of each pixel: its own four samples and the four it hands over.
const WEBP_BYTES_PER_PIXEL: u64 = 8;
/// A byte of a QOI repeats a pixel at most so often.
const QOI_PIXELS_PER_BYTE: u64 = 62;

pub(super) fn decode_jpeg(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    let whole = jpeg::whole(bytes)?;
    let mut decoder = JpegDecoder::new(Cursor::new(whole.bytes.as_ref())).map_err(|error| fault_of(&error))?;
    let size = size_of(&decoder);
    // The decoder has a copy of the file.
    let mut beside = bytes.len() as u64 * 2;
    if whole.progressive {
        beside += pixels(size) * PROGRESSIVE_BYTES_PER_PIXEL;
    }
    let orientation = orientation_of(&mut decoder);
    let decoded = finish(decoder, size, beside, orientation, background)?;
    Ok(Decoded {
        notes: whole.notes,
        ..decoded
    })
}

pub(super) fn decode_webp(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    // The decoder guesses the last bytes, so the end is looked for here.
    if is_shorter_than_its_riff_header_says(bytes) {
        return Err(Fault::Damaged(format!("it ends after {} bytes", bytes.len())));
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| fault_of(&error))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_HELD_BYTES);
    decoder.set_limits(limits).map_err(|error| fault_of(&error))?;
    let size = size_of(&decoder);
    let beside = bytes.len() as u64 + pixels(size).saturating_mul(WEBP_BYTES_PER_PIXEL);
    // The decoder takes memory for what a chunk says it has before it reads it.
    let orientation = match chunks_end_inside(bytes) {
        true => orientation_of(&mut decoder),
        false => Orientation::NoTransforms,
    };
    let moves = decoder.has_animation();
    let decoded = finish(decoder, size, beside, orientation, background)?;
    Ok(Decoded {
        notes: moves.then(|| FIRST_FRAME.to_owned()).into_iter().collect(),
        ..decoded
    })
}

pub(super) fn decode_qoi(bytes: &[u8], background: [u8; 3]) -> Result<Decoded, Fault> {
    if let Some([_, _, _, _, a, b, c, d, e, f, g, h]) = bytes.first_chunk() {
        let [width, height] =
            [[a, b, c, d], [e, f, g, h]].map(|side| u32::from_be_bytes(side.map(|byte| *byte)) as usize);
        check_promise(Size::new(width, height), bytes.len(), QOI_PIXELS_PER_BYTE)?;
    }
    let decoder = QoiDecoder::new(Cursor::new(bytes)).map_err(|error| fault_of(&error))?;
    let size = size_of(&decoder);
    finish(decoder, size, bytes.len() as u64, Orientation::NoTransforms, background)
}

fn size_of(decoder: &impl ImageDecoder) -> Size {
    let (width, height) = decoder.dimensions();
    Size::new(width as usize, height as usize)
}

/// Whether every chunk of a RIFF file ends in it.
fn chunks_end_inside(bytes: &[u8]) -> bool {
    const HEADER_BYTES: usize = 12;
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    while let Some(([_, _, _, _, size @ ..], chunk)) = rest.split_first_chunk::<8>() {
        let size = u32::from_le_bytes(*size) as usize;
        if size > chunk.len() {
            return false;
        }
        // A chunk of an odd length has a byte behind it.
        rest = chunk.get(size.next_multiple_of(2)..).unwrap_or_default();
    }
    true
}

/// A damaged note about the orientation is no reason to refuse the picture.
fn orientation_of(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// RGB pixels of what the decoder yields.
fn finish(
    decoder: impl ImageDecoder,
    size: Size,
    beside: u64,
    orientation: Orientation,
    background: [u8; 3],
) -> Result<Decoded, Fault> {
    let yields = decoder.color_type();
    let is_rgb = usize::from(yields.bytes_per_pixel()) == CHANNELS;
    let beside = match is_rgb {
        true => beside,
        false => beside.saturating_add(decoder.total_bytes()),
    };
    check_held(size, beside, orientation)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| fault_of(&error))?;
    let rgb = match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        image => {
            let (colours, samples) = match &image {
                DynamicImage::ImageLuma8(image) => (Colours::Grey, image.as_raw()),
                DynamicImage::ImageRgba8(image) => (Colours::Rgba, image.as_raw()),
                _ => return Err(Fault::Unsupported(format!("its samples are {yields:?}"))),
            };
            let mut canvas = Canvas::new(size, beside, orientation, background)?;
            for (y, row) in samples.chunks_exact(size.width * colours.channels()).enumerate() {
                canvas.put_row(y, colours, row, u8::MAX);
            }
            canvas.into_rgb()
        }
    };
    Ok(Decoded {
        size,
        rgb,
        orientation,
        notes: Vec::new(),
    })
}

/// RIFF files begin with four letters and the number of bytes that follow these eight.
fn is_shorter_than_its_riff_header_says(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, _, _, a, b, c, d, rest @ ..] => (rest.len() as u64) < u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => true,
    }
}

fn fault_of(error: &ImageError) -> Fault {
    match error {
        ImageError::Unsupported(what) => Fault::Unsupported(what.to_string()),
        ImageError::Limits(_) => Fault::TooLarge("its header asks for too much memory".to_owned()),
        error => Fault::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_goes_beyond_the_file_is_seen() {
        let file = |chunks: &[(u32, usize)]| {
            let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
            for (says, has) in chunks {
                bytes.extend_from_slice(b"EXIF");
                bytes.extend(says.to_le_bytes());
                bytes.resize(bytes.len() + has, 0);
            }
            bytes
        };
        for whole in [&[][..], &[(4, 4)], &[(3, 4), (0, 0), (2, 2)], &[(2, 2), (5, 5)]] {
            assert!(chunks_end_inside(&file(whole)), "{whole:?}");
        }
        for beyond in [&[(5, 4)][..], &[(2, 2), (u32::MAX, 9)]] {
            assert!(!chunks_end_inside(&file(beyond)), "{beyond:?}");
        }
    }
}
