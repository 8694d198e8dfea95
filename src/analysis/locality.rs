//! Whether near positions are alike because they are near: property 3 of *Not All Diffusion Model Activations Have Been
//! Evaluated as Discriminative Features*.
//!
//! S(r) is the mean cosine of all position pairs with r ≤ |p − q| < r + 1, in cells. It comes from the autocorrelation of
//! the unit vectors by FFT: exact, and N log N instead of N². Zero vectors have cosine 0 with everything.

use realfft::num_complex::Complex;
use rustfft::FftPlanner;
use serde::{Deserialize, Serialize};

use super::{
    fourier::{Transform, quick_length},
    similarity::dot,
};
use crate::{activation::FeatureMap, geometry::Grid};

/// Positions up to this distance are near each other, as a share of the grid's short side: for the locality-semantics
/// index.
pub const NEAR: f64 = 0.15;
/// Positions from this distance on are far from each other, as a share of the grid's short side.
pub const FAR: f64 = 0.3;

/// How alike positions are against their distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Locality {
    /// S(r) for r = 1, 2, … cells.
    pub curve: Vec<f64>,
    /// Cells of the short side: a distance of r cells is r over this, as a share of the picture.
    pub short_side: usize,
    /// Mean cosine of all pairs of different positions.
    pub baseline: f64,
    /// The smallest r with S(r) − B ≤ (S(1) − B)/2, as a share of the picture; none where S never falls so far, or where
    /// neighbours are no more alike than any pair.
    pub half_width: Option<f64>,
}

/// S(r), its baseline and half-width. A single position has no pairs: an empty curve.
///
/// `planes` are the map's numbers channel by channel, which other figures need as well: see [`FeatureMap::to_channels`].
pub fn locality(map: &FeatureMap, planes: &[f32]) -> Locality {
    let grid = map.grid();
    let short_side = grid.height.min(grid.width);
    let (mut sums, mut counts): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let lags = autocorrelation(map, planes);
    for (dy, row) in lags.chunks_exact(2 * grid.width - 1).enumerate() {
        let dy = dy as isize - (grid.height as isize - 1);
        for (dx, sum) in row.iter().enumerate() {
            let dx = dx as isize - (grid.width as isize - 1);
            let distance = (dy as f64).hypot(dx as f64).floor() as usize;
            if distance == 0 {
                continue;
            }
            if sums.len() < distance {
                sums.resize(distance, 0.0);
                counts.resize(distance, 0.0);
            }
            sums[distance - 1] += sum;
            counts[distance - 1] += ((grid.height - dy.unsigned_abs()) * (grid.width - dx.unsigned_abs())) as f64;
        }
    }
    let baseline = match counts.iter().sum::<f64>() {
        0.0 => 0.0,
        pairs => sums.iter().sum::<f64>() / pairs,
    };
    let curve: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let half_width = half_width(&curve, baseline).map(|r| r as f64 / short_side as f64);
    Locality {
        curve,
        short_side,
        baseline,
        half_width,
    }
}

fn half_width(curve: &[f64], baseline: f64) -> Option<usize> {
    let rise = curve.first()? - baseline;
    let half = curve.iter().position(|score| score - baseline <= rise / 2.0)?;
    (rise > 0.0).then_some(half + 1)
}

