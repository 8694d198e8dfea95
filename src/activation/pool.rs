//! Adaptive average pooling, as PyTorch's `adaptive_avg_pool2d` does it.

use std::ops::Range;

use super::FeatureMap;
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// The cells that output cell `index` of `out` averages, of `cells` cells: ⌊i·n/m⌋ up to ⌈(i+1)·n/m⌉. Neighbouring
/// ranges overlap where `out` does not divide `cells`.
fn cells_of(index: usize, cells: usize, out: usize) -> Range<usize> {
    index * cells / out..((index + 1) * cells).div_ceil(out)
}

fn check_target(to: Grid) -> Result<()> {
    if to.positions() > 0 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "cannot pool to {} x {} positions: both sides must be at least 1",
        to.height, to.width
    )))
}

/// Channel-major planes (C, h, w) on grid `from` → (C, oh, ow) on grid `to`. Sums in f32, in PyTorch's order.
///
/// # Errors
///
/// Where `to` has no positions, and where there are not C·h·w numbers.
pub fn adaptive_average_pool(planes: &[f32], channels: usize, from: Grid, to: Grid) -> Result<Vec<f32>> {
    check_target(to)?;
    if from.positions() == 0 || planes.len() != channels * from.positions() {
        return Err(Error::failed(format!(
            "a tensor ({channels}, {}, {}) holds {} numbers, found {}",
            from.height,
            from.width,
            channels * from.positions(),
            planes.len()
        )));
    }
    let mut pooled = Vec::with_capacity(channels * to.positions());
    for plane in planes.chunks_exact(from.positions()) {
        for out_row in 0..to.height {
            let rows = cells_of(out_row, from.height, to.height);
            for out_column in 0..to.width {
                let columns = cells_of(out_column, from.width, to.width);
                let mut sum = 0.0_f32;
                for row in rows.clone() {
                    let line = row * from.width;
                    for &value in &plane[line + columns.start..line + columns.end] {
                        sum += value;
                    }
                }
                // Two divisions, as PyTorch has them: one by the product rounds differently.
                pooled.push(sum / rows.len() as f32 / columns.len() as f32);
            }
        }
    }
    Ok(pooled)
}

/// The same for a feature map.
///
/// # Errors
///
/// As [`adaptive_average_pool`].
pub fn pool_map(map: &FeatureMap, to: Grid) -> Result<FeatureMap> {
    let pooled = adaptive_average_pool(&map.to_channels(), map.channels(), map.grid(), to)?;
    FeatureMap::from_channels(map.channels(), to, &pooled)
}
