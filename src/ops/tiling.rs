//! How the output is cut up among the threads.
//!
//! In go the output (B, O, h, w), the bands of it that are computed now and
//! the number of channels per group; out come, for each group and band, the
//! pieces of the planes that it alone writes to.

use std::ops::Range;

use super::vector::cut;

/// The output (B, O, plane), each plane of which is made of *units*: rows of
/// tiles or panels of pixels. Bands count units across the whole batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) channels: usize,
    pub(super) plane: usize,
    /// Pixels in a unit; the last one of a plane may have fewer.
    pub(super) unit: usize,
}

impl Grid {
    pub(super) fn units(&self) -> usize {
        self.plane.div_ceil(self.unit)
    }

    /// The images that `band` covers, each with its range of units.
    pub(super) fn images(&self, band: &Range<usize>) -> Vec<(usize, Range<usize>)> {
        let units = self.units();
        let band = band.clone();
        (band.start / units..band.end.div_ceil(units))
            .map(|image| {
                let first = image * units;
                let start = band.start.max(first) - first;
                (image, start..band.end.min(first + units) - first)
            })
            .collect()
    }

    /// The pieces for each group of `group` channels and each band, at index
    /// `group * bands.len() + band`. A piece list has, for each of the band's
    /// images, one piece for each channel of the group.
    pub(super) fn pieces<'a>(
        &self,
        out: &'a mut [f32],
        bands: &[Range<usize>],
        group: usize,
    ) -> Vec<Vec<&'a mut [f32]>> {
        let units = self.units();
        let groups = self.channels.div_ceil(group);
        let mut pieces: Vec<Vec<_>> = Vec::new();
        pieces.resize_with(groups * bands.len(), Vec::new);
        for (index, plane) in out.chunks_mut(self.plane).enumerate() {
            let (image, channel) = (index / self.channels, index % self.channels);
            let first = image * units;
            let mut rest = plane;
            let mut at = 0;
            for (i, band) in bands.iter().enumerate() {
                let start = band.start.clamp(first, first + units) - first;
                let end = band.end.clamp(first, first + units) - first;
                if start >= end {
                    continue;
                }
                let start = start * self.unit;
                let end = (end * self.unit).min(self.plane);
                let (piece, after) = rest.split_at_mut(end - at);
                pieces[channel / group * bands.len() + i].push(&mut piece[start - at..]);
                rest = after;
                at = end;
            }
        }
        pieces
    }
}

/// Cuts `range` into `parts` (or fewer) that differ by one at most.
pub(super) fn split(range: Range<usize>, parts: usize) -> Vec<Range<usize>> {
    let len = range.len();
    let parts = parts.clamp(1, len.max(1));
    cut(len, parts)
        .map(|part| range.start + part.start..range.start + part.end)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_output_once() {
        let grid = Grid {
            channels: 5,
            plane: 10,
            unit: 4,
        };
        let total = 3 * grid.units();
        for parts in [1, 2, 4, 9] {
            let bands = split(0..total, parts);
            let mut out = vec![0.0; 150];
            for piece in grid.pieces(&mut out, &bands, 2).into_iter().flatten() {
                for value in piece {
                    *value += 1.0;
                }
            }
            assert!(out.iter().all(|&v| v == 1.0), "{parts} parts");
        }
    }

    #[test]
    fn a_band_may_cover_several_images() {
        let grid = Grid {
            channels: 1,
            plane: 8,
            unit: 4,
        };
        assert_eq!(grid.images(&(1..5)), [(0, 1..2), (1, 0..2), (2, 0..1)]);
        assert_eq!(grid.images(&(2..3)), [(1, 0..1)]);
    }
}
