//! How the variance of a map is spread over directions.

use rayon::prelude::*;

use super::{
    massive::channel_means,
    matrix::{View, product},
    similarity::dot_wide,
};
use crate::activation::FeatureMap;

/// Side of the tiles of the Gram matrix: a tile and its factors stay in the caches.
const TILE: usize = 256;

/// Effective rank (Σλ)²/Σλ² = (tr C)²/‖C‖²_F of the covariance C of the positions: 1 where all variance has one direction,
/// up to min(h·w − 1, C). 0 for a map that is the same everywhere.
///
/// ‖C‖_F is that of the smaller Gram matrix, of which one tile at a time exists.
pub fn effective_rank(map: &FeatureMap) -> f64 {
    let (positions, channels) = (map.grid().positions(), map.channels());
    let mean = channel_means(map);
    let mut centred = Vec::with_capacity(map.vectors().len());
    for vector in map.vectors().chunks_exact(channels) {
        centred.extend(vector.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean) as f32));
    }
    // Squares of squares leave the range of f32 where the numbers themselves do not.
    let largest = centred.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if largest <= 0.0 || !largest.is_finite() {
        return 0.0;
    }
    centred.iter_mut().for_each(|x| *x /= largest);
    let trace = dot_wide(&centred, &centred);
    let side = positions.min(channels);
    // (side, depth): the rows whose products are wanted, contiguous or not.
    let rows = |start: usize, count: usize| {
        let count = count.min(side - start);
        match positions <= channels {
            true => View::new(&centred[start * channels..], count, channels),
            false => View::strided(&centred[start..], positions, count, channels).transposed(),
        }
    };
    let tiles: Vec<(usize, usize)> = (0..side)
        .step_by(TILE)
        .flat_map(|row| (row..side).step_by(TILE).map(move |column| (row, column)))
        .collect();
    let squares: Vec<f64> = tiles
        .par_iter()
        .map(|&(row, column)| {
            let (left, right) = (rows(row, TILE), rows(column, TILE));
            let (height, width) = (TILE.min(side - row), TILE.min(side - column));
            let mut tile = vec![0.0_f32; height * width];
            product(left, right.transposed(), &mut tile, width);
            let times = if row == column { 1.0 } else { 2.0 };
            times * dot_wide(&tile, &tile)
        })
        .collect();
    trace * trace / squares.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{activation::Grid, error::Result};

    fn map(height: usize, channels: usize, number: impl Fn(usize, usize) -> f32) -> Result<FeatureMap> {
        let grid = Grid::new(height, 7);
        let vectors = (0..grid.positions())
            .flat_map(|position| (0..channels).map(move |channel| (position, channel)))
            .map(|(position, channel)| number(position, channel));
        FeatureMap::from_positions(channels, grid, vectors.collect())
    }

    #[test]
    fn one_direction_has_rank_one_and_equal_ones_count() -> Result<()> {
        let one = map(5, 4, |p, c| p as f32 * (c as f32 - 1.5) + 10.0)?;
        assert!((effective_rank(&one) - 1.0).abs() < 1e-6);
        // Each channel is large at one position alone.
        let many = map(1, 7, |p, c| if p == c { 1.0 } else { 0.0 })?;
        assert!((effective_rank(&many) - 6.0).abs() < 1e-5);
        assert_eq!(effective_rank(&map(3, 3, |_, c| c as f32)?), 0.0);
        Ok(())
    }

    #[test]
    fn more_channels_than_a_tile_and_than_positions() -> Result<()> {
        // Both ways round, across the edge of a tile, against the eigenvalues' sums by hand.
        for (height, channels) in [(50, 300), (100, 300)] {
            let number = |p: usize, c: usize| ((p * 7919 + c * 104_729 + p * c * 13) % 211) as f32 - 100.0;
            let map = map(height, channels, number)?;
            let positions = height * 7;
            let mean: Vec<f64> = (0..channels)
                .map(|c| (0..positions).map(|p| f64::from(number(p, c))).sum::<f64>() / positions as f64)
                .collect();
            let x = |p: usize, c: usize| f64::from(number(p, c)) - mean[c];
            let (mut trace, mut squares) = (0.0, 0.0);
            for a in 0..channels {
                for b in 0..channels {
                    let entry: f64 = (0..positions).map(|p| x(p, a) * x(p, b)).sum();
                    squares += entry * entry;
                    if a == b {
                        trace += entry;
                    }
                }
            }
            let expected = trace * trace / squares;
            let found = effective_rank(&map);
            assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
        }
        Ok(())
    }
}
