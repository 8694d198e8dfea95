//! Controls that can be asked for by name: their panel is shown, their part unfolded, and they get the keyboard.

use egui::{Context, Id};

use super::root::State;
use crate::device::Devices;

/// Frames that a control has to come into sight.
const MOST_FRAMES: usize = 30;

/// A control of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Control {
    /// Which model.
    Model,
    /// The device.
    Device,
    /// The number format.
    Format,
    /// The prompt.
    Prompt,
    /// The class that a class-conditional network is told.
    Class,
    /// What puts a LoRA on the model.
    Lora,
    /// What adds an embedding.
    Embedding,
    /// What puts a ControlNet beside the model.
    ControlNet,
    /// The timestep.
    Timestep,
    /// The guidance scale.
    Guidance,
    /// The seed of the noise.
    Seed,
    /// How many noises are averaged.
    Ensemble,
    /// The working size.
    Size,
    /// DDIM inversion.
    Inversion,
    /// How many matches are listed.
    Matches,
    /// Tokens of the prompt.
    Tokens,
    /// Heads of attention.
    Heads,
    /// The colour map of heat maps.
    ColourMap,
    /// The exponent of the range.
    Gamma,
    /// The opacity of heat maps.
    Opacity,
    /// The colour map of channels.
    ChannelMap,
    /// What PCA is fitted on.
    PcaBasis,
    /// Percentiles of PCA colours.
    Clip,
    /// Which components are shown.
    Components,
    /// The threshold of the mask.
    Threshold,
    /// The list of channels.
    Channels,
}

/// The side of the window that a control is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The rows above the panes.
    Top,
    /// Settings and layers.
    Left,
    /// The inspector.
    Right,
}

/// What is known of a control.
#[derive(Debug, Clone, Copy)]
pub struct ControlFacts {
    /// What it is called.
    pub name: &'static str,
    /// What it sets, in one sentence.
    pub hint: &'static str,
    /// The side it is on.
    pub side: Side,
    /// The titles of parts that it may be in: they are unfolded.
    pub parts: &'static [&'static str],
    /// What else it is called, in small letters.
    pub aliases: &'static [&'static str],
}

const NO_PART: &[&str] = &[];
const RUN: &[&str] = &["Run settings", "Advanced: run"];
const CONDITIONING: &[&str] = &["Conditioning"];
const HEAT: &[&str] = &["Heat map", "Advanced: heat map"];
const PCA: &[&str] = &["PCA", "Advanced: PCA"];
const CHANNELS: &[&str] = &["Channels"];

impl Control {
    /// Every control.
    pub const ALL: [Self; 26] = [
        Self::Model,
        Self::Device,
        Self::Format,
        Self::Prompt,
        Self::Class,
        Self::Lora,
        Self::Embedding,
        Self::ControlNet,
        Self::Timestep,
        Self::Guidance,
        Self::Seed,
        Self::Ensemble,
        Self::Size,
        Self::Inversion,
        Self::Matches,
        Self::Tokens,
        Self::Heads,
        Self::ColourMap,
        Self::Gamma,
        Self::Opacity,
        Self::ChannelMap,
        Self::PcaBasis,
        Self::Clip,
        Self::Components,
        Self::Threshold,
        Self::Channels,
    ];

    /// Whether it is a part of a panel as a whole.
    pub const fn is_part(self) -> bool {
        matches!(self, Self::Tokens | Self::Heads | Self::Channels)
    }

