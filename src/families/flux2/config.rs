//! The network's `config.json`.

use serde_json::{Value, json};

use crate::{
    error::Result,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const NAME: &str = "the transformer's config.json";
/// Axes of a position: one that is 0 here, row, column, place in the text.
pub(super) const AXES: usize = 4;
/// No feed-forward part is wider than its block by more than this; published ones are three times as wide.
const MOST_RATIO: f64 = 16.0;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Flux2Config {
    /// Channels of the latent, one position of which is a token.
    pub in_channels: usize,
    /// Blocks with a stream for the picture and one for the text.
    pub num_layers: usize,
    /// Blocks with one stream for both, behind those.
    pub num_single_layers: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of the text states.
    pub joint_attention_dim: usize,
    /// Width of the sinusoids that the timestep becomes.
    pub timestep_guidance_channels: usize,
    /// Width of a feed-forward's inside over the width of its block.
    pub mlp_ratio: f64,
    /// Channels of a head that are turned by each axis of a position.
    pub axes_dims_rope: [usize; AXES],
    /// Longest period of the turns by position, over 2π.
    pub rope_theta: f64,
}

impl Flux2Config {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        config.only("_class_name", &json!(super::CLASS))?;
        config.only("patch_size", &json!(1))?;
        config.only("eps", &json!(1e-6))?;
        // FLUX.2 dev is told a guidance scale, and reads with a Mistral. The key is true where it is missing.
        if config.flag("guidance_embeds", true)? {
            let allowed = "false: FLUX.2 [klein] is supported, FLUX.2 [dev] is not";
            return Err(config.refuse("guidance_embeds", allowed));
        }
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let in_channels = width("in_channels", 128)?;
        if width("out_channels", in_channels)? != in_channels {
            return Err(config.refuse("out_channels", &format!("as many as in_channels, {in_channels}")));
        }
        let attention_head_dim = width("attention_head_dim", 128)?;
        let axes = config.counts("axes_dims_rope", &[32; AXES], 0, 2, MAX_WIDTH)?;
        let axes_dims_rope = <[usize; AXES]>::try_from(axes)
            .ok()
            .filter(|axes| {
                axes.iter().all(|axis| axis.is_multiple_of(2)) && axes.iter().sum::<usize>() == attention_head_dim
            })
            .ok_or_else(|| {
                let allowed = format!("{AXES} even numbers, together attention_head_dim, {attention_head_dim}");
                config.refuse("axes_dims_rope", &allowed)
            })?;
        let read = Self {
            in_channels,
            num_layers: config.count("num_layers", Some(8), 1, MAX_LAYERS)?,
            num_single_layers: config.count("num_single_layers", Some(48), 1, MAX_LAYERS)?,
            attention_head_dim,
            num_attention_heads: width("num_attention_heads", 48)?,
            joint_attention_dim: width("joint_attention_dim", 15_360)?,
            timestep_guidance_channels: config.count("timestep_guidance_channels", Some(256), 2, MAX_WIDTH)?,
            mlp_ratio: config.number("mlp_ratio", 3.0)?,
            axes_dims_rope,
            rope_theta: config.number("rope_theta", 2000.0)?,
        };
        if read.width() > MAX_WIDTH {
            let allowed = format!("a width that times num_attention_heads is at most {MAX_WIDTH}");
            return Err(config.refuse("attention_head_dim", &allowed));
        }
        if !read.timestep_guidance_channels.is_multiple_of(2) {
            return Err(config.refuse("timestep_guidance_channels", "an even number"));
        }
        if !(0.0..=MOST_RATIO).contains(&read.mlp_ratio) || read.ffn_width() == 0 {
            return Err(config.refuse("mlp_ratio", &format!("a number above 0, at most {MOST_RATIO}")));
        }
        if !(1.0..=1e9).contains(&read.rope_theta) {
            return Err(config.refuse("rope_theta", "a number from 1 to 1e9"));
        }
        Ok(read)
    }

    /// Width D of the tokens: all heads side by side.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width inside the feed-forward parts.
    pub(crate) fn ffn_width(&self) -> usize {
        // A ratio that was read from a tensor's sides gives that side back, whatever the quotient lost.
        const LOST: f64 = 1e-6;
        (self.mlp_ratio * self.width() as f64 + LOST) as usize
    }

    /// All blocks.
    pub(crate) fn blocks(&self) -> u16 {
        (self.num_layers + self.num_single_layers) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_as_published() -> Result<()> {
        let config = Flux2Config::from_json(&json!({"guidance_embeds": false, "out_channels": null}))?;
        assert_eq!(
            (config.width(), config.ffn_width(), config.blocks()),
            (6144, 18_432, 56)
        );
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("FluxTransformer2DModel")),
            ("patch_size", json!(2)),
            ("eps", json!(1e-5)),
            ("guidance_embeds", json!(true)),
            ("guidance_embeds", json!(null)),
            ("in_channels", json!(0)),
            ("out_channels", json!(64)),
            ("num_layers", json!(1_000_000)),
            ("num_single_layers", json!(-1)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("joint_attention_dim", json!("wide")),
            ("timestep_guidance_channels", json!(255)),
            ("mlp_ratio", json!(-1)),
            ("mlp_ratio", json!(1e300)),
            ("axes_dims_rope", json!([64, 64])),
            ("axes_dims_rope", json!([31, 33, 32, 32])),
            ("rope_theta", json!(0)),
        ] {
            let mut json = json!({"guidance_embeds": false});
            json[key] = value.clone();
            let error = Flux2Config::from_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
        let wide = json!({"guidance_embeds": false, "num_attention_heads": 1024});
        let error = Flux2Config::from_json(&wide).expect_err("too wide").to_string();
        assert!(error.contains("\"attention_head_dim\" is "), "{error}");
    }
}
