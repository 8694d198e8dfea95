//! Configuration of a U-Net as deduced from names and shapes of tensors.

use super::{names::Naming, unet::Tensors};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::unet::{Middle, TextTimeWidths, UnetConfig, UnetLevel},
    weights::config::{MAX_LAYERS, MAX_LEVELS, MAX_WIDTH},
};

/// Channels of an attention head of Stable Diffusion 2 and XL. Cannot be deduced from tensors.
const HEAD_WIDTH: usize = 64;
/// Heads of Stable Diffusion 1, on every level. Cannot be deduced from tensors.
const SD1_HEADS: usize = 8;
/// Width of the sinusoidal embedding of each of SDXL's time ids. Cannot be deduced from tensors.
const TIME_IDS_WIDTH: usize = 256;
/// Groups of every GroupNorm, and their epsilon. Cannot be deduced from tensors.
const GROUPS: usize = 32;
const NORM_EPS: f64 = 1e-5;
/// Side of the latents the published models of 512 pixels were trained on.
const SAMPLE_SIZE: usize = 64;

/// The architecture of a U-Net as far as its tensors show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShapeSignature {
    pub(super) in_channels: usize,
    out_channels: usize,
    /// The levels, widest grid first.
    levels: Vec<LevelShape>,
    mid: Middle,
    pub(super) text_width: usize,
    pub(super) linear_projection: bool,
    /// Width of what SDXL embeds besides the timestep.
    pub(super) text_time_width: Option<usize>,
    /// Width of LCM's embedded guidance scale.
    guidance_width: Option<usize>,
}

/// One level, as far as its tensors show it. Lists have an entry per resnet: the blocks of the transformer behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LevelShape {
    channels: usize,
    down: Vec<Option<usize>>,
    up: Vec<Option<usize>>,
}

/// Facts that cannot be deduced from tensors.
#[derive(Debug, Clone)]
struct Untold {
    heads: Heads,
    groups: usize,
    eps: f64,
    time_ids: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    center_input_sample: bool,
    sample_size: usize,
}

/// How the channels of a level are split.
#[derive(Debug, Clone, Copy)]
enum Heads {
    /// So many on every level.
    Count(usize),
    /// Of so many channels each.
    Width(usize),
}

impl Untold {
    /// As in the published models.
    fn published(linear_projection: bool) -> Self {
        Self {
            heads: match linear_projection {
                true => Heads::Width(HEAD_WIDTH),
                false => Heads::Count(SD1_HEADS),
            },
            groups: GROUPS,
            eps: NORM_EPS,
            time_ids: TIME_IDS_WIDTH,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            center_input_sample: false,
            sample_size: SAMPLE_SIZE,
        }
    }

    /// As in another network of the same family.
    fn like(model: &UnetConfig) -> Self {
        let first = &model.down[0];
        let alike = model.down.iter().all(|level| level.heads == first.heads);
        Self {
            heads: match alike {
                true => Heads::Count(first.heads),
                false => Heads::Width((first.channels / first.heads).max(1)),
            },
            groups: model.norm_num_groups,
            eps: model.norm_eps,
            time_ids: model.text_time.map_or(TIME_IDS_WIDTH, |widths| widths.time_ids),
            flip_sin_to_cos: model.flip_sin_to_cos,
            freq_shift: model.freq_shift,
            center_input_sample: model.center_input_sample,
            sample_size: model.sample_size,
        }
    }
}

impl ShapeSignature {
    pub(super) fn of_config(config: &UnetConfig) -> Self {
        Self {
            in_channels: config.in_channels,
            out_channels: config.out_channels,
            levels: config
                .down
                .iter()
                .zip(config.up.iter().rev())
                .map(|(down, up)| LevelShape {
                    channels: down.channels,
                    down: down.transformers.clone(),
                    up: up.transformers.clone(),
                })
                .collect(),
            mid: config.mid,
            text_width: config.cross_attention_dim,
            linear_projection: config.use_linear_projection,
            text_time_width: config.text_time.map(|widths| widths.input_width()),
            guidance_width: config.guidance_width,
        }
    }

