//! Configuration of a U-Net of the Stable Diffusion family, as in `unet/config.json`.

use serde_json::{Value, json};

use super::conditions::TIME_IDS;
use crate::{
    error::{Error, Result},
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH, whole_number},
};

/// One level of the network, of the down or the up stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnetLevel {
    /// Channels of the level's resnets.
    pub channels: usize,
    /// Attention heads of its transformers.
    pub heads: usize,
    /// An entry per resnet: the blocks of the transformer behind it, none where there is no transformer.
    pub transformers: Vec<Option<usize>>,
}

/// The layers between the down and the up stage, on the deepest grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// Nothing (BK-SDM small, KOALA).
    Absent,
    /// One resnet (SSD-1B).
    Resnet,
    /// A resnet, a transformer of so many blocks, a resnet.
    Attending {
        /// Blocks of the transformer.
        blocks: usize,
    },
}

/// A U-Net of the Stable Diffusion family.
#[derive(Debug, Clone, PartialEq)]
pub struct UnetConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// The levels of the down stage, widest grid first.
    pub down: Vec<UnetLevel>,
    /// The levels of the up stage, deepest first.
    pub up: Vec<UnetLevel>,
    /// The middle, as wide as the deepest level.
    pub mid: Middle,
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
    pub text_time: Option<TextTimeWidths>,
    /// Width of the embedded guidance scale (LCM). Here there never is one: as where diffusers is
    /// given no `timestep_cond`, nothing is added to the timestep.
    pub guidance_width: Option<usize>,
}

/// Widths of SDXL's second way of conditioning: a pooled text and six numbers about the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextTimeWidths {
    /// Width P of the pooled text.
    pub pooled: usize,
    /// Width of the sinusoidal embedding of each number.
    pub time_ids: usize,
}

impl TextTimeWidths {
    /// Of pooled text and embedded numbers side by side, `width` wide; none where nothing is left for the text.
    pub(crate) fn of_width(width: usize, time_ids: usize) -> Option<Self> {
        let pooled = width.checked_sub(time_ids.checked_mul(TIME_IDS)?)?;
        (pooled > 0).then_some(Self { pooled, time_ids })
    }

    /// Width of pooled text and embedded numbers side by side.
    pub(crate) fn input_width(self) -> usize {
        self.pooled + TIME_IDS * self.time_ids
    }
}

const NAME: &str = "the U-Net's config.json";
const DEFAULT_CHANNELS: [usize; 4] = [320, 640, 1280, 1280];
const DEFAULT_CROSS_ATTENTION_DIM: usize = 1280;
const DEFAULT_GROUPS: usize = 32;
const DEFAULT_HEADS: usize = 8;
const DEFAULT_LAYERS: usize = 2;
const MIDDLE: &str = "mid_block_type";
const ATTENDING: &str = "UNetMidBlock2DCrossAttn";
const RESNET_ALONE: &str = "UNetMidBlock2D";
const DEPTHS: &str = "transformer_layers_per_block";
const REVERSED_DEPTHS: &str = "reverse_transformer_layers_per_block";
const GUIDANCE: &str = "time_cond_proj_dim";
const DEFAULT_SAMPLE_SIZE: usize = 64;
/// Convolutions of this family halve a grid with padding 1 on all sides.
const DOWNSAMPLE_PADDING: usize = 1;
const MAX_SAMPLE_SIZE: usize = 1024;

