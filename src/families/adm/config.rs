//! `config.json` of an ADM in the keys of guided-diffusion's `create_model_and_diffusion`.

use serde_json::Value;

use crate::{
    components::schedule::{DiscreteSchedule, Prediction},
    error::{Error, Result},
    geometry::Grid,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
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
    pub levels: Vec<AdmLevel>,
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
    /// Whether the network gets t·1000/`diffusion_steps` and not t.
    pub rescale_timesteps: bool,
}

/// One resolution of the U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmLevel {
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
const MAX_IMAGE_SIZE: usize = 16_384;
const MAX_PATCH_SIZE: usize = 64;
const MAX_CHANNELS: usize = MAX_WIDTH;
const MAX_RES_BLOCKS: usize = MAX_LAYERS;
pub(super) const MAX_LEVELS: usize = 12;
const MAX_STEPS: usize = 100_000;

/// The keys without which a JSON object is taken for something else than an ADM configuration.
const TELLING_KEYS: [&str; 3] = ["image_size", "num_channels", "channel_mult"];

impl AdmConfig {
    /// From the JSON of `config.json`. Missing keys have guided-diffusion's defaults; unknown ones, which concern
    /// training and sampling, are ignored.
    ///
    /// # Errors
    ///
    /// Where none of guided-diffusion's keys is there, where a value is of another type or out of its range, and where
    /// the network is class-conditional.
    pub fn from_json(json: &Value) -> Result<Self> {
        let keys = ConfigReader::new(json, "config.json")?;
        if TELLING_KEYS.iter().all(|key| keys.value(key).is_none()) {
            return Err(Error::failed(format!(
                "this is not the configuration of an ADM: none of guided-diffusion's keys {} is in it",
                TELLING_KEYS.join(", ")
            )));
        }
        if keys.flag("class_cond", false)? {
            return Err(keys.refuse(
                "class_cond",
                "false: a class-conditional network needs the class of every picture, which nobody gives here",
            ));
        }
        let image_size = keys.count("image_size", Some(64), 1, MAX_IMAGE_SIZE)?;
        let patch_size = keys.count("patch_size", Some(1), 1, MAX_PATCH_SIZE)?;
        let num_channels = keys.count("num_channels", Some(128), 1, MAX_CHANNELS)?;
        let config = Self {
            image_size,
            patch_size,
            num_channels,
            num_res_blocks: keys.count("num_res_blocks", Some(2), 1, MAX_RES_BLOCKS)?,
            levels: levels(&keys, image_size, patch_size, num_channels)?,
            heads: heads(&keys)?,
            num_groups: keys.count("num_groups", Some(32), 1, MAX_CHANNELS)?,
            use_scale_shift_norm: keys.flag("use_scale_shift_norm", true)?,
            resblock_updown: keys.flag("resblock_updown", false)?,
            use_new_attention_order: keys.flag("use_new_attention_order", false)?,
            learn_sigma: keys.flag("learn_sigma", false)?,
            predict_xstart: keys.flag("predict_xstart", false)?,
            diffusion_steps: keys.count("diffusion_steps", Some(1000), 1, MAX_STEPS)?,
            noise_schedule: match keys.choice("noise_schedule", "linear", &["linear", "cosine"])? {
                "cosine" => NoiseSchedule::Cosine,
                _ => NoiseSchedule::Linear,
            },
            rescale_timesteps: keys.flag("rescale_timesteps", false)?,
        };
        config.check()?;
        Ok(config)
    }