/// Σ over positions of u_p·u_{p+d} for every lag d, (2h − 1, 2w − 1): lag (0, 0) in the middle.
fn autocorrelation(map: &FeatureMap, planes: &[f32]) -> Vec<f64> {
    let grid = map.grid();
    let padded = Grid::new(quick_length(2 * grid.height - 1), quick_length(2 * grid.width - 1));
    let transform = Transform::new(grid, padded);
    let norms = map.inverse_norms();
    let power = transform.power(map.channels(), |channel, plane| {
        let own = &planes[channel * grid.positions()..(channel + 1) * grid.positions()];
        for ((x, own), norm) in plane.iter_mut().zip(own).zip(norms) {
            *x = own * norm;
        }
    });
    // The inverse transform of the power. It is real, and so is the autocorrelation: only half of it was computed.
    let mut planner = FftPlanner::<f64>::new();
    let (columns, rows) = (
        planner.plan_fft_inverse(padded.height),
        planner.plan_fft_inverse(padded.width),
    );
    let mut spectrum: Vec<Complex<f64>> = power.iter().map(|&x| Complex::new(x, 0.0)).collect();
    columns.process(&mut spectrum);
    let half = transform.half_width();
    let mut row = vec![Complex::new(0.0, 0.0); padded.width];
    let mut lags = Vec::with_capacity((2 * grid.height - 1) * (2 * grid.width - 1));
    let share = 1.0 / padded.positions() as f64;
    for dy in lag_places(grid.height, padded.height) {
        for (x, value) in row.iter_mut().enumerate() {
            // As the power of real planes is symmetric, column W − x of every row is the conjugate of column x.
            *value = match x < half {
                true => spectrum[x * padded.height + dy],
                false => spectrum[(padded.width - x) * padded.height + dy].conj(),
            };
        }
        rows.process(&mut row);
        lags.extend(lag_places(grid.width, padded.width).map(|dx| row[dx].re * share));
    }
    lags
}

/// Where the lags −(n − 1) … n − 1 lie in a cyclic sequence.
fn lag_places(cells: usize, padded: usize) -> impl Iterator<Item = usize> {
    (1..cells).rev().map(move |lag| padded - lag).chain(0..cells)
}

