//! The encoder half of Stable Diffusion's autoencoder (diffusers' AutoencoderKL): picture → latent.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Conv2dConfig, GroupNorm, Linear, Module, VarBuilder, group_norm, ops::silu};
use serde_json::{Value, json};

use super::{
    attention::attend,
    config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
    layers::{Conv2d, conv2d},
    resnet::{Norms, Resnet, conv1x1, conv3x3},
};
use crate::{activation::Watch, error::Result};

/// Epsilon of every norm of the autoencoder.
const EPS: f64 = 1e-6;
/// Bounds of the posterior's log variance.
const LOGVAR_RANGE: [f64; 2] = [-30.0, 20.0];
const DEFAULT_SCALING: f64 = 0.182_15;

/// Configuration as in `vae/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of the picture.
    pub in_channels: usize,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Channels of every level.
    pub block_out_channels: Vec<usize>,
    /// Resnets per level.
    pub layers_per_block: usize,
    /// Groups of every GroupNorm.
    pub norm_num_groups: usize,
    /// The latent is (posterior − shift) · scaling.
    pub scaling_factor: f64,
    /// See `scaling_factor`.
    pub shift_factor: f64,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether the middle has an attention block.
    pub mid_block_add_attention: bool,
}

impl VaeConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the autoencoder's config.json")?;
        config.only("_class_name", &json!("AutoencoderKL"))?;
        config.choice("act_fn", "silu", &["silu", "swish"])?;
        let read = Self {
            in_channels: config.count("in_channels", Some(3), 3, 3)?,
            latent_channels: config.count("latent_channels", Some(4), 1, MAX_WIDTH)?,
            block_out_channels: config.counts("block_out_channels", &[64], 0, 1, MAX_WIDTH)?,
            layers_per_block: config.count("layers_per_block", Some(1), 1, MAX_LAYERS)?,
            norm_num_groups: config.count("norm_num_groups", Some(32), 1, MAX_WIDTH)?,
            scaling_factor: config.number("scaling_factor", DEFAULT_SCALING)?,
            shift_factor: config.optional_number("shift_factor")?.unwrap_or(0.0),
            use_quant_conv: config.flag("use_quant_conv", true)?,
            mid_block_add_attention: config.flag("mid_block_add_attention", true)?,
        };
        if let Some(kinds) = config.texts("down_block_types")? {
            let plain = kinds.iter().all(|kind| *kind == "DownEncoderBlock2D");
            if !plain || kinds.len() != read.block_out_channels.len() {
                return Err(config.refuse("down_block_types", "one \"DownEncoderBlock2D\" per level"));
            }
        }
        if read
            .block_out_channels
            .iter()
            .any(|channels| channels % read.norm_num_groups != 0)
        {
            let groups = read.norm_num_groups;
            return Err(config.refuse("block_out_channels", &format!("multiples of norm_num_groups, {groups}")));
        }
        // The published ones are 0.13 to 1.5 and 0.06 to 0.16.
        const LIMIT: f64 = 1e3;
        if !(1.0 / LIMIT..=LIMIT).contains(&read.scaling_factor) {
            return Err(config.refuse("scaling_factor", "a number from 0.001 to 1000"));
        }
        if read.shift_factor.abs() > LIMIT {
            return Err(config.refuse("shift_factor", "a number from -1000 to 1000"));
        }
        Ok(read)
    }

    /// Pixels per latent position, along a side.
    pub fn stride(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

/// What the encoder says of a picture's latent: mean and standard deviation, (B, latent, h, w) each, unscaled.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Mean.
    pub mean: Tensor,
    /// Standard deviation.
    pub std: Tensor,
}

/// The encoder with its weights.
#[derive(Debug)]
pub struct VaeEncoder {
    config: VaeConfig,
    conv_in: Conv2d,
    levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
    mid_in: Resnet,
    mid_attention: Option<Attention>,
    mid_out: Resnet,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    quant_conv: Option<Conv2d>,
}

