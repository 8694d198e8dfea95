//! The network's `config.json`.

use serde_json::{Value, json};

use super::{FFN_RATIO, PATCH};
use crate::{
    error::Result,
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH, whole_number},
};

const NAME: &str = "the transformer's config.json";
const MAX_SAMPLE_SIZE: usize = 1024;
/// The side of the largest published table of positions is 384.
const MAX_POSITIONS: usize = 2048;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sd3Config {
    /// Side of the latents it was trained on.
    pub sample_size: usize,
    /// Channels of the latent, which are those of the output.
    pub in_channels: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of the text states.
    pub joint_attention_dim: usize,
    /// Width of the pooled text.
    pub pooled_projection_dim: usize,
    /// Side of the stored table of positions, of which a picture gets the middle.
    pub pos_embed_max_size: usize,
    /// Blocks in which the picture attends to itself alone, too (3.5 medium).
    pub dual_attention_layers: Vec<usize>,
    /// Whether queries and keys have norms (3.5).
    pub qk_norm: bool,
}

impl Sd3Config {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        config.only("_class_name", &json!(super::CLASS))?;
        config.only("patch_size", &json!(PATCH))?;
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let in_channels = width("in_channels", 16)?;
        if width("out_channels", 16)? != in_channels {
            return Err(config.refuse("out_channels", &format!("as many as in_channels, {in_channels}")));
        }
        let num_layers = config.count("num_layers", Some(18), 1, MAX_LAYERS)?;
        let qk_norm = match config.value("qk_norm") {
            None => false,
            Some(_) => config.choice("qk_norm", "rms_norm", &["rms_norm"])? == "rms_norm",
        };
        let read = Self {
            sample_size: config.count("sample_size", Some(128), PATCH, MAX_SAMPLE_SIZE)?,
            in_channels,
            num_layers,
            attention_head_dim: width("attention_head_dim", 64)?,
            num_attention_heads: width("num_attention_heads", 18)?,
            joint_attention_dim: width("joint_attention_dim", 4096)?,
            pooled_projection_dim: width("pooled_projection_dim", 2048)?,
            pos_embed_max_size: config.count("pos_embed_max_size", Some(96), 1, MAX_POSITIONS)?,
            dual_attention_layers: dual_attention_layers(&config, num_layers)?,
            qk_norm,
        };
        if read.width() > MAX_WIDTH {
            let allowed = format!("a width that times num_attention_heads is at most {MAX_WIDTH}");
            return Err(config.refuse("attention_head_dim", &allowed));
        }
        if width("caption_projection_dim", 1152)? != read.width() {
            let allowed = format!("the width of the blocks, {}", read.width());
            return Err(config.refuse("caption_projection_dim", &allowed));
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

    /// Whether the picture attends to itself alone in a block, too.
    pub(crate) fn is_dual(&self, block: u16) -> bool {
        self.dual_attention_layers.contains(&usize::from(block))
    }

    /// The grid of tokens for a latent of `latent` rows and columns, both even.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / PATCH, latent.width / PATCH)
    }
}

fn dual_attention_layers(config: &ConfigReader<'_>, num_layers: usize) -> Result<Vec<usize>> {
    const KEY: &str = "dual_attention_layers";
    let refuse = || config.refuse(KEY, &format!("a list of blocks, from 0 to {}", num_layers - 1));
    let Some(value) = config.value(KEY) else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .filter(|list| list.len() <= MAX_LAYERS)
        .ok_or_else(refuse)?;
    let blocks = list
        .iter()
        .map(|block| whole_number(block).filter(|block| *block < num_layers));
    blocks.collect::<Option<_>>().ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_as_in_diffusers() -> Result<()> {
        let medium = Sd3Config::from_json(&json!({
            "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
            "qk_norm": "rms_norm", "dual_attention_layers": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        }))?;
        assert_eq!((medium.width(), medium.ffn_width()), (1536, 6144));
        assert!(medium.qk_norm && medium.is_dual(12) && !medium.is_dual(13));
        let plain = Sd3Config::from_json(&json!({"qk_norm": null, "dual_attention_layers": []}))?;
        assert_eq!(
            (plain.width(), plain.num_layers, plain.pos_embed_max_size),
            (1152, 18, 96)
        );
        assert!(!plain.qk_norm && !plain.is_dual(0));
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("FluxTransformer2DModel")),
            ("patch_size", json!(1)),
            ("in_channels", json!(0)),
            ("out_channels", json!(32)),
            ("num_layers", json!(1_000_000)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("joint_attention_dim", json!("wide")),
            ("pooled_projection_dim", json!(0)),
            ("pos_embed_max_size", json!(1_u64 << 40)),
            ("sample_size", json!(-1)),
            ("caption_projection_dim", json!(768)),
            ("qk_norm", json!("layer_norm")),
            ("dual_attention_layers", json!([18])),
            ("dual_attention_layers", json!(["first"])),
            ("dual_attention_layers", json!(3)),
            ("dual_attention_layers", json!(vec![0; 1000])),
        ] {
            let error = Sd3Config::from_json(&json!({key: value})).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
        assert!(Sd3Config::from_json(&json!({"attention_head_dim": 60_000})).is_err());
        assert!(Sd3Config::from_json(&json!([])).is_err());
    }
}