    pub(super) fn of_tensors(part: &Tensors) -> Result<Self> {
        let (first_conv, last_conv) = part.naming.ends();
        let [first, in_channels, ..] = part.dims::<4>(&format!("{first_conv}.weight"))?;
        let [out_channels, ..] = part.dims::<4>(&format!("{last_conv}.weight"))?;
        let places = Places::of(part)?;
        let mut levels = Vec::with_capacity(places.down.len());
        for (down, up) in places.down.iter().zip(places.up.iter().rev()) {
            let mut channels = None;
            for (resnet, _) in down.iter().chain(up) {
                let [found, ..] = part.dims::<4>(&part.naming.resnet_conv(resnet))?;
                if *channels.get_or_insert(found) != found {
                    return Err(part.unknown(resnet, "the channels of the other resnets of its level"));
                }
            }
            let transformers = |places: &[(String, String)]| {
                let blocks = places.iter().map(|(_, transformer)| part.blocks(transformer));
                blocks.collect()
            };
            levels.push(LevelShape {
                channels: channels.unwrap_or_default(),
                down: transformers(down),
                up: transformers(up),
            });
        }
        let (Some(widest), Some(deepest)) = (levels.first(), levels.last()) else {
            return Err(part.unknown(first_conv, "levels behind it"));
        };
        if widest.channels != first {
            return Err(part.unknown(first_conv, "the channels of the first level"));
        }
        let mid = middle(part, deepest.channels)?;
        if let Some(place) = places
            .transformers()
            .chain([part.naming.middle().1])
            .find(|place| part.blocks(place).is_some_and(|blocks| blocks > MAX_LAYERS))
        {
            return Err(part.unknown(place, &format!("at most {MAX_LAYERS} transformer blocks")));
        }
        let (text_width, linear_projection) = attention(part, &places)?;
        Ok(Self {
            in_channels,
            out_channels,
            mid,
            text_width,
            linear_projection,
            text_time_width: part.width(&format!("{}.weight", part.naming.text_time()))?,
            guidance_width: part.width(&format!("{}.weight", part.naming.guidance()))?,
            levels,
        })
    }

    /// The first thing in which the tensors differ from what a configuration describes.
    pub(super) fn difference(&self, described: &Self) -> String {
        let channels = |shape: &Self| shape.levels.iter().map(|level| level.channels).collect::<Vec<_>>();
        let repeats = |shape: &Self| shape.levels.iter().map(|level| level.down.len()).collect::<Vec<_>>();
        let stages = |shape: &Self| {
            let levels = shape.levels.iter();
            levels
                .map(|level| (level.down.clone(), level.up.clone()))
                .collect::<Vec<_>>()
        };
        let pairs = [
            (
                "input channels",
                [self.in_channels, described.in_channels].map(|n| n.to_string()),
            ),
            (
                "output channels",
                [self.out_channels, described.out_channels].map(|n| n.to_string()),
            ),
            (
                "channels of the levels",
                [self, described].map(|shape| format!("{:?}", channels(shape))),
            ),
            (
                "resnets per level",
                [self, described].map(|shape| format!("{:?}", repeats(shape))),
            ),
            (
                "text width",
                [self.text_width, described.text_width].map(|n| n.to_string()),
            ),
        ];
        if let Some((what, [own, theirs])) = pairs.into_iter().find(|(_, [own, theirs])| own != theirs) {
            return format!("it has {what} {theirs}, the tensors have {own}");
        }
        let what = match () {
            () if stages(self) != stages(described) => "transformer blocks",
            () if self.mid != described.mid => "blocks in the middle",
            () if self.linear_projection != described.linear_projection => "projections of transformers",
            () => "embeddings of conditions",
        };
        format!("it describes other {what} than the tensors have")
    }

