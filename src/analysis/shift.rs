//! Content shift: how far an activation has moved away from that of the picture alone.
//!
//! diff(F) = Σ_p | ‖Lap F_ref,p‖₂ − ‖Lap F_p‖₂ |, both maps standardised by the reference's channel means and deviations;
//! score = 1 − diff(F) / diff(anchor). The reference is the same activation without noise, the anchor one that is known to
//! have moved far: 1 is no shift, 0 the anchor's, and what moves further than the anchor is below 0. The sources give
//! neither kernel nor padding nor anchor: these are this project's.

use serde::{Deserialize, Serialize};

use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// The kernel of the Laplacian and what is beyond the edge, in words for screens and files.
pub const LAPLACIAN: &str = "3x3, 4-neighbour, reflect";
/// The timestep of the anchor; its prompt is empty.
pub const ANCHOR_T: u32 = 500;

/// A reference and an anchor: what scores are measured by.
pub struct ShiftRuler {
    channels: usize,
    grid: crate::geometry::Grid,
    /// 1/σ of every channel of the reference, 0 where it does not vary.
    inverse_deviations: Vec<f64>,
    /// ‖Lap F_ref,p‖₂ of every position.
    reference: Vec<f64>,
    anchor_diff: f64,
}

/// How far a map has moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// diff(F).
    pub diff: f64,
    /// 1 − diff(F)/diff(anchor).
    pub score: f64,
}

impl ShiftRuler {
    /// A ruler of two maps of one activation.
    ///
    /// # Errors
    ///
    /// Where the maps differ in shape, where the reference has numbers that are not finite, and where both are the
    /// same.
    pub fn new(reference: &FeatureMap, anchor: &FeatureMap) -> Result<Self> {
        let mut ruler = Self {
            channels: reference.channels(),
            grid: reference.grid(),
            inverse_deviations: inverse_deviations(reference),
            reference: Vec::new(),
            anchor_diff: 0.0,
        };
        if ruler.inverse_deviations.iter().any(|x| !x.is_finite()) {
            return Err(Error::failed(
                "the content shift of a map with numbers that are not finite (NaN or infinity) is not defined; was the \
                 model run in half precision?",
            ));
        }
        ruler.reference = ruler.laplacian_norms(reference)?;
        ruler.anchor_diff = ruler.diff(anchor)?;
        if !(ruler.anchor_diff > 0.0 && ruler.anchor_diff.is_finite()) {
            return Err(Error::failed(format!(
                "this activation is the same at t {ANCHOR_T} without a prompt as without noise: there is no shift to \
                 measure; choose another activation"
            )));
        }
        Ok(ruler)
    }

    /// diff(anchor).
    pub fn anchor_diff(&self) -> f64 {
        self.anchor_diff
    }

    /// Channels that do not vary over the reference and are left out.
    pub fn left_out(&self) -> usize {
        self.inverse_deviations.iter().filter(|x| **x == 0.0).count()
    }

    /// How far a map of the same activation has moved.
    ///
    /// # Errors
    ///
    /// Where the map has another shape than the reference.
    pub fn shift(&self, map: &FeatureMap) -> Result<Shift> {
        let diff = self.diff(map)?;
        let score = 1.0 - diff / self.anchor_diff;
        Ok(Shift { diff, score })
    }

    fn diff(&self, map: &FeatureMap) -> Result<f64> {
        let norms = self.laplacian_norms(map)?;
        Ok(self.reference.iter().zip(norms).map(|(a, b)| (a - b).abs()).sum())
    }

    /// ‖Lap F_p‖₂ of every position, each channel divided by its deviation over the reference. Its mean need not be taken
    /// away: the kernel sums to 0.
    fn laplacian_norms(&self, map: &FeatureMap) -> Result<Vec<f64>> {
        let grid = map.grid();
        if (map.channels(), grid) != (self.channels, self.grid) {
            return Err(Error::usage(format!(
                "a content shift is measured between maps of one shape: there are {} channels on {} x {} and {} on {} x {}",
                self.channels,
                self.grid.height,
                self.grid.width,
                map.channels(),
                grid.height,
                grid.width
            )));
        }
        let norm = |position: usize| {
            let (row, column) = grid.row_column(position);
            let neighbours = [
                (before(row, grid.height), column),
                (after(row, grid.height), column),
                (row, before(column, grid.width)),
                (row, after(column, grid.width)),
            ];
            let neighbours = neighbours.map(|(row, column)| map.vector(grid.index(row, column)));
            let here = map.vector(position);
            let squares = self.inverse_deviations.iter().enumerate().map(|(channel, inverse)| {
                let around: f64 = neighbours.iter().map(|vector| f64::from(vector[channel])).sum();
                let laplacian = inverse * (around - neighbours.len() as f64 * f64::from(here[channel]));
                laplacian * laplacian
            });
            squares.sum::<f64>().sqrt()
        };
        Ok((0..grid.positions()).map(norm).collect())
    }
}

