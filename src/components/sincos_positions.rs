//! The table of positions of PixArt and DiT: sines and cosines of a token's column and row.

use candle_core::{Device, Result, Tensor};

use crate::geometry::Grid;

/// Longest period of the sinusoids, over 2π.
const MAX_PERIOD: f64 = 10_000.0;

/// Position embedding of the tokens of a grid, (1, h·w, `width`) in f32, computed in f64 (diffusers' get_2d_sincos_pos_embed).
///
/// Each axis is stretched over `side` positions by its own length. A token has half its numbers of its column, then half of its
/// row; each half has sines first. `width` is a multiple of 4.
pub(crate) fn position_table(width: usize, side: f64, grid: Grid, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let axis = |length: usize| -> Vec<Vec<f32>> {
        let stretch = side / length as f64;
        (0..length)
            .map(|place| sinusoids(place as f64 * stretch, half))
            .collect()
    };
    let (rows, columns) = (axis(grid.height), axis(grid.width));
    let mut table = Vec::with_capacity(grid.positions() * width);
    for row in &rows {
        for column in &columns {
            table.extend_from_slice(column);
            table.extend_from_slice(row);
        }
    }
    Tensor::from_vec(table, (1, grid.positions(), width), device)
}

/// Sines, then cosines, of a position at `width` / 2 frequencies.
fn sinusoids(position: f64, width: usize) -> Vec<f32> {
    let count = width / 2;
    let angles = || (0..count).map(|k| position * MAX_PERIOD.powf(-(k as f64) / count as f64));
    let (sines, cosines) = (angles().map(f64::sin), angles().map(f64::cos));
    sines.chain(cosines).map(|number| number as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the published table for 384 x 640 pixels.
    #[test]
    fn columns_come_first_and_each_axis_has_its_own_length() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let grid = Grid::new(24, 40);
        let table = position_table(1152, 32.0, grid, &Device::Cpu)?.squeeze(0)?;
        assert_eq!(table.dims(), [960, 1152]);
        let token = table.get(grid.index(5, 7))?.to_vec1::<f32>()?;
        for (channel, wanted) in [(0, -0.631_267), (288, 0.775_566), (576, 0.374_151), (864, 0.927_368)] {
            assert!((token[channel] - wanted).abs() < 1e-6, "{channel}: {}", token[channel]);
        }
        Ok(())
    }
}