    /// What is known of it.
    pub const fn facts(self) -> ControlFacts {
        let (name, hint, side, parts, aliases): (_, _, _, _, &'static [&'static str]) = match self {
            Self::Model => (
                "Model",
                "Choose the model.",
                Side::Top,
                NO_PART,
                &["checkpoint", "network", "switch model", "change model", "load model"],
            ),
            Self::Device => (
                "Device",
                "Where the model computes.",
                Side::Left,
                NO_PART,
                &["gpu", "cuda", "cpu", "processor", "graphics card"],
            ),
            Self::Format => (
                "Number format",
                "What a GPU computes in.",
                Side::Left,
                NO_PART,
                &["dtype", "precision", "half", "fp16", "float16", "bf16", "f32"],
            ),
            Self::Prompt => (
                "Prompt",
                "What the model is told of the picture.",
                Side::Left,
                CONDITIONING,
                &["text", "caption", "conditioning"],
            ),
            Self::Class => (
                "Class",
                "The class that the network is told.",
                Side::Left,
                CONDITIONING,
                &["label", "imagenet class", "conditioning"],
            ),
            Self::Lora => (
                "Add LoRA",
                "Put an adapter on the model.",
                Side::Left,
                CONDITIONING,
                &["lora", "adapter", "lycoris", "dora", "conditioning"],
            ),
            Self::Embedding => (
                "Add embedding",
                "Textual inversion: vectors that the prompt names.",
                Side::Left,
                CONDITIONING,
                &["textual inversion", "embedding"],
            ),
            Self::ControlNet => (
                "Add ControlNet",
                "Put a ControlNet beside the model.",
                Side::Left,
                CONDITIONING,
                &["controlnet", "control net", "canny", "depth map", "conditioning"],
            ),
            Self::Timestep => (
                "Timestep",
                "The timestep that runs: how much noise.",
                Side::Top,
                NO_PART,
                &["time step", "t", "noise", "noise level", "sigma", "step"],
            ),
            Self::Guidance => (
                "Guidance scale",
                "The guidance scale that the model is told.",
                Side::Left,
                RUN,
                &["cfg", "distilled guidance"],
            ),
            Self::Seed => (
                "Seed",
                "The numbers of the noise.",
                Side::Left,
                RUN,
                &["random", "noise seed", "rng"],
            ),
            Self::Ensemble => (
                "Ensemble size",
                "Noises whose features are averaged.",
                Side::Left,
                RUN,
                &["mean of", "average", "noise samples", "ensemble"],
            ),
            Self::Size => (
                "Working size",
                "Short side of the picture that the model sees.",
                Side::Left,
                RUN,
                &["resolution", "size", "image size", "pixels", "square"],
            ),
            Self::Inversion => (
                "DDIM inversion",
                "The picture carried to t by the model's own predictions.",
                Side::Left,
                RUN,
                &["inversion", "deterministic noise", "invert"],
            ),
            Self::Matches => (
                "Number of matches",
                "How many matches of each pin are listed.",
                Side::Right,
                &["Matches"],
                &[
                    "top k",
                    "match",
                    "correspondence",
                    "correspondences",
                    "nearest neighbours",
                ],
            ),
            Self::Tokens => (
                "Tokens of the prompt",
                "Where a token of the prompt is attended to.",
                Side::Right,
                &["Tokens"],
                &[
                    "token",
                    "words",
                    "attention to text",
                    "attention",
                    "cross-attention",
                    "daam",
                ],
            ),
            Self::Heads => (
                "Attention heads",
                "The attention of one head, or the mean over heads.",
                Side::Right,
                &["Attention heads"],
                &["attention", "attention map", "head", "self-attention"],
            ),
            Self::ColourMap => (
                "Colour map",
                "The colours of heat maps.",
                Side::Right,
                HEAT,
                &[
                    "colormap",
                    "colourmap",
                    "color map",
                    "color",
                    "colours",
                    "cmap",
                    "palette",
                ],
            ),
            Self::Gamma => (
                "Gamma",
                "Spreads low scores or high ones.",
                Side::Right,
                HEAT,
                &["contrast", "curve", "exponent"],
            ),
            Self::Opacity => (
                "Opacity",
                "Of heat maps over pictures.",
                Side::Right,
                HEAT,
                &["transparency", "alpha", "overlay opacity"],
            ),
            Self::ChannelMap => (
                "Colour map of channels",
                "The colours of channel panes.",
                Side::Right,
                CHANNELS,
                &["channel colours", "channel colors", "diverging"],
            ),
            Self::PcaBasis => (
                "PCA fitted on",
                "The pictures that the basis of PCA colours is of.",
                Side::Right,
                PCA,
                &["pca basis", "basis of", "pca", "principal components"],
            ),
            Self::Clip => (
                "Clip at percentiles",
                "The part of the scores that PCA colours spread over.",
                Side::Right,
                PCA,
                &["percentile", "outlier clipping", "pca range"],
            ),
            Self::Components => (
                "PCA components",
                "Which components are red, green and blue.",
                Side::Right,
                PCA,
                &["principal components", "pca", "rgb", "eigenvectors"],
            ),
            Self::Threshold => (
                "Threshold of the mask",
                "The score of the first component at which foreground begins.",
                Side::Right,
                PCA,
                &[
                    "threshold",
                    "foreground threshold",
                    "mask threshold",
                    "cutoff",
                    "segmentation",
                ],
            ),
            Self::Channels => (
                "Channels",
                "The channels by their variance.",
                Side::Right,
                CHANNELS,
                &["features", "neurons", "channel list"],
            ),
        };
        ControlFacts {
            name,
            hint,
            side,
            parts,
            aliases,
        }
    }
}

