//! Rotary position embedding (Su et al., *RoFormer*) of positions with several axes: channels are turned in pairs of neighbours.

use candle_core::{Device, Result, Tensor};
use candle_nn::rotary_emb::rope_i;

use crate::{geometry::Grid, nn::formats::wide};

/// Longest period of the turns, over 2π.
const MAX_PERIOD: f64 = 10_000.0;
/// The turns of tokens.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// (N, d/2) in f32.
    cos: Tensor,
    /// (N, d/2) in f32.
    sin: Tensor,
}

impl Rotation {
    /// Of positions (0, row, column) whose axes have so many channels each. A text's positions are all (0, 0, 0), which turns
    /// nothing.
    pub(crate) fn of_grid(grid: Grid, axes: [usize; 3], device: &Device) -> Result<Self> {
        let places = (0..grid.height).flat_map(|row| (0..grid.width).map(move |column| [0, row, column]));
        Self::of_positions(places, axes, MAX_PERIOD, device)
    }

    /// Of any positions, with the longest period `theta` over 2π; angles in f64.
    pub(crate) fn of_positions<const AXES: usize>(
        positions: impl Iterator<Item = [usize; AXES]>,
        axes: [usize; AXES],
        theta: f64,
        device: &Device,
    ) -> Result<Self> {
        let half = axes.iter().sum::<usize>() / 2;
        let mut angles = Vec::new();
        for position in positions {
            for (place, width) in position.into_iter().zip(axes) {
                angles.extend((0..width / 2).map(|k| place as f64 * theta.powf(-2.0 * k as f64 / width as f64)));
            }
        }
        let count = angles.len() / half.max(1);
        let table = |of: fn(f64) -> f64| -> Result<Tensor> {
            let numbers: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
            Tensor::from_vec(numbers, (count, half), device)
        };
        Ok(Self {
            cos: table(f64::cos)?,
            sin: table(f64::sin)?,
        })
    }

    /// Queries or keys (B, heads, N, d), turned at least in f32 and rounded once.
    pub(crate) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let exact = wide(x)?.contiguous()?;
        let (cos, sin) = (self.cos.to_dtype(exact.dtype())?, self.sin.to_dtype(exact.dtype())?);
        rope_i(&exact, &cos, &sin)?.to_dtype(x.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_turned_each_axis_by_its_own_frequencies() -> Result<()> {
        let grid = Grid::new(2, 3);
        let rotation = Rotation::of_grid(grid, [2, 2, 4], &Device::Cpu)?;
        let ones: Vec<f64> = [1.0, 0.0].repeat(6 * 4);
        let x = Tensor::from_vec(ones, (1, 1, 6, 8), &Device::Cpu)?;
        let turned = rotation
            .turn(&x)?
            .get(0)?
            .get(0)?
            .get(grid.index(1, 2))?
            .to_vec1::<f64>()?;
        // Nothing of the first axis; row 1; column 2 at the periods 1 and 100.
        let angles = [0.0_f64, 1.0, 2.0, 0.02];
        for (pair, angle) in turned.chunks(2).zip(angles) {
            assert!(
                (pair[0] - angle.cos()).abs() < 1e-6 && (pair[1] - angle.sin()).abs() < 1e-6,
                "{turned:?}"
            );
        }
        Ok(())
    }
}