impl VaeEncoder {
    /// Reads the weights from tensors named as in `vae/diffusion_pytorch_model.safetensors`.
    pub fn new(config: VaeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let norms = Norms {
            groups: config.norm_num_groups,
            eps: EPS,
        };
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
        let mid = encoder.pp("mid_block");
        let moments = 2 * config.latent_channels;
        Ok(Self {
            conv_in,
            levels,
            mid_in: Resnet::new(width, width, None, norms, mid.pp("resnets.0"))?,
            mid_attention: config
                .mid_block_add_attention
                .then(|| Attention::new(width, norms, mid.pp("attentions.0")))
                .transpose()?,
            mid_out: Resnet::new(width, width, None, norms, mid.pp("resnets.1"))?,
            conv_norm_out: group_norm(norms.groups, width, EPS, encoder.pp("conv_norm_out"))?,
            conv_out: conv3x3(width, moments, encoder.pp("conv_out"))?,
            quant_conv: config
                .use_quant_conv
                .then(|| conv1x1(moments, moments, vb.pp("quant_conv")))
                .transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The posterior of pictures (B, 3, H, W) in [−1, 1], both sides multiples of [`VaeConfig::stride`].
    pub fn encode(&self, pictures: &Tensor, watch: &mut Watch<'_>) -> Result<Posterior> {
        let steps = self
            .levels
            .iter()
            .map(|(resnets, sampler)| resnets.len() + usize::from(sampler.is_some()));
        let total = (steps.sum::<usize>() + 4) as f32;
        let mut done = 0.0;
        let mut step = |h: CandleResult<Tensor>| -> Result<Tensor> {
            done += 1.0;
            watch(done / total)?;
            Ok(h?)
        };
        let mut h = step(self.conv_in.forward(pictures))?;
        for (resnets, sampler) in &self.levels {
            for resnet in resnets {
                h = step(resnet.forward(&h, None))?;
            }
            if let Some(conv) = sampler {
                // Stable Diffusion's encoder pads right and bottom only.
                let padded = h.pad_with_zeros(D::Minus1, 0, 1)?.pad_with_zeros(D::Minus2, 0, 1)?;
                h = step(conv.forward(&padded))?;
            }
        }
        h = step(self.mid_in.forward(&h, None))?;
        if let Some(attention) = &self.mid_attention {
            h = step(attention.forward(&h))?;
        }
        h = step(self.mid_out.forward(&h, None))?;
        h = self.conv_out.forward(&silu(&self.conv_norm_out.forward(&h)?)?)?;
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

    /// The latent the denoiser works on, from a sample of the posterior.
    pub fn scale(&self, sample: &Tensor) -> Result<Tensor> {
        Ok(((sample - self.config.shift_factor)? * self.config.scaling_factor)?)
    }
}

/// One-head attention over all positions, + input.
#[derive(Debug)]
struct Attention {
    group_norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    scale: f64,
}

impl Attention {
    fn new(channels: usize, norms: Norms, vb: VarBuilder<'_>) -> Result<Self> {
        // Older files call the four projections query, key, value, proj_attn.
        let linear = |name: &str, old: &str| {
            let name = if vb.contains_tensor(&format!("{old}.weight")) {
                old
            } else {
                name
            };
            candle_nn::linear(channels, channels, vb.pp(name))
        };
        Ok(Self {
            group_norm: group_norm(norms.groups, channels, norms.eps, vb.pp("group_norm"))?,
            q: linear("to_q", "query")?,
            k: linear("to_k", "key")?,
            v: linear("to_v", "value")?,
            out: linear("to_out.0", "proj_attn")?,
            scale: 1.0 / (channels as f64).sqrt(),
        })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let tokens = self
            .group_norm
            .forward(x)?
            .flatten_from(2)?
            .transpose(1, 2)?
            .contiguous()?;
        let project = |layer: &Linear| layer.forward(&tokens)?.unsqueeze(1);
        let attended = attend(&project(&self.q)?, &project(&self.k)?, &project(&self.v)?, self.scale)?.squeeze(1)?;
        let out = self.out.forward(&attended)?.transpose(1, 2)?.contiguous()?;
        out.reshape((batch, channels, height, width))? + x
    }
}
