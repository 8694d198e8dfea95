//! How much two activations differ, position by position. Grids of different size are compared on the larger one, each
//! position with the nearest of the smaller.

use serde::{Deserialize, Serialize};

use super::{
    pca::Scores,
    procrustes::{rotated, rotation_to},
    similarity::dot_wide,
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    geometry::Grid,
};

/// Measure of a difference, named on screen and in every export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// 1 − cosine of the two vectors: 0 where they point the same way, 2 where they are opposed.
    Cosine,
    /// Of maps of different channel counts: root mean square, over principal components, of the difference of
    /// standardised scores, those of the second rotated onto those of the first (Procrustes).
    Scores,
}

impl Measure {
    /// Title on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "1 − cosine",
            Self::Scores => "difference of standardised scores",
        }
    }

    /// Meaning, in a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cosine => "1 − cosine of the two vectors at each position",
            Self::Scores => {
                "the channel counts differ: root mean square over the components of the difference of standardised scores, \
                 in standard deviations, B rotated onto A (Procrustes)"
            }
        }
    }
}

/// How much two activations differ at each position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Rows and columns: of both maps the larger number.
    pub grid: Grid,
    /// One per position of the grid (h·w), row-major.
    pub values: Vec<f32>,
    /// Measure of the values.
    pub measure: Measure,
    /// Their mean.
    pub mean: f64,
}

impl Difference {
    fn new(grid: Grid, values: Vec<f32>, measure: Measure) -> Self {
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        Self {
            mean: sum / values.len().max(1) as f64,
            grid,
            values,
            measure,
        }
    }
}

/// The grid on which two maps are compared.
pub(crate) fn common_grid(a: Grid, b: Grid) -> Grid {
    Grid::new(a.height.max(b.height), a.width.max(b.width))
}

/// For every position of `to`, row-major, the nearest position of `from`.
pub fn nearest(from: Grid, to: Grid) -> Vec<usize> {
    // The place of the middle of cell i of n, among m cells: ⌊(i + ½)·m/n⌋.
    let place = |index: usize, n: usize, m: usize| (2 * index + 1) * m / (2 * n);
    let position = |position: usize| {
        let (row, column) = to.row_column(position);
        from.index(place(row, to.height, from.height), place(column, to.width, from.width))
    };
    (0..to.positions()).map(position).collect()
}

/// 1 − cosine of maps of the same channel count. A vector of zeros has cosine 0 with everything.
///
/// # Errors
///
/// Where the maps differ in their number of channels.
pub fn cosine_difference(a: &FeatureMap, b: &FeatureMap) -> Result<Difference> {
    if a.channels() != b.channels() {
        return Err(Error::usage(format!(
            "vectors of {} and of {} channels have no cosine",
            a.channels(),
            b.channels()
        )));
    }
    let grid = common_grid(a.grid(), b.grid());
    let places = nearest(a.grid(), grid).into_iter().zip(nearest(b.grid(), grid));
    let one_minus = |(a_at, b_at): (usize, usize)| {
        let (x, y) = (a.vector(a_at), b.vector(b_at));
        let lengths = (dot_wide(x, x) * dot_wide(y, y)).sqrt();
        let cosine = if lengths > 0.0 { dot_wide(x, y) / lengths } else { 0.0 };
        (1.0 - cosine).clamp(0.0, 2.0) as f32
    };
    Ok(Difference::new(grid, places.map(one_minus).collect(), Measure::Cosine))
}

/// The difference of standardised scores with as many components; each component counts the same, whatever its variance.
///
/// # Errors
///
/// Where the scores have no components, or different numbers of them.
pub fn score_difference(a: &Scores, b: &Scores) -> Result<Difference> {
    let k = a.components;
    if k == 0 || k != b.components {
        return Err(Error::failed(format!(
            "scores of {k} and of {} components cannot be compared",
            b.components
        )));
    }
    let grid = common_grid(a.grid, b.grid);
    let [a, b] = [a, b].map(|scores| on_grid(&standardised(scores), k, scores.grid, grid));
    let b = rotated(&b, &rotation_to(&b, &a, k)?, k);
    let unturned: Vec<f64> = (0..k * k).map(|i| if i % (k + 1) == 0 { 1.0 } else { 0.0 }).collect();
    // About its mean on the common grid, as the other one is.
    let a = rotated(&a, &unturned, k);
    let far = |(x, y): (&[f32], &[f32])| {
        let squares = x.iter().zip(y).map(|(x, y)| f64::from(x - y).powi(2));
        (squares.sum::<f64>() / k as f64).sqrt() as f32
    };
    let values = a.chunks_exact(k).zip(b.chunks_exact(k)).map(far).collect();
    Ok(Difference::new(grid, values, Measure::Scores))
}

