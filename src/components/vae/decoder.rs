//! The decoder half of the autoencoder: latent → picture.

use candle_core::Tensor;
use candle_nn::{Module, VarBuilder};

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
        layers::Conv2d,
        norms::{GroupNorm, group_norm},
        resnet::{Resnet, conv1x1, conv3x3},
    },
};

/// The decoder with its weights.
#[derive(Debug)]
pub struct VaeDecoder {
    config: VaeConfig,
    form: LatentForm,
    post_quant_conv: Option<Conv2d>,
    conv_in: Conv2d,
    middle: Middle,
    /// From the deepest grid upwards: residual blocks, and the convolution after the enlargement.
    levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl VaeDecoder {
    /// Reads the weights from tensors named as in `vae/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or has another shape than the configuration says.
    pub fn new(config: VaeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let norms = config.norms();
        let decoder = vb.pp("decoder");
        let latent = config.latent_channels;
        let last = config.block_out_channels.len() - 1;
        let mut width = config.block_out_channels[last];
        let conv_in = conv3x3(latent, width, decoder.pp("conv_in"))?;
        let middle = Middle::new(&config, width, decoder.pp("mid_block"))?;
        let mut levels = Vec::with_capacity(last + 1);
        for (index, channels) in config.block_out_channels.iter().rev().copied().enumerate() {
            let vb = decoder.pp(format!("up_blocks.{index}"));
            let mut resnets = Vec::with_capacity(config.layers_per_block + 1);
            for repeat in 0..=config.layers_per_block {
                let vb = vb.pp(format!("resnets.{repeat}"));
                resnets.push(Resnet::new(width, channels, None, norms, vb)?);
                width = channels;
            }
            let sampler = (index < last)
                .then(|| conv3x3(channels, channels, vb.pp("upsamplers.0.conv")))
                .transpose()?;
            levels.push((resnets, sampler));
        }
        Ok(Self {
            post_quant_conv: config
                .use_post_quant_conv
                .then(|| conv1x1(latent, latent, vb.pp("post_quant_conv")))
                .transpose()?,
            conv_in,
            middle,
            levels,
            conv_norm_out: group_norm(norms.groups, width, EPS, decoder.pp("conv_norm_out"))?,
            conv_out: conv3x3(width, config.in_channels, decoder.pp("conv_out"))?,
            form: LatentForm::new(&config, &vb)?,
            config,
        })
    }

    /// Pictures (B, 3, H, W), about −1 to 1 and not clamped, of latents (B, latent, h, w) as the denoiser has them.
    ///
    /// # Errors
    ///
    /// Where the latents have another number of channels, where the device fails, and where `progress` ends the work.
    pub fn decode(&self, latents: &Tensor, progress: &mut Progress<'_>) -> Result<Tensor> {
        let (_, _, height, width) = latents.dims4()?;
        let stride = self.config.denoised_stride();
        self.decode_by(Banding::of(height * width * stride * stride), latents, progress)
    }

    /// [`Self::decode`] in bands as `banding` says.
    pub(super) fn decode_by(&self, banding: Banding, latents: &Tensor, progress: &mut Progress<'_>) -> Result<Tensor> {
        let steps = self
            .levels
            .iter()
            .map(|(resnets, sampler)| resnets.len() + usize::from(sampler.is_some()));
        let ends = 2;
        let steps = ends + self.middle.steps() + steps.sum::<usize>();
        let mut progress = VaeProgress::new(vec![1.0; steps], progress);
        let mut h = self.form.unscale(latents)?;
        if let Some(conv) = &self.post_quant_conv {
            h = conv.forward(&h)?;
        }
        h = self.conv_in.forward(&h)?;
        progress.step()?;
        let mut h = Bands::whole(self.middle.forward(&h, &mut progress)?);
        let mut rows = banding.latent_rows;
        for (resnets, sampler) in &self.levels {
            for resnet in resnets {
                h = h.resnet(resnet, &mut progress)?;
            }
            if let Some(conv) = sampler {
                // It is the enlarged grid that may be too large to be made whole.
                if !banding.keeps_whole(4 * h.positions()?) {
                    h = h.cut(rows)?;
                }
                h = h.upsample(conv, &mut progress)?;
                rows *= 2;
            }
        }
        let h = h.activate_and_convolve(&self.conv_norm_out, &self.conv_out, &mut progress)?;
        Ok(h.joined()?)
    }
}
