//! A picture in memory: 8-bit RGB. Files are read by [`super::picture`].

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::picture;
use crate::error::{Error, Result};

/// Alpha is composited on white unless the user chooses another colour.
pub const WHITE: [u8; 3] = [u8::MAX; 3];

/// Channels of a picture: red, green, blue.
pub const CHANNELS: usize = 3;

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
#[derive(Clone)]
pub struct Picture {
    size: Size,
    /// (height, width, 3), row-major.
    rgb: Vec<u8>,
    /// What there is to say about the file it was read from.
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
    pub fn read(path: &Path, background: [u8; 3]) -> Result<Self> {
        picture::read(path, background)
    }

    /// Decodes the bytes of a picture file; `label` names them in messages.
    pub fn decode(bytes: &[u8], background: [u8; 3], label: &str) -> Result<Self> {
        picture::decode(bytes, background, label)
    }

    /// The same with a note of the file it was read from.
    pub(super) fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// What there is to say about the file it was read from, with its name: that it lacks its end, or has further pages.
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
