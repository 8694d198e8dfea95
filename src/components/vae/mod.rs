//! Stable Diffusion's autoencoder (diffusers' AutoencoderKL), and that of Flux.2 (AutoencoderKLFlux2), whose denoisers see its latent
//! in patches behind a batch norm: picture → latent → picture.

mod bands;
mod decoder;
mod encoder;
mod file;
mod latent;
mod progress;
#[cfg(test)]
mod tests;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Linear, Module, VarBuilder};
use serde_json::{Value, json};

use self::progress::VaeProgress;
pub use self::{
    decoder::VaeDecoder,
    encoder::{Posterior, VaeEncoder},
    file::VaePart,
};
use crate::{
    activation::CONVOLUTION_COST,
    error::{Error, Result},
    nn::{
        attention::attend,
        norms::{GroupNorm, group_norm},
        resnet::{Norms, Resnet},
    },
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

/// Epsilon of every norm of the autoencoder.
const EPS: f64 = 1e-6;
const DEFAULT_SCALING: f64 = 0.182_15;

/// The published scaling factors are 0.13 to 1.5, shifts 0.06 to 0.16, means and deviations up to 12.
const MOST_SCALE: f64 = 1e3;
/// Classes of its configuration.
const CLASS: &str = "AutoencoderKL";
const CLASS_OF_FLUX_2: &str = "AutoencoderKLFlux2";
/// Latent positions of a side that Flux.2 makes channels of.
const PATCH_OF_FLUX_2: usize = 2;

/// Numbers of each channel in the place of those for all.
#[derive(Debug, Clone, PartialEq)]
pub enum OfChannels {
    /// Those of the configuration (Playground 2.5): the latent is (posterior − mean) · scaling / std.
    Numbers {
        /// `latents_mean`.
        mean: Vec<f64>,
        /// `latents_std`, above 0.
        std: Vec<f64>,
    },
    /// Those of a batch norm among the weights (Flux.2): the latent is (posterior − mean) / √(variance + eps), of patches that
    /// have become channels.
    BatchNorm {
        /// `batch_norm_eps`.
        eps: f64,
    },
}

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
    /// What stands in the place of the shift, and of a batch norm's latents in that of the scaling too.
    pub of_channels: Option<OfChannels>,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution comes before the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the middle has an attention block.
    pub mid_block_add_attention: bool,
}

