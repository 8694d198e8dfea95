//! The encoder half of the autoencoder: picture → latent.

use candle_core::Tensor;
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use super::{
    EPS, Middle, VaeConfig,
    bands::{Banding, Bands},
    latent::LatentForm,
    progress::VaeProgress,
};
use crate::{
    activation::Progress,
    error::Result,
    nn::{
        layers::{Conv2d, conv2d},
        norms::{GroupNorm, group_norm},
        resnet::{Resnet, conv1x1, conv3x3},
    },
};

/// Bounds of the posterior's log variance.
const LOGVAR_RANGE: [f64; 2] = [-30.0, 20.0];

/// Distribution of a picture's latent: mean and standard deviation, (B, latent, h, w) each, unscaled.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Mean, (B, latent, h, w).
    pub mean: Tensor,
    /// Standard deviation, (B, latent, h, w).
    pub std: Tensor,
}

/// The encoder with its weights.
#[derive(Debug)]
pub struct VaeEncoder {
    config: VaeConfig,
    conv_in: Conv2d,
    levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
    middle: Middle,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    quant_conv: Option<Conv2d>,
    form: LatentForm,
}

impl VaeEncoder {
    /// Reads the weights from tensors named as in `vae/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or has another shape than the configuration says.
    pub fn new(config: VaeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let norms = config.norms();
        let encoder = vb.pp("encoder");
        let last = config.block_out_channels.len() - 1;
        let mut width = config.block_out_channels[0];
        let conv_in = conv3x3(config.in_channels, width, encoder.pp("conv_in"))?;
        let mut levels = Vec::with_capacity(last + 1);
        for (index, channels) in config.block_out_channels.iter().copied().enumerate() {
            let vb = encoder.pp(format!("down_blocks.{index}"));
            let mut resnets = Vec::with_capacity(config.layers_per_block);
            for repeat in 0..config.layers_per_block {
                resnets.push(Resnet::new(
                    width,
                    channels,
                    None,
                    norms,
                    vb.pp(format!("resnets.{repeat}")),
                )?);
                width = channels;
            }
            let strided = Conv2dConfig {
                stride: 2,
                ..Default::default()
            };
            let sampler = (index < last)
                .then(|| conv2d(channels, channels, 3, strided, vb.pp("downsamplers.0.conv")))
                .transpose()?;
            levels.push((resnets, sampler));
        }
        let moments = 2 * config.latent_channels;
        Ok(Self {
            conv_in,
            levels,
            middle: Middle::new(&config, width, encoder.pp("mid_block"))?,
            conv_norm_out: group_norm(norms.groups, width, EPS, encoder.pp("conv_norm_out"))?,
            conv_out: conv3x3(width, moments, encoder.pp("conv_out"))?,
            quant_conv: config
                .use_quant_conv
                .then(|| conv1x1(moments, moments, vb.pp("quant_conv")))
                .transpose()?,
            form: LatentForm::new(&config, &vb)?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The latent that is denoised, (B, C, h, w), from a sample of the posterior; Flux.2's has a fourth of the positions.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn scale(&self, sample: &Tensor) -> Result<Tensor> {
        self.form.scale(sample)
    }

    /// The posterior of pictures (B, 3, H, W) in [−1, 1], both sides multiples of [`VaeConfig::stride`].
    ///
    /// # Errors
    ///
    /// Where the pictures have other than three channels, where the device fails, and where `progress` ends the work.
    pub fn encode(&self, pictures: &Tensor, progress: &mut Progress<'_>) -> Result<Posterior> {
        let (_, _, height, width) = pictures.dims4()?;
        self.encode_by(Banding::of(height * width), pictures, progress)
    }

    /// [`Self::encode`] in bands as `banding` says.
    pub(super) fn encode_by(
        &self,
        banding: Banding,
        pictures: &Tensor,
        progress: &mut Progress<'_>,
    ) -> Result<Posterior> {
        let (_, _, height, width) = pictures.dims4()?;
        let mut progress = VaeProgress::new(self.config.works_of_steps(height * width), progress);
        let mut h = Bands::whole(pictures.clone());
        if !banding.keeps_whole(h.positions()?) {
            h = h.cut(banding.latent_rows * self.config.stride())?;
        }
        h = h.convolve(&self.conv_in, &mut progress)?;
        for (resnets, sampler) in &self.levels {
            for resnet in resnets {
                h = h.resnet(resnet, &mut progress)?;
            }
            if let Some(conv) = sampler {
                h = h.downsample(conv, &mut progress)?;
            }
            if banding.keeps_whole(h.positions()?) {
                h = Bands::whole(h.joined()?);
            }
        }
        let mut h = self.middle.forward(&h.joined()?, &mut progress)?;
        h = self.conv_out.forward(&self.conv_norm_out.forward_silu(&h)?)?;
        if let Some(conv) = &self.quant_conv {
            h = conv.forward(&h)?;
        }
        let latent = self.config.latent_channels;
        let [least, most] = LOGVAR_RANGE;
        let logvar = h.narrow(1, latent, latent)?.clamp(least, most)?;
        Ok(Posterior {
            mean: h.narrow(1, 0, latent)?.contiguous()?,
            std: (logvar * 0.5)?.exp()?,
        })
    }
}
