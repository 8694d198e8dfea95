//! Picture files to 8-bit RGB. Everything is converted before it is resized: palettes, bits and greys become RGB, 16
//! bits become 8, alpha is composited, CMYK becomes RGB, and the EXIF orientation is applied.

use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use ::image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, guess_format,
    metadata::Orientation,
};
use serde::{Deserialize, Serialize};

use super::jpeg;
use crate::error::{Error, Result};

/// Pictures with more pixels than this are refused.
pub const MAX_PIXELS: u64 = 1 << 28;

/// Alpha is composited on white unless the user chooses another colour.
pub const WHITE: [u8; 3] = [u8::MAX; 3];

/// Channels of a picture: red, green, blue.
pub const CHANNELS: usize = 3;

/// A picture of [`MAX_PIXELS`] with four channels of 16 bits, uncompressed: no file within the limits is larger.
const MAX_FILE_BYTES: u64 = MAX_PIXELS * 8;

/// What a decoder may allocate beside the picture itself: a few rows, colour profiles, comments.
const MAX_DECODER_BYTES: u64 = 256 << 20;

/// Every signature of a picture format lies within so many first bytes.
const SIGNATURE_BYTES: u64 = 16;

/// Most pixels that one byte of a PNG can hold: deflate expands at most 1032 times, and a byte has 8 pixels of one bit.
const PNG_PIXELS_PER_BYTE: u64 = 1032 * 8;

/// Most pixels that one byte of a JPEG can hold: each 8 x 8 block of the finest channel takes at least one bit.
const JPEG_PIXELS_PER_BYTE: u64 = 8 * 64;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size of `width` columns and `height` rows.
    pub const fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.width * self.height
    }

    /// The shorter of the two sides.
    pub fn short_side(self) -> usize {
        self.width.min(self.height)
    }

    /// Both sides after `f`.
    pub fn map(self, f: impl Fn(usize) -> usize) -> Self {
        Self::new(f(self.width), f(self.height))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How a model wants its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PixelRange {
    /// x/255·2 − 1, as the latent models' pipelines compute it.
    Latent,
    /// x/127.5 − 1, as guided-diffusion computes it.
    Adm,
}

impl PixelRange {
    /// The number a model gets for an 8-bit value, in f32 and in the order of the reference implementations.
    pub fn value(self, byte: u8) -> f32 {
        const WHITE_LEVEL: f32 = 255.0;
        const MIDDLE_LEVEL: f32 = 127.5;
        match self {
            Self::Latent => f32::from(byte) / WHITE_LEVEL * 2.0 - 1.0,
            Self::Adm => f32::from(byte) / MIDDLE_LEVEL - 1.0,
        }
    }
}

/// An 8-bit RGB picture with at least one pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    /// (height, width, 3), row-major.
    rgb: Vec<u8>,
}

impl Picture {
    /// From bytes (height, width, 3), row-major.
    pub fn from_rgb(size: Size, rgb: Vec<u8>) -> Result<Self> {
        let expected = size
            .width
            .checked_mul(size.height)
            .and_then(|pixels| pixels.checked_mul(CHANNELS));
        if size.width == 0 || size.height == 0 || expected != Some(rgb.len()) {
            return Err(Error::failed(format!(
                "a picture of {size} pixels needs at least one pixel and 3 bytes for each, found {} bytes",
                rgb.len()
            )));
        }
        Ok(Self { size, rgb })
    }

    /// Reads a PNG, JPEG or WebP file, whatever its name; alpha is composited on `background`.
    pub fn read(path: &Path, background: [u8; 3]) -> Result<Self> {
        let bytes = read_picture_file(path)?;
        Self::decode(&bytes, background, &path.display().to_string())
    }

    /// Decodes the bytes of a PNG, JPEG or WebP file; `label` names them in messages.
    pub fn decode(bytes: &[u8], background: [u8; 3], label: &str) -> Result<Self> {
        let format = supported_format(bytes, label)?;
        let broken = |error: ImageError| explain(&error, format, bytes.len(), label);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        check_header(width, height, format, bytes, label)?;
        // A damaged note about the orientation is no reason to refuse the picture.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let decoded = DynamicImage::from_decoder(decoder).map_err(broken)?;
        let mut upright = DynamicImage::ImageRgb8(to_rgb8(decoded, background));
        upright.apply_orientation(orientation);
        let upright = upright.into_rgb8();
        let size = Size::new(upright.width() as usize, upright.height() as usize);
        Self::from_rgb(size, upright.into_raw()).map_err(|error| error.context(label))
    }

    /// Width and height.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Columns.
    pub const fn width(&self) -> usize {
        self.size.width
    }

    /// Rows.
    pub const fn height(&self) -> usize {
        self.size.height
    }

    /// The bytes (height, width, 3), row-major.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The numbers a model takes: (3, height, width), row-major, in [−1, 1].
    pub fn to_chw(&self, range: PixelRange) -> Vec<f32> {
        (0..CHANNELS)
            .flat_map(|channel| self.rgb.iter().skip(channel).step_by(CHANNELS))
            .map(|&byte| range.value(byte))
            .collect()
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({})", self.size)
    }
}

