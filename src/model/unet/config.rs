//! Configuration of a U-Net of the Stable Diffusion family, as in `unet/config.json`.

use serde_json::{Value, json};

use super::conditions::TIME_IDS;
use crate::{
    activation::Grid,
    error::{Error, Result},
    model::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

/// One level of the network, of the down or the up stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Channels of the level's resnets.
    pub channels: usize,
    /// Transformer blocks after each resnet; 0 where the level has no transformer.
    pub transformer_layers: usize,
    /// Attention heads.
    pub heads: usize,
}

/// A U-Net of the Stable Diffusion family.
#[derive(Debug, Clone, PartialEq)]
pub struct UnetConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// The levels of the down stage, widest grid first.
    pub down: Vec<Level>,
    /// The levels of the up stage, deepest first.
    pub up: Vec<Level>,
    /// The middle.
    pub mid: Level,
    /// Resnets per level of the down stage; the up stage has one more.
    pub layers_per_block: usize,
    /// Width of the text states.
    pub cross_attention_dim: usize,
    /// Groups of every GroupNorm.
    pub norm_num_groups: usize,
    /// Epsilon of the resnets' GroupNorms.
    pub norm_eps: f64,
    /// Whether proj_in and proj_out are Linear (SD2.x, SDXL) and not 1x1 convolutions.
    pub use_linear_projection: bool,
    /// Whether the timestep embedding has its cosines first.
    pub flip_sin_to_cos: bool,
    /// Shift of the timestep embedding's frequencies.
    pub freq_shift: f64,
    /// Whether the input is scaled to 2x − 1.
    pub center_input_sample: bool,
    /// Side of the latents it was trained on.
    pub sample_size: usize,
    /// How the network is also conditioned on a pooled text and on sizes (SDXL).
    pub added: Option<AddedEmbedding>,
}

/// Widths of SDXL's second way of conditioning: a pooled text and six numbers about the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedEmbedding {
    /// Width P of the pooled text.
    pub pooled: usize,
    /// Width of the sinusoidal embedding of each number.
    pub time_ids: usize,
}

impl AddedEmbedding {
    /// Width of pooled text and embedded numbers side by side.
    pub fn input_width(self) -> usize {
        self.pooled + TIME_IDS * self.time_ids
    }
}

const NAME: &str = "the U-Net's config.json";
const DEFAULT_CHANNELS: [usize; 4] = [320, 640, 1280, 1280];
const DEFAULT_CROSS_ATTENTION_DIM: usize = 1280;
const DEFAULT_GROUPS: usize = 32;
const DEFAULT_HEADS: usize = 8;
const DEFAULT_SAMPLE_SIZE: usize = 64;
/// Convolutions of this family halve a grid with padding 1 on all sides.
const DOWNSAMPLE_PADDING: usize = 1;
const MAX_SAMPLE_SIZE: usize = 1024;

