//! Where decoded rows go: 8-bit RGB, allocated once and within the bound.

use ::image::metadata::Orientation;

use super::Fault;
use crate::{geometry::Size, image::picture::CHANNELS};

/// Most bytes that reading a picture holds at a time: the file, what its decoder makes of it, and the RGB pixels.
pub(crate) const MAX_HELD_BYTES: u64 = 1 << 30;

/// A row while it is converted: four samples of 16 bits.
const ROW_BYTES_PER_PIXEL: u64 = 8;

/// Meaning of a pixel's samples, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// Cyan, magenta, yellow and black: how much ink.
    Cmyk,
}

impl Colours {
    /// Samples of a pixel.
    pub const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }
}

/// Pixels of a size; a size that overflows has more than any bound allows.
pub(super) fn pixels(size: Size) -> u64 {
    (size.width as u64).saturating_mul(size.height as u64)
}

/// Refuses a picture that takes more than [`MAX_HELD_BYTES`]: `beside` bytes beside its RGB pixels, and these twice where they are
/// turned by a quarter.
pub(super) fn check_held(size: Size, beside: u64, orientation: Orientation) -> Result<(), Fault> {
    if size.width == 0 || size.height == 0 {
        return Err(Fault::Damaged(format!("it has {size} pixels")));
    }
    let copies = 1 + u64::from(is_quarter_turn(orientation));
    let held = pixels(size)
        .saturating_mul(CHANNELS as u64 * copies)
        .saturating_add((size.width as u64).saturating_mul(ROW_BYTES_PER_PIXEL))
        .saturating_add(beside);
    match held > MAX_HELD_BYTES {
        true => Err(Fault::TooLarge(format!(
            "reading its {size} pixels takes {held} bytes of memory, at most {MAX_HELD_BYTES} (1 GiB) are used"
        ))),
        false => Ok(()),
    }
}

/// `length` zeros, unless there is no memory for them.
pub(super) fn zeros<T: Copy + Default>(length: usize) -> Result<Vec<T>, Fault> {
    let mut values = Vec::new();
    values.try_reserve_exact(length).map_err(|_| {
        Fault::TooLarge(format!(
            "there is no memory for {length} samples of {} bytes",
            size_of::<T>()
        ))
    })?;
    values.resize(length, T::default());
    Ok(values)
}

/// The pixels of a picture that is being decoded.
pub(super) struct Canvas {
    size: Size,
    rgb: Vec<u8>,
    background: [u8; CHANNELS],
}

impl Canvas {
    /// Black, once the bound allows it; `beside` is what decoding holds beside it. Alpha is composited on `background`.
    pub fn new(size: Size, beside: u64, orientation: Orientation, background: [u8; CHANNELS]) -> Result<Self, Fault> {
        check_held(size, beside, orientation)?;
        Ok(Self {
            size,
            rgb: zeros(size.pixels() * CHANNELS)?,
            background,
        })
    }

    /// The pixels, (height, width, 3).
    pub(crate) fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// The row of a decoded picture's pixels; rows outside are ignored.
    fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let length = self.size.width * CHANNELS;
        let start = y.saturating_mul(length).min(self.rgb.len());
        let end = (start + length).min(self.rgb.len());
        &mut self.rgb[start..end]
    }

    /// A whole row from samples of up to `max`.
    pub(crate) fn put_row<T: Copy + Into<u64>>(&mut self, y: usize, colours: Colours, samples: &[T], max: T) {
        self.put(y, 0, 1, colours, samples, max);
    }

    /// Pixels of a row from column `x` on, `step` columns apart, from samples of up to `max`.
    pub fn put<T: Copy + Into<u64>>(
        &mut self,
        y: usize,
        x: usize,
        step: usize,
        colours: Colours,
        samples: &[T],
        max: T,
    ) {
        let max = max.into();
        let background = self.background;
        let row = self.row_mut(y);
        let out = row
            .get_mut(x * CHANNELS..)
            .unwrap_or_default()
            .chunks_mut(CHANNELS * step)
            .filter_map(|chunk| chunk.first_chunk_mut::<CHANNELS>());
        let full = u64::from(u8::MAX);
        let pairs = samples.chunks_exact(colours.channels()).zip(out);
        for (pixel, out) in pairs {
            let at = |index: usize| -> u64 { pixel[index].into() };
            *out = match colours {
                Colours::Grey => [scale_to_8(at(0), max); CHANNELS],
                Colours::Rgb if max == full => [0, 1, 2].map(|channel| at(channel) as u8),
                Colours::Rgb => [0, 1, 2].map(|channel| scale_to_8(at(channel), max)),
                Colours::GreyAlpha => background.map(|behind| over(at(0), at(1), max, behind)),
                Colours::Rgba => [0, 1, 2].map(|channel| over(at(channel), at(3), max, background[channel])),
                Colours::Cmyk => {
                    let [inks @ .., black] = [0, 1, 2, 3].map(|channel| u64::from(scale_to_8(at(channel), max)));
                    let light = full - black;
                    inks.map(|ink| (light - (ink * light + full / 2) / full) as u8)
                }
            };
        }
    }
}

