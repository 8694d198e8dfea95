//! `config.json` of an ADM in the keys of guided-diffusion's `create_model_and_diffusion`.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::{
    activation::Grid,
    error::{Error, Result},
};

/// Colours of a picture: what goes in, and what comes out once or (with a learned variance) twice.
pub const COLOURS: usize = 3;

/// The text-free pixel U-Net as configured, checked: whatever builds a network or a catalogue from it may rely on
/// every number being in range and every division coming out even.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmConfig {
    /// Side of the training pictures. Any working size that [`Self::check_size`] accepts runs as well.
    pub image_size: usize,
    /// Side p of the pixel blocks that become channels before the first convolution; 1 leaves the picture as it is.
    pub patch_size: usize,
    /// Base width, which the levels multiply; also the width of the timestep's sinusoids.
    pub num_channels: usize,
    /// Resnets per level on the way down; one more on the way up.
    pub num_res_blocks: usize,
    /// From the finest grid to the coarsest.
    pub levels: Vec<Level>,
    /// How attention blocks split their channels.
    pub heads: Heads,
    /// Groups of every GroupNorm.
    pub num_groups: usize,
    /// Whether the timestep scales and shifts (true) or is only added (false).
    pub use_scale_shift_norm: bool,
    /// Whether resnets (true) or plain convolutions (false) change the resolution.
    pub resblock_updown: bool,
    /// Order of the rows of `qkv`: q, k, v and then heads (true), or heads and then q, k, v (false).
    pub use_new_attention_order: bool,
    /// Whether a second picture of variances follows the prediction in the output.
    pub learn_sigma: bool,
    /// Whether the network predicts the clean picture and not the noise.
    pub predict_xstart: bool,
    /// Number of timesteps.
    pub diffusion_steps: usize,
    /// How noise grows with the timestep.
    pub noise_schedule: NoiseSchedule,
    /// Whether the network is told t·1000/`diffusion_steps` and not t.
    pub rescale_timesteps: bool,
}

/// One resolution of the U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Channels of its resnets.
    pub channels: usize,
    /// Whether an attention block follows each of them.
    pub attention: bool,
}

/// How attention blocks split their channels into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Heads of this many channels each.
    Width(usize),
    /// This many heads, whatever their width.
    Count {
        /// On the way down and in the middle.
        down: usize,
        /// On the way up.
        up: usize,
    },
}

impl Heads {
    /// Heads of an attention block of `channels`.
    pub fn count(self, channels: usize, on_the_way_up: bool) -> usize {
        match self {
            Self::Width(width) => channels / width,
            Self::Count { up, .. } if on_the_way_up => up,
            Self::Count { down, .. } => down,
        }
    }
}

/// How noise grows with the timestep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSchedule {
    /// beta from 1e-4 to 0.02 in equal steps (for 1000 of them).
    Linear,
    /// abar falls as a squared cosine.
    Cosine,
}

/// No published network comes near these; beyond them a configuration is a mistake, not a model.
const IMAGE_SIZES: RangeInclusive<usize> = 1..=16_384;
const PATCH_SIZES: RangeInclusive<usize> = 1..=64;
const CHANNELS: RangeInclusive<usize> = 1..=65_536;
const RES_BLOCKS: RangeInclusive<usize> = 1..=64;
pub(super) const MAX_LEVELS: usize = 12;
const STEPS: RangeInclusive<usize> = 1..=1_000_000;

/// The keys without which a JSON object is taken for something else than an ADM configuration.
const TELLING_KEYS: [&str; 3] = ["image_size", "num_channels", "channel_mult"];

impl AdmConfig {
    /// From the JSON of `config.json`. Missing keys have guided-diffusion's defaults; unknown ones, which concern
    /// training and sampling, are ignored.
    pub fn from_json(json: &Value) -> Result<Self> {
        let keys = Keys::new(json)?;
        if keys.flag("class_cond", false)? {
            return Err(Error::failed(
                "config: class_cond is true; a class-conditional ADM needs a class for every picture, and only \
                 unconditional ones are supported (class_cond false)",
            ));
        }
        let image_size = keys.count("image_size", 64, IMAGE_SIZES)?;
        let patch_size = keys.count("patch_size", 1, PATCH_SIZES)?;
        let num_channels = keys.count("num_channels", 128, CHANNELS)?;
        let config = Self {
            image_size,
            patch_size,
            num_channels,
            num_res_blocks: keys.count("num_res_blocks", 2, RES_BLOCKS)?,
            levels: keys.levels(image_size, patch_size, num_channels)?,
            heads: keys.heads()?,
            num_groups: keys.count("num_groups", 32, CHANNELS)?,
            use_scale_shift_norm: keys.flag("use_scale_shift_norm", true)?,
            resblock_updown: keys.flag("resblock_updown", false)?,
            use_new_attention_order: keys.flag("use_new_attention_order", false)?,
            learn_sigma: keys.flag("learn_sigma", false)?,
            predict_xstart: keys.flag("predict_xstart", false)?,
            diffusion_steps: keys.count("diffusion_steps", 1000, STEPS)?,
            noise_schedule: keys.noise_schedule()?,
            rescale_timesteps: keys.flag("rescale_timesteps", false)?,
        };
        config.check()?;
        Ok(config)
    }

