//! The network's `config.json`.

use serde_json::{Value, json};

use super::{FFN_RATIO, PATCH};
use crate::{
    error::Result,
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const NAME: &str = "the transformer's config.json";
/// The class of today's folders.
const CLASS: &str = "PixArtTransformer2DModel";
/// The class of older folders, which other networks have, too.
const OLD_CLASS: &str = "Transformer2DModel";
const MAX_SAMPLE_SIZE: usize = 1024;
/// The side of latents that positions are counted in by default: 512 pixels.
const PLAIN_SAMPLE_SIZE: usize = 64;
/// The side of latents of networks with size conditions by default: 1024 pixels.
const SIZED_SAMPLE_SIZE: usize = 128;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct PixArtConfig {
    /// Channels of the latent.
    pub in_channels: usize,
    /// Channels of the output: the noise, and as many numbers for its variance behind it.
    pub out_channels: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Side of the latents it was trained on.
    pub sample_size: usize,
    /// Width of the text states.
    pub caption_channels: usize,
    /// Epsilon of the norms inside the blocks.
    pub norm_eps: f64,
    /// How many positions of the training grid are one step of the position table.
    pub interpolation_scale: f64,
    /// Whether the network should have size conditions; the file of its weights decides.
    pub use_additional_conditions: bool,
}

impl PixArtConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults for its class.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        let is_old = config.choice("_class_name", CLASS, &[CLASS, OLD_CLASS])? == OLD_CLASS;
        refuse_unsupported(&config, is_old)?;
        let default = |new, old: Option<usize>| if is_old { old } else { Some(new) };
        let in_channels = config.count("in_channels", default(4, None), 1, MAX_WIDTH)?;
        let sample_size = config.count("sample_size", default(SIZED_SAMPLE_SIZE, None), PATCH, MAX_SAMPLE_SIZE)?;
        let scale_of_size = (sample_size / PLAIN_SAMPLE_SIZE).max(1) as f64;
        let read = Self {
            in_channels,
            out_channels: config.count("out_channels", default(8, Some(in_channels)), in_channels, MAX_WIDTH)?,
            num_attention_heads: config.count("num_attention_heads", Some(16), 1, MAX_WIDTH)?,
            attention_head_dim: config.count("attention_head_dim", default(72, Some(88)), 1, MAX_WIDTH)?,
            num_layers: config.count("num_layers", default(28, Some(1)), 1, MAX_LAYERS)?,
            sample_size,
            caption_channels: config.count("caption_channels", None, 1, MAX_WIDTH)?,
            norm_eps: config.number("norm_eps", if is_old { 1e-5 } else { 1e-6 })?,
            interpolation_scale: config.number("interpolation_scale", scale_of_size)?,
            use_additional_conditions: config.flag("use_additional_conditions", sample_size == SIZED_SAMPLE_SIZE)?,
        };
        let width = read.width();
        if width > MAX_WIDTH || !width.is_multiple_of(4) {
            let allowed = format!("a width that times num_attention_heads is a multiple of 4, at most {MAX_WIDTH}");
            return Err(config.refuse("attention_head_dim", &allowed));
        }
        if config.count("cross_attention_dim", default(width, Some(width)), 1, MAX_WIDTH)? != width {
            return Err(config.refuse("cross_attention_dim", &format!("the width of the blocks, {width}")));
        }
        if read.norm_eps <= 0.0 || read.norm_eps >= 1.0 {
            return Err(config.refuse("norm_eps", "a number between 0 and 1"));
        }
        if read.interpolation_scale <= 0.0 || read.interpolation_scale > MAX_SAMPLE_SIZE as f64 {
            let allowed = format!("a number above 0, at most {MAX_SAMPLE_SIZE}");
            return Err(config.refuse("interpolation_scale", &allowed));
        }
        Ok(read)
    }

    /// Width D of the tokens: all heads side by side.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width inside the feed-forward part.
    pub(crate) fn ffn_width(&self) -> usize {
        FFN_RATIO * self.width()
    }

    /// The positions of one side that the table is stretched over.
    pub(crate) fn position_side(&self) -> f64 {
        (self.sample_size / PATCH) as f64 / self.interpolation_scale
    }

    /// Channels of what noise is mixed with, and of the noise that is predicted.
    pub fn latent_channels(&self) -> usize {
        self.in_channels
    }

    /// The grid of tokens for a latent of `latent` rows and columns, both even.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / PATCH, latent.width / PATCH)
    }
}

