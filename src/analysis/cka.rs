//! Linear centred kernel alignment: how far two maps arrange the positions alike, whatever their channels mean.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    eigen::inner,
    matrix::{View, multiply, product},
};
use crate::{
    activation::{FeatureMap, pool::pool_map},
    error::{Error, Result},
    geometry::Grid,
};

/// Rows of a Gram or covariance matrix held at once by each thread.
const STRIP: usize = 128;

/// A map of which no more than this share of the energy is left after centring is constant up to rounding in f64.
const CONSTANT_SHARE: f64 = 1e-24;

/// The unbiased form divides by n − 3.
pub(super) const UNBIASED_MINIMUM: usize = 4;

/// How maps on different grids are brought to the same positions. The two differ a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridRule {
    /// The smaller map is enlarged to the larger one by nearest neighbour, ⌊i·in/out⌋.
    #[default]
    EnlargeNearest,
    /// The larger map is pooled to the smaller one by adaptive averages.
    PoolAverage,
}

/// Which estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// ‖YᵀX‖²/(‖XᵀX‖·‖YᵀY‖) with columns centred; high by chance where positions are few.
    #[default]
    Biased,
    /// From the unbiased HSIC with zero diagonals; 0 on average for unrelated maps, and may be negative.
    Unbiased,
}

/// How CKA is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CkaOptions {
    /// Rule for maps on different grids.
    pub grids: GridRule,
    /// The estimator.
    pub form: Form,
}

/// The figure, and what it was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cka {
    /// 0 (unrelated) to 1 (alike up to rotation and scale).
    pub value: f64,
    /// Options of the computation.
    pub options: CkaOptions,
    /// Rows of the grid both were compared on.
    pub height: usize,
    /// Columns of that grid.
    pub width: usize,
}

/// Linear CKA of two maps, in f64.
///
/// # Errors
///
/// Where a map has numbers that are not finite or is the same at every position, and where the unbiased form is asked
/// of fewer than four positions or is not defined.
pub fn cka(a: &FeatureMap, b: &FeatureMap, options: CkaOptions) -> Result<Cka> {
    let grid = common_grid(a.grid(), b.grid(), options.grids);
    let (x, y) = (
        Centred::new(a, grid, options.grids)?,
        Centred::new(b, grid, options.grids)?,
    );
    let (cross, x_self, y_self) = match options.form {
        Form::Biased => (x.biased(&y), x.biased(&x), y.biased(&y)),
        Form::Unbiased => {
            if grid.positions() < UNBIASED_MINIMUM {
                return Err(Error::usage(format!(
                    "the unbiased form of CKA needs at least {UNBIASED_MINIMUM} positions, found {}",
                    grid.positions()
                )));
            }
            (x.unbiased(&y), x.unbiased(&x), y.unbiased(&y))
        }
    };
    if !(x_self > 0.0 && y_self > 0.0) {
        return Err(Error::failed(
            "the unbiased self-similarity of a map is not positive, so CKA is not defined: it varies like noise on too \
             few positions; use the biased form or a larger map",
        ));
    }
    Ok(Cka {
        value: cross / (x_self.sqrt() * y_self.sqrt()),
        options,
        height: grid.height,
        width: grid.width,
    })
}

/// The grid of the larger or of the smaller map, counted in positions.
fn common_grid(a: Grid, b: Grid, rule: GridRule) -> Grid {
    let a_is_larger = a.positions() >= b.positions();
    match (rule, a_is_larger) {
        (GridRule::EnlargeNearest, true) | (GridRule::PoolAverage, false) => a,
        (GridRule::EnlargeNearest, false) | (GridRule::PoolAverage, true) => b,
    }
}

/// The vectors of a map on another grid, (n, c) row-major in f64.
pub(super) fn positions_on(map: &FeatureMap, grid: Grid, rule: GridRule) -> Result<Vec<f64>> {
    let own = map.grid();
    if own != grid && rule == GridRule::PoolAverage {
        return Ok(pool_map(map, grid)?.vectors().iter().map(|&x| f64::from(x)).collect());
    }
    let mut data = Vec::with_capacity(grid.positions() * map.channels());
    for position in 0..grid.positions() {
        let (row, column) = grid.row_column(position);
        let source = own.index(row * own.height / grid.height, column * own.width / grid.width);
        data.extend(map.vector(source).iter().map(|&x| f64::from(x)));
    }
    Ok(data)
}

