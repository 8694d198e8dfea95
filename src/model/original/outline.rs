//! What names and shapes of tensors tell of a U-Net.

use serde_json::{Value, json};

use super::UNET_PREFIX;
use crate::{
    error::{Error, Result},
    model::{
        config::{MAX_LAYERS, MAX_LEVELS},
        unet::UnetConfig,
    },
    weights::Store,
};

/// Channels of an attention head of Stable Diffusion 2 and XL. Tensors do not tell it.
const HEAD_WIDTH: usize = 64;
/// Heads of Stable Diffusion 1, on every level. Tensors do not tell it.
const SD1_HEADS: usize = 8;
/// Width of the sinusoidal embedding of each of SDXL's time ids. Tensors do not tell it.
const TIME_IDS_WIDTH: usize = 256;

/// The architecture of a U-Net as far as its tensors tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    in_channels: usize,
    out_channels: usize,
    /// The levels, widest grid first.
    levels: Vec<LevelOutline>,
    mid_blocks: usize,
    layers_per_block: usize,
    text_width: usize,
    linear_projection: bool,
    /// Width of what SDXL embeds besides the timestep.
    added_width: Option<usize>,
}

/// One level, as far as its tensors tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LevelOutline {
    channels: usize,
    /// Transformer blocks after each resnet; none where there is no transformer.
    blocks: Option<usize>,
}

impl Outline {
    pub(super) fn of_config(config: &UnetConfig) -> Self {
        let blocks = |layers: usize| (layers > 0).then_some(layers);
        Self {
            in_channels: config.in_channels,
            out_channels: config.out_channels,
            levels: config
                .down
                .iter()
                .map(|level| LevelOutline {
                    channels: level.channels,
                    blocks: blocks(level.transformer_layers),
                })
                .collect(),
            mid_blocks: config.mid.transformer_layers,
            layers_per_block: config.layers_per_block,
            text_width: config.cross_attention_dim,
            linear_projection: config.use_linear_projection,
            added_width: config.added.map(|added| added.input_width()),
        }
    }

    pub(super) fn of_tensors(store: &Store) -> Result<Self> {
        let tensors = Tensors(store);
        let [first, in_channels, ..] = tensors.dims::<4>("input_blocks.0.0.weight")?;
        let [out_channels, ..] = tensors.dims::<4>("out.2.weight")?;
        let (levels, layers_per_block) = tensors.levels()?;
        let mid_blocks = tensors.blocks("middle_block.1").unwrap_or(0);
        let (Some(widest), Some(deepest)) = (levels.first(), levels.last()) else {
            return Err(unknown("input_blocks", "at least one level"));
        };
        if widest.channels != first || mid_blocks == 0 || mid_blocks > MAX_LAYERS {
            return Err(unknown("middle_block", "transformer blocks, as Stable Diffusion's"));
        }
        let [mid_channels, ..] = tensors.dims::<4>("middle_block.0.in_layers.2.weight")?;
        if mid_channels != deepest.channels {
            return Err(unknown("middle_block", "the channels of the last level"));
        }
        let outline = Self {
            in_channels,
            out_channels,
            mid_blocks,
            layers_per_block,
            text_width: tensors.dims::<2>("middle_block.1.transformer_blocks.0.attn2.to_k.weight")?[1],
            linear_projection: match tensors.shape("middle_block.1.proj_in.weight").map(<[usize]>::len) {
                Some(2) => true,
                Some(4) => false,
                _ => return Err(unknown("middle_block.1.proj_in.weight", "two dimensions, or four")),
            },
            added_width: match tensors.shape("label_emb.0.0.weight") {
                Some([_, width]) => Some(*width),
                Some(_) => return Err(unknown("label_emb.0.0.weight", "two dimensions")),
                None => None,
            },
            levels,
        };
        outline.check_up(&tensors)?;
        Ok(outline)
    }

    /// The way up of distilled networks (SSD-1B) has other transformers than the way down; these would be run wrongly.
    fn check_up(&self, tensors: &Tensors<'_>) -> Result<()> {
        let per_level = self.layers_per_block + 1;
        for (index, level) in self.levels.iter().rev().enumerate() {
            for repeat in 0..per_level {
                let block = index * per_level + repeat;
                if tensors.blocks(&format!("output_blocks.{block}.1")) != level.blocks {
                    return Err(unknown(
                        &format!("output_blocks.{block}"),
                        "as many transformer blocks as the same level of input_blocks",
                    ));
                }
            }
        }
        Ok(())
    }