/// Refuses what would compute something else than the configuration says.
fn refuse_unsupported(config: &ConfigReader<'_>, is_old: bool) -> Result<()> {
    // Keys whose default in older folders is another network.
    for (key, supported) in [
        ("norm_type", json!("ada_norm_single")),
        ("activation_fn", json!("gelu-approximate")),
        ("attention_bias", json!(true)),
        ("norm_elementwise_affine", json!(false)),
        ("patch_size", json!(PATCH)),
    ] {
        config.only(key, &supported)?;
        if is_old && config.value(key).is_none() {
            return Err(config.refuse(key, &supported.to_string()));
        }
    }
    config.choice("attention_type", "default", &["default"])?;
    for key in ["only_cross_attention", "double_self_attention", "num_vector_embeds"] {
        config.absent(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(more: Value) -> Value {
        let mut json = json!({
            "_class_name": OLD_CLASS, "activation_fn": "gelu-approximate", "attention_bias": true,
            "attention_head_dim": 72, "caption_channels": 4096, "in_channels": 4, "norm_elementwise_affine": false,
            "norm_eps": 1e-6, "norm_type": "ada_norm_single", "num_layers": 28, "out_channels": 8, "patch_size": 2,
            "sample_size": 128, "num_vector_embeds": null, "only_cross_attention": false
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            json[key] = value.clone();
        }
        json
    }

    #[test]
    fn keys_that_are_missing_follow_from_the_class_and_the_size() -> Result<()> {
        let new = PixArtConfig::from_json(&json!({"caption_channels": 4096, "interpolation_scale": null}))?;
        assert_eq!((new.width(), new.ffn_width(), new.num_layers), (1152, 4608, 28));
        assert_eq!(new.interpolation_scale, 2.0);
        assert!(new.use_additional_conditions);
        assert_eq!(PixArtConfig::from_json(&old(json!({})))?, new);
        let small = PixArtConfig::from_json(&old(json!({"sample_size": 64, "use_additional_conditions": null})))?;
        assert_eq!(small.interpolation_scale, 1.0);
        assert!(!small.use_additional_conditions);
        let sigma = json!({"sample_size": 32, "use_additional_conditions": true, "interpolation_scale": 0.5});
        let sigma = PixArtConfig::from_json(&old(sigma))?;
        assert_eq!(
            (sigma.interpolation_scale, sigma.use_additional_conditions),
            (0.5, true)
        );
        assert_eq!(
            PixArtConfig::from_json(&old(json!({"sample_size": 16})))?.interpolation_scale,
            1.0
        );
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("HunyuanDiT2DModel")),
            ("attention_head_dim", json!(0)),
            ("attention_head_dim", json!(60_000)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("num_layers", json!(1_000_000)),
            ("num_layers", json!(-1)),
            ("in_channels", json!("four")),
            ("out_channels", json!(2)),
            ("sample_size", json!(1_u64 << 40)),
            ("caption_channels", json!(null)),
            ("cross_attention_dim", json!(768)),
            ("norm_eps", json!(0)),
            ("interpolation_scale", json!(-1)),
            ("interpolation_scale", json!(1e300)),
            ("norm_type", json!("ada_norm_zero")),
            ("norm_type", json!(null)),
            ("activation_fn", json!("geglu")),
            ("attention_bias", json!(false)),
            ("patch_size", json!(4)),
            ("only_cross_attention", json!(true)),
        ] {
            let error = PixArtConfig::from_json(&old(json!({key: value})))
                .expect_err(key)
                .to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
        assert!(PixArtConfig::from_json(&json!([])).is_err());
    }
}
