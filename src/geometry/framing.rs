//! From a picture and the size asked for to the working picture, and between the coordinates of the two.
//!
//! Coordinates are (x, y) with pixel and cell CENTRES at whole numbers: a picture W pixels wide spans −0.5 to W − 0.5.
//! What users click, mark and export is in pixels of the original picture.

use serde::{Deserialize, Serialize};

use super::{Grid, PixelRange, Size};
use crate::{
    error::{Error, Result},
    image::{
        picture::Picture,
        resize::{Filter, resize, resize_window},
    },
};

/// Working pictures with a longer side than this are refused.
pub const MAX_SIDE: usize = 8192;

/// The working size asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkingSize {
    /// Exactly this, as the papers do, whatever the picture's aspect ratio.
    Exact {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The short side gets this many pixels and the aspect ratio is kept, up to the model's multiple.
    ShortSide(usize),
}

/// What working sizes a family of models takes, and how it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SizeRule {
    /// Latent models: bicubic, then, when a side is no multiple, Lanczos down to the next multiple below.
    Latent {
        /// Pixels of one cell of the denoiser's input.
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
            Self::Latent { multiple } | Self::Adm { multiple } => multiple,
        }
    }

    /// How these models want their pixels.
    pub const fn pixel_range(self) -> PixelRange {
        match self {
            Self::Latent { .. } => PixelRange::Latent,
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
    /// What the model sees.
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

    /// The part of the original that the model sees, as [left, top, right, bottom] in original pixels.
    pub fn visible(&self) -> [f64; 4] {
        let [left, top] = self.original_from_working([-0.5, -0.5]);
        let far_corner = [self.working.width as f64 - 0.5, self.working.height as f64 - 0.5];
        let [right, bottom] = self.original_from_working(far_corner);
        [left, top, right, bottom]
    }

    /// The part of the original that the model sees in whole pixels: (x, y) of the centre of its first pixel, and its
    /// rows and columns.
    pub fn seen_pixels(&self) -> ([f64; 2], Grid) {
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

/// A picture as a model sees it.
#[derive(Debug, Clone)]
pub struct PreparedImage {
    /// The working picture.
    pub picture: Picture,
    /// Its place in the original.
    pub framing: Framing,
}

/// How a picture of some size becomes its working picture; made without looking at a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingPlan {
    /// Resizes before the last one.
    first: Vec<(Size, Filter)>,
    /// The last resize, to `framing.scaled`, which is also where the cut happens.
    last: Filter,
    framing: Framing,
}

impl FramingPlan {
    /// What becomes of a picture of size `original`.
    pub fn new(original: Size, request: &WorkingSize, rule: SizeRule) -> Result<Self> {
        if original.width == 0 || original.height == 0 || rule.multiple() == 0 {
            return Err(Error::failed(format!(
                "a picture of {original} pixels cannot be prepared in multiples of {}",
                rule.multiple()
            )));
        }
        let wanted = match *request {
            WorkingSize::Exact { width, height } => exact_size(Size::new(width, height), rule)?,
            WorkingSize::ShortSide(side) => size_of_short_side(original, side, rule.multiple())?,
        };
        let plan = match (rule, request) {
            (SizeRule::Adm { .. }, WorkingSize::Exact { width, height }) if width == height => {
                Self::square_from_middle(original, *width)
            }
            _ => {
                let working = wanted.map(|side| side - side % rule.multiple());
                if working == wanted {
                    Self::whole(original, Vec::new(), Filter::Bicubic, working)
                } else {
                    Self::whole(original, vec![(wanted, Filter::Bicubic)], Filter::Lanczos, working)
                }
            }
        };
        Ok(plan)
    }

    const fn whole(original: Size, first: Vec<(Size, Filter)>, last: Filter, working: Size) -> Self {
        Self {
            first,
            last,
            framing: Framing::whole(original, working),
        }
    }

    /// guided-diffusion's `center_crop_arr`.
    fn square_from_middle(original: Size, side: usize) -> Self {
        let mut first = Vec::new();
        let mut size = original;
        while size.short_side() >= 2 * side {
            size = size.map(|side| side / 2);
            first.push((size, Filter::Box));
        }
        let scale = side as f64 / size.short_side() as f64;
        let scaled = size.map(|side| (side as f64 * scale).round_ties_even() as usize);
        let framing = Framing {
            original,
            scaled,
            offset_x: (scaled.width - side) / 2,
            offset_y: (scaled.height - side) / 2,
            working: Size::new(side, side),
        };
        Self {
            first,
            last: Filter::Bicubic,
            framing,
        }
    }

    /// The working size and its place in the original.
    pub const fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Makes the working picture.
    pub fn apply(&self, picture: &Picture) -> Result<Picture> {
        let framing = &self.framing;
        if picture.size() != framing.original {
            return Err(Error::failed(format!(
                "the framing is for a picture of {}, this one has {}",
                framing.original,
                picture.size()
            )));
        }
        let mut intermediate: Option<Picture> = None;
        for &(size, filter) in &self.first {
            intermediate = Some(resize(intermediate.as_ref().unwrap_or(picture), size, filter)?);
        }
        resize_window(
            intermediate.as_ref().unwrap_or(picture),
            framing.scaled,
            self.last,
            (framing.offset_x, framing.offset_y),
            framing.working,
        )
    }
}

/// The working picture and its place in the original.
pub fn prepare(picture: &Picture, request: &WorkingSize, rule: SizeRule) -> Result<PreparedImage> {
    let plan = FramingPlan::new(picture.size(), request, rule)?;
    Ok(PreparedImage {
        picture: plan.apply(picture)?,
        framing: plan.framing,
    })
}

/// An exact size, if the model takes it.
fn exact_size(size: Size, rule: SizeRule) -> Result<Size> {
    check_sides(size, rule.multiple())?;
    match rule {
        SizeRule::Adm { multiple } if !size.width.is_multiple_of(multiple) || !size.height.is_multiple_of(multiple) => {
            let below = size.map(|side| side - side % multiple);
            let above = size.map(|side| side.next_multiple_of(multiple));
            Err(Error::usage(format!(
                "the size {size} does not fit this model: both sides must be multiples of {multiple}; the nearest \
                 sizes are {below} and {above}"
            )))
        }
        _ => Ok(size),
    }
}

/// The size with the short side nearest to `side`, both sides multiples, the aspect ratio kept as well as they allow.
fn size_of_short_side(original: Size, side: usize, multiple: usize) -> Result<Size> {
    check_sides(Size::new(side, side), multiple)?;
    let scale = side as f64 / original.short_side() as f64;
    let nearest = |length: usize| ((length as f64 * scale / multiple as f64).round() as usize).max(1) * multiple;
    let size = original.map(nearest);
    check_sides(size, multiple).map_err(|error| {
        error.context(format!(
            "a picture of {original} with a short side of {side} pixels becomes {size}"
        ))
    })?;
    Ok(size)
}

fn check_sides(size: Size, multiple: usize) -> Result<()> {
    if size.short_side() < multiple {
        return Err(Error::usage(format!(
            "the size {size} is too small for this model: each side needs at least {multiple} pixels"
        )));
    }
    if size.width.max(size.height) > MAX_SIDE {
        return Err(Error::usage(format!(
            "the size {size} is too large: each side may have up to {MAX_SIDE} pixels"
        )));
    }
    Ok(())
}