    /// What the numbers must be to each other.
    pub(super) fn check(&self) -> Result<()> {
        if !self.num_channels.is_multiple_of(2) {
            return Err(Error::failed(format!(
                "config.json: \"num_channels\" is {}; an even number is needed for the sines and cosines of the timestep",
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
            .map_err(|error| Error::failed(format!("config.json: \"image_size\": {error}")))
    }

    fn check_level(&self, index: usize, level: AdmLevel) -> Result<()> {
        let AdmLevel { channels, attention } = level;
        if channels == 0 || channels > MAX_CHANNELS {
            return Err(Error::failed(format!(
                "config.json: \"channel_mult\" gives level {index} {channels} channels; allowed: 1 to {MAX_CHANNELS}"
            )));
        }
        if !channels.is_multiple_of(self.num_groups) {
            return Err(Error::failed(format!(
                "config.json: \"num_groups\" is {}, which does not divide the {channels} channels of level {index}",
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
                "config.json: \"{key}\" is {number}, which does not divide the {channels} channels of level {index}"
            ))),
            _ => Ok(()),
        }
    }

    /// Sides of a working picture are multiples of this.
    pub(crate) fn size_multiple(&self) -> usize {
        self.patch_size << (self.levels.len().saturating_sub(1))
    }

    /// Whether the network can run on a picture of this size.
    ///
    /// # Errors
    ///
    /// Where a side is 0 or no multiple of the model's.
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
    pub(crate) fn output_channels(&self) -> usize {
        if self.learn_sigma { 2 * COLOURS } else { COLOURS }
    }

    /// The timestep as the network gets it.
    pub(crate) fn model_timestep(&self, t: f32) -> f32 {
        const RESCALED_STEPS: f32 = 1000.0;
        if self.rescale_timesteps {
            t * (RESCALED_STEPS / self.diffusion_steps as f32)
        } else {
            t
        }
    }

    /// The noise of every timestep, and what the network predicts.
    pub fn schedule(&self) -> DiscreteSchedule {
        let schedule = match self.noise_schedule {
            NoiseSchedule::Linear => DiscreteSchedule::linear(self.diffusion_steps),
            NoiseSchedule::Cosine => DiscreteSchedule::cosine(self.diffusion_steps),
        };
        schedule.with_prediction(if self.predict_xstart {
            Prediction::Sample
        } else {
            Prediction::Epsilon
        })
    }
}

/// A count where −1, as well as no key, means "not given".
fn optional_count(keys: &ConfigReader, key: &str) -> Result<Option<usize>> {
    match keys.value(key) {
        None => Ok(None),
        Some(value) if value.as_f64() == Some(-1.0) => Ok(None),
        Some(_) => keys.count(key, None, 1, MAX_CHANNELS).map(Some),
    }
}

/// Positive numbers as "1,2,4", as an array, or as one number alone; an empty text or array is no numbers.
fn numbers(keys: &ConfigReader, key: &str) -> Result<Option<Vec<f64>>> {
    let Some(value) = keys.value(key) else {
        return Ok(None);
    };
    let numbers: Option<Vec<f64>> = match value {
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::String(text) => text.split(',').map(|number| number.trim().parse().ok()).collect(),
        Value::Array(items) => items.iter().map(Value::as_f64).collect(),
        other => other.as_f64().map(|number| vec![number]),
    };
    numbers
        .filter(|numbers| numbers.iter().all(|number| number.is_finite() && *number > 0.0))
        .map(Some)
        .ok_or_else(|| keys.refuse(key, "positive numbers, as an array or separated by commas"))
}

fn levels(keys: &ConfigReader, image_size: usize, patch_size: usize, num_channels: usize) -> Result<Vec<AdmLevel>> {
    let multipliers = match numbers(keys, "channel_mult")? {
        Some(given) if !given.is_empty() => given,
        _ => default_multipliers(image_size)?,
    };
    if multipliers.len() > MAX_LEVELS {
        return Err(too_many_levels(multipliers.len()));
    }
    let resolutions = numbers(keys, "attention_resolutions")?;
    let resolutions = resolutions.unwrap_or_else(|| DEFAULT_ATTENTION_RESOLUTIONS.to_vec());
    // A resolution is turned into the downsampling that yields it, so that the same levels attend at every working
    // size.
    let grid_size = image_size / patch_size;
    let attended: Vec<usize> = resolutions.iter().map(|r| grid_size / (*r as usize).max(1)).collect();
    Ok(multipliers
        .iter()
        .enumerate()
        .map(|(index, multiplier)| AdmLevel {
            channels: (multiplier * num_channels as f64) as usize,
            attention: attended.contains(&(1 << index)),
        })
        .collect())
}

fn heads(keys: &ConfigReader) -> Result<Heads> {
    if let Some(width) = optional_count(keys, "num_head_channels")? {
        return Ok(Heads::Width(width));
    }
    let down = keys.count("num_heads", Some(DEFAULT_HEADS), 1, MAX_CHANNELS)?;
    let up = optional_count(keys, "num_heads_upsample")?.unwrap_or(down);
    Ok(Heads::Count { down, up })
}

/// guided-diffusion's `attention_resolutions` where a configuration has none.
const DEFAULT_ATTENTION_RESOLUTIONS: [f64; 2] = [16.0, 8.0];

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
                "config.json: \"channel_mult\" is not given and has no default for image_size {other} (only for 64, 128, 256 \
                 and 512)"
            )));
        }
    })
}

fn too_many_levels(found: usize) -> Error {
    Error::failed(format!(
        "config.json: \"channel_mult\" names {found} levels; allowed: 1 to {MAX_LEVELS}"
    ))
}
