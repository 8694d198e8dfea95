//! Positions of DINOv3: the patches' queries and keys are turned by angles of their place in the picture, each axis from −1 to 1
//! by its own length.

use std::f64::consts::TAU;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope;

use crate::{geometry::Grid, nn::formats::wide};

/// Cosines and sines of every token, (T, d/2) each.
#[derive(Debug)]
pub(super) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Of heads of width `head`, a multiple of 4, for `special` tokens that are not turned and the patches of a grid behind them.
    pub(super) fn new(
        theta: f64,
        head: usize,
        special: usize,
        grid: Grid,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let of_axis = head / 4;
        let frequencies = || (0..of_axis).map(move |m| theta.powf(-(m as f64) / of_axis as f64));
        // The middle of a patch on an axis from −1 to 1.
        let middle = |place: usize, length: usize| 2.0 * (place as f64 + 0.5) / length as f64 - 1.0;
        let mut angles = vec![0.0; special * 2 * of_axis];
        for row in 0..grid.height {
            for column in 0..grid.width {
                for at in [middle(row, grid.height), middle(column, grid.width)] {
                    angles.extend(frequencies().map(|frequency| TAU * at * frequency));
                }
            }
        }
        let table = |of: fn(f64) -> f64| {
            let numbers: Vec<f64> = angles.iter().map(|angle| of(*angle)).collect();
            let shape = (special + grid.positions(), 2 * of_axis);
            Tensor::from_vec(numbers, shape, device)?.to_dtype(dtype)
        };
        Ok(Self {
            cos: table(f64::cos)?,
            sin: table(f64::sin)?,
        })
    }

    /// (B, heads, T, d) turned: with u and v the halves of a head, (u·cos − v·sin, v·cos + u·sin). Rounded once.
    pub(super) fn turned(&self, x: &Tensor) -> Result<Tensor> {
        let exact = wide(x)?.contiguous()?;
        rope(&exact, &self.cos, &self.sin)?.to_dtype(x.dtype())
    }
}
