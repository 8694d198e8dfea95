//! The table of positions at another grid than it was trained for, as the reference resizes it: by cubic interpolation with
//! half-pixel centres (PyTorch's `interpolate`, `bicubic`, with and without `antialias`).

use candle_core::{Result, Tensor};

use crate::geometry::Grid;

/// Slope of the cubic kernel without antialiasing, and with it.
const SLOPE: f64 = -0.75;
const ANTIALIASED_SLOPE: f64 = -0.5;
/// Half the width of a cubic kernel, in steps of what is resized.
const REACH: f64 = 2.0;

/// Rows and columns of a table (g·g, D) at the positions of `grid`: (h·w, D).
pub(super) fn resized(table: &Tensor, side: usize, grid: Grid, antialiased: bool) -> Result<Tensor> {
    if (grid.height, grid.width) == (side, side) {
        return Ok(table.clone());
    }
    let width = table.dim(1)?;
    let weights = |length: usize| {
        let rows: Vec<f64> = (0..length)
            .flat_map(|place| match antialiased {
                true => antialiased_row(place, side, length),
                false => row(place, side, length),
            })
            .collect();
        Tensor::from_vec(rows, (length, side), table.device())?.to_dtype(table.dtype())
    };
    let by_rows = weights(grid.height)?
        .matmul(&table.reshape((side, side * width))?)?
        .reshape((grid.height, side, width))?;
    weights(grid.width)?
        .unsqueeze(0)?
        .broadcast_matmul(&by_rows)?
        .reshape((grid.positions(), width))
}

/// Weights of `from` positions in position `place` of `to`: four of them count, those beyond the edge as the edge.
fn row(place: usize, from: usize, to: usize) -> Vec<f64> {
    let mut weights = vec![0.0; from];
    let at = (place as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    for step in -1..=2 {
        let tap = at.floor() + f64::from(step);
        let inside = tap.clamp(0.0, (from - 1) as f64) as usize;
        weights[inside] += cubic(at - tap, SLOPE);
    }
    weights
}

/// The same with a kernel as wide as the step where there are fewer positions than before; those beyond the edge do not count.
fn antialiased_row(place: usize, from: usize, to: usize) -> Vec<f64> {
    let step = from as f64 / to as f64;
    let scale = step.max(1.0);
    let centre = (place as f64 + 0.5) * step;
    let first = (centre - REACH * scale + 0.5).floor().max(0.0) as usize;
    let end = ((centre + REACH * scale + 0.5).floor() as usize).min(from);
    let mut weights = vec![0.0; from];
    for (tap, weight) in weights.iter_mut().enumerate().take(end).skip(first) {
        *weight = cubic((tap as f64 + 0.5 - centre) / scale, ANTIALIASED_SLOPE);
    }
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < REACH {
        a * (((x - 5.0) * x + 8.0) * x - 4.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const REFERENCE_6: [f64; 6] = [0.739583, 2.687500, 3.869213, 1.818287, 4.812500, 8.520833];
    const REFERENCE_6_ANTIALIASED: [f64; 6] = [0.802632, 2.529412, 3.863426, 1.928241, 5.058824, 8.394737];
    const REFERENCE_3: [f64; 3] = [1.465278, 2.718750, 7.104167];
    const REFERENCE_3_ANTIALIASED: [f64; 3] = [1.855835, 2.894397, 6.402746];

    /// What PyTorch's `interpolate` gives along one axis of 4 numbers.
    #[test]
    fn weights_are_those_of_the_reference() {
        let numbers = [1.0, 4.0, 2.0, 8.0];
        let along = |row: fn(usize, usize, usize) -> Vec<f64>, to: usize| -> Vec<f64> {
            let at = |place| row(place, 4, to).iter().zip(numbers).map(|(w, x)| w * x).sum();
            (0..to).map(at).collect()
        };
        for (found, wanted) in [
            (along(row, 6), REFERENCE_6.to_vec()),
            (along(antialiased_row, 6), REFERENCE_6_ANTIALIASED.to_vec()),
            (along(row, 3), REFERENCE_3.to_vec()),
            (along(antialiased_row, 3), REFERENCE_3_ANTIALIASED.to_vec()),
        ] {
            for (x, y) in found.iter().zip(&wanted) {
                assert!((x - y).abs() < 1e-5, "{found:?} {wanted:?}");
            }
        }
    }

    /// As many positions on a grid of another shape are other positions.
    #[test]
    fn a_grid_of_as_many_positions_is_resized_too() -> Result<()> {
        let table = Tensor::arange(0_f64, 36.0, &Device::Cpu)?.reshape((36, 1))?;
        let same = resized(&table, 6, Grid::new(6, 6), false)?;
        assert_eq!(same.to_vec2::<f64>()?, table.to_vec2::<f64>()?);
        let other = resized(&table, 6, Grid::new(4, 9), false)?;
        assert_ne!(other.to_vec2::<f64>()?, table.to_vec2::<f64>()?);
        Ok(())
    }
}
