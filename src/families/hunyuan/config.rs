//! The network's `config.json`.

use serde_json::{Value, json};

use super::{CLASS, PATCH};
use crate::{
    error::Result,
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const MAX_SAMPLE_SIZE: usize = 1024;
/// Prompts of this many tokens are longer than any encoder's.
const MAX_TOKENS: usize = 1024;
/// A feed-forward that is wider than this many times its block is none.
const MAX_RATIO: f64 = 64.0;

/// Configuration as in `transformer/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct HunyuanConfig {
    /// Channels of the latent.
    pub in_channels: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Transformer blocks, an even number.
    pub num_layers: usize,
    /// Width of a feed-forward's inside over the width of its block.
    pub mlp_ratio: f64,
    /// Side of the latents it was trained on.
    pub sample_size: usize,
    /// Whether as many numbers for a variance lie behind the prediction.
    pub learn_sigma: bool,
    /// Width of BERT's states.
    pub cross_attention_dim: usize,
    /// Width of mT5's states.
    pub cross_attention_dim_t5: usize,
    /// Width of the pooled text.
    pub pooled_projection_dim: usize,
    /// Tokens of BERT's.
    pub text_len: usize,
    /// Tokens of mT5's.
    pub text_len_t5: usize,
    /// Whether it is told sizes and a style (1.0 and 1.1).
    pub reads_sizes: bool,
}

impl HunyuanConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the transformer's config.json")?;
        config.choice("_class_name", CLASS, &[CLASS])?;
        for (key, supported) in [
            ("norm_type", json!("layer_norm")),
            ("activation_fn", json!("gelu-approximate")),
            ("patch_size", json!(PATCH)),
        ] {
            config.only(key, &supported)?;
        }
        let width = |key, default| config.count(key, Some(default), 1, MAX_WIDTH);
        let read = Self {
            in_channels: width("in_channels", 4)?,
            num_attention_heads: width("num_attention_heads", 16)?,
            attention_head_dim: width("attention_head_dim", 88)?,
            num_layers: config.count("num_layers", Some(28), 2, MAX_LAYERS)?,
            mlp_ratio: config.number("mlp_ratio", 4.0)?,
            sample_size: config.count("sample_size", Some(32), PATCH, MAX_SAMPLE_SIZE)?,
            learn_sigma: config.flag("learn_sigma", true)?,
            cross_attention_dim: width("cross_attention_dim", 1024)?,
            cross_attention_dim_t5: config.count("cross_attention_dim_t5", Some(2048), 1, MAX_WIDTH / 4)?,
            pooled_projection_dim: width("pooled_projection_dim", 1024)?,
            text_len: config.count("text_len", Some(77), 2, MAX_TOKENS)?,
            text_len_t5: config.count("text_len_t5", Some(256), 1, MAX_TOKENS)?,
            reads_sizes: config.flag("use_style_cond_and_image_meta_size", true)?,
        };
        // Half of a head's channels are turned by columns, half by rows, in pairs.
        if read.width() > MAX_WIDTH / 4 || !read.attention_head_dim.is_multiple_of(4) {
            let allowed = format!(
                "a multiple of 4 that times num_attention_heads is at most {}",
                MAX_WIDTH / 4
            );
            return Err(config.refuse("attention_head_dim", &allowed));
        }
        if config.count("hidden_size", Some(1152), 1, MAX_WIDTH)? != read.width() {
            return Err(config.refuse("hidden_size", &format!("the width of all heads, {}", read.width())));
        }
        // The first half of the blocks has a skip to the second.
        if !read.num_layers.is_multiple_of(2) {
            return Err(config.refuse("num_layers", "an even number"));
        }
        if !(1.0 / MAX_RATIO..=MAX_RATIO).contains(&read.mlp_ratio) || read.ffn_width() == 0 {
            return Err(config.refuse("mlp_ratio", &format!("a number from 1/{MAX_RATIO} to {MAX_RATIO}")));
        }
        if !read
            .cross_attention_dim_t5
            .is_multiple_of(super::conditions::POOL_HEADS)
        {
            let allowed = format!("a multiple of {}", super::conditions::POOL_HEADS);
            return Err(config.refuse("cross_attention_dim_t5", &allowed));
        }
        Ok(read)
    }

    /// Width D of the tokens: all heads side by side.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width inside the feed-forward part.
    pub(crate) fn ffn_width(&self) -> usize {
        (self.width() as f64 * self.mlp_ratio) as usize
    }

    /// Channels of the output: the prediction first.
    pub(crate) fn out_channels(&self) -> usize {
        self.in_channels * if self.learn_sigma { 2 } else { 1 }
    }

    /// Tokens of both encoders.
    pub fn tokens(&self) -> usize {
        self.text_len + self.text_len_t5
    }

    /// Whether a block takes the output of an earlier one in.
    pub(crate) fn has_skip(&self, block: usize) -> bool {
        block > self.num_layers / 2
    }

    /// Whether a later block takes the output of a block in.
    pub(crate) fn gives_skip(&self, block: usize) -> bool {
        block + 1 < self.num_layers / 2
    }

    /// The grid of tokens for a latent of `latent` rows and columns, both even.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / PATCH, latent.width / PATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(more: &Value) -> Value {
        let mut json = json!({
            "_class_name": CLASS, "hidden_size": 1408, "in_channels": 4, "mlp_ratio": 4.3637, "num_layers": 40,
            "patch_size": 2, "sample_size": 128, "learn_sigma": true
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            json[key] = value.clone();
        }
        json
    }

    #[test]
    fn the_published_network_has_its_sizes() -> Result<()> {
        let config = HunyuanConfig::from_json(&published(&json!({})))?;
        assert_eq!((config.width(), config.ffn_width(), config.tokens()), (1408, 6144, 333));
        assert_eq!((config.out_channels(), config.reads_sizes), (8, true));
        let skips: Vec<usize> = (0..40).filter(|block| config.has_skip(*block)).collect();
        let givers: Vec<usize> = (0..40).filter(|block| config.gives_skip(*block)).collect();
        assert_eq!((skips.len(), skips[0], givers.len(), givers[18]), (19, 21, 19, 18));
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("PixArtTransformer2DModel")),
            ("attention_head_dim", json!(90)),
            ("attention_head_dim", json!(60_000)),
            ("hidden_size", json!(1152)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("num_layers", json!(39)),
            ("num_layers", json!(1_000_000)),
            ("in_channels", json!("four")),
            ("mlp_ratio", json!(1e9)),
            ("mlp_ratio", json!(-1)),
            ("sample_size", json!(1_u64 << 40)),
            ("cross_attention_dim_t5", json!(2050)),
            ("text_len_t5", json!(1_u64 << 20)),
            ("norm_type", json!("ada_norm_zero")),
            ("activation_fn", json!("geglu")),
            ("patch_size", json!(4)),
        ] {
            let error = HunyuanConfig::from_json(&published(&json!({key: value})))
                .expect_err(key)
                .to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}