impl UnetConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Where a value is of another type or out of its range, or names what this program does not compute.
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
        let mut repeats = config.counts("layers_per_block", &[DEFAULT_LAYERS], levels, 1, MAX_LAYERS)?;
        let down_depths = depths(&config, DEPTHS, &repeats)?;
        let mid = match (config.is_null(MIDDLE), config.text(MIDDLE, ATTENDING)?) {
            (true, _) => Middle::Absent,
            (_, ATTENDING) => Middle::Attending {
                blocks: down_depths
                    .last()
                    .and_then(|depths| depths.first())
                    .copied()
                    .unwrap_or(1),
            },
            (_, RESNET_ALONE) => Middle::Resnet,
            _ => return Err(config.refuse(MIDDLE, &format!("\"{ATTENDING}\", \"{RESNET_ALONE}\", null"))),
        };
        repeats.reverse();
        repeats.iter_mut().for_each(|repeats| *repeats += 1);
        let up_depths = match config.value(REVERSED_DEPTHS) {
            Some(_) => depths(&config, REVERSED_DEPTHS, &repeats)?,
            None => mirrored(&config, &repeats)?,
        };
        let level = |index: usize, crosses: bool, depths: Vec<usize>| UnetLevel {
            channels: channels[index],
            heads: heads[index],
            transformers: depths.into_iter().map(|blocks| crosses.then_some(blocks)).collect(),
        };
        let down: Vec<UnetLevel> = (0..)
            .zip(down_cross.iter().zip(down_depths))
            .map(|(index, (crosses, depths))| level(index, *crosses, depths))
            .collect();
        let up: Vec<UnetLevel> = (0..)
            .zip(up_cross.iter().zip(up_depths))
            .map(|(index, (crosses, depths))| level(levels - 1 - index, *crosses, depths))
            .collect();
        let attends = |level: usize| {
            down_cross[level]
                || up_cross[levels - 1 - level]
                || level + 1 == levels && matches!(mid, Middle::Attending { .. })
        };
        let read = Self {
            in_channels: config.count("in_channels", Some(4), 1, MAX_WIDTH)?,
            out_channels: config.count("out_channels", Some(4), 1, MAX_WIDTH)?,
            cross_attention_dim: text_width(&config, levels, attends)?,
            down,
            up,
            mid,
            norm_num_groups: config.count("norm_num_groups", Some(DEFAULT_GROUPS), 1, MAX_WIDTH)?,
            norm_eps: config.number("norm_eps", 1e-5)?,
            use_linear_projection: config.flag("use_linear_projection", false)?,
            flip_sin_to_cos: config.flag("flip_sin_to_cos", true)?,
            freq_shift: config.number("freq_shift", 0.0)?,
            center_input_sample: config.flag("center_input_sample", false)?,
            sample_size: sample_size(&config)?,
            text_time: text_time_widths(&config)?,
            guidance_width: match config.value(GUIDANCE) {
                Some(_) => Some(config.count(GUIDANCE, None, 1, MAX_WIDTH)?),
                None => None,
            },
        };
        match read.fault() {
            Some((key, allowed)) => Err(config.refuse(key, &allowed)),
            None => Ok(read),
        }
    }

    /// The same configuration, if such a network can be.
    pub(crate) fn checked(self) -> Result<Self> {
        match self.fault() {
            Some((key, allowed)) => Err(Error::failed(format!("{key} would have to be {allowed}"))),
            None => Ok(self),
        }
    }

    /// The key of what makes the network impossible, and what it may be.
    fn fault(&self) -> Option<(&'static str, String)> {
        let deepest = self.down.len() - 1;
        for (index, level) in self.down.iter().enumerate() {
            if level.channels % self.norm_num_groups != 0 || level.channels % 2 != 0 {
                let groups = self.norm_num_groups;
                let allowed = format!("even multiples of norm_num_groups, {groups}");
                return Some(("block_out_channels", allowed));
            }
            let in_middle = index == deepest && matches!(self.mid, Middle::Attending { .. });
            let attends = in_middle || level.attends() || self.up[deepest - index].attends();
            if attends && level.channels % level.heads != 0 {
                let allowed = "numbers of heads that divide the level's channels";
                return Some(("attention_head_dim", allowed.to_owned()));
            }
        }
        if self.norm_eps <= 0.0 || self.norm_eps >= 1.0 {
            return Some(("norm_eps", "a number between 0 and 1".to_owned()));
        }
        let half = (self.down[0].channels / 2) as f64;
        if half <= self.freq_shift {
            return Some(("freq_shift", format!("less than {half}")));
        }
        if let Some(widths) = self.text_time
            && (widths.time_ids % 2 != 0 || (widths.time_ids / 2) as f64 <= self.freq_shift)
        {
            let allowed = "an even number above twice freq_shift";
            return Some(("addition_time_embed_dim", allowed.to_owned()));
        }
        None
    }

    /// Resnets of every level of the down stage; the same level of the up stage has one more.
    pub fn layers_per_block(&self) -> Vec<usize> {
        self.down.iter().map(|level| level.transformers.len()).collect()
    }

    /// The level of the down stage on the deepest grid, of whose widths the middle is.
    pub fn deepest(&self) -> &UnetLevel {
        // A configuration has at least one level.
        &self.down[self.down.len() - 1]
    }

    /// Width of the timestep embedding.
    pub(crate) fn time_embed_dim(&self) -> usize {
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
    ///
    /// # Errors
    ///
    /// Where the network takes something else than a noisy latent, with or without a mask for inpainting.
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

impl UnetLevel {
    /// Whether a transformer follows any of its resnets.
    pub fn attends(&self) -> bool {
        self.transformers.iter().any(Option::is_some)
    }
}

/// Channels of an inpainting network's mask.
pub(crate) const MASK_CHANNELS: usize = 1;

/// Blocks of the transformers of every level: one number for all, or one per level, or for a level one per resnet.
fn depths(config: &ConfigReader<'_>, key: &str, repeats: &[usize]) -> Result<Vec<Vec<usize>>> {
    let allowed = || {
        config.refuse(
            key,
            &format!(
                "a whole number from 0 to {MAX_LAYERS} or {} of them, each of them or a list with one for every resnet \
                 of the level",
                repeats.len()
            ),
        )
    };
    let depth = |value: &Value| whole_number(value).filter(|depth| *depth <= MAX_LAYERS);
    let of_level = |value: &Value, repeats: usize| match value {
        // As in diffusers, what a list has too much is not read.
        Value::Array(each) => each.get(..repeats)?.iter().map(depth).collect(),
        value => depth(value).map(|depth| vec![depth; repeats]),
    };
    let all = match config.value(key) {
        None => Some(repeats.iter().map(|repeats| vec![1; *repeats]).collect()),
        Some(Value::Array(levels)) if levels.len() == repeats.len() => {
            let levels = levels.iter().zip(repeats);
            levels.map(|(value, repeats)| of_level(value, *repeats)).collect()
        }
        Some(Value::Array(_)) => None,
        Some(value) => repeats.iter().map(|repeats| of_level(value, *repeats)).collect(),
    };
    all.ok_or_else(allowed)
}

/// The depths of the up stage where only those of the down stage are given, which must then be one per level.
fn mirrored(config: &ConfigReader<'_>, repeats: &[usize]) -> Result<Vec<Vec<usize>>> {
    let Some(Value::Array(levels)) = config.value(DEPTHS) else {
        return depths(config, DEPTHS, repeats);
    };
    let levels = levels.iter().rev().zip(repeats);
    let all = levels.map(|(value, repeats)| whole_number(value).map(|depth| vec![depth; *repeats]));
    all.collect::<Option<_>>().ok_or_else(|| {
        config.refuse(
            DEPTHS,
            &format!("a number per level: lists for the resnets of a level need {REVERSED_DEPTHS} beside them"),
        )
    })
}

/// Width of the text states: one number, or one per level, of which those that attend have the same.
fn text_width(config: &ConfigReader<'_>, levels: usize, attends: impl Fn(usize) -> bool) -> Result<usize> {
    const KEY: &str = "cross_attention_dim";
    let widths = config.counts(KEY, &[DEFAULT_CROSS_ATTENTION_DIM], levels, 1, MAX_WIDTH)?;
    let mut attended = (0..levels).filter(|level| attends(*level)).map(|level| widths[level]);
    let first = attended.next().unwrap_or(widths[0]);
    if attended.any(|width| width != first) {
        return Err(config.refuse(
            KEY,
            "one width for all levels that attend to the text: there is one text",
        ));
    }
    Ok(first)
}

/// Side of the latents it was trained on; of a height and a width the shorter.
fn sample_size(config: &ConfigReader<'_>) -> Result<usize> {
    const KEY: &str = "sample_size";
    let sides = config.counts(KEY, &[DEFAULT_SAMPLE_SIZE], 0, 1, MAX_SAMPLE_SIZE)?;
    match sides.as_slice() {
        [side] => Ok(*side),
        [height, width] => Ok(*height.min(width)),
        _ => Err(config.refuse(KEY, "a side, or a height and a width")),
    }
}

fn text_time_widths(config: &ConfigReader<'_>) -> Result<Option<TextTimeWidths>> {
    if config.choice("addition_embed_type", "", &["", "text_time"])?.is_empty() {
        return Ok(None);
    }
    const WIDTH_KEY: &str = "projection_class_embeddings_input_dim";
    let time_ids = config.count("addition_time_embed_dim", None, 2, MAX_WIDTH)?;
    let width = config.count(WIDTH_KEY, None, 1, MAX_WIDTH)?;
    let widths = TextTimeWidths::of_width(width, time_ids).ok_or_else(|| {
        let least = TIME_IDS * time_ids;
        config.refuse(
            WIDTH_KEY,
            &format!("more than {least}, {TIME_IDS} times addition_time_embed_dim"),
        )
    });
    widths.map(Some)
}

/// Refuses what would compute something else than the configuration says.
fn refuse_unsupported(config: &ConfigReader<'_>) -> Result<()> {
    for (key, supported) in [
        ("_class_name", json!("UNet2DConditionModel")),
        ("downsample_padding", json!(DOWNSAMPLE_PADDING)),
        ("mid_block_scale_factor", json!(1)),
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
        "class_embeddings_concat",
        "time_embedding_act_fn",
        "time_embedding_dim",
        "timestep_post_act",
        "cross_attention_norm",
    ] {
        config.absent(key)?;
    }
    config.choice("act_fn", "silu", &["silu", "swish"])?;
    config.choice("attention_type", "default", &["default"])?;
    Ok(())
}
