//! Positions of a grid's tokens as turns of queries and keys, as diffusers' `get_2d_rotary_pos_embed` has them: each pair of
//! neighbouring channels is turned, half of them by the column and half by the row.

use candle_core::{Device, Result, Tensor};
use candle_nn::rotary_emb::rope_i;

use crate::{geometry::Grid, nn::formats::wide};

/// Longest period of the turns, over 2π.
const MAX_PERIOD: f64 = 10_000.0;
/// Positions of the longer side, whatever its length.
const SIDE: f64 = 32.0;

/// The turns of the tokens of a grid.
#[derive(Debug)]
pub(super) struct Rotation {
    /// (N, d/2) in f32.
    pub(super) cos: Tensor,
    /// (N, d/2) in f32.
    pub(super) sin: Tensor,
}

impl Rotation {
    /// For heads of `width` channels, a multiple of 4; angles in f64.
    pub(super) fn of_grid(grid: Grid, width: usize, device: &Device) -> Result<Self> {
        let (rows, columns) = places(grid);
        let mut angles = Vec::with_capacity(grid.positions() * width / 2);
        for row in &rows {
            for column in &columns {
                for place in [column, row] {
                    let pairs = width / 4;
                    angles.extend((0..pairs).map(|k| place * MAX_PERIOD.powf(-(k as f64) / pairs as f64)));
                }
            }
        }
        let table = |of: fn(f64) -> f64| -> Result<Tensor> {
            let numbers: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
            Tensor::from_vec(numbers, (grid.positions(), width / 2), device)
        };
        Ok(Self {
            cos: table(f64::cos)?,
            sin: table(f64::sin)?,
        })
    }

    /// Queries or keys (B, heads, N, d), turned at least in f32 and rounded once.
    pub(super) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let exact = wide(x)?.contiguous()?;
        let (cos, sin) = (self.cos.to_dtype(exact.dtype())?, self.sin.to_dtype(exact.dtype())?);
        rope_i(&exact, &cos, &sin)?.to_dtype(x.dtype())
    }
}

/// The positions of rows and of columns. The longer side is stretched over all positions, the other one lies in their middle; the
/// step is the one of diffusers, natural only for a side that begins at 0.
fn places(grid: Grid) -> (Vec<f64>, Vec<f64>) {
    let (height, width) = (grid.height as f64, grid.width as f64);
    // Python rounds halves to the even number.
    let of_shorter = |ratio: f64| (SIDE * ratio).round_ties_even();
    let spans = match height > width {
        true => [SIDE, of_shorter(width / height)],
        false => [of_shorter(height / width), SIDE],
    };
    let [rows, columns] = [(grid.height, spans[0]), (grid.width, spans[1])].map(|(count, span)| {
        let start = ((SIDE - span) / 2.0).round_ties_even();
        let last = (start + span) * (count as f64 - 1.0) / count as f64;
        let step = (last - start) / (count as f64 - 1.0).max(1.0);
        (0..count).map(|index| start + step * index as f64).collect()
    });
    (rows, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_side_lies_in_the_middle() {
        let (rows, columns) = places(Grid::new(4, 5));
        assert_eq!((rows[0], columns[0]), (3.0, 0.0));
        // 29·3/4 and 32·4/5 are the last.
        assert!((rows[3] - 21.75).abs() < 1e-12 && (columns[4] - 25.6).abs() < 1e-12);
        let (rows, columns) = places(Grid::new(64, 64));
        assert_eq!((rows[1], columns[63]), (0.5, 31.5));
        // 32·3/64 is 1.5, and (32 − 2)/2 is 15.
        assert_eq!(places(Grid::new(64, 3)).1[0], 15.0);
        assert_eq!(places(Grid::new(1, 1)), (vec![0.0], vec![0.0]));
    }
}
