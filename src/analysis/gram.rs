//! Many maps compared with each other by linear CKA: each map is turned into its centred Gram matrix once, and a pair
//! then costs one inner product.
//!
//! Rows are positions, all maps on one common grid, or pictures, each the mean of its positions. Where every grid divides
//! the largest one, the biased figure on that common grid is the one of [`cka`](super::cka::cka) on the grid of the larger
//! of the two maps: an enlargement by whole factors repeats every row as often.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    cka::{Centred, Form, GridRule, UNBIASED_MINIMUM, positions_on},
    eigen::inner,
    massive::channel_means,
    matrix::{View, product},
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    geometry::Grid,
};

/// Rows of a Gram matrix made at once by each thread.
const STRIP: usize = 64;
/// The fewest pictures whose means are compared: the centring takes one away, and the unbiased form divides by n − 3.
pub const LEAST_PICTURES: usize = UNBIASED_MINIMUM;

/// Whose similarities are compared: the rows of both matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowRule {
    /// Every position of every picture.
    #[default]
    Positions,
    /// Every picture, as the mean over its positions.
    Pictures,
}

/// The grid that maps of some grids are compared on: the largest (enlarging) or the smallest (pooling) of them, every
/// n-th row and column of it where it has more than `most` positions. None of no grid.
pub(crate) fn common_grid(grids: &[Grid], rule: GridRule, most: usize) -> Option<Grid> {
    let by_size = |grid: &&Grid| grid.positions();
    let chosen = match rule {
        GridRule::EnlargeNearest => grids.iter().max_by_key(by_size),
        GridRule::PoolAverage => grids.iter().min_by_key(by_size),
    }?;
    let thinned = |step: usize| Grid::new(chosen.height.div_ceil(step), chosen.width.div_ceil(step));
    (1..=chosen.height.max(chosen.width))
        .map(thinned)
        .find(|grid| grid.positions() <= most)
}

/// The centred Gram matrix K = XXᵀ of the rows of one activation, divided by its Frobenius norm: CKA does not depend on
/// scale.
pub struct CentredGram {
    rows: usize,
    diagonal: Vec<f64>,
    /// The elements right of the diagonal, row by row.
    upper: Vec<f32>,
    /// Self-similarity by both forms, the divisor of the figures.
    own: Own,
}

/// A Gram matrix compared with itself.
#[derive(Default)]
struct Own {
    biased: f64,
    unbiased: f64,
}

impl CentredGram {
    /// Of the positions of some pictures' maps of one activation, each on its picture's grid.
    ///
    /// # Errors
    ///
    /// Where the maps differ in their number of channels, where numbers are not finite, and where all rows are the
    /// same.
    pub fn of_positions(maps: &[&FeatureMap], grids: &[Grid], rule: GridRule) -> Result<Self> {
        let mut rows = Vec::new();
        for (map, grid) in maps.iter().zip(grids) {
            check_channels(maps, map)?;
            rows.extend(positions_on(map, *grid, rule)?);
        }
        Self::of(rows, maps.first().map_or(0, |map| map.channels()))
    }

    /// Of some pictures, each the mean over the positions of its map.
    ///
    /// # Errors
    ///
    /// Where there are too few pictures, where the maps differ in their number of channels, where numbers are not
    /// finite, and where all rows are the same.
    pub fn of_pictures(maps: &[&FeatureMap]) -> Result<Self> {
        if maps.len() < LEAST_PICTURES {
            return Err(Error::usage(format!(
                "CKA over pictures needs at least {LEAST_PICTURES} of them, found {}: open more, or compare positions",
                maps.len()
            )));
        }
        let mut rows = Vec::new();
        for map in maps {
            check_channels(maps, map)?;
            rows.extend(channel_means(map));
        }
        Self::of(rows, maps[0].channels())
    }

