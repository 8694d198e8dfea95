//! The ControlNet itself: an embedding of its image, half a U-Net, and a 1x1 convolution for every skip.

use candle_core::Tensor;
use candle_nn::{Conv2dConfig, Module, VarBuilder, ops::silu};

use super::config::{ChannelOrder, ControlNetConfig};
use crate::{
    activation::{Probe, Stop},
    error::Result,
    families::stable_diffusion::unet::{
        Conditions,
        blocks::Builder,
        catalogue,
        down_path::{Contracted, DownPath},
    },
    geometry::Grid,
    model::control::ControlSignal,
    nn::{
        formats::wide,
        layers::{Conv2d, conv2d},
        resnet::{conv1x1, conv3x3},
    },
};

/// A ControlNet with its weights.
#[derive(Debug)]
pub struct ControlNet {
    config: ControlNetConfig,
    embedding: ConditioningEmbedding,
    path: DownPath,
    down: Vec<Conv2d>,
    mid: Conv2d,
    activations: usize,
}

impl ControlNet {
    /// Reads the weights from tensors named as in diffusers' `diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or has another shape than the configuration says.
    pub fn new(config: ControlNetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let list = catalogue(&config.unet, Grid::new(1, 1), 1);
        let builder = Builder {
            config: &config.unet,
            list: &list,
        };
        let path = DownPath::new(&builder, &vb)?;
        let down = path
            .skip_widths()
            .iter()
            .enumerate()
            .map(|(index, width)| conv1x1(*width, *width, vb.pp(format!("controlnet_down_blocks.{index}"))))
            .collect::<candle_core::Result<_>>()?;
        let deepest = config.unet.deepest().channels;
        Ok(Self {
            embedding: ConditioningEmbedding::new(&config, &vb.pp("controlnet_cond_embedding"))?,
            path,
            down,
            mid: conv1x1(deepest, deepest, vb.pp("controlnet_mid_block"))?,
            activations: list.len(),
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// How many places a pass of the whole U-Net would show to a probe: the length of its progress.
    pub fn activations(&self) -> usize {
        self.activations
    }

    /// Embeds control images (B, 3, H, W), red first and in [0, 1], to (B, C0, H/8, W/8). The result depends neither on
    /// the noise nor on the timestep.
    ///
    /// # Errors
    ///
    /// Where the images have another number of channels, or the device fails.
    pub fn embed(&self, image: &Tensor) -> Result<Tensor> {
        let image = match self.config.channel_order {
            ChannelOrder::Rgb => image.clone(),
            ChannelOrder::Bgr => Tensor::cat(
                &[
                    &image.narrow(1, 2, 1)?,
                    &image.narrow(1, 1, 1)?,
                    &image.narrow(1, 0, 1)?,
                ],
                1,
            )?,
        };
        self.embedding.forward(&image)
    }

    /// One pass over the U-Net's own input `x` (B, in, h, w) at timesteps `t`, with embedded control images (B, C0, h, w).
    /// The probe serves progress only. The residuals are unscaled.
    ///
    /// # Errors
    ///
    /// [`Stop::Error`] where input, timesteps or conditions do not fit the configuration, where the progress callback ends the
    /// pass, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &Conditions<'_>,
        embedded: &Tensor,
        probe: &mut Probe<'_>,
    ) -> Result<ControlSignal, Stop> {
        // A ControlNet does not take the mask and the second latent of an inpainting U-Net.
        let x = x.narrow(1, 0, self.config.unet.in_channels.min(x.dim(1)?))?;
        conditions.check(&self.config.unet, "the ControlNet", &x, t)?;
        let time = self.path.time(t, conditions.sdxl, x.device())?.to_dtype(x.dtype())?;
        let Contracted { skips, mid } = self.path.forward(&x, Some(embedded), &time, conditions.text, probe)?;
        let down = self
            .down
            .iter()
            .zip(&skips)
            .map(|(conv, skip)| self.pooled(conv.forward(skip)?));
        Ok(ControlSignal {
            down: down.collect::<Result<_>>()?,
            mid: self.pooled(self.mid.forward(&mid)?)?,
        })
    }
}

impl ControlNet {
    /// A residual (B, C, h, w), or in every position the mean over all, where the net pools.
    fn pooled(&self, residual: Tensor) -> Result<Tensor> {
        match self.config.global_pool {
            true => Ok(wide(&residual)?
                .mean_keepdim((2, 3))?
                .to_dtype(residual.dtype())?
                .broadcast_as(residual.shape())?
                .contiguous()?),
            false => Ok(residual),
        }
    }
}

/// conv_in, SiLU, pairs of convolutions (the second of each halves the grid) with SiLU after each, conv_out.
#[derive(Debug)]
struct ConditioningEmbedding {
    conv_in: Conv2d,
    blocks: Vec<Conv2d>,
    conv_out: Conv2d,
}

impl ConditioningEmbedding {
    fn new(config: &ControlNetConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let widths = &config.embedding_channels;
        let halving = Conv2dConfig {
            padding: 1,
            stride: 2,
            ..Default::default()
        };
        let mut blocks = Vec::with_capacity(2 * widths.len());
        for pair in widths.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let next = |blocks: &Vec<Conv2d>| vb.pp(format!("blocks.{}", blocks.len()));
            blocks.push(conv3x3(from, from, next(&blocks))?);
            blocks.push(conv2d(from, to, 3, halving, next(&blocks))?);
        }
        let [first, last] = [widths[0], widths[widths.len() - 1]];
        Ok(Self {
            conv_in: conv3x3(config.conditioning_channels, first, vb.pp("conv_in"))?,
            blocks,
            conv_out: conv3x3(last, config.unet.down[0].channels, vb.pp("conv_out"))?,
        })
    }

    fn forward(&self, image: &Tensor) -> Result<Tensor> {
        let mut h = silu(&self.conv_in.forward(image)?)?;
        for conv in &self.blocks {
            h = silu(&conv.forward(&h)?)?;
        }
        Ok(self.conv_out.forward(&h)?)
    }
}