/// 0..max to 0..255, rounded to the nearest.
fn scale_to_8(level: u64, max: u64) -> u8 {
    let full = u64::from(u8::MAX);
    match max == full {
        true => level as u8,
        false => ((level * full + max / 2) / max).min(full) as u8,
    }
}

/// A sample up to `max` with its alpha over what is behind: α·c + (1 − α)·b, rounded once.
fn over(level: u64, alpha: u64, max: u64, behind: u8) -> u8 {
    let sum = level * alpha * u64::from(u8::MAX) + u64::from(behind) * max * (max - alpha);
    ((sum + max * max / 2) / (max * max)) as u8
}

/// A colour divided by its alpha, up to `max`.
pub(super) fn unmultiplied(level: u16, alpha: u16, max: u16) -> u16 {
    match alpha {
        0 => 0,
        _ => (u32::from(level) * u32::from(max) / u32::from(alpha)).min(u32::from(max)) as u16,
    }
}

const fn is_quarter_turn(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// The upright picture.
pub(super) fn upright(size: Size, mut rgb: Vec<u8>, orientation: Orientation) -> Result<(Size, Vec<u8>), Fault> {
    let (flips_rows, flips_columns) = match orientation {
        Orientation::NoTransforms => return Ok((size, rgb)),
        Orientation::FlipHorizontal => (false, true),
        Orientation::FlipVertical => (true, false),
        Orientation::Rotate180 => (true, true),
        _ => return turned(size, &rgb, orientation),
    };
    let length = size.width * CHANNELS;
    if flips_columns {
        for row in rgb.chunks_exact_mut(length) {
            row.as_chunks_mut::<CHANNELS>().0.reverse();
        }
    }
    if flips_rows {
        let (upper, lower) = rgb.split_at_mut(size.height / 2 * length);
        for (a, b) in upper.chunks_exact_mut(length).zip(lower.rchunks_exact_mut(length)) {
            a.swap_with_slice(b);
        }
    }
    Ok((size, rgb))
}

/// The picture with rows and columns exchanged, and turned or mirrored as the orientation says.
fn turned(size: Size, rgb: &[u8], orientation: Orientation) -> Result<(Size, Vec<u8>), Fault> {
    let mut out = zeros(rgb.len())?;
    let to = Size::new(size.height, size.width);
    // From the right: the first column becomes the last row; from below: the first row becomes the last column.
    let (from_right, from_below) = match orientation {
        Orientation::Rotate90 => (false, true),
        Orientation::Rotate270 => (true, false),
        Orientation::Rotate90FlipH => (false, false),
        _ => (true, true),
    };
    let pixels = rgb.as_chunks::<CHANNELS>().0;
    for (y, row) in out.as_chunks_mut::<CHANNELS>().0.chunks_exact_mut(to.width).enumerate() {
        let column = if from_right { size.width - 1 - y } else { y };
        for (x, pixel) in row.iter_mut().enumerate() {
            let line = if from_below { size.height - 1 - x } else { x };
            *pixel = pixels[line * size.width + column];
        }
    }
    Ok((to, out))
}

#[cfg(test)]
mod tests {
    use ::image::{DynamicImage, RgbImage};

    use super::*;

    #[test]
    fn every_orientation_is_that_of_the_image_crate() {
        let size = Size::new(3, 5);
        let rgb: Vec<u8> = (0..size.pixels() * CHANNELS).map(|index| index as u8).collect();
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number).expect("1 to 8 are orientations");
            let image = RgbImage::from_raw(3, 5, rgb.clone()).expect("as many bytes as pixels need");
            let mut want = DynamicImage::ImageRgb8(image);
            want.apply_orientation(orientation);
            let Ok((turned, found)) = upright(size, rgb.clone(), orientation) else {
                panic!("a small picture is turned");
            };
            assert_eq!(
                [turned.width, turned.height],
                [want.width() as usize, want.height() as usize]
            );
            assert_eq!(found, want.into_rgb8().into_raw(), "orientation {number}");
        }
    }

    #[test]
    fn the_bound_counts_bytes() {
        let side = |side: usize| Size::new(side, side);
        assert!(check_held(side(16384), 0, Orientation::NoTransforms).is_ok());
        assert!(check_held(side(16384), 0, Orientation::Rotate90).is_err());
        assert!(check_held(side(16384), 1 << 28, Orientation::NoTransforms).is_err_and(
            |fault| matches!(fault, Fault::TooLarge(told) if told.contains("its 16384x16384 pixels takes"))
        ));
        assert!(check_held(Size::new(usize::MAX, usize::MAX), 0, Orientation::NoTransforms).is_err());
        assert!(check_held(Size::new(0, 1), 0, Orientation::NoTransforms).is_err());
    }
}