/// The bytes of a file that begins like a picture; anything else is refused after its first few bytes.
fn read_picture_file(path: &Path) -> Result<Vec<u8>> {
    let io = |error: io::Error| Error::io("read", path, &error);
    let mut file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let label = path.display();
    if meta.is_dir() {
        return Err(Error::failed(format!(
            "cannot read {label}: it is a folder; name a picture file in it"
        )));
    }
    if !meta.is_file() {
        return Err(Error::failed(format!("cannot read {label}: it is not a regular file")));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(Error::failed(format!(
            "cannot read {label}: it has {} bytes, pictures of up to {MAX_FILE_BYTES} are read; scale it down first",
            meta.len()
        )));
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(SIGNATURE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    supported_format(&bytes, &label.to_string())?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// The format the first bytes tell.
fn supported_format(bytes: &[u8], label: &str) -> Result<ImageFormat> {
    const ASKED: &str = "a PNG, JPEG or WebP picture is needed";
    if bytes.is_empty() {
        return Err(Error::failed(format!("cannot read {label}: it is empty; {ASKED}")));
    }
    match guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => Ok(format),
        Ok(other) => Err(Error::failed(format!(
            "cannot read {label}: it is in the {other:?} format; {ASKED}, so convert it first"
        ))),
        Err(_) => Err(Error::failed(format!(
            "cannot read {label}: its contents are not a picture; {ASKED}"
        ))),
    }
}

/// Refuses what the header promises before anything is allocated for it.
fn check_header(width: u32, height: u32, format: ImageFormat, bytes: &[u8], label: &str) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(Error::failed(format!(
            "cannot read {label}: it has {width}x{height} = {pixels} pixels, the limit is {MAX_PIXELS} (2^28); scale \
             it down first"
        )));
    }
    let most = match format {
        ImageFormat::Png => PNG_PIXELS_PER_BYTE,
        ImageFormat::Jpeg => JPEG_PIXELS_PER_BYTE,
        _ => MAX_PIXELS,
    }
    .saturating_mul(bytes.len() as u64);
    // The JPEG decoder fills what is missing with grey and calls it a picture, and the WebP decoder guesses the last
    // bytes, so the end is looked for here.
    let cut_off = match format {
        ImageFormat::Jpeg => !jpeg::reaches_its_end(bytes),
        ImageFormat::WebP => is_shorter_than_its_riff_header_says(bytes),
        _ => false,
    };
    if pixels > most || cut_off {
        return Err(Error::failed(format!(
            "cannot read {label}: it promises {width}x{height} pixels but ends after {} bytes, so it is cut off or \
             damaged; get the file again",
            bytes.len()
        )));
    }
    Ok(())
}

/// RIFF files begin with four letters and the number of bytes that follow these eight.
fn is_shorter_than_its_riff_header_says(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, _, _, a, b, c, d, rest @ ..] => (rest.len() as u64) < u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => true,
    }
}

/// A decoder's complaint, with the file and what to do.
fn explain(error: &ImageError, format: ImageFormat, length: usize, label: &str) -> Error {
    let name = match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        _ => "WebP",
    };
    let advice = match error {
        ImageError::Unsupported(_) => "save it as an ordinary 8-bit picture",
        ImageError::Limits(_) => "save it again without colour profile and comments",
        _ => "it is cut off or damaged: get the file again",
    };
    let complaint = error.to_string();
    Error::failed(format!(
        "cannot read {label} ({name}, {length} bytes): {}; {advice}",
        complaint.trim_end()
    ))
}

/// 8-bit RGB of any decoded picture, alpha composited on `background`.
fn to_rgb8(decoded: DynamicImage, background: [u8; 3]) -> RgbImage {
    let size = (decoded.width(), decoded.height());
    let grey = |[level, alpha]: [u64; 2]| [level, level, level, alpha];
    let pack = |rgb: Vec<u8>| RgbImage::from_raw(size.0, size.1, rgb);
    let converted = match &decoded {
        DynamicImage::ImageLuma8(image) => pack(image.as_raw().iter().flat_map(|&level| [level; CHANNELS]).collect()),
        DynamicImage::ImageLuma16(image) => pack(
            image
                .as_raw()
                .iter()
                .flat_map(|&level| [scale_to_8(level); CHANNELS])
                .collect(),
        ),
        DynamicImage::ImageRgb16(image) => pack(image.as_raw().iter().map(|&level| scale_to_8(level)).collect()),
        DynamicImage::ImageLumaA8(image) => pack(composite::<_, 2>(image.as_raw(), u8::MAX, background, grey)),
        DynamicImage::ImageLumaA16(image) => pack(composite::<_, 2>(image.as_raw(), u16::MAX, background, grey)),
        DynamicImage::ImageRgba8(image) => pack(composite::<_, 4>(image.as_raw(), u8::MAX, background, |pixel| pixel)),
        DynamicImage::ImageRgba16(image) => {
            pack(composite::<_, 4>(image.as_raw(), u16::MAX, background, |pixel| pixel))
        }
        _ => None,
    };
    converted.unwrap_or_else(|| decoded.into_rgb8())
}

/// 0..65535 to 0..255, rounded to the nearest.
fn scale_to_8(level: u16) -> u8 {
    const HALF: u32 = u16::MAX as u32 / 2;
    ((u32::from(level) * u32::from(u8::MAX) + HALF) / u32::from(u16::MAX)) as u8
}

/// Pixels of `N` samples up to `max`, the last one alpha, over `background`: α·c + (1 − α)·b, rounded once.
fn composite<T: Copy + Into<u64>, const N: usize>(
    samples: &[T],
    max: T,
    background: [u8; 3],
    rgba: impl Fn([u64; N]) -> [u64; 4],
) -> Vec<u8> {
    let max = max.into();
    let white = u64::from(u8::MAX);
    let (pixels, _) = samples.as_chunks::<N>();
    pixels
        .iter()
        .flat_map(|pixel| {
            let [red, green, blue, alpha] = rgba(pixel.map(Into::into));
            let over = |level: u64, behind: u8| {
                let sum = level * alpha * white + u64::from(behind) * max * (max - alpha);
                ((sum + max * max / 2) / (max * max)) as u8
            };
            [
                over(red, background[0]),
                over(green, background[1]),
                over(blue, background[2]),
            ]
        })
        .collect()
}