impl State {
    /// Whether a control is there now: what a model does not read is not asked for.
    pub fn has_control(&self, control: Control) -> bool {
        let info = self.model.info.as_ref();
        let devices = |fits: fn(&Devices) -> bool| self.devices.as_ref().is_some_and(fits);
        match control {
            Control::Device => devices(|devices| devices.gpus().next().is_some() || devices.trouble.is_some()),
            Control::Format => devices(|devices| devices.gpus().next().is_some()),
            Control::Prompt => info.is_some_and(|info| info.reads_prompt),
            Control::Class => info.is_some_and(|info| info.classes.is_some()),
            Control::Lora | Control::Embedding | Control::ControlNet => {
                info.is_some_and(|info| info.reads_prompt && info.takes_adapters)
            }
            Control::Timestep | Control::Seed | Control::Ensemble | Control::Inversion => self.has_denoiser(),
            Control::Guidance => info.is_some_and(|info| info.reads_guidance),
            Control::Size => info.is_some(),
            Control::Tokens => self.layer().is_some_and(|id| id.is_cross_map()),
            Control::Heads => self.head_count().is_some(),
            Control::Threshold => self.document.mask.on,
            Control::Channels => self.channels.is_some(),
            _ => true,
        }
    }
}

/// A control that is to come into sight, and for how many frames it has been.
#[derive(Clone, Copy)]
struct Wanted {
    control: Control,
    frames: usize,
}

fn place() -> Id {
    Id::unique("control to reveal")
}

/// Wants a control in sight, with the keyboard, in the frames that follow.
pub fn want(context: &Context, control: Control) {
    context.data_mut(|data| {
        data.insert_temp(place(), Wanted { control, frames: 0 });
    });
}

/// The control that is wanted.
pub fn wanted(context: &Context) -> Option<Control> {
    context
        .data(|data| data.get_temp::<Wanted>(place()))
        .map(|wanted| wanted.control)
}

/// The control is in sight.
pub fn is_met(context: &Context) {
    context.data_mut(|data| data.remove::<Wanted>(place()));
}

/// At the end of a frame: gives up what has not come into sight for long; says whether one is still wanted.
pub fn age(context: &Context) -> bool {
    let Some(wanted) = context.data(|data| data.get_temp::<Wanted>(place())) else {
        return false;
    };
    if wanted.frames >= MOST_FRAMES {
        is_met(context);
        return false;
    }
    let frames = wanted.frames + 1;
    context.data_mut(|data| {
        data.insert_temp(place(), Wanted { frames, ..wanted });
    });
    true
}