/// Whether locality or meaning wins: the probability that a near position of another region is more similar than a far
/// position of the same region, over all positions that have both. 0.5: neither; above: locality. None where no position
/// has both.
///
/// `regions` names the region of each position (h·w); positions without one are left out.
pub fn semantics_index(map: &FeatureMap, regions: &[Option<usize>]) -> Option<f64> {
    let grid = map.grid();
    let short = grid.height.min(grid.width) as f64;
    let marked: Vec<(usize, usize)> = (0..grid.positions())
        .filter_map(|position| Some((position, (*regions.get(position)?)?)))
        .collect();
    let (mut sum, mut count) = (0.0, 0.0);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for &(p, region) in &marked {
        near.clear();
        far.clear();
        let (row, column) = grid.row_column(p);
        for &(q, other) in &marked {
            let (to_row, to_column) = grid.row_column(q);
            let distance = (row as f64 - to_row as f64).hypot(column as f64 - to_column as f64) / short;
            let into = match other == region {
                true if distance >= FAR => &mut far,
                false if distance <= NEAR => &mut near,
                _ => continue,
            };
            let norms = map.inverse_norms();
            into.push(dot(map.vector(p), map.vector(q)) * norms[p] * norms[q]);
        }
        if near.is_empty() || far.is_empty() {
            continue;
        }
        sum += share_above(&near, &mut far);
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

/// The share of pairs in which the first number is the greater; equal ones count half.
fn share_above(first: &[f32], second: &mut [f32]) -> f64 {
    second.sort_by(f32::total_cmp);
    let wins: f64 = first
        .iter()
        .map(|x| {
            let below = second.partition_point(|y| y < x);
            let not_above = second.partition_point(|y| y <= x);
            (below + not_above) as f64 / 2.0
        })
        .sum();
    wins / (first.len() * second.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    /// A number from −1 to 1 that looks random.
    fn unit(number: usize) -> f32 {
        let mut bits = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits >> 40) as f32 / (1 << 23) as f32) - 1.0
    }

    fn noise(height: usize, width: usize, channels: usize) -> Result<FeatureMap> {
        let grid = Grid::new(height, width);
        let vectors = (0..grid.positions() * channels).map(unit).collect();
        FeatureMap::from_positions(channels, grid, vectors)
    }

    fn of_map(map: &FeatureMap) -> Locality {
        locality(map, &map.to_channels())
    }

    /// By looking at every pair.
    fn of_pairs(map: &FeatureMap) -> (Vec<f64>, f64) {
        let grid = map.grid();
        let (mut sums, mut counts) = (vec![0.0; 99], vec![0.0; 99]);
        for p in 0..grid.positions() {
            for q in (0..grid.positions()).filter(|q| *q != p) {
                let ((r, c), (s, d)) = (grid.row_column(p), grid.row_column(q));
                let distance = (r as f64 - s as f64).hypot(c as f64 - d as f64) as usize;
                let norms = map.inverse_norms();
                let score = dot(map.vector(p), map.vector(q)) * norms[p] * norms[q];
                sums[distance - 1] += f64::from(score);
                counts[distance - 1] += 1.0;
            }
        }
        let all = sums.iter().sum::<f64>() / counts.iter().sum::<f64>();
        let curve = sums.iter().zip(&counts).filter(|(_, count)| **count > 0.0);
        (curve.map(|(sum, count)| sum / count).collect(), all)
    }

    #[test]
    fn the_curve_is_that_of_all_pairs() -> Result<()> {
        for [height, width, channels] in [[1, 1, 3], [1, 5, 2], [4, 4, 3], [7, 5, 9], [6, 11, 4]] {
            let map = noise(height, width, channels)?;
            let found = of_map(&map);
            let (curve, baseline) = match height * width {
                1 => (Vec::new(), 0.0),
                _ => of_pairs(&map),
            };
            assert_eq!(found.curve.len(), curve.len(), "{height} x {width}");
            for (found, expected) in found.curve.iter().zip(&curve) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
            assert!((found.baseline - baseline).abs() < 1e-5);
        }
        Ok(())
    }

    #[test]
    fn white_noise_is_flat_and_a_slow_wave_is_local() -> Result<()> {
        let flat = of_map(&noise(24, 24, 64)?);
        assert!(
            flat.curve
                .iter()
                .take(20)
                .all(|score| (score - flat.baseline).abs() < 0.02)
        );
        let grid = Grid::new(24, 24);
        let wave = |cells: f32| {
            let vectors = (0..grid.positions()).flat_map(|position| {
                let (row, column) = grid.row_column(position);
                let (y, x) = (row as f32 / cells, column as f32 / cells);
                [y.sin(), y.cos(), x.sin(), x.cos()]
            });
            FeatureMap::from_positions(4, grid, vectors.collect())
        };
        let (short, long) = (of_map(&wave(2.0)?), of_map(&wave(5.0)?));
        let widths = [short.half_width, long.half_width].map(|width| width.unwrap_or(f64::NAN));
        assert!(0.05 < widths[0] && widths[0] < widths[1], "{widths:?}");
        Ok(())
    }

    #[test]
    fn the_index_tells_place_from_meaning() -> Result<()> {
        let grid = Grid::new(20, 20);
        // Bands of two kinds, each kind in several places.
        let regions: Vec<Option<usize>> = (0..grid.positions())
            .map(|position| Some((grid.row_column(position).1 / 4) % 2))
            .collect();
        let of = |vector: &dyn Fn(usize) -> Vec<f32>| {
            let vectors: Vec<f32> = (0..grid.positions()).flat_map(vector).collect();
            FeatureMap::from_positions(vectors.len() / grid.positions(), grid, vectors)
        };
        let meaning = of(&|p| match regions[p] {
            Some(0) => vec![1.0, 0.0],
            _ => vec![0.0, 1.0],
        })?;
        let place = of(&|p| {
            let (row, column) = grid.row_column(p);
            let angle = [row as f32 / 8.0, column as f32 / 8.0];
            vec![angle[0].sin(), angle[0].cos(), angle[1].sin(), angle[1].cos()]
        })?;
        let index = |map: &FeatureMap| semantics_index(map, &regions).unwrap_or(f64::NAN);
        assert_eq!(index(&meaning), 0.0);
        assert!(index(&place) > 0.8, "{}", index(&place));
        let constant = of(&|_| vec![1.0])?;
        assert_eq!(index(&constant), 0.5);
        assert_eq!(semantics_index(&meaning, &vec![Some(0); grid.positions()]), None);
        assert_eq!(semantics_index(&meaning, &[]), None);
        Ok(())
    }
}
