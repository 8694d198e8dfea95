//! The network's `config.json`.

use serde_json::{Value, json};

use crate::{
    error::Result,
    geometry::Grid,
    image::picture::CHANNELS,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_LEVELS, MAX_WIDTH},
};

/// Blocks of the down stage without attention and with it; those of the up stage mirror them.
pub(super) const DOWN_BLOCKS: [&str; 2] = ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"];
const UP_BLOCKS: [&str; 2] = ["ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"];
const MAX_SAMPLE_SIZE: usize = 1024;
/// Groups of the norm of the text inside every attention.
pub(super) const TEXT_GROUPS: usize = 32;

/// Configuration as in `unet/config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct IfConfig {
    /// Channels of every level.
    pub block_out_channels: Vec<usize>,
    /// Whether the blocks of a level attend.
    pub attends: Vec<bool>,
    /// Resnets of a level of the down stage; those of the up stage have one more.
    pub layers_per_block: usize,
    /// Width of a head of every attention.
    pub attention_head_dim: usize,
    /// Width of the text as attention reads it.
    pub cross_attention_dim: usize,
    /// Width of the text encoder's states.
    pub encoder_hid_dim: usize,
    /// Heads of the attention that pools the text.
    pub pool_heads: usize,
    /// Channels of the output: the noise, and perhaps as many numbers for its variance behind it.
    pub out_channels: usize,
    /// Groups of the norms of pictures.
    pub norm_num_groups: usize,
    /// Epsilon of these norms.
    pub norm_eps: f64,
    /// Side of the pictures it was trained on.
    pub sample_size: usize,
}

impl IfConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the U-Net's config.json")?;
        refuse_unsupported(&config)?;
        let attends = attending(&config)?;
        let width = |key| config.count(key, None, 1, MAX_WIDTH / 4);
        let read = Self {
            block_out_channels: config.counts("block_out_channels", &[], 0, 1, MAX_WIDTH / 4)?,
            attends,
            layers_per_block: config.count("layers_per_block", Some(2), 1, MAX_LAYERS)?,
            attention_head_dim: width("attention_head_dim")?,
            cross_attention_dim: width("cross_attention_dim")?,
            encoder_hid_dim: width("encoder_hid_dim")?,
            pool_heads: config.count("addition_embed_type_num_heads", Some(64), 1, MAX_WIDTH)?,
            out_channels: config.count("out_channels", Some(4), CHANNELS, 2 * CHANNELS)?,
            norm_num_groups: config.count("norm_num_groups", Some(32), 1, MAX_WIDTH)?,
            norm_eps: config.number("norm_eps", 1e-5)?,
            sample_size: config.count("sample_size", Some(64), 1, MAX_SAMPLE_SIZE)?,
        };
        if read.block_out_channels.len() != read.attends.len() {
            return Err(config.refuse(
                "block_out_channels",
                &format!("one number for each of {} levels", read.attends.len()),
            ));
        }
        let (groups, head) = (read.norm_num_groups, read.attention_head_dim);
        let fits = |channels: &usize| channels.is_multiple_of(groups) && channels.is_multiple_of(head);
        if !read.block_out_channels.iter().all(fits) || !read.block_out_channels[0].is_multiple_of(2) {
            let allowed = format!("even multiples of norm_num_groups, {groups}, and attention_head_dim, {head}");
            return Err(config.refuse("block_out_channels", &allowed));
        }
        if !read.cross_attention_dim.is_multiple_of(TEXT_GROUPS) {
            return Err(config.refuse("cross_attention_dim", &format!("a multiple of {TEXT_GROUPS}")));
        }
        if !read.encoder_hid_dim.is_multiple_of(read.pool_heads) {
            let allowed = format!("a divisor of encoder_hid_dim, {}", read.encoder_hid_dim);
            return Err(config.refuse("addition_embed_type_num_heads", &allowed));
        }
        if read.out_channels != CHANNELS && read.out_channels != 2 * CHANNELS {
            return Err(config.refuse("out_channels", "3 or 6"));
        }
        if read.norm_eps <= 0.0 || read.norm_eps >= 1.0 {
            return Err(config.refuse("norm_eps", "a number between 0 and 1"));
        }
        Ok(read)
    }

    /// Levels of each stage.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Channels of the deepest level.
    pub(crate) fn deepest(&self) -> usize {
        self.block_out_channels.last().copied().unwrap_or_default()
    }

    /// Width of the timestep's embedding.
    pub(crate) fn time_embed_dim(&self) -> usize {
        4 * self.block_out_channels[0]
    }

    /// The number that both sides of a picture are divisible by.
    pub(crate) fn size_multiple(&self) -> usize {
        1 << (self.levels() - 1)
    }

    /// The grid of every level, the widest first.
    pub(crate) fn grids(&self, picture: Grid) -> Vec<Grid> {
        (0..self.levels())
            .map(|level| Grid::new(picture.height >> level, picture.width >> level))
            .collect()
    }
}

