//! The half of a U-Net that a ControlNet is a copy of: by its configuration, or by the names and shapes of its tensors.

use crate::{
    error::{Error, Result},
    families::stable_diffusion::unet::{Middle, UnetConfig, UnetLevel},
    weights::{
        Store,
        config::{MAX_LAYERS, MAX_LEVELS},
    },
};

/// The shape of the first half of a U-Net, as far as a ControlNet has to share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// Channels of the latent.
    pub latent: usize,
    /// Channels and transformer blocks of every level, widest grid first.
    pub levels: Vec<[usize; 2]>,
    /// Transformer blocks of the middle.
    pub middle: usize,
    /// Resnets of a level.
    pub repeats: usize,
    /// Width of the text states.
    pub text: usize,
    /// Whether proj_in and proj_out are linear layers.
    pub linear: bool,
    /// Width of what SDXL embeds besides the timestep.
    pub text_time: Option<usize>,
}

impl Half {
    /// Of a U-Net with this configuration.
    pub(crate) fn of_config(config: &UnetConfig) -> Self {
        let levels = config.down.iter();
        // No ControlNet is a copy of a U-Net with levels that are not alike in themselves; of such a one the first repeat
        // stands for all, and the number of residuals decides.
        let blocks = |level: &UnetLevel| level.transformers.first().copied().flatten().unwrap_or(0);
        Self {
            latent: config.latent_channels(),
            levels: levels.map(|level| [level.channels, blocks(level)]).collect(),
            middle: match config.mid {
                Middle::Attending { blocks } => blocks,
                Middle::Resnet | Middle::Absent => 0,
            },
            repeats: config.down.first().map_or(0, |level| level.transformers.len()),
            text: config.cross_attention_dim,
            linear: config.use_linear_projection,
            text_time: config.text_time.map(|widths| widths.input_width()),
        }
    }

    /// Of a ControlNet with these tensors, named as diffusers names them.
    pub(crate) fn of_tensors(store: &Store) -> Result<Self> {
        let tensors = Tensors(store);
        let [_, latent, ..] = tensors.dims::<4>("conv_in.weight")?;
        let (mut levels, mut repeats) = (Vec::new(), None);
        for level in 0..MAX_LEVELS {
            let place = format!("down_blocks.{level}");
            let resnets = tensors.count(&format!("{place}.resnets"), "conv1.weight");
            if resnets == 0 {
                break;
            }
            if *repeats.get_or_insert(resnets) != resnets {
                return Err(unlike(&place, "as many resnets as the levels before it"));
            }
            let [channels, ..] = tensors.dims::<4>(&format!("{place}.resnets.0.conv1.weight"))?;
            let blocks = |repeat: usize| tensors.blocks(&format!("{place}.attentions.{repeat}"));
            let first = blocks(0);
            if (1..resnets).any(|repeat| blocks(repeat) != first) {
                return Err(unlike(&place, "equally many transformer blocks after every resnet"));
            }
            levels.push([channels, first]);
        }
        let repeats = repeats.ok_or_else(|| unlike("down_blocks", "at least one level"))?;
        let middle = tensors.blocks("mid_block.attentions.0");
        if middle == 0 {
            return Err(unlike("mid_block", "transformer blocks"));
        }
        let projection = "mid_block.attentions.0.proj_in.weight";
        Ok(Self {
            latent,
            levels,
            middle,
            repeats,
            text: tensors.dims::<2>("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight")?[1],
            linear: match store.shape(projection).map(<[usize]>::len) {
                Some(2) => true,
                Some(4) => false,
                _ => return Err(unlike(projection, "two dimensions, or four")),
            },
            text_time: match store.shape("add_embedding.linear_1.weight") {
                Some(_) => Some(tensors.dims::<2>("add_embedding.linear_1.weight")?[1]),
                None => None,
            },
        })
    }

    /// How many skips it has.
    pub fn skips(&self) -> usize {
        // One behind the first convolution, one behind every resnet, and one behind every sampler.
        1 + self.levels.len() * self.repeats + self.levels.len().saturating_sub(1)
    }

    /// Whether a ControlNet that is a copy of this half has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        const RESNET: [&str; 6] = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut"];
        const TRANSFORMER: [&str; 3] = ["norm", "proj_in", "proj_out"];
        const BLOCK: [&str; 6] = ["norm1", "norm2", "norm3", "attn1", "attn2", "ff"];
        let parts: Vec<&str> = name.split('.').collect();
        let index = |text: &str, end: usize| text.parse::<usize>().is_ok_and(|index| index < end);
        let in_transformer = |rest: &[&str], blocks: usize| match rest {
            ["transformer_blocks", block, part, ..] => index(block, blocks) && BLOCK.contains(part),
            [part, ..] => blocks > 0 && TRANSFORMER.contains(part),
            [] => false,
        };
        match parts.as_slice() {
            ["conv_in" | "controlnet_mid_block", _] => true,
            ["time_embedding", "linear_1" | "linear_2", _] => true,
            ["add_embedding", "linear_1" | "linear_2", _] => self.text_time.is_some(),
            ["controlnet_cond_embedding", ..] => true,
            ["controlnet_down_blocks", skip, _] => index(skip, self.skips()),
            ["mid_block", "resnets", "0" | "1", part, _] => RESNET.contains(part),
            ["mid_block", "attentions", "0", rest @ ..] => in_transformer(rest, self.middle),
            ["down_blocks", level, rest @ ..] => {
                let Some([_, blocks]) = level.parse().ok().and_then(|level: usize| self.levels.get(level)) else {
                    return false;
                };
                match rest {
                    ["resnets", repeat, part, _] => index(repeat, self.repeats) && RESNET.contains(part),
                    ["attentions", repeat, rest @ ..] => index(repeat, self.repeats) && in_transformer(rest, *blocks),
                    ["downsamplers", "0", "conv", _] => index(level, self.levels.len() - 1),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// In words, for who has to see why two do not fit.
    pub fn describe(&self) -> String {
        let channels: Vec<usize> = self.levels.iter().map(|[channels, _]| *channels).collect();
        let blocks: Vec<usize> = self.levels.iter().map(|[_, blocks]| *blocks).collect();
        let added = match self.text_time {
            Some(width) => format!(", {width} numbers beside the timestep"),
            None => String::new(),
        };
        format!(
            "levels of {channels:?} channels with {} resnets and {blocks:?} transformer blocks each, {} in the middle, text of \
             width {}{added}",
            self.repeats, self.middle, self.text
        )
    }
}

struct Tensors<'a>(&'a Store);

impl Tensors<'_> {
    fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let found = self
            .0
            .shape(name)
            .ok_or_else(|| Error::failed(format!("the ControlNet lacks the tensor {name}")))?;
        found.try_into().map_err(|_| {
            Error::failed(format!(
                "the tensor {name} has shape {found:?}, {N} dimensions are expected"
            ))
        })
    }

    /// How many there are of numbered parts that each have this tensor.
    fn count(&self, place: &str, tensor: &str) -> usize {
        let there = |index: &usize| self.0.shape(&format!("{place}.{index}.{tensor}")).is_some();
        (0..MAX_LAYERS).take_while(there).count()
    }

    fn blocks(&self, place: &str) -> usize {
        self.count(&format!("{place}.transformer_blocks"), "attn1.to_q.weight")
    }
}

fn unlike(place: &str, expected: &str) -> Error {
    Error::failed(format!(
        "it is no ControlNet that this program knows: {place} was expected to have {expected}"
    ))
}
