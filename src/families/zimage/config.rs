//! The network's `config.json`.

use serde_json::{Value, json};

use super::PATCH;
use crate::{
    error::Result,
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const NAME: &str = "the transformer's config.json";
/// Axes of a position: place in the text, row, column.
const AXES: usize = 3;
/// No axis has more places: Z-Image's text has 1,536.
const MAX_PLACES: usize = 1 << 16;
/// The timestep's embedding is at most so wide.
const MAX_MODULATION: usize = 256;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZImageConfig {
    /// Channels of the latent.
    pub in_channels: usize,
    /// Width D of the tokens.
    pub dim: usize,
    /// Blocks of picture and text.
    pub n_layers: usize,
    /// Blocks of each alone, before those.
    pub n_refiner_layers: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Epsilon of the norms with weights.
    pub norm_eps: f64,
    /// Width of the text states.
    pub cap_feat_dim: usize,
    /// Longest period of the turns by position, over 2π.
    pub rope_theta: f64,
    /// What the network multiplies its timestep by.
    pub t_scale: f64,
    /// Channels of a head that are turned by each axis of a position.
    pub axes_dims: [usize; AXES],
    /// Places of each axis.
    pub axes_lens: [usize; AXES],
}

impl ZImageConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        config.only("_class_name", &json!(super::CLASS))?;
        config.only("all_patch_size", &json!([PATCH]))?;
        config.only("all_f_patch_size", &json!([1]))?;
        config.only("qk_norm", &json!(true))?;
        config.absent("siglip_feat_dim")?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let dim = width("dim", 3840)?;
        let n_heads = config.count("n_heads", Some(30), 1, dim)?;
        if !dim.is_multiple_of(n_heads) {
            return Err(config.refuse("n_heads", &format!("a divisor of dim, {dim}")));
        }
        if width("n_kv_heads", n_heads)? != n_heads {
            return Err(config.refuse("n_kv_heads", &format!("as many as n_heads, {n_heads}")));
        }
        let axes = |key, default: &[usize], most, allowed: &str| {
            let list = config.counts(key, default, 0, 2, most)?;
            <[usize; AXES]>::try_from(list).map_err(|_| config.refuse(key, allowed))
        };
        let head = dim / n_heads;
        let allowed = format!("{AXES} even numbers, together the width of a head, {head}");
        let axes_dims = axes("axes_dims", &[32, 48, 48], MAX_WIDTH, &allowed)?;
        if axes_dims.iter().any(|axis| !axis.is_multiple_of(2)) || axes_dims.iter().sum::<usize>() != head {
            return Err(config.refuse("axes_dims", &allowed));
        }
        let read = Self {
            in_channels: width("in_channels", 16)?,
            dim,
            n_layers: config.count("n_layers", Some(30), 1, MAX_LAYERS)?,
            n_refiner_layers: config.count("n_refiner_layers", Some(2), 0, MAX_LAYERS)?,
            n_heads,
            norm_eps: config.number("norm_eps", 1e-5)?,
            cap_feat_dim: width("cap_feat_dim", 2560)?,
            rope_theta: config.number("rope_theta", 256.0)?,
            t_scale: config.number("t_scale", 1000.0)?,
            axes_dims,
            axes_lens: axes("axes_lens", &[1024, 512, 512], MAX_PLACES, &format!("{AXES} numbers"))?,
        };
        if read.norm_eps <= 0.0 || read.norm_eps >= 1.0 {
            return Err(config.refuse("norm_eps", "a number between 0 and 1"));
        }
        for (key, number) in [("rope_theta", read.rope_theta), ("t_scale", read.t_scale)] {
            if !(1.0..=1e9).contains(&number) {
                return Err(config.refuse(key, "a number from 1 to 1e9"));
            }
        }
        Ok(read)
    }

    /// Width inside the feed-forward parts.
    pub(crate) fn ffn_width(&self) -> usize {
        8 * self.dim / 3
    }

    /// Width of what modulates the blocks.
    pub(crate) fn modulation_width(&self) -> usize {
        self.dim.min(MAX_MODULATION)
    }

    /// The blocks that are shown: those of the picture alone, and those of both.
    pub(crate) fn blocks(&self) -> u16 {
        (self.n_refiner_layers + self.n_layers) as u16
    }

    /// The grid of tokens for a latent of `latent` rows and columns, both even.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / PATCH, latent.width / PATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_as_published() -> Result<()> {
        let config = ZImageConfig::from_json(&json!({"siglip_feat_dim": null}))?;
        assert_eq!((config.dim, config.ffn_width(), config.blocks()), (3840, 10_240, 32));
        assert_eq!(config.modulation_width(), 256);
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("FluxTransformer2DModel")),
            ("all_patch_size", json!([4])),
            ("all_f_patch_size", json!([2])),
            ("qk_norm", json!(false)),
            ("siglip_feat_dim", json!(1152)),
            ("dim", json!(0)),
            ("n_heads", json!(7)),
            ("n_kv_heads", json!(10)),
            ("n_layers", json!(1_000_000)),
            ("n_refiner_layers", json!(-1)),
            ("norm_eps", json!(0)),
            ("cap_feat_dim", json!("wide")),
            ("rope_theta", json!(0)),
            ("t_scale", json!(-1)),
            ("axes_dims", json!([64, 64])),
            ("axes_dims", json!([32, 48, 50])),
            ("axes_lens", json!([1, 2])),
        ] {
            let error = ZImageConfig::from_json(&json!({key: value}))
                .expect_err(key)
                .to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}
