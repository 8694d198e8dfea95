//! Sizes of pictures in pixels.

use std::fmt;

use serde::{Deserialize, Serialize};

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
