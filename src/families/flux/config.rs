//! The network's `config.json`.

use serde_json::{Value, json};

use super::{FFN_RATIO, PATCH};
use crate::{
    error::Result,
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const NAME: &str = "the transformer's config.json";
/// Numbers of a token for one channel of the latent.
const OF_PATCH: usize = PATCH * PATCH;
/// Axes of a position: one that is always 0, row, column.
const AXES: usize = 3;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct FluxConfig {
    /// Numbers of a token: those of a patch of 2 x 2 positions of the latent.
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
    /// Width of the pooled text.
    pub pooled_projection_dim: usize,
    /// Whether it is told a guidance scale (dev).
    pub guidance_embeds: bool,
    /// Channels of a head that are turned by each axis of a position.
    pub axes_dims_rope: [usize; AXES],
}

impl FluxConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        config.only("_class_name", &json!(super::CLASS))?;
        config.only("patch_size", &json!(1))?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let in_channels = width("in_channels", 64)?;
        if !in_channels.is_multiple_of(OF_PATCH) {
            return Err(config.refuse("in_channels", &format!("a multiple of {OF_PATCH}")));
        }
        // Networks that also read a masked picture, or an outline of one, have more channels in than out.
        if width("out_channels", in_channels)? != in_channels {
            return Err(config.refuse("out_channels", &format!("as many as in_channels, {in_channels}")));
        }
        let attention_head_dim = width("attention_head_dim", 128)?;
        let axes = config.counts("axes_dims_rope", &[16, 56, 56], 0, 2, MAX_WIDTH)?;
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
            num_layers: config.count("num_layers", Some(19), 1, MAX_LAYERS)?,
            num_single_layers: config.count("num_single_layers", Some(38), 1, MAX_LAYERS)?,
            attention_head_dim,
            num_attention_heads: width("num_attention_heads", 24)?,
            joint_attention_dim: width("joint_attention_dim", 4096)?,
            pooled_projection_dim: width("pooled_projection_dim", 768)?,
            guidance_embeds: config.flag("guidance_embeds", false)?,
            axes_dims_rope,
        };
        if read.width() > MAX_WIDTH {
            let allowed = format!("a width that times num_attention_heads is at most {MAX_WIDTH}");
            return Err(config.refuse("attention_head_dim", &allowed));
        }
        Ok(read)
    }

    /// Width D of the tokens: all heads side by side.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width inside the feed-forward parts.
    pub(crate) fn ffn_width(&self) -> usize {
        FFN_RATIO * self.width()
    }

    /// Channels of the latent that noise is mixed with.
    pub fn latent_channels(&self) -> usize {
        self.in_channels / OF_PATCH
    }

    /// All blocks.
    pub(crate) fn blocks(&self) -> u16 {
        (self.num_layers + self.num_single_layers) as u16
    }

    /// The grid of tokens for a latent of `latent` rows and columns, both even.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / PATCH, latent.width / PATCH)
    }

    /// Tokens of a prompt for the T5: what dev and schnell were trained on.
    pub fn prompt_tokens(&self) -> usize {
        match self.guidance_embeds {
            true => 512,
            false => 256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_as_published() -> Result<()> {
        let dev = FluxConfig::from_json(&json!({"guidance_embeds": true, "out_channels": null}))?;
        assert_eq!((dev.width(), dev.ffn_width(), dev.blocks()), (3072, 12288, 57));
        assert_eq!((dev.latent_channels(), dev.prompt_tokens()), (16, 512));
        assert_eq!(FluxConfig::from_json(&json!({}))?.prompt_tokens(), 256);
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("Flux2Transformer2DModel")),
            ("patch_size", json!(2)),
            ("in_channels", json!(0)),
            ("in_channels", json!(66)),
            ("out_channels", json!(128)),
            ("num_layers", json!(1_000_000)),
            ("num_single_layers", json!(-1)),
            ("attention_head_dim", json!(64)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("num_attention_heads", json!(1024)),
            ("joint_attention_dim", json!("wide")),
            ("pooled_projection_dim", json!(0)),
            ("guidance_embeds", json!(3)),
            ("axes_dims_rope", json!([64, 64])),
            ("axes_dims_rope", json!([15, 57, 56])),
            ("axes_dims_rope", json!(["a", 1, 2])),
        ] {
            let error = FluxConfig::from_json(&json!({key: value})).expect_err(key).to_string();
            let named = match key {
                "attention_head_dim" => "axes_dims_rope",
                "num_attention_heads" if value == json!(1024) => "attention_head_dim",
                other => other,
            };
            assert!(error.contains(&format!("\"{named}\" is ")), "{key} {value}: {error}");
        }
        assert!(FluxConfig::from_json(&json!([])).is_err());
    }
}
