//! Where the samples of a resized axis lie on the original one.

/// A point between two neighbouring cells of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    /// The cell at or before the point.
    pub(super) low: usize,
    /// The cell after it, or `low` itself at the border.
    pub(super) high: usize,
    /// Share of `high`, 0 to 1; 0 at the border, so that everything beyond the last cell is exactly equal.
    pub(super) share: f64,
}

impl Axis {
    /// The continuous coordinate `at` on an axis of `cells` cells (at least one), moved to the border if outside.
    pub(super) fn at(at: f64, cells: usize) -> Self {
        let last = cells.saturating_sub(1);
        let at = at.clamp(0.0, last as f64);
        let low = (at.floor() as usize).min(last);
        if low == last {
            return Self {
                low,
                high: low,
                share: 0.0,
            };
        }
        Self {
            low,
            high: low + 1,
            share: at - low as f64,
        }
    }

    /// Sample `index` of `cells` cells stretched to `samples`, as PyTorch's bilinear `interpolate` with
    /// `align_corners=False` places it: (index + ½)·cells/samples − ½.
    pub(super) fn stretched(index: usize, cells: usize, samples: usize) -> Self {
        Self::at((index as f64 + 0.5) * cells as f64 / samples as f64 - 0.5, cells)
    }

    /// All samples of an axis.
    pub(super) fn all(cells: usize, samples: usize) -> Vec<Self> {
        (0..samples)
            .map(|index| Self::stretched(index, cells, samples))
            .collect()
    }

    /// The two cells and their shares.
    pub(super) fn weights(self) -> [(usize, f64); 2] {
        [(self.low, 1.0 - self.share), (self.high, self.share)]
    }
}