    fn of(rows: Vec<f64>, columns: usize) -> Result<Self> {
        if columns == 0 {
            return Err(Error::failed("CKA of no map"));
        }
        let centred = Centred::of(rows, columns)?;
        let n = centred.rows();
        let strips: Vec<(Vec<f64>, Vec<f64>)> = (0..n)
            .into_par_iter()
            .step_by(STRIP)
            .map(|start| strip(&centred, start))
            .collect();
        let square: f64 = strips
            .iter()
            .map(|(diagonal, upper)| inner(diagonal, diagonal) + 2.0 * inner(upper, upper))
            .sum();
        let scale = 1.0 / square.sqrt();
        let scaled = |numbers: &[f64]| numbers.iter().map(|x| x * scale).collect::<Vec<f64>>();
        let mut gram = Self {
            rows: n,
            diagonal: Vec::with_capacity(n),
            upper: Vec::with_capacity(n * n.saturating_sub(1) / 2),
            own: Own::default(),
        };
        for (diagonal, upper) in strips {
            gram.diagonal.extend(scaled(&diagonal));
            gram.upper.extend(upper.iter().map(|x| (x * scale) as f32));
        }
        gram.own = Own {
            biased: gram.product(&gram),
            unbiased: gram.unbiased(&gram),
        };
        Ok(gram)
    }

    /// Rows n: positions or pictures.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that a Gram matrix of `rows` rows keeps in memory.
    pub(crate) const fn bytes_of(rows: usize) -> usize {
        rows * size_of::<f64>() + rows * rows.saturating_sub(1) / 2 * size_of::<f32>()
    }

    /// Linear CKA with another activation of the same rows.
    ///
    /// # Errors
    ///
    /// Where the numbers of rows differ, where the unbiased form is asked of too few of them, and where CKA is not
    /// defined.
    pub fn cka(&self, other: &Self, form: Form) -> Result<f64> {
        if self.rows != other.rows {
            return Err(Error::usage(format!(
                "CKA compares the same rows: there are {} and {}",
                self.rows, other.rows
            )));
        }
        if form == Form::Unbiased && self.rows < UNBIASED_MINIMUM {
            return Err(Error::usage(format!(
                "the unbiased form of CKA needs at least {UNBIASED_MINIMUM} rows, found {}",
                self.rows
            )));
        }
        let (cross, own, others) = match form {
            Form::Biased => (self.product(other), self.own.biased, other.own.biased),
            Form::Unbiased => (self.unbiased(other), self.own.unbiased, other.own.unbiased),
        };
        if !(own > 0.0 && others > 0.0) {
            return Err(Error::failed(
                "the unbiased self-similarity of a map is not positive, so CKA is not defined: use the biased form",
            ));
        }
        Ok(cross / (own.sqrt() * others.sqrt()))
    }

    /// Σ K∘L over all pairs of rows.
    fn product(&self, other: &Self) -> f64 {
        inner(&self.diagonal, &other.diagonal) + 2.0 * self.off_diagonal(other)
    }

    /// Σ K∘L right of the diagonal.
    fn off_diagonal(&self, other: &Self) -> f64 {
        const LANES: usize = 8;
        let ((a, a_rest), (b, b_rest)) = (self.upper.as_chunks::<LANES>(), other.upper.as_chunks::<LANES>());
        let mut sums = [0.0_f64; LANES];
        for (x, y) in a.iter().zip(b) {
            for lane in 0..LANES {
                sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
            }
        }
        let rest = a_rest.iter().zip(b_rest).map(|(x, y)| f64::from(*x) * f64::from(*y));
        sums.iter().sum::<f64>() + rest.sum::<f64>()
    }

    /// The unbiased HSIC with zero diagonals; a row of a centred matrix without its diagonal sums to minus the diagonal.
    fn unbiased(&self, other: &Self) -> f64 {
        let n = self.rows as f64;
        let between = inner(&self.diagonal, &other.diagonal);
        let (k_sum, l_sum): (f64, f64) = (self.diagonal.iter().sum(), other.diagonal.iter().sum());
        let trace = 2.0 * self.off_diagonal(other);
        (trace + k_sum * l_sum / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * between) / (n * (n - 3.0))
    }
}

/// Maps whose rows are put under each other are of one activation.
fn check_channels(maps: &[&FeatureMap], map: &FeatureMap) -> Result<()> {
    match maps.iter().find(|other| other.channels() != map.channels()) {
        None => Ok(()),
        Some(other) => Err(Error::usage(format!(
            "pictures are compared by one activation: there are maps of {} and of {} channels",
            map.channels(),
            other.channels()
        ))),
    }
}

