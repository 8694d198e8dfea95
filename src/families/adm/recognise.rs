//! An ADM without `config.json`, recognised by the names and shapes of its tensors: `256x256_diffusion_uncond.pt` is
//! published like that.

use super::config::{AdmConfig, AdmLevel, COLOURS, Heads, MAX_LEVELS, NoiseSchedule};
use crate::{
    error::{Error, Result},
    weights::Store,
};

/// Channels per head of the published unconditional models: cannot be deduced from tensors.
const PUBLISHED_HEAD_WIDTH: usize = 64;

/// Groups of guided-diffusion's GroupNorm: cannot be deduced from tensors.
const GROUPS: usize = 32;

/// The finest grid that attends in the published models, of 128 pixels and more. It turns the place of the attention
/// blocks, which tensors tell, into the size of the training pictures, which they do not.
const FINEST_ATTENDED_GRID: usize = 32;

impl AdmConfig {
    /// Deduces the configuration from the tensors alone. The rest is as in the published models: 64 channels per head,
    /// attention from 32 x 32 positions on, legacy attention order, 1000 steps with linear betas, noise predicted.
    ///
    /// # Errors
    ///
    /// Where the tensors are none of an ADM whose architecture they tell.
    pub fn from_tensors(store: &Store) -> Result<Self> {
        recognise(&|name| store.shape(name), PUBLISHED_HEAD_WIDTH)
            .map_err(|error| error.context(format_args!("{} has no config.json beside it", store.label())))
    }
}

/// Gives the shape of a tensor.
pub(super) type Shapes<'a> = dyn Fn(&str) -> Option<&'a [usize]> + 'a;

/// The configuration of a network with tensors of these shapes whose heads have `head_width` channels.
pub(super) fn recognise(shapes: &Shapes, head_width: usize) -> Result<AdmConfig> {
    if shapes("label_emb.weight").is_some() {
        return Err(Error::failed(
            "the model is class-conditional (it has label_emb.weight); only unconditional ones are supported",
        ));
    }
    let [time_width, num_channels] = dims(shapes, "time_embed.0.weight")?;
    let [_, in_channels, ..] = dims::<4>(shapes, "input_blocks.0.0.weight")?;
    let [out_channels, ..] = dims::<4>(shapes, "out.2.weight")?;
    if time_width != 4 * num_channels {
        return Err(not_recognised("time_embed.0.weight", "(4·width, width)"));
    }
    let patch_size = (in_channels / COLOURS).isqrt();
    if patch_size == 0 || COLOURS * patch_size * patch_size != in_channels {
        return Err(not_recognised("input_blocks.0.0.weight", "3·p² input channels"));
    }
    let learn_sigma = match out_channels {
        same if same == in_channels => false,
        twice if twice == 2 * in_channels => true,
        _ => {
            return Err(not_recognised(
                "out.2.weight",
                "as many channels as the input, or twice as many",
            ));
        }
    };
    let up = first_upsampling(shapes);
    let outputs = output_blocks(shapes).count();
    // A single level never samples up.
    let per_level = up.map_or(outputs, |up| up.block + 1);
    if per_level < 2 || !outputs.is_multiple_of(per_level) {
        return Err(not_recognised(
            "output_blocks",
            "the same number of blocks on each level",
        ));
    }
    let level_count = outputs / per_level;
    if level_count > MAX_LEVELS {
        return Err(not_recognised("output_blocks", "a plausible number of levels"));
    }
    let levels = levels(shapes, level_count, per_level)?;
    let [emb_width, _] = dims(shapes, "input_blocks.1.0.emb_layers.1.weight")?;
    let config = AdmConfig {
        image_size: image_size(&levels, patch_size),
        patch_size,
        num_channels,
        num_res_blocks: per_level - 1,
        use_scale_shift_norm: levels.first().is_some_and(|level| emb_width == 2 * level.channels),
        resblock_updown: up.is_none_or(|up| up.by_resnet),
        levels,
        heads: Heads::Width(head_width),
        num_groups: GROUPS,
        use_new_attention_order: false,
        learn_sigma,
        predict_xstart: false,
        diffusion_steps: 1000,
        noise_schedule: NoiseSchedule::Linear,
        rescale_timesteps: false,
    };
    config
        .check()
        .map_err(|error| error.context("what its tensors do not tell was taken as in OpenAI's models, but then"))?;
    Ok(config)
}

/// The last block of a level on the way up.
#[derive(Clone, Copy)]
struct Upsampling {
    block: usize,
    by_resnet: bool,
}

/// The first block that samples up, which gives the number of blocks per level.
fn first_upsampling(shapes: &Shapes) -> Option<Upsampling> {
    // After the resnet, or after the resnet and the attention block.
    const PLACES: [usize; 2] = [1, 2];
    output_blocks(shapes).find_map(|block| {
        PLACES.into_iter().find_map(|place| {
            let by_resnet = shapes(&resnet_conv("output_blocks", block, place)).is_some();
            let by_conv = shapes(&format!("output_blocks.{block}.{place}.conv.weight")).is_some();
            (by_resnet || by_conv).then_some(Upsampling { block, by_resnet })
        })
    })
}

/// The indices of the output blocks there are.
fn output_blocks(shapes: &Shapes) -> impl Iterator<Item = usize> {
    (0..).take_while(|block| shapes(&resnet_conv("output_blocks", *block, 0)).is_some())
}

fn resnet_conv(side: &str, block: usize, place: usize) -> String {
    format!("{side}.{block}.{place}.in_layers.2.weight")
}

/// Width and attention of every level, from the first block of each on the way down.
fn levels(shapes: &Shapes, count: usize, per_level: usize) -> Result<Vec<AdmLevel>> {
    (0..count)
        .map(|level| {
            let first = 1 + level * per_level;
            let [channels, ..] = dims::<4>(shapes, &resnet_conv("input_blocks", first, 0))?;
            let attention = shapes(&format!("input_blocks.{first}.1.qkv.weight")).is_some();
            Ok(AdmLevel { channels, attention })
        })
        .collect()
}

/// The training size at which the finest level that attends has the grid of the published models; where none
/// attends, the smallest size of at least that grid.
fn image_size(levels: &[AdmLevel], patch_size: usize) -> usize {
    let coarsest_stride = 1 << (levels.len() - 1);
    let attending_level = levels.iter().position(|level| level.attention).unwrap_or(0);
    patch_size * (FINEST_ATTENDED_GRID << attending_level).max(coarsest_stride)
}

/// The shape of a tensor with N dimensions.
fn dims<const N: usize>(shapes: &Shapes, name: &str) -> Result<[usize; N]> {
    let found = shapes(name).ok_or_else(|| {
        Error::failed(format!(
            "its tensors are not those of an ADM (guided-diffusion): {name} is missing"
        ))
    })?;
    found.try_into().map_err(|_| {
        Error::failed(format!(
            "its tensors are not those of an ADM (guided-diffusion): {name} has shape {found:?}, {N} dimensions are \
             expected"
        ))
    })
}

fn not_recognised(name: &str, expected: &str) -> Error {
    Error::failed(format!(
        "the architecture cannot be told from the tensors: {name} was expected to have {expected}; put the model's \
         config.json beside it"
    ))
}
