//! A picture in memory: 8-bit RGB. Files are read by `image::decode`.

use std::{fmt, path::Path};

use super::decode;
use crate::{
    error::{Error, Result},
    geometry::{PixelRange, Size},
};

/// Alpha is composited on white unless the user chooses another colour.
pub const WHITE: [u8; 3] = [u8::MAX; 3];

/// Channels of a picture: red, green, blue.
pub const CHANNELS: usize = 3;

/// An 8-bit RGB picture with at least one pixel.
#[derive(Clone)]
pub struct Picture {
    size: Size,
    /// (height, width, 3), row-major.
    rgb: Vec<u8>,
    /// A note about the file it was read from.
    note: Option<String>,
}

/// Pictures are equal that show the same, whatever file they were read from.
impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.rgb == other.rgb
    }
}

impl Eq for Picture {}

impl Picture {
    /// From bytes (height, width, 3), row-major.
    ///
    /// # Errors
    ///
    /// Where there is no pixel, and where there are not 3 bytes for each.
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
        Ok(Self { size, rgb, note: None })
    }

    /// Reads a picture file, whatever its name; alpha is composited on `background`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is no picture of a known format, is damaged, or takes more than 1 GiB to decode.
    pub fn read(path: &Path, background: [u8; 3]) -> Result<Self> {
        decode::read(path, background)
    }

    /// Decodes the bytes of a picture file; `label` names them in messages.
    ///
    /// # Errors
    ///
    /// Where the bytes are no picture of a known format, are damaged, or take more than 1 GiB to decode.
    pub fn decode(bytes: &[u8], background: [u8; 3], label: &str) -> Result<Self> {
        decode::decode(bytes, background, label)
    }

    /// The same with a note of the file it was read from.
    pub(super) fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// A note about the file it was read from, with its name: that it lacks its end, or has further pages.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
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
