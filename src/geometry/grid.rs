//! Grids of positions: where the vectors of a feature map lie.

use serde::{Deserialize, Serialize};

/// Rows and columns of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Grid {
    /// A grid of `height` rows and `width` columns.
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// Number of positions, h·w.
    pub const fn positions(self) -> usize {
        self.height * self.width
    }

    /// Index of the position at (row, column) in row-major order.
    pub const fn index(self, row: usize, column: usize) -> usize {
        row * self.width + column
    }

    /// (row, column) of a position.
    pub const fn row_column(self, position: usize) -> (usize, usize) {
        (position / self.width, position % self.width)
    }
}