    /// What the numbers must be to each other.
    pub(super) fn check(&self) -> Result<()> {
        if !self.num_channels.is_multiple_of(2) {
            return Err(Error::failed(format!(
                "config: num_channels is {}; an even number is needed for the sines and cosines of the timestep",
                self.num_channels
            )));
        }
        if self.levels.is_empty() || self.levels.len() > MAX_LEVELS {
            return Err(too_many_levels(self.levels.len()));
        }
        for (index, level) in self.levels.iter().enumerate() {
            self.check_level(index, *level)?;
        }
        self.check_size(Grid::new(self.image_size, self.image_size))
            .map_err(|error| Error::failed(format!("config: image_size does not fit: {error}")))
    }

    fn check_level(&self, index: usize, level: Level) -> Result<()> {
        let Level { channels, attention } = level;
        if !CHANNELS.contains(&channels) {
            return Err(Error::failed(format!(
                "config: channel_mult gives level {index} {channels} channels, {} to {} are possible",
                CHANNELS.start(),
                CHANNELS.end()
            )));
        }
        if !channels.is_multiple_of(self.num_groups) {
            return Err(Error::failed(format!(
                "config: num_groups is {}, which does not divide the {channels} channels of level {index}",
                self.num_groups
            )));
        }
        // The middle block attends at the coarsest level, whatever attention_resolutions says.
        let attends = attention || index + 1 == self.levels.len();
        let uneven = match self.heads {
            Heads::Width(width) => (!channels.is_multiple_of(width)).then_some(("num_head_channels", width)),
            Heads::Count { down, up } => [("num_heads", down), ("num_heads_upsample", up)]
                .into_iter()
                .find(|(_, heads)| !channels.is_multiple_of(*heads)),
        };
        match uneven {
            Some((key, number)) if attends => Err(Error::failed(format!(
                "config: {key} is {number}, which does not divide the {channels} channels of level {index}"
            ))),
            _ => Ok(()),
        }
    }

    /// Sides of a working picture are multiples of this.
    pub fn size_multiple(&self) -> usize {
        self.patch_size << (self.levels.len().saturating_sub(1))
    }

    /// Whether the network can run on a picture of this size.
    pub fn check_size(&self, picture: Grid) -> Result<()> {
        let multiple = self.size_multiple();
        let fits = |side: usize| side > 0 && side.is_multiple_of(multiple);
        if fits(picture.height) && fits(picture.width) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "this model works on sides that are multiples of {multiple}; {} x {} (width x height) is not",
            picture.width, picture.height
        )))
    }

    /// Number of blocks b1, b2, …: input blocks, middle, output blocks.
    pub fn blocks(&self) -> usize {
        let output = self.levels.len() * (self.num_res_blocks + 1);
        // The input side has one resnet less per level, one sampler less than levels, and the first convolution:
        // as many blocks as the output side.
        2 * output + 1
    }

    /// Channels of the network's output picture.
    pub fn output_channels(&self) -> usize {
        if self.learn_sigma { 2 * COLOURS } else { COLOURS }
    }

    /// The timestep as the network is told it.
    pub fn model_timestep(&self, t: f32) -> f32 {
        const RESCALED_STEPS: f32 = 1000.0;
        if self.rescale_timesteps {
            t * (RESCALED_STEPS / self.diffusion_steps as f32)
        } else {
            t
        }
    }

    /// abar of every timestep: x_t = sqrt(abar)·x + sqrt(1 − abar)·n.
    pub fn alphas_cumprod(&self) -> Vec<f64> {
        let steps = self.diffusion_steps;
        (0..steps)
            .scan(1.0, |abar, t| {
                *abar *= 1.0 - self.noise_schedule.beta(t, steps);
                Some(*abar)
            })
            .collect()
    }
}

impl NoiseSchedule {
    /// The noise added at step `t` of `steps`.
    fn beta(self, t: usize, steps: usize) -> f64 {
        match self {
            Self::Linear => {
                // The range was chosen for 1000 steps; fewer steps are proportionally larger.
                let scale = 1000.0 / steps as f64;
                let (first, last) = (scale * 1e-4, scale * 0.02);
                let position = t as f64 / (steps.max(2) - 1) as f64;
                (first + (last - first) * position).min(MAX_BETA)
            }
            Self::Cosine => {
                let abar = |t: usize| {
                    let angle = (t as f64 / steps as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
                    angle.cos().powi(2)
                };
                (1.0 - abar(t + 1) / abar(t)).min(MAX_BETA)
            }
        }
    }
}

/// A step never takes all of the picture away, where a formula says so.
const MAX_BETA: f64 = 0.999;

/// The object of a configuration, with a message for every way a key can be wrong.
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn new(json: &'a Value) -> Result<Self> {
        match json {
            Value::Object(map) if TELLING_KEYS.iter().any(|key| map.contains_key(*key)) => Ok(Self(map)),
            _ => Err(Error::failed(format!(
                "this is not the configuration of an ADM: a JSON object with guided-diffusion's keys ({}, …) is \
                 expected",
                TELLING_KEYS.join(", ")
            ))),
        }
    }

