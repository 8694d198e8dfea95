//! Between the coordinates of a picture and of the working picture that a model sees.
//!
//! Coordinates are (x, y) with pixel and cell CENTRES at whole numbers: a picture W pixels wide spans −0.5 to W − 0.5.
//! Clicks, marks and exports are in pixels of the original picture.

use serde::{Deserialize, Serialize};

use super::{Grid, PixelRange, Size};

/// Working pictures with a longer side than this are refused.
pub const MAX_SIDE: usize = 8192;

/// A request for a working size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WorkingSize {
    /// Exactly this, as the papers do, whatever the picture's aspect ratio.
    Exact {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The short side gets this many pixels, and the other one the picture's aspect ratio, up to the model's multiple.
    ShortSide(usize),
}

/// Working sizes that a family of models takes, and how pictures are brought to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SizeRule {
    /// Latent models: bicubic, then, when a side is no multiple, Lanczos down to the next multiple below.
    Latent {
        /// Pixels of one cell of the denoiser's input.
        multiple: usize,
    },
    /// Denoisers of patches: bicubic; nothing but multiples is taken.
    Patches {
        /// Pixels of one patch.
        multiple: usize,
    },
    /// ADM: a square is cut from the middle, other sizes are resized; nothing but multiples is taken.
    Adm {
        /// Pixels of one cell of the innermost grid: patch_size·2^(levels−1).
        multiple: usize,
    },
}

impl SizeRule {
    /// The number that both sides of a working size must be divisible by.
    pub const fn multiple(self) -> usize {
        match self {
            Self::Latent { multiple } | Self::Patches { multiple } | Self::Adm { multiple } => multiple,
        }
    }

    /// Range of these models' input pixels.
    pub const fn pixel_range(self) -> PixelRange {
        match self {
            Self::Latent { .. } | Self::Patches { .. } => PixelRange::Latent,
            Self::Adm { .. } => PixelRange::Adm,
        }
    }
}

/// Where the working picture lies in the original: original → resized to `scaled` → cut at `offset` to `working`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Framing {
    /// The picture as read, upright.
    pub original: Size,
    /// The whole picture after every resize, before the cut.
    pub scaled: Size,
    /// Columns cut off on the left.
    pub offset_x: usize,
    /// Rows cut off at the top.
    pub offset_y: usize,
    /// Size of the working picture, the model's input.
    pub working: Size,
}

impl Framing {
    /// The framing that resizes and cuts nothing off.
    pub const fn whole(original: Size, working: Size) -> Self {
        Self {
            original,
            scaled: working,
            offset_x: 0,
            offset_y: 0,
            working,
        }
    }

    /// Original pixels to working pixels.
    pub fn working_from_original(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [columns, rows] = self.axes();
        [columns.working_from_original(x), rows.working_from_original(y)]
    }

    /// Working pixels to original pixels.
    pub fn original_from_working(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [columns, rows] = self.axes();
        [
            columns.original_from_part(x, self.working.width),
            rows.original_from_part(y, self.working.height),
        ]
    }

    /// Original pixels to (x, y) on a feature grid, between cells too: (x + ½)·w/W − ½.
    pub fn feature_from_original(&self, [x, y]: [f64; 2], grid: Grid) -> [f64; 2] {
        let [columns, rows] = self.axes();
        [
            columns.edge_distance(x, grid.width) - 0.5,
            rows.edge_distance(y, grid.height) - 0.5,
        ]
    }

    /// (x, y) on a feature grid to original pixels: (i + ½)·W/w − ½.
    pub fn original_from_feature(&self, [x, y]: [f64; 2], grid: Grid) -> [f64; 2] {
        let [columns, rows] = self.axes();
        [
            columns.original_from_part(x, grid.width),
            rows.original_from_part(y, grid.height),
        ]
    }

    /// (row, column) of the cell that covers an original pixel; none where the pixel was cut off. Points outside of
    /// the picture count as the nearest point of its border.
    pub fn cell_from_original(&self, [x, y]: [f64; 2], grid: Grid) -> Option<(usize, usize)> {
        let [columns, rows] = self.axes();
        Some((rows.cell(y, grid.height)?, columns.cell(x, grid.width)?))
    }

    /// The centre of a cell in original pixels.
    pub fn original_from_cell(&self, (row, column): (usize, usize), grid: Grid) -> [f64; 2] {
        self.original_from_feature([column as f64, row as f64], grid)
    }

    /// The part of the original that lies in the working picture, as [left, top, right, bottom] in original pixels.
    pub fn visible(&self) -> [f64; 4] {
        let [left, top] = self.original_from_working([-0.5, -0.5]);
        let far_corner = [self.working.width as f64 - 0.5, self.working.height as f64 - 0.5];
        let [right, bottom] = self.original_from_working(far_corner);
        [left, top, right, bottom]
    }

    /// The part of the original that lies in the working picture, in whole pixels: (x, y) of the centre of its first pixel, and its
    /// rows and columns.
    pub(crate) fn seen_pixels(&self) -> ([f64; 2], Grid) {
        let [left, top, right, bottom] = self.visible();
        let side = |from: f64, to: f64| (to - from).round().max(1.0) as usize;
        ([left + 0.5, top + 0.5], Grid::new(side(top, bottom), side(left, right)))
    }

    fn axes(&self) -> [Axis; 2] {
        let axis = |original: usize, scaled: usize, offset: usize, working: usize| Axis {
            original: original as f64,
            scaled: scaled as f64,
            offset: offset as f64,
            working: working as f64,
        };
        [
            axis(
                self.original.width,
                self.scaled.width,
                self.offset_x,
                self.working.width,
            ),
            axis(
                self.original.height,
                self.scaled.height,
                self.offset_y,
                self.working.height,
            ),
        ]
    }
}

/// A framing along one axis, in pixels.
struct Axis {
    original: f64,
    scaled: f64,
    offset: f64,
    working: f64,
}

impl Axis {
    fn working_from_original(&self, x: f64) -> f64 {
        (x + 0.5) * self.scaled / self.original - self.offset - 0.5
    }

    /// From the axis of the working picture divided into `parts`.
    fn original_from_part(&self, x: f64, parts: usize) -> f64 {
        ((x + 0.5) * self.working / parts as f64 + self.offset) * self.original / self.scaled - 0.5
    }

    /// Distance from the working picture's first edge, which is divided into `parts`. The quotient is taken last, so
    /// that a pixel centre on the border between two cells falls on it exactly.
    fn edge_distance(&self, x: f64, parts: usize) -> f64 {
        let parts = parts as f64;
        ((x + 0.5) * self.scaled - self.offset * self.original) * parts / (self.original * self.working)
    }

    fn cell(&self, x: f64, cells: usize) -> Option<usize> {
        let inside = x.clamp(-0.5, self.original - 0.5);
        let distance = self.edge_distance(inside, cells);
        // A NaN is in no range.
        let seen = (0.0..=cells as f64).contains(&distance);
        let last = cells.checked_sub(1)?;
        seen.then(|| (distance as usize).min(last))
    }
}