/// Whether the blocks of each level attend; the up stage must mirror the down stage.
fn attending(config: &ConfigReader<'_>) -> Result<Vec<bool>> {
    let kinds = |key: &str, names: [&str; 2]| -> Result<Vec<bool>> {
        let listed = config.texts(key)?.unwrap_or_default();
        let attends: Option<Vec<bool>> = listed
            .iter()
            .map(|kind| names.iter().position(|name| name == kind).map(|place| place == 1))
            .collect();
        let allowed = || config.refuse(key, &format!("1 to {MAX_LEVELS} of {}", names.join(" and ")));
        attends.filter(|all| !all.is_empty()).ok_or_else(allowed)
    };
    let down = kinds("down_block_types", DOWN_BLOCKS)?;
    let up = kinds("up_block_types", UP_BLOCKS)?;
    if up.iter().ne(down.iter().rev()) {
        return Err(config.refuse("up_block_types", "the blocks of down_block_types in the opposite order"));
    }
    Ok(down)
}

/// Refuses what would compute something else than the configuration says.
fn refuse_unsupported(config: &ConfigReader<'_>) -> Result<()> {
    for (key, supported) in [
        ("_class_name", json!("UNet2DConditionModel")),
        ("in_channels", json!(CHANNELS)),
        ("act_fn", json!("gelu")),
        ("addition_embed_type", json!("text")),
        ("cross_attention_norm", json!("group_norm")),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
        ("resnet_time_scale_shift", json!("scale_shift")),
    ] {
        config.only(key, &supported)?;
        if config.value(key).is_none() {
            return Err(config.refuse(key, &supported.to_string()));
        }
    }
    for (key, supported) in [
        ("attention_type", json!("default")),
        ("conv_in_kernel", json!(3)),
        ("conv_out_kernel", json!(3)),
        ("encoder_hid_dim_type", json!("text_proj")),
        ("flip_sin_to_cos", json!(true)),
        ("freq_shift", json!(0)),
        ("mid_block_scale_factor", json!(1)),
        ("resnet_out_scale_factor", json!(1)),
        ("time_embedding_type", json!("positional")),
        ("time_embedding_act_fn", json!("gelu")),
    ] {
        config.only(key, &supported)?;
    }
    for key in [
        "center_input_sample",
        "class_embed_type",
        "class_embeddings_concat",
        "dual_cross_attention",
        "mid_block_only_cross_attention",
        "num_attention_heads",
        "num_class_embeds",
        "only_cross_attention",
        "resnet_skip_time_act",
        "time_cond_proj_dim",
        "time_embedding_dim",
        "timestep_post_act",
    ] {
        config.absent(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(more: &Value) -> Value {
        let mut json = super::super::known::config_of("deepfloyd-if-i-l").expect("a known configuration");
        for (key, value) in more.as_object().into_iter().flatten() {
            json[key] = value.clone();
        }
        json
    }

    #[test]
    fn the_published_network_has_its_sizes() -> Result<()> {
        let config = IfConfig::from_json(&published(&json!({})))?;
        assert_eq!(config.block_out_channels, [320, 640, 960, 1280]);
        assert_eq!(config.attends, [false, true, true, true]);
        assert_eq!((config.time_embed_dim(), config.size_multiple()), (1280, 8));
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("act_fn", json!("silu")),
            ("act_fn", json!(null)),
            ("in_channels", json!(6)),
            ("class_embed_type", json!("timestep")),
            ("block_out_channels", json!([320, 640])),
            ("block_out_channels", json!([320, 640, 960, 1281])),
            ("block_out_channels", json!([320, 640, 960, 1_u64 << 60])),
            ("attention_head_dim", json!(0)),
            ("cross_attention_dim", json!(1281)),
            ("addition_embed_type_num_heads", json!(63)),
            ("layers_per_block", json!(1_000_000)),
            ("out_channels", json!(5)),
            ("norm_eps", json!(1)),
            ("down_block_types", json!(["DownBlock2D"])),
            ("up_block_types", json!(["ResnetUpsampleBlock2D"])),
            ("resnet_time_scale_shift", json!("default")),
            ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
            ("only_cross_attention", json!(true)),
        ] {
            let error = IfConfig::from_json(&published(&json!({key: value})))
                .expect_err(key)
                .to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}