    /// The value of a key; null counts as missing.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn wrong(key: &str, found: &Value, allowed: impl std::fmt::Display) -> Error {
        Error::failed(format!("config: {key} is {found}; {allowed} is expected"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Self::wrong(key, other, "true or false")),
        }
    }

    /// A whole number in a range.
    fn count(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        whole(value).filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            Self::wrong(key, value, format_args!("a whole number from {least} to {most}"))
        })
    }

    /// The same where −1, as well as no key, means "not given".
    fn optional_count(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) if value.as_i64() == Some(-1) => Ok(None),
            Some(_) => self.count(key, 0, range).map(Some),
        }
    }

    /// Numbers as "1,2,4", as an array, or as one number alone; an empty text or array is no numbers.
    fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wrong = || Self::wrong(key, value, "numbers separated by commas, or an array of numbers,");
        let numbers = match value {
            Value::String(text) => text
                .split(',')
                .map(str::trim)
                .filter(|_| !text.trim().is_empty())
                .map(|number| number.parse().ok())
                .collect::<Option<Vec<f64>>>(),
            Value::Array(items) => items.iter().map(Value::as_f64).collect(),
            other => other.as_f64().map(|number| vec![number]),
        };
        numbers
            .filter(|numbers| numbers.iter().all(|number| number.is_finite() && *number > 0.0))
            .map(Some)
            .ok_or_else(wrong)
    }

    fn levels(&self, image_size: usize, patch_size: usize, num_channels: usize) -> Result<Vec<Level>> {
        let multipliers = match self.numbers("channel_mult")? {
            Some(given) if !given.is_empty() => given,
            _ => default_multipliers(image_size)?,
        };
        let grid_size = image_size / patch_size;
        let attended: Vec<usize> = match self.numbers("attention_resolutions")? {
            // A resolution is turned into the downsampling that yields it, so that the same layers attend at every
            // working size.
            Some(resolutions) => resolutions.iter().map(|r| grid_size / (*r as usize).max(1)).collect(),
            None => DEFAULT_ATTENTION_RESOLUTIONS.iter().map(|r| grid_size / r).collect(),
        };
        if multipliers.len() > MAX_LEVELS {
            return Err(too_many_levels(multipliers.len()));
        }
        Ok(multipliers
            .iter()
            .enumerate()
            .map(|(index, multiplier)| Level {
                channels: (multiplier * num_channels as f64) as usize,
                attention: attended.contains(&(1 << index)),
            })
            .collect())
    }

    fn heads(&self) -> Result<Heads> {
        if let Some(width) = self.optional_count("num_head_channels", CHANNELS)? {
            return Ok(Heads::Width(width));
        }
        let down = self.count("num_heads", DEFAULT_HEADS, CHANNELS)?;
        let up = self.optional_count("num_heads_upsample", CHANNELS)?.unwrap_or(down);
        Ok(Heads::Count { down, up })
    }

    fn noise_schedule(&self) -> Result<NoiseSchedule> {
        match self.get("noise_schedule") {
            None => Ok(NoiseSchedule::Linear),
            Some(Value::String(name)) if name == "linear" => Ok(NoiseSchedule::Linear),
            Some(Value::String(name)) if name == "cosine" => Ok(NoiseSchedule::Cosine),
            Some(other) => Err(Self::wrong("noise_schedule", other, "\"linear\" or \"cosine\"")),
        }
    }
}

/// guided-diffusion's `attention_resolutions` where a configuration has none.
const DEFAULT_ATTENTION_RESOLUTIONS: [usize; 2] = [16, 8];

/// guided-diffusion's `num_heads` where a configuration has none.
const DEFAULT_HEADS: usize = 4;

/// guided-diffusion's `channel_mult` where a configuration leaves it empty.
fn default_multipliers(image_size: usize) -> Result<Vec<f64>> {
    Ok(match image_size {
        512 => vec![0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
        256 => vec![1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
        128 => vec![1.0, 1.0, 2.0, 3.0, 4.0],
        64 => vec![1.0, 2.0, 3.0, 4.0],
        other => {
            return Err(Error::failed(format!(
                "config: channel_mult is not given and has no default for image_size {other} (only for 64, 128, 256 \
                 and 512)"
            )));
        }
    })
}

fn too_many_levels(found: usize) -> Error {
    Error::failed(format!(
        "config: channel_mult names {found} levels, 1 to {MAX_LEVELS} are possible"
    ))
}

/// A JSON number that is a whole one, also when it is written as 64.0.
fn whole(value: &Value) -> Option<usize> {
    let number = value.as_f64()?;
    (number >= 0.0 && number.fract() == 0.0 && number < MAX_WHOLE).then_some(number as usize)
}

/// Beyond this, f64 no longer tells neighbouring whole numbers apart.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