impl UnetConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        refuse_unsupported(&config)?;
        let channels = config.counts("block_out_channels", &DEFAULT_CHANNELS, 0, 1, MAX_WIDTH)?;
        let levels = channels.len();
        let has_transformer = |key, plain: &str, cross: &str, default: Vec<bool>| match config.texts(key)? {
            None if default.len() == levels => Ok(default),
            Some(kinds) if kinds.len() == levels && kinds.iter().all(|kind| *kind == plain || *kind == cross) => {
                Ok(kinds.iter().map(|kind| *kind == cross).collect())
            }
            _ => Err(config.refuse(key, &format!("{levels} of \"{plain}\" and \"{cross}\""))),
        };
        let default_down: Vec<bool> = (0..levels).map(|level| level + 1 < levels).collect();
        let default_up = default_down.iter().rev().copied().collect();
        let down_cross = has_transformer("down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", default_down)?;
        let up_cross = has_transformer("up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", default_up)?;
        let heads_key = match config.value("num_attention_heads") {
            Some(_) => "num_attention_heads",
            None => "attention_head_dim",
        };
        let heads = config.counts(heads_key, &[DEFAULT_HEADS], levels, 1, MAX_WIDTH)?;
        let layers = config.counts("transformer_layers_per_block", &[1], levels, 1, MAX_LAYERS)?;
        let level = |index: usize, cross: bool| Level {
            channels: channels[index],
            transformer_layers: if cross { layers[index] } else { 0 },
            heads: heads[index],
        };
        let read = Self {
            in_channels: config.count("in_channels", Some(4), 1, MAX_WIDTH)?,
            out_channels: config.count("out_channels", Some(4), 1, MAX_WIDTH)?,
            down: down_cross
                .iter()
                .enumerate()
                .map(|(index, cross)| level(index, *cross))
                .collect(),
            up: up_cross
                .iter()
                .enumerate()
                .map(|(index, cross)| level(levels - 1 - index, *cross))
                .collect(),
            mid: level(levels - 1, true),
            layers_per_block: config.count("layers_per_block", Some(2), 1, MAX_LAYERS)?,
            cross_attention_dim: config.count(
                "cross_attention_dim",
                Some(DEFAULT_CROSS_ATTENTION_DIM),
                1,
                MAX_WIDTH,
            )?,
            norm_num_groups: config.count("norm_num_groups", Some(DEFAULT_GROUPS), 1, MAX_WIDTH)?,
            norm_eps: config.number("norm_eps", 1e-5)?,
            use_linear_projection: config.flag("use_linear_projection", false)?,
            flip_sin_to_cos: config.flag("flip_sin_to_cos", true)?,
            freq_shift: config.number("freq_shift", 0.0)?,
            center_input_sample: config.flag("center_input_sample", false)?,
            sample_size: config.count("sample_size", Some(DEFAULT_SAMPLE_SIZE), 1, MAX_SAMPLE_SIZE)?,
            added: added_embedding(&config)?,
        };
        read.check(&config)?;
        Ok(read)
    }

    fn check(&self, config: &ConfigReader<'_>) -> Result<()> {
        for level in self.down.iter().chain([&self.mid]) {
            if level.channels % self.norm_num_groups != 0 || level.channels % 2 != 0 {
                let groups = self.norm_num_groups;
                return Err(config.refuse(
                    "block_out_channels",
                    &format!("even multiples of norm_num_groups, {groups}"),
                ));
            }
            if level.transformer_layers > 0 && level.channels % level.heads != 0 {
                return Err(config.refuse(
                    "attention_head_dim",
                    "numbers of heads that divide the level's channels",
                ));
            }
        }
        if self.norm_eps <= 0.0 || self.norm_eps >= 1.0 {
            return Err(config.refuse("norm_eps", "a number between 0 and 1"));
        }
        let half = (self.down[0].channels / 2) as f64;
        if half <= self.freq_shift {
            return Err(config.refuse("freq_shift", &format!("less than {half}")));
        }
        Ok(())
    }

    /// Width of the timestep embedding.
    pub fn time_embed_dim(&self) -> usize {
        const TIME_EMBED_RATIO: usize = 4;
        self.down[0].channels * TIME_EMBED_RATIO
    }

    /// The grid of every level of the down stage for a latent of `latent` rows and columns.
    pub fn grids(&self, latent: Grid) -> Vec<Grid> {
        let halve = |grid: &Grid| Grid::new(grid.height.div_ceil(2), grid.width.div_ceil(2));
        std::iter::successors(Some(latent), |grid| Some(halve(grid)))
            .take(self.down.len())
            .collect()
    }

    /// Channels of the latent: what the noise is mixed with, and what the network predicts.
    pub fn latent_channels(&self) -> usize {
        self.out_channels
    }

    /// Whether the network also takes a mask and the latent of the picture under it, beside the noisy latent.
    pub fn inpaints(&self) -> bool {
        self.in_channels == 2 * self.latent_channels() + MASK_CHANNELS
    }

    /// Why this program cannot run the network, if it can only list it.
    pub fn check_runnable(&self) -> Result<()> {
        if self.in_channels != self.latent_channels() && !self.inpaints() {
            let latent = self.latent_channels();
            return Err(Error::failed(format!(
                "this U-Net takes {} channels and gives {latent}: it needs another input than a noisy latent of {latent} \
                 channels, which for inpainting has a mask and a second latent beside it ({} channels), and cannot be run",
                self.in_channels,
                2 * latent + MASK_CHANNELS
            )));
        }
        Ok(())
    }
}

/// Channels of an inpainting network's mask.
pub const MASK_CHANNELS: usize = 1;

fn added_embedding(config: &ConfigReader<'_>) -> Result<Option<AddedEmbedding>> {
    if config.choice("addition_embed_type", "", &["", "text_time"])?.is_empty() {
        return Ok(None);
    }
    const WIDTH_KEY: &str = "projection_class_embeddings_input_dim";
    let time_ids = config.count("addition_time_embed_dim", None, 2, MAX_WIDTH)?;
    let width = config.count(WIDTH_KEY, None, 1, MAX_WIDTH)?;
    let pooled = width
        .checked_sub(TIME_IDS * time_ids)
        .filter(|pooled| *pooled > 0)
        .ok_or_else(|| {
            config.refuse(
                WIDTH_KEY,
                &format!(
                    "more than {}, {TIME_IDS} times addition_time_embed_dim",
                    TIME_IDS * time_ids
                ),
            )
        })?;
    Ok(Some(AddedEmbedding { pooled, time_ids }))
}

/// Refuses what would compute something else than the configuration says.
fn refuse_unsupported(config: &ConfigReader<'_>) -> Result<()> {
    for (key, supported) in [
        ("_class_name", json!("UNet2DConditionModel")),
        ("downsample_padding", json!(DOWNSAMPLE_PADDING)),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("resnet_time_scale_shift", json!("default")),
        ("time_embedding_type", json!("positional")),
        ("conv_in_kernel", json!(3)),
        ("conv_out_kernel", json!(3)),
        ("resnet_out_scale_factor", json!(1.0)),
    ] {
        config.only(key, &supported)?;
    }
    for key in [
        "class_embed_type",
        "num_class_embeds",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "only_cross_attention",
        "dual_cross_attention",
        "mid_block_only_cross_attention",
        "resnet_skip_time_act",
        "reverse_transformer_layers_per_block",
        "time_embedding_act_fn",
        "time_embedding_dim",
        "time_cond_proj_dim",
        "timestep_post_act",
        "cross_attention_norm",
    ] {
        config.absent(key)?;
    }
    config.choice("act_fn", "silu", &["silu", "swish"])?;
    config.choice("attention_type", "default", &["default"])?;
    Ok(())
}