    /// The whole configuration, with what tensors do not show as in a `model` of the same family, else as in the
    /// published ones.
    pub(super) fn config(&self, model: Option<&UnetConfig>) -> Result<UnetConfig> {
        let untold = match model {
            Some(model) => Untold::like(model),
            None => Untold::published(self.linear_projection),
        };
        let level = |shape: &LevelShape, transformers: &[Option<usize>]| UnetLevel {
            channels: shape.channels,
            heads: match untold.heads {
                Heads::Count(heads) => heads,
                Heads::Width(width) => (shape.channels / width).max(1),
            },
            transformers: transformers.to_vec(),
        };
        let widths = self
            .text_time_width
            .map(|width| TextTimeWidths::of_width(width, untold.time_ids));
        UnetConfig {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            down: self.levels.iter().map(|shape| level(shape, &shape.down)).collect(),
            up: self.levels.iter().rev().map(|shape| level(shape, &shape.up)).collect(),
            mid: self.mid,
            cross_attention_dim: self.text_width,
            norm_num_groups: untold.groups,
            norm_eps: untold.eps,
            use_linear_projection: self.linear_projection,
            flip_sin_to_cos: untold.flip_sin_to_cos,
            freq_shift: untold.freq_shift,
            center_input_sample: untold.center_input_sample,
            sample_size: untold.sample_size,
            text_time: match widths {
                Some(Some(widths)) => Some(widths),
                Some(None) => {
                    let width = self.text_time_width.unwrap_or_default();
                    return Err(Error::failed(format!(
                        "the U-Net embeds {width} numbers besides the timestep, too few for a pooled text and six sizes \
                         of {} each",
                        untold.time_ids
                    )));
                }
                None => None,
            },
            guidance_width: self.guidance_width,
        }
        .checked()
    }
}

/// The width of the text that all transformers attend to, and whether their projections are linear layers.
fn attention(part: &Tensors, places: &Places) -> Result<(usize, bool)> {
    let mut all = None;
    let transformers = places.transformers().chain([part.naming.middle().1]);
    for place in transformers.filter(|place| part.blocks(place).is_some_and(|blocks| blocks > 0)) {
        let projection = format!("{place}.proj_in.weight");
        let linear = match part.shape(&projection).map(<[usize]>::len) {
            Some(2) => true,
            Some(4) => false,
            _ => return Err(part.unknown(&projection, "two dimensions, or four")),
        };
        let [_, width] = part.dims::<2>(&format!("{place}.transformer_blocks.0.attn2.to_k.weight"))?;
        if *all.get_or_insert((width, linear)) != (width, linear) {
            return Err(part.unknown(place, "the text width and the projections of the other transformers"));
        }
    }
    all.ok_or_else(|| part.unknown(part.naming.ends().0, "transformers that attend to a text behind it"))
}

/// The resnets and transformers of all levels, by their names: those of the down stage, and those of the up stage, deepest
/// level first.
struct Places {
    down: Vec<Vec<(String, String)>>,
    up: Vec<Vec<(String, String)>>,
}

impl Places {
    fn of(part: &Tensors) -> Result<Self> {
        let down = match part.naming {
            Naming::Authors => numbered_down(part),
            Naming::Diffusers => of_stage(part, "down_blocks"),
        };
        let sound = |level: &Vec<(String, String)>| (1..=MAX_LAYERS).contains(&level.len());
        let (first, last) = part.naming.stages();
        if !(1..=MAX_LEVELS).contains(&down.len()) || !down.iter().all(sound) {
            return Err(part.unknown(first, &format!("1 to {MAX_LEVELS} levels of 1 to {MAX_LAYERS} resnets")));
        }
        let repeats: Vec<usize> = down.iter().rev().map(|level| level.len() + 1).collect();
        let up = match part.naming {
            Naming::Authors => {
                let mut blocks = (0..).map_while(|block| place_in(part, &format!("output_blocks.{block}")));
                let levels = repeats.iter().map(|count| blocks.by_ref().take(*count).collect());
                let mut levels: Vec<Vec<_>> = levels.collect();
                // One that is left over makes a level too many.
                levels.extend(blocks.next().map(|place| vec![place]));
                levels
            }
            Naming::Diffusers => of_stage(part, "up_blocks"),
        };
        let none = Vec::new();
        for (level, wanted) in repeats.iter().enumerate() {
            let found = up.get(level).unwrap_or(&none).len();
            if found < *wanted {
                let resnet = match part.naming {
                    Naming::Authors => {
                        format!("output_blocks.{}.0", repeats[..level].iter().sum::<usize>() + found)
                    }
                    Naming::Diffusers => format!("up_blocks.{level}.resnets.{found}"),
                };
                // The name of the tensor that lacks is in the error.
                part.dims::<4>(&part.naming.resnet_conv(&resnet))?;
            }
        }
        if !up.iter().map(Vec::len).eq(repeats) {
            return Err(part.unknown(last, "as many levels as the way down, each of one resnet more"));
        }
        Ok(Self { down, up })
    }