/// The diagonal and what is right of it, of the rows from `start` on.
fn strip(centred: &Centred, start: usize) -> (Vec<f64>, Vec<f64>) {
    let (n, columns) = (centred.rows(), centred.columns());
    let height = STRIP.min(n - start);
    // Left of the strip's first column everything is known from rows above.
    let width = n - start;
    let from = &centred.data()[start * columns..];
    let mut out = vec![0.0; height * width];
    product(
        View::new(from, height, columns),
        View::new(from, width, columns).transposed(),
        &mut out,
        width,
    );
    let rows = || out.chunks_exact(width).enumerate();
    let diagonal = rows().map(|(row, values)| values[row]).collect();
    let upper = rows()
        .flat_map(|(row, values)| values[row + 1..].iter().copied())
        .collect();
    (diagonal, upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::cka::{CkaOptions, cka};

    /// Numbers that look random and are always the same.
    fn map(seed: u32, channels: usize, grid: Grid) -> Result<FeatureMap> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let numbers = (0..channels * grid.positions()).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.3
        });
        FeatureMap::from_positions(channels, grid, numbers.collect())
    }

    fn gram(map: &FeatureMap, grid: Grid) -> Result<CentredGram> {
        CentredGram::of_positions(&[map], &[grid], GridRule::EnlargeNearest)
    }

    #[test]
    fn a_pair_has_the_figure_of_two_maps_alone() -> Result<()> {
        let grid = Grid::new(9, 13);
        let (a, b) = (map(1, 7, grid)?, map(2, 40, grid)?);
        for form in [Form::Biased, Form::Unbiased] {
            let options = CkaOptions {
                form,
                ..CkaOptions::default()
            };
            let alone = cka(&a, &b, options)?.value;
            let among_many = gram(&a, grid)?.cka(&gram(&b, grid)?, form)?;
            assert!((alone - among_many).abs() < 1e-6, "{form:?}: {alone} {among_many}");
        }
        Ok(())
    }

    #[test]
    fn enlarged_by_whole_factors_further_than_needed_the_figure_stays() -> Result<()> {
        let (a, b) = (map(3, 5, Grid::new(4, 4))?, map(4, 6, Grid::new(8, 8))?);
        let alone = cka(&a, &b, CkaOptions::default())?.value;
        let large = Grid::new(32, 32);
        let among_many = gram(&a, large)?.cka(&gram(&b, large)?, Form::Biased)?;
        assert!((alone - among_many).abs() < 1e-6, "{alone} {among_many}");
        Ok(())
    }

    #[test]
    fn a_map_is_like_itself_turned_and_scaled() -> Result<()> {
        let grid = Grid::new(6, 7);
        let map = map(5, 4, grid)?;
        // Channels change places and signs: a rotation.
        let turned = map
            .vectors()
            .chunks_exact(4)
            .flat_map(|v| [3.0 * v[2], -3.0 * v[0], 3.0 * v[3], 3.0 * v[1]]);
        let turned = FeatureMap::from_positions(4, grid, turned.collect())?;
        for form in [Form::Biased, Form::Unbiased] {
            let value = gram(&map, grid)?.cka(&gram(&turned, grid)?, form)?;
            assert!((value - 1.0).abs() < 1e-6, "{form:?}: {value}");
        }
        Ok(())
    }

    #[test]
    fn large_grids_are_thinned_to_the_bound() {
        let grids = [Grid::new(8, 12), Grid::new(64, 96)];
        let rule = GridRule::EnlargeNearest;
        assert_eq!(common_grid(&grids, rule, 10_000), Some(Grid::new(64, 96)));
        assert_eq!(common_grid(&grids, rule, 1024), Some(Grid::new(22, 32)));
        assert_eq!(common_grid(&grids, GridRule::PoolAverage, 1024), Some(Grid::new(8, 12)));
        assert_eq!(common_grid(&[], rule, 1024), None);
    }

    #[test]
    fn pictures_are_rows_and_too_few_are_refused() -> Result<()> {
        let maps: Vec<FeatureMap> = (0..5)
            .map(|seed| map(seed, 3, Grid::new(2, 2)))
            .collect::<Result<_>>()?;
        let maps: Vec<&FeatureMap> = maps.iter().collect();
        let gram = CentredGram::of_pictures(&maps)?;
        assert_eq!(gram.rows(), 5);
        assert!((gram.cka(&gram, Form::Biased)? - 1.0).abs() < 1e-6);
        let refused = CentredGram::of_pictures(&maps[..3])
            .err()
            .map(|error| error.to_string());
        assert!(refused.unwrap_or_default().contains("at least 4"));
        Ok(())
    }
}
