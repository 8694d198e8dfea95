//! What lies between the autoencoder's latent and the one that is denoised: numbers of the configuration, or statistics among the
//! weights.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;

use super::{OfChannels, VaeConfig};
use crate::error::Result;

/// How a sample of the posterior becomes the latent that is denoised, and back.
#[derive(Debug, Clone)]
pub(super) enum LatentForm {
    /// (x − shift)·factor, with one number of each for all channels.
    Uniform { shift: f64, factor: f64 },
    /// (x − mean)/deviation with those of each channel, (1, C, 1, 1), where patches of `patch` x `patch` positions are channels.
    Channels {
        patch: usize,
        mean: Tensor,
        deviation: Tensor,
    },
}

impl LatentForm {
    /// That of a configuration; a batch norm's statistics are tensors of the autoencoder.
    pub(super) fn new(config: &VaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let as_row = |numbers: &Tensor| numbers.reshape((1, config.denoised_channels(), 1, 1));
        Ok(match &config.of_channels {
            None => Self::Uniform {
                shift: config.shift_factor,
                factor: config.scaling_factor,
            },
            Some(OfChannels::Numbers { mean, std }) => {
                let numbers = |numbers: Vec<f32>, device: &Device| as_row(&Tensor::new(numbers, device)?);
                let deviations = std.iter().map(|std| (std / config.scaling_factor) as f32);
                Self::Channels {
                    patch: config.patch(),
                    mean: numbers(mean.iter().map(|mean| *mean as f32).collect(), vb.device())?,
                    deviation: numbers(deviations.collect(), vb.device())?,
                }
            }
            Some(OfChannels::BatchNorm { eps }) => {
                let (vb, channels) = (vb.pp("bn"), config.denoised_channels());
                let variance = vb.get(channels, "running_var")?;
                Self::Channels {
                    patch: config.patch(),
                    mean: as_row(&vb.get(channels, "running_mean")?)?,
                    deviation: as_row(&(variance + *eps)?.sqrt()?)?,
                }
            }
        })
    }

    /// The latent that is denoised, (B, C·p·p, h/p, w/p), of a sample (B, C, h, w) of the posterior.
    pub(super) fn scale(&self, sample: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Uniform { shift, factor } => ((sample - *shift)? * *factor)?,
            Self::Channels { patch, mean, deviation } => patches_as_channels(sample, *patch)?
                .broadcast_sub(mean)?
                .broadcast_div(deviation)?,
        })
    }

    /// The inverse of [`Self::scale`].
    pub(super) fn unscale(&self, latent: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Uniform { shift, factor } => ((latent / *factor)? + *shift)?,
            Self::Channels { patch, mean, deviation } => {
                let latent = latent.broadcast_mul(deviation)?.broadcast_add(mean)?;
                channels_as_patches(&latent, *patch)?
            }
        })
    }
}

/// (B, C, p·h, p·w) → (B, C·p·p, h, w): a channel's patch lies by row and column where the channel was.
fn patches_as_channels(x: &Tensor, patch: usize) -> Result<Tensor> {
    let (rows, channels, height, width) = x.dims4()?;
    let (height, width) = (height / patch, width / patch);
    Ok(x.reshape(&[rows, channels, height, patch, width, patch][..])?
        .permute([0, 1, 3, 5, 2, 4])?
        .contiguous()?
        .reshape((rows, channels * patch * patch, height, width))?)
}

/// The inverse of [`patches_as_channels`].
fn channels_as_patches(x: &Tensor, patch: usize) -> Result<Tensor> {
    let (rows, channels, height, width) = x.dims4()?;
    let channels = channels / (patch * patch);
    Ok(x.reshape(&[rows, channels, patch, patch, height, width][..])?
        .permute([0, 1, 4, 2, 5, 3])?
        .contiguous()?
        .reshape((rows, channels, patch * height, patch * width))?)
}