/// Scores (n, k) of one grid at the nearest positions of another.
pub(crate) fn on_grid(values: &[f32], k: usize, from: Grid, to: Grid) -> Vec<f32> {
    let places = nearest(from, to).into_iter();
    places
        .flat_map(|position| values[position * k..(position + 1) * k].iter().copied())
        .collect()
}

/// Every component with mean 0 and standard deviation 1; zeros where it is constant.
fn standardised(scores: &Scores) -> Vec<f32> {
    let (k, count) = (scores.components, scores.grid.positions().max(1) as f64);
    let mut values = scores.values.clone();
    for component in 0..k {
        let own = || scores.component(component).map(f64::from);
        let mean = own().sum::<f64>() / count;
        let deviation = (own().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for value in values.iter_mut().skip(component).step_by(k) {
            *value = ((f64::from(*value) - mean) * scale) as f32;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(channels: usize, grid: Grid, number: impl Fn(usize) -> f32) -> FeatureMap {
        let vectors = (0..channels * grid.positions()).map(number).collect();
        FeatureMap::from_positions(channels, grid, vectors).expect("a map")
    }

    fn scores(grid: Grid, values: Vec<f32>) -> Scores {
        Scores {
            grid,
            components: 3,
            values,
        }
    }

    fn wave(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + i * i * 11) % 53) as f32 / 7.0).collect()
    }

    #[test]
    fn the_same_map_differs_nowhere_and_its_opposite_by_two() {
        let grid = Grid::new(3, 4);
        let a = map(5, grid, |i| wave(60)[i] - 3.0);
        let opposed = map(5, grid, |i| -2.0 * (wave(60)[i] - 3.0));
        let none = cosine_difference(&a, &a).expect("a difference");
        assert!(none.values.iter().all(|value| *value < 1e-6), "{none:?}");
        let most = cosine_difference(&a, &opposed).expect("a difference");
        assert!(most.values.iter().all(|value| (value - 2.0).abs() < 1e-6), "{most:?}");
        assert!((most.mean - 2.0).abs() < 1e-6);
        assert!(cosine_difference(&a, &map(4, grid, |i| i as f32)).is_err());
        // Zeros have no direction.
        let zeros = map(5, grid, |_| 0.0);
        assert!(
            cosine_difference(&a, &zeros)
                .expect("a difference")
                .values
                .iter()
                .all(|value| *value == 1.0)
        );
    }

    #[test]
    fn the_smaller_grid_is_enlarged_by_its_nearest_cells() {
        assert_eq!(nearest(Grid::new(1, 2), Grid::new(2, 4)), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(nearest(Grid::new(2, 2), Grid::new(2, 2)), [0, 1, 2, 3]);
        // The middle of three cells lies on the border of two: the later one.
        assert_eq!(nearest(Grid::new(1, 2), Grid::new(1, 3)), [0, 1, 1]);
        let small = map(2, Grid::new(1, 2), |i| [1.0, 0.0, 0.0, 1.0][i]);
        let large = map(2, Grid::new(1, 4), |i| [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0][i]);
        let difference = cosine_difference(&small, &large).expect("a difference");
        assert_eq!(
            (difference.grid, difference.values),
            (Grid::new(1, 4), vec![0.0, 1.0, 0.0, 1.0])
        );
    }

    #[test]
    fn turned_scores_do_not_differ_and_other_ones_do() {
        let grid = Grid::new(4, 5);
        let mut values = wave(60);
        // Uncorrelated standardised components stay so under a turn: signs and order of components do not matter.
        let order: Vec<f32> = values
            .chunks_exact(3)
            .flat_map(|row| [-row[1], row[2], row[0]])
            .collect();
        let same = score_difference(&scores(grid, values.clone()), &scores(grid, order)).expect("a difference");
        assert!(same.values.iter().all(|value| *value < 1e-4), "{same:?}");
        assert_eq!(same.measure, Measure::Scores);
        let before = scores(grid, values.clone());
        values.reverse();
        let other = score_difference(&before, &scores(grid, values)).expect("a difference");
        assert!(other.mean > 0.1, "{other:?}");
        let constant = score_difference(&before, &scores(grid, vec![1.0; 60])).expect("a difference");
        assert!(constant.values.iter().all(|value| value.is_finite()));
        let two = Scores {
            grid,
            components: 2,
            values: vec![0.0; 40],
        };
        assert!(score_difference(&before, &two).is_err());
    }
}
