//! Patches of a latent as a transformer's tokens, and back.

use candle_core::{Result, Tensor};
use candle_nn::{Conv2dConfig, VarBuilder};

use crate::{
    geometry::Grid,
    nn::layers::{Conv2d, conv2d},
};

/// The convolution that makes a token of every patch of `side` x `side` positions.
pub(crate) fn patch_embedding(channels: usize, width: usize, side: usize, vb: VarBuilder<'_>) -> Result<Conv2d> {
    let config = Conv2dConfig {
        stride: side,
        ..Conv2dConfig::default()
    };
    conv2d(channels, width, side, config, vb)
}

/// Tokens (B, h·w, side·side·C) → (B, C, side·h, side·w): the numbers of a token lie by row and column inside its patch,
/// channels beside each other.
pub(crate) fn unpatchify(tokens: &Tensor, grid: Grid, side: usize) -> Result<Tensor> {
    let (rows, _, numbers) = tokens.dims3()?;
    let channels = numbers / (side * side);
    tokens
        .reshape(&[rows, grid.height, grid.width, side, side, channels][..])?
        .permute([0, 5, 1, 3, 2, 4])?
        .contiguous()?
        .reshape((rows, channels, side * grid.height, side * grid.width))
}