/// Rows (n, c) in f64, the mean of each column 0.
pub(super) struct Centred {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Centred {
    fn new(map: &FeatureMap, grid: Grid, rule: GridRule) -> Result<Self> {
        Self::of(positions_on(map, grid, rule)?, map.channels())
    }

    /// Takes the means of the columns away from rows of `columns` numbers.
    pub(super) fn of(mut data: Vec<f64>, columns: usize) -> Result<Self> {
        let rows = data.len() / columns;
        let raw_energy = inner(&data, &data);
        let mut mean = vec![0.0; columns];
        for row in data.chunks_exact(columns) {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += x;
            }
        }
        if mean.iter().any(|sum| !sum.is_finite()) {
            return Err(Error::failed(
                "CKA of a map with numbers that are not finite (NaN or infinity); was the model run in half precision?",
            ));
        }
        mean.iter_mut().for_each(|sum| *sum /= rows as f64);
        for row in data.chunks_exact_mut(columns) {
            for (x, mean) in row.iter_mut().zip(&mean) {
                *x -= mean;
            }
        }
        if inner(&data, &data) <= CONSTANT_SHARE * raw_energy {
            return Err(Error::failed(
                "CKA of a map that is the same at every position is not defined: choose another activation",
            ));
        }
        Ok(Self { rows, columns, data })
    }

    /// Number of rows n.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns c.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// (n, c), row-major.
    pub(super) fn data(&self) -> &[f64] {
        &self.data
    }

    fn view(&self) -> View<'_, f64> {
        View::new(&self.data, self.rows, self.columns)
    }

    /// Σ K∘L over all pairs of positions = ‖YᵀX‖², K = XXᵀ, L = YYᵀ, by whichever of the two is less work.
    fn biased(&self, other: &Self) -> f64 {
        let through_positions = self.rows * (self.columns + other.columns);
        let through_channels = self.columns * other.columns;
        if through_positions < through_channels {
            self.gram_product(other)
        } else {
            self.cross_square(other)
        }
    }

    /// ‖YᵀX‖² in strips of YᵀX.
    fn cross_square(&self, other: &Self) -> f64 {
        let strips: Vec<f64> = (0..other.columns)
            .into_par_iter()
            .step_by(STRIP)
            .map(|start| {
                let width = STRIP.min(other.columns - start);
                let strip = View::strided(&other.data[start..], other.rows, width, other.columns);
                let part = multiply(strip.transposed(), self.view());
                inner(&part, &part)
            })
            .collect();
        strips.iter().sum()
    }

    /// Σ K∘L in strips of both.
    fn gram_product(&self, other: &Self) -> f64 {
        let strips: Vec<f64> = (0..self.rows)
            .into_par_iter()
            .step_by(STRIP)
            .map(|start| {
                let height = STRIP.min(self.rows - start);
                let strip_of = |map: &Self| {
                    let mut out = vec![0.0; height * map.rows];
                    let rows = View::new(&map.data[start * map.columns..], height, map.columns);
                    product(rows, map.view().transposed(), &mut out, map.rows);
                    out
                };
                inner(&strip_of(self), &strip_of(other))
            })
            .collect();
        strips.iter().sum()
    }

    /// The unbiased HSIC with zero diagonals: [tr(KL) + (1ᵀK1)(1ᵀL1)/((n−1)(n−2)) − 2/(n−2)·1ᵀKL1]/(n(n−3)). Centring
    /// does not change it, and keeps the sums small.
    fn unbiased(&self, other: &Self) -> f64 {
        let n = self.rows as f64;
        let (k_diagonal, l_diagonal) = (self.diagonal(), other.diagonal());
        let trace = self.biased(other) - inner(&k_diagonal, &l_diagonal);
        // Rows of a centred Gram matrix sum to 0; without the diagonal to minus the diagonal.
        let (k_sum, l_sum): (f64, f64) = (k_diagonal.iter().sum(), l_diagonal.iter().sum());
        let between = inner(&k_diagonal, &l_diagonal);
        (trace + k_sum * l_sum / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * between) / (n * (n - 3.0))
    }

    /// ‖x_p‖² of every position.
    fn diagonal(&self) -> Vec<f64> {
        self.data
            .chunks_exact(self.columns)
            .map(|row| inner(row, row))
            .collect()
    }
}