    /// As `unet/config.json` says it, with the published models' values for what tensors do not tell.
    pub(super) fn config(&self) -> Value {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for level in &self.levels {
            let crosses = level.blocks.is_some();
            down.push(if crosses { "CrossAttnDownBlock2D" } else { "DownBlock2D" });
            up.insert(0, if crosses { "CrossAttnUpBlock2D" } else { "UpBlock2D" });
        }
        let last = self.levels.len() - 1;
        let blocks: Vec<usize> = (0..)
            .zip(&self.levels)
            .map(|(index, level)| level.blocks.unwrap_or(if index == last { self.mid_blocks } else { 1 }))
            .collect();
        let heads: Vec<usize> = self
            .levels
            .iter()
            .map(|level| match self.linear_projection {
                true => (level.channels / HEAD_WIDTH).max(1),
                false => SD1_HEADS,
            })
            .collect();
        let channels: Vec<usize> = self.levels.iter().map(|level| level.channels).collect();
        let mut config = json!({
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": channels,
            "down_block_types": down,
            "up_block_types": up,
            "transformer_layers_per_block": blocks,
            "layers_per_block": self.layers_per_block,
            "attention_head_dim": heads,
            "cross_attention_dim": self.text_width,
            "use_linear_projection": self.linear_projection,
        });
        if let (Some(width), Some(config)) = (self.added_width, config.as_object_mut()) {
            config.insert("addition_embed_type".into(), "text_time".into());
            config.insert("addition_time_embed_dim".into(), TIME_IDS_WIDTH.into());
            config.insert("projection_class_embeddings_input_dim".into(), width.into());
        }
        config
    }
}

/// The U-Net's tensors by their names after [`UNET_PREFIX`].
struct Tensors<'a>(&'a Store);

impl Tensors<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.shape(&format!("{UNET_PREFIX}{name}"))
    }

    fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let found = self
            .shape(name)
            .ok_or_else(|| Error::failed(format!("the U-Net lacks the tensor {UNET_PREFIX}{name}")))?;
        found.try_into().map_err(|_| {
            Error::failed(format!(
                "the tensor {UNET_PREFIX}{name} has shape {found:?}, {N} dimensions are expected"
            ))
        })
    }

    /// How many transformer blocks there are at a place; none where there is no transformer.
    fn blocks(&self, place: &str) -> Option<usize> {
        let there = |block: &usize| {
            self.shape(&format!("{place}.transformer_blocks.{block}.attn1.to_q.weight"))
                .is_some()
        };
        Some((0..).take_while(there).count()).filter(|blocks| *blocks > 0)
    }

    /// Every level of the way down, and the number of resnets in each.
    fn levels(&self) -> Result<(Vec<LevelOutline>, usize)> {
        let mut levels: Vec<Vec<LevelOutline>> = vec![Vec::new()];
        for index in 1.. {
            let block = format!("input_blocks.{index}.0");
            if self.shape(&format!("{block}.op.weight")).is_some() {
                levels.push(Vec::new());
            } else if let Some([channels, ..]) = self.shape(&format!("{block}.in_layers.2.weight")) {
                let blocks = self.blocks(&format!("input_blocks.{index}.1"));
                if let Some(level) = levels.last_mut() {
                    level.push(LevelOutline {
                        channels: *channels,
                        blocks,
                    });
                }
            } else {
                break;
            }
        }
        let repeats = levels[0].len();
        let alike =
            |level: &Vec<LevelOutline>| level.len() == repeats && level.iter().all(|repeat| *repeat == level[0]);
        if repeats == 0 || repeats > MAX_LAYERS || levels.len() > MAX_LEVELS || !levels.iter().all(alike) {
            return Err(unknown(
                "input_blocks",
                "levels of equally many blocks, all blocks of a level alike",
            ));
        }
        Ok((levels.into_iter().map(|level| level[0]).collect(), repeats))
    }
}

fn unknown(place: &str, expected: &str) -> Error {
    Error::failed(format!(
        "the architecture is none that this program knows: {UNET_PREFIX}{place} was expected to have {expected}"
    ))
}