    fn transformers(&self) -> impl Iterator<Item = &str> {
        let levels = self.down.iter().chain(&self.up);
        levels.flatten().map(|(_, transformer)| transformer.as_str())
    }
}

/// The levels of the authors' numbering, where samplers stand between them.
fn numbered_down(part: &Tensors) -> Vec<Vec<(String, String)>> {
    const MOST: usize = MAX_LEVELS * (MAX_LAYERS + 1);
    let mut levels = vec![Vec::new()];
    for block in (1..=MOST).map(|block| format!("input_blocks.{block}")) {
        if part.shape(&format!("{block}.0.op.weight")).is_some() {
            levels.push(Vec::new());
        } else if let (Some(place), Some(level)) = (place_in(part, &block), levels.last_mut()) {
            level.push(place);
        } else {
            break;
        }
    }
    levels
}

/// Resnet and transformer of a block in the authors' numbering.
fn place_in(part: &Tensors, block: &str) -> Option<(String, String)> {
    let resnet = format!("{block}.0");
    part.shape(&part.naming.resnet_conv(&resnet))?;
    Some((resnet, format!("{block}.1")))
}

/// The levels of a stage in diffusers' names.
fn of_stage(part: &Tensors, stage: &str) -> Vec<Vec<(String, String)>> {
    let level = |level: usize| {
        let repeats = (0..=MAX_LAYERS + 1).map_while(|repeat| {
            let resnet = format!("{stage}.{level}.resnets.{repeat}");
            part.shape(&part.naming.resnet_conv(&resnet))?;
            Some((resnet, format!("{stage}.{level}.attentions.{repeat}")))
        });
        let repeats: Vec<_> = repeats.collect();
        (!repeats.is_empty()).then_some(repeats)
    };
    (0..=MAX_LEVELS).map_while(level).collect()
}

fn middle(part: &Tensors, deepest: usize) -> Result<Middle> {
    let (resnets, transformer) = part.naming.middle();
    let mut there = [false; 2];
    for (resnet, there) in resnets.iter().zip(&mut there) {
        let conv = part.naming.resnet_conv(resnet);
        *there = part.shape(&conv).is_some();
        if *there && part.dims::<4>(&conv)?[0] != deepest {
            return Err(part.unknown(resnet, "the channels of the last level"));
        }
    }
    match (there, part.blocks(transformer)) {
        ([false, false], None) => Ok(Middle::Absent),
        ([true, false], None) => Ok(Middle::Resnet),
        ([true, true], Some(blocks)) => Ok(Middle::Attending { blocks }),
        _ => Err(part.unknown(
            resnets[0],
            "a resnet, a transformer and a resnet in the middle, or one resnet, or nothing",
        )),
    }
}

impl Tensors {
    fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let prefix = &self.prefix;
        let found = self
            .shape(name)
            .ok_or_else(|| Error::failed(format!("the U-Net lacks the tensor {prefix}{name}")))?;
        let sound = |dims: &[usize; N]| dims.iter().all(|dim| (1..=MAX_WIDTH).contains(dim));
        found.try_into().ok().filter(sound).ok_or_else(|| {
            Error::failed(format!(
                "the tensor {prefix}{name} has shape {found:?}, {N} dimensions are expected"
            ))
        })
    }

    /// Columns of a matrix that may be missing.
    fn width(&self, name: &str) -> Result<Option<usize>> {
        match self.shape(name) {
            Some(_) => self.dims::<2>(name).map(|[_, width]| Some(width)),
            None => Ok(None),
        }
    }

    /// How many transformer blocks there are at a place; none where there is no transformer.
    fn blocks(&self, place: &str) -> Option<usize> {
        self.shape(&format!("{place}.proj_in.weight"))?;
        let there = |block: &usize| {
            self.shape(&format!("{place}.transformer_blocks.{block}.attn1.to_q.weight"))
                .is_some()
        };
        Some((0..=MAX_LAYERS).take_while(there).count())
    }

    fn unknown(&self, place: &str, expected: &str) -> Error {
        Error::failed(format!(
            "the architecture is none that this program knows: {}{place} was expected to have {expected}",
            self.prefix
        ))
    }
}
