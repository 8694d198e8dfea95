//! Cosine similarity of one vector with every position of a map, and where it is highest.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::sample::Axis;
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// Independent partial sums of a dot product: one chain of additions cannot be vectorised, sixteen can.
const LANES: usize = 16;

/// Numbers summed in f32 before a sum goes over to f64: 16 additions per lane.
const WIDE_BLOCK: usize = 256;

/// A position of a map and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Row-major index of the position.
    pub position: usize,
    /// Its score; for cosine maps −1 to 1, up to rounding.
    pub score: f32,
}

/// Dot product of two vectors of the same length, accumulated in f32 (the longer one is cut).
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a_chunks, a_rest) = a[..length].as_chunks::<LANES>();
    let (b_chunks, b_rest) = b[..length].as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += x * y;
    }
    // Halving keeps the rounding of the last additions as small as that of the lanes.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// Dot product whose partial sums are added in f64: for differences of near-equal sums.
pub(super) fn dot_wide(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(WIDE_BLOCK)
        .zip(b.chunks(WIDE_BLOCK))
        .map(|(a, b)| f64::from(dot(a, b)))
        .sum()
}

/// 1/‖v‖₂, 0 for a zero vector.
pub(super) fn inverse_norm(vector: &[f32]) -> f32 {
    let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if square > 0.0 {
        (1.0 / square.sqrt()) as f32
    } else {
        0.0
    }
}

/// Checks that `query` can be compared with the vectors of `map`.
pub(super) fn check_query(query: &[f32], map: &FeatureMap) -> Result<()> {
    if query.len() == map.channels() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "a query of {} channels cannot be compared with a map of {} channels: take both from the same activation",
        query.len(),
        map.channels()
    )))
}

/// Cosine of `query` (C numbers) with every position: (h·w), row-major. Zero vectors have cosine 0 with everything.
///
/// # Errors
///
/// Where the query has another number of channels than the map.
pub fn cosine_to_all(query: &[f32], map: &FeatureMap) -> Result<Vec<f32>> {
    check_query(query, map)?;
    let query_scale = inverse_norm(query);
    Ok(map
        .vectors()
        .chunks_exact(map.channels())
        .zip(map.inverse_norms())
        .map(|(vector, scale)| dot(query, vector) * scale * query_scale)
        .collect())
}

/// The vector of a cell, C numbers.
///
/// # Errors
///
/// Where the cell is outside of the map.
pub fn cell_vector(map: &FeatureMap, row: usize, column: usize) -> Result<&[f32]> {
    let grid = map.grid();
    if row < grid.height && column < grid.width {
        return Ok(map.vector(grid.index(row, column)));
    }
    Err(Error::usage(format!(
        "cell ({row}, {column}) is outside a map of {} rows and {} columns",
        grid.height, grid.width
    )))
}

/// Mean over positions of the cosine of two maps' vectors at the same position, in f64. A zero vector has cosine 0 with
/// everything.
///
/// # Errors
///
/// Where the maps differ in shape.
pub fn mean_cosine_between(a: &FeatureMap, b: &FeatureMap) -> Result<f64> {
    if (a.channels(), a.grid()) != (b.channels(), b.grid()) {
        return Err(Error::usage(format!(
            "cosines are taken position by position: there are {} channels on {} x {} and {} on {} x {}",
            a.channels(),
            a.grid().height,
            a.grid().width,
            b.channels(),
            b.grid().height,
            b.grid().width
        )));
    }
    let vectors = a
        .vectors()
        .chunks_exact(a.channels())
        .zip(b.vectors().chunks_exact(b.channels()));
    let cosines = vectors.map(|(x, y)| {
        let (mut product, mut x_square, mut y_square) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (&x, &y) in x.iter().zip(y) {
            let (x, y) = (f64::from(x), f64::from(y));
            product += x * y;
            x_square += x * x;
            y_square += y * y;
        }
        match x_square * y_square > 0.0 {
            true => product / (x_square.sqrt() * y_square.sqrt()),
            false => 0.0,
        }
    });
    Ok(cosines.sum::<f64>() / a.grid().positions() as f64)
}

/// The mean of the unit vectors of some positions, C numbers: each counts the same, however long its vector is. Zeros
/// where there are none; positions outside of the map are an error.
///
/// # Errors
///
/// Where a position is outside of the map.
pub fn mean_unit_vector(map: &FeatureMap, positions: &[usize]) -> Result<Vec<f32>> {
    let all = map.grid().positions();
    if let Some(outside) = positions.iter().find(|position| **position >= all) {
        return Err(Error::usage(format!("position {outside} is outside a map of {all}")));
    }
    let mut sum = vec![0.0_f64; map.channels()];
    for &position in positions {
        let scale = map.inverse_norms()[position];
        let terms = map.vector(position).iter().map(|x| f64::from(x * scale));
        sum.iter_mut().zip(terms).for_each(|(sum, x)| *sum += x);
    }
    let count = positions.len().max(1) as f64;
    Ok(sum.into_iter().map(|sum| (sum / count) as f32).collect())
}

/// The vector at a continuous feature coordinate, C numbers: bilinear between the four cells around it. Cell (0, 0) is
/// at (0.0, 0.0); coordinates beyond the outer cells are taken at the border. NaN is an error.
///
/// # Errors
///
/// Where a coordinate is NaN.
pub fn interpolated_vector(map: &FeatureMap, y: f64, x: f64) -> Result<Vec<f32>> {
    if y.is_nan() || x.is_nan() {
        return Err(Error::usage(format!("({y}, {x}) is not a place on a feature map")));
    }
    let grid = map.grid();
    let (row, column) = (Axis::at(y, grid.height).weights(), Axis::at(x, grid.width).weights());
    let mut vector = vec![0.0; map.channels()];
    for (r, row_weight) in row {
        for (c, column_weight) in column {
            let weight = (row_weight * column_weight) as f32;
            for (sum, &value) in vector.iter_mut().zip(map.vector(grid.index(r, c))) {
                *sum += weight * value;
            }
        }
    }
    Ok(vector)
}

/// The first highest score; scores that are not numbers are passed over. `None` where there is no number.
pub fn arg_max(scores: &[f32]) -> Option<Peak> {
    let mut best: Option<Peak> = None;
    for (position, &score) in scores.iter().enumerate() {
        let higher = match best {
            Some(best) => score > best.score,
            None => !score.is_nan(),
        };
        if higher {
            best = Some(Peak { position, score });
        }
    }
    best
}

/// The `k` highest scores, highest first, earlier positions first among equals; fewer where there are fewer numbers.
pub fn top_k(scores: &[f32], k: usize) -> Vec<Peak> {
    let mut peaks: Vec<Peak> = scores
        .iter()
        .enumerate()
        .filter(|(_, score)| !score.is_nan())
        .map(|(position, &score)| Peak { position, score })
        .collect();
    if k == 0 || peaks.is_empty() {
        return Vec::new();
    }
    let by_rank = |a: &Peak, b: &Peak| -> Ordering {
        let higher_first = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
        higher_first.then(a.position.cmp(&b.position))
    };
    if k < peaks.len() {
        peaks.select_nth_unstable_by(k - 1, by_rank);
        peaks.truncate(k);
    }
    peaks.sort_unstable_by(by_rank);
    peaks
}