impl VaeConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Where a value is of another type or out of its range, or names what this program does not compute.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the autoencoder's config.json")?;
        let class = config.choice("_class_name", CLASS, &[CLASS, CLASS_OF_FLUX_2])?;
        config.choice("act_fn", "silu", &["silu", "swish"])?;
        let read = Self {
            in_channels: config.count("in_channels", Some(3), 3, 3)?,
            latent_channels: config.count("latent_channels", Some(4), 1, MAX_WIDTH)?,
            block_out_channels: config.counts("block_out_channels", &[64], 0, 1, MAX_WIDTH)?,
            layers_per_block: config.count("layers_per_block", Some(1), 1, MAX_LAYERS)?,
            norm_num_groups: config.count("norm_num_groups", Some(32), 1, MAX_WIDTH)?,
            scaling_factor: config.number("scaling_factor", DEFAULT_SCALING)?,
            shift_factor: config.optional_number("shift_factor")?.unwrap_or(0.0),
            of_channels: match class == CLASS_OF_FLUX_2 {
                true => Some(batch_norm(&config)?),
                false => numbers_of_channels(&config)?,
            },
            use_quant_conv: config.flag("use_quant_conv", true)?,
            use_post_quant_conv: config.flag("use_post_quant_conv", true)?,
            mid_block_add_attention: config.flag("mid_block_add_attention", true)?,
        };
        for (key, supported) in [
            ("down_block_types", "DownEncoderBlock2D"),
            ("up_block_types", "UpDecoderBlock2D"),
        ] {
            let Some(kinds) = config.texts(key)? else { continue };
            if kinds.len() != read.block_out_channels.len() || kinds.iter().any(|kind| *kind != supported) {
                return Err(config.refuse(key, &format!("one \"{supported}\" per level")));
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
        if !(1.0 / MOST_SCALE..=MOST_SCALE).contains(&read.scaling_factor) {
            return Err(config.refuse("scaling_factor", "a number from 0.001 to 1000"));
        }
        if read.shift_factor.abs() > MOST_SCALE {
            return Err(config.refuse("shift_factor", "a number from -1000 to 1000"));
        }
        Ok(read)
    }

    /// Pixels per position of the posterior, along a side.
    pub fn stride(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Positions of the posterior, along a side, that are one position of the latent that is denoised.
    fn patch(&self) -> usize {
        match self.of_channels {
            Some(OfChannels::BatchNorm { .. }) => PATCH_OF_FLUX_2,
            _ => 1,
        }
    }

    /// Pixels per position of the latent that is denoised, along a side.
    fn denoised_stride(&self) -> usize {
        self.stride() * self.patch()
    }

    /// Channels of the latent that is denoised.
    fn denoised_channels(&self) -> usize {
        self.latent_channels * self.patch() * self.patch()
    }

    /// Refuses an autoencoder whose latents are not what a denoiser of so many channels denoises, at `stride` pixels to a position;
    /// `denoiser` names it in the error.
    ///
    /// # Errors
    ///
    /// Where they are not.
    pub(crate) fn check_for(&self, denoiser: &str, channels: usize, stride: usize) -> Result<()> {
        if (self.denoised_channels(), self.denoised_stride()) == (channels, stride) {
            return Ok(());
        }
        Err(Error::failed(format!(
            "the autoencoder gives {} channels at 1/{} of the size, {denoiser} denoises {channels} at 1/{stride}",
            self.denoised_channels(),
            self.denoised_stride(),
        )))
    }

    /// Cost of encoding one picture of `positions` pixels, in the unit of [`Cost`](crate::activation::Cost).
    pub fn encode_cost(&self, positions: usize) -> f64 {
        self.works_of_steps(positions).iter().sum()
    }

    /// The same for every step of the encoder's progress: the first convolution, resnets and samplers level by level, the three
    /// parts of the middle.
    fn works_of_steps(&self, positions: usize) -> Vec<f64> {
        const TAPS: f64 = 9.0;
        let convolution = |positions: f64, from: f64, to: f64| CONVOLUTION_COST * TAPS * positions * from * to;
        let mut positions = positions as f64;
        let mut width = self.block_out_channels[0] as f64;
        let mut works = vec![convolution(positions, self.in_channels as f64, width)];
        for (index, channels) in self
            .block_out_channels
            .iter()
            .map(|channels| *channels as f64)
            .enumerate()
        {
            if index > 0 {
                // The sampler's convolution of stride 2 costs as a matrix product.
                positions /= 4.0;
                works.push(TAPS * positions * width * width);
            }
            for _ in 0..self.layers_per_block {
                works.push(convolution(positions, width, channels) + convolution(positions, channels, channels));
                width = channels;
            }
        }
        let resnet = 2.0 * convolution(positions, width, width);
        let attention = 4.0 * positions * width * width + 2.0 * positions * positions * width;
        works.push(resnet);
        if self.mid_block_add_attention {
            works.push(attention);
        }
        works.push(resnet);
        works
    }

    fn norms(&self) -> Norms {
        Norms {
            groups: self.norm_num_groups,
            eps: EPS,
        }
    }
}

/// Flux.2's, from its configuration.
fn batch_norm(config: &ConfigReader<'_>) -> Result<OfChannels> {
    config.only("patch_size", &json!([PATCH_OF_FLUX_2, PATCH_OF_FLUX_2]))?;
    let eps = config.number("batch_norm_eps", 1e-4)?;
    if !(0.0..1.0).contains(&eps) {
        return Err(config.refuse("batch_norm_eps", "a number from 0 to 1"));
    }
    Ok(OfChannels::BatchNorm { eps })
}

/// Means and deviations of each channel, where a configuration has both.
fn numbers_of_channels(config: &ConfigReader<'_>) -> Result<Option<OfChannels>> {
    let channels = config.count("latent_channels", Some(4), 1, MAX_WIDTH)?;
    let numbers = |key: &str, least: f64| -> Result<Option<Vec<f64>>> {
        let Some(value) = config.value(key) else {
            return Ok(None);
        };
        let in_bounds = |value: &Value| value.as_f64().filter(|number| (least..=MOST_SCALE).contains(number));
        let list = value.as_array().filter(|list| list.len() == channels);
        match list.and_then(|list| list.iter().map(in_bounds).collect()) {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(config.refuse(key, &format!("{channels} numbers from {least} to {MOST_SCALE}"))),
        }
    };
    let (mean, std) = (
        numbers("latents_mean", -MOST_SCALE)?,
        numbers("latents_std", MOST_SCALE.recip())?,
    );
    match (mean, std) {
        (Some(mean), Some(std)) => Ok(Some(OfChannels::Numbers { mean, std })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(config.refuse("latents_std", "as many numbers as latents_mean has")),
        (None, Some(_)) => Err(config.refuse("latents_mean", "as many numbers as latents_std has")),
    }
}

/// The deepest grid: a residual block, attention, a residual block.
#[derive(Debug)]
struct Middle {
    first: Resnet,
    attention: Option<Attention>,
    second: Resnet,
}

impl Middle {
    /// Steps of progress in [`Self::forward`].
    fn steps(&self) -> usize {
        2 + usize::from(self.attention.is_some())
    }

    fn new(config: &VaeConfig, channels: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let norms = config.norms();
        Ok(Self {
            first: Resnet::new(channels, channels, None, norms, vb.pp("resnets.0"))?,
            attention: config
                .mid_block_add_attention
                .then(|| Attention::new(channels, norms, vb.pp("attentions.0")))
                .transpose()?,
            second: Resnet::new(channels, channels, None, norms, vb.pp("resnets.1"))?,
        })
    }

    /// (B, C, h, w) → (B, C, h, w).
    fn forward(&self, x: &Tensor, progress: &mut VaeProgress<'_, '_>) -> Result<Tensor> {
        let mut h = self.first.forward(x, None)?;
        progress.step()?;
        if let Some(attention) = &self.attention {
            h = attention.forward(&h)?;
            progress.step()?;
        }
        h = self.second.forward(&h, None)?;
        progress.step()?;
        Ok(h)
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
        let tokens = self.group_norm.forward_tokens(x)?;
        let project = |layer: &Linear| layer.forward(&tokens)?.unsqueeze(1);
        let attended = attend(&project(&self.q)?, &project(&self.k)?, &project(&self.v)?, self.scale)?;
        let out = self.out.forward(&attended)?.transpose(1, 2)?.contiguous()?;
        out.reshape((batch, channels, height, width))? + x
    }
}