/// The row or column before one, reflected at the edge: before 0 comes 1.
fn before(index: usize, count: usize) -> usize {
    index.checked_sub(1).unwrap_or_else(|| 1.min(count - 1))
}

/// The row or column after one, reflected at the edge.
fn after(index: usize, count: usize) -> usize {
    if index + 1 < count {
        index + 1
    } else {
        count.saturating_sub(2)
    }
}

/// 1/σ of every channel over the positions, σ² the mean square about the mean.
fn inverse_deviations(map: &FeatureMap) -> Vec<f64> {
    /// A channel whose deviation is a smaller part of its size is constant up to rounding in f32.
    const CONSTANT_SHARE: f64 = 1e-7;
    let positions = map.grid().positions() as f64;
    let mut means = vec![0.0; map.channels()];
    let vectors = || map.vectors().chunks_exact(map.channels());
    for vector in vectors() {
        means
            .iter_mut()
            .zip(vector)
            .for_each(|(sum, x)| *sum += f64::from(*x) / positions);
    }
    let mut variances = vec![0.0; map.channels()];
    for vector in vectors() {
        for ((sum, x), mean) in variances.iter_mut().zip(vector).zip(&means) {
            *sum += (f64::from(*x) - mean).powi(2) / positions;
        }
    }
    variances
        .iter()
        .zip(&means)
        .map(|(variance, mean)| match variance.sqrt() {
            deviation if deviation <= CONSTANT_SHARE * mean.abs() => 0.0,
            deviation => 1.0 / deviation,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    const GRID: Grid = Grid::new(5, 6);

    fn map(seed: f32) -> Result<FeatureMap> {
        let numbers = (0..3 * GRID.positions()).map(|index| (seed * index as f32).sin() + 0.1 * index as f32);
        FeatureMap::from_positions(3, GRID, numbers.collect())
    }

    #[test]
    fn the_reference_has_score_1_and_the_anchor_0() -> Result<()> {
        let (reference, anchor) = (map(0.7)?, map(1.9)?);
        let ruler = ShiftRuler::new(&reference, &anchor)?;
        let exact = |map: &FeatureMap| ruler.shift(map).map(|shift| shift.score);
        assert_eq!((exact(&reference)?, exact(&anchor)?), (1.0, 0.0));
        Ok(())
    }

    #[test]
    fn neither_scale_nor_offset_of_the_channels_counts() -> Result<()> {
        let scaled = |map: FeatureMap| -> Result<FeatureMap> {
            let vectors = map.vectors().chunks_exact(3);
            let changed = vectors.flat_map(|v| [2.0 * v[0] + 3.0, 50.0 * v[1], v[2] - 7.0]);
            FeatureMap::from_positions(3, GRID, changed.collect())
        };
        let score = |change: &dyn Fn(FeatureMap) -> Result<FeatureMap>| -> Result<f64> {
            let ruler = ShiftRuler::new(&change(map(0.7)?)?, &change(map(1.9)?)?)?;
            Ok(ruler.shift(&change(map(1.1)?)?)?.score)
        };
        let (plain, changed) = (score(&Ok)?, score(&scaled)?);
        assert!((plain - changed).abs() < 1e-4, "{plain} {changed}");
        Ok(())
    }

    #[test]
    fn a_constant_channel_is_left_out_and_other_shapes_are_refused() -> Result<()> {
        let flat = |map: FeatureMap| {
            let vectors = map.vectors().chunks_exact(3).flat_map(|v| [v[0], 4.2, v[2]]);
            FeatureMap::from_positions(3, GRID, vectors.collect())
        };
        let ruler = ShiftRuler::new(&flat(map(0.7)?)?, &map(1.9)?)?;
        assert_eq!(ruler.left_out(), 1);
        let wide = FeatureMap::from_positions(3, Grid::new(6, 5), vec![1.0; 90])?;
        assert!(ruler.shift(&wide).is_err());
        assert!(ShiftRuler::new(&map(0.7)?, &map(0.7)?).is_err(), "no anchor");
        Ok(())
    }

    #[test]
    fn one_row_of_positions_is_enough() -> Result<()> {
        let line = |seed: f32| {
            let numbers = (0..7).map(|index| (seed * index as f32).sin());
            FeatureMap::from_positions(1, Grid::new(1, 7), numbers.collect())
        };
        let score = ShiftRuler::new(&line(0.7)?, &line(1.9)?)?.shift(&line(1.1)?)?.score;
        assert!(score.is_finite());
        Ok(())
    }
}
