//! The network itself: patches, positions, conditions, blocks, patches again.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    PATCH,
    blocks::{Block, MODULATIONS, Text},
    catalogue::catalogue,
    config::PixArtConfig,
    ids::id,
};
use crate::{
    activation::{Probe, Stop},
    components::{
        mlp::Mlp,
        patches::{patch_embedding, unpatchify},
        sincos_positions::position_table,
        vit_block::VitPart,
    },
    error::{Error, Result},
    geometry::{Grid, Size},
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        feed_forward::gelu_tanh,
        layers::{Conv2d, Linear, linear},
        modulation::modulated_norm,
        time_embedding::timestep_embedding,
    },
    weights::Store,
};

/// Width of the sinusoids that timesteps and sizes become.
const SINUSOIDS: usize = 256;
/// Epsilon of the last norm.
const LAST_NORM_EPS: f64 = 1e-6;
/// Vectors that the timestep gives the last norm: shift and scale.
const LAST_MODULATIONS: usize = 2;
/// Size conditions of a network: height, width, and the one over the other.
const SIZES: usize = 3;
/// Where a network has the layer that reads a picture's height and width.
const SIZE_EMBEDDER: &str = "adaln_single.emb.resolution_embedder";

/// PixArt with its weights.
#[derive(Debug)]
pub struct PixArt {
    config: PixArtConfig,
    pos_embed: Conv2d,
    timestep_embedder: Mlp,
    size_embedders: Option<SizeEmbedders>,
    /// Modulation of the blocks by the timestep, (6·D).
    adaln: Linear,
    caption_projection: Mlp,
    blocks: Vec<Block>,
    /// None where less was read.
    last: Option<Last>,
}

/// Beside the noisy latent, what a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct PixArtConditions<'a> {
    /// The states of T5, (1 or B, T, caption channels).
    pub text: &'a Tensor,
    /// 1 for every one of the T tokens that counts, 0 for padding; without it all count.
    pub mask: Option<&'a [u8]>,
    /// The picture's size, for networks with size conditions.
    pub size: Size,
}

/// Whether the network in a file has size conditions: its tensors decide, since older configurations do not state it.
pub fn has_size_conditions(weights: &Store) -> bool {
    weights.shape(&format!("{SIZE_EMBEDDER}.linear_1.weight")).is_some()
}

impl PixArt {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: PixArtConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        let width = config.width();
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(PATCH, PATCH), 1);
        let count = extent.blocks(config.num_layers, |block| list.expect(id(block, VitPart::Norm1Out)))?;
        let mut blocks = Vec::with_capacity(count);
        for block in 0..count as u16 {
            let vb = vb.pp(format!("transformer_blocks.{block}"));
            blocks.push(Block::new(&config, block, &list, vb)?);
        }
        let adaln = vb.pp("adaln_single");
        let timestep_embedder = Mlp::new([SINUSOIDS, width], silu, adaln.pp("emb.timestep_embedder"))?;
        let size_embedders = vb
            .contains_tensor(&format!("{SIZE_EMBEDDER}.linear_1.weight"))
            .then(|| SizeEmbedders::new(width, adaln.pp("emb")))
            .transpose()?;
        Ok(Self {
            pos_embed: patch_embedding(config.in_channels, width, PATCH, vb.pp("pos_embed.proj"))?,
            timestep_embedder,
            size_embedders,
            adaln: linear(width, MODULATIONS * width, adaln.pp("linear"))?,
            caption_projection: Mlp::new([config.caption_channels, width], gelu_tanh, vb.pp("caption_projection"))?,
            blocks,
            last: extent
                .reads_output(&list)
                .then(|| Last::new(&config, &vb))
                .transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &PixArtConfig {
        &self.config
    }

    /// Whether it has size conditions.
    pub fn has_size_conditions(&self) -> bool {
        self.size_embedders.is_some()
    }

    /// One pass: `x` (B, in, h, w) is the noisy latent, both sides even, `t` one timestep per row. Gives the output
    /// (B, out, h, w), of which the first `in` channels are the predicted noise, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, timesteps, text states or mask
    /// do not fit the configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &PixArtConditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        self.check(x, t, conditions)?;
        let (rows, _, height, width) = x.dims4()?;
        let grid = self.config.token_grid(Grid::new(height, width));
        let patches = self.pos_embed.forward(x)?.flatten_from(2)?.transpose(1, 2)?;
        let positions = position_table(self.config.width(), self.config.position_side(), grid, x.device())?;
        let positions = positions.to_dtype(x.dtype())?;
        let mut tokens = patches.contiguous()?.broadcast_add(&positions)?;

        let time = self.time(x, t, conditions.size)?;
        let modulation = self
            .adaln
            .forward(&silu(&time)?)?
            .reshape((rows, MODULATIONS, self.config.width()))?;
        let text = self.text(conditions)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, &modulation, &text, grid, probe)?;
        }
        match &self.last {
            Some(last) if self.blocks.len() == self.config.num_layers => Ok(last.forward(&tokens, &time, grid)?),
            _ => Err(nothing_was_read().into()),
        }
    }

    fn check(&self, x: &Tensor, t: &[f32], conditions: &PixArtConditions<'_>) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(PATCH));
        if channels != config.in_channels || !sides_fit || t.len() != rows {
            return Err(Error::failed(format!(
                "PixArt takes latents of {} channels whose sides are multiples of {PATCH}, with a timestep for each; it was \
                 given {:?} with {} timesteps",
                config.in_channels,
                x.dims(),
                t.len()
            )));
        }
        let (texts, tokens, states) = conditions.text.dims3()?;
        let mask_fits = conditions.mask.is_none_or(|mask| mask.len() == tokens);
        if states != config.caption_channels || (texts != 1 && texts != rows) || tokens == 0 || !mask_fits {
            return Err(Error::failed(format!(
                "PixArt takes text states of width {} for one or all of {rows} rows, and a mask of as many numbers as there \
                 are tokens; it was given {:?} and {:?}: text encoder and transformer do not belong together",
                config.caption_channels,
                conditions.text.dims(),
                conditions.mask.map(<[u8]>::len)
            )));
        }
        Ok(())
    }

    /// Embedding of timesteps and size, (B, D).
    fn time(&self, x: &Tensor, t: &[f32], size: Size) -> CandleResult<Tensor> {
        let embedded =
            |numbers: &[f32]| timestep_embedding(numbers, SINUSOIDS, true, 0.0, x.device())?.to_dtype(x.dtype());
        let time = self.timestep_embedder.forward(&embedded(t)?)?;
        let Some(SizeEmbedders {
            resolution,
            aspect_ratio,
        }) = &self.size_embedders
        else {
            return Ok(time);
        };
        let (height, width) = (size.height as f32, size.width as f32);
        // (2, D/3): of the height, then of the width.
        let sides = resolution
            .forward(&embedded(&[height, width])?)?
            .flatten_all()?
            .unsqueeze(0)?;
        let ratio = aspect_ratio.forward(&embedded(&[height / width])?)?;
        time.broadcast_add(&Tensor::cat(&[&sides, &ratio], 1)?)
    }

    /// The text as the blocks read it. A token that the mask leaves out would get −10000 beside its scores and so a weight of 0: it
    /// is left out of the products as well.
    fn text(&self, conditions: &PixArtConditions<'_>) -> CandleResult<Text> {
        let mask = conditions.mask.unwrap_or_default();
        let counting: Vec<u32> = (0..)
            .zip(mask)
            .filter(|(_, mask)| **mask != 0)
            .map(|(token, _)| token)
            .collect();
        // With a mask that leaves out all, all have the same −10000: it changes nothing.
        if counting.len() == mask.len() || counting.is_empty() {
            return Ok(Text {
                states: self.caption_projection.forward(conditions.text)?,
                places: None,
            });
        }
        let device = conditions.text.device();
        let none = counting.len() as u32;
        let mut next = 0..none;
        let places: Vec<u32> = mask
            .iter()
            .map(|mask| if *mask == 0 { none } else { next.next().unwrap_or(none) })
            .collect();
        let counting = Tensor::new(counting.as_slice(), device)?;
        let states = conditions.text.contiguous()?.index_select(&counting, 1)?;
        Ok(Text {
            states: self.caption_projection.forward(&states)?,
            places: Some(Tensor::new(places.as_slice(), device)?),
        })
    }
}

/// Embedding of a picture's height and width, and their ratio.
#[derive(Debug)]
struct SizeEmbedders {
    resolution: Mlp,
    aspect_ratio: Mlp,
}

impl SizeEmbedders {
    fn new(width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        if !width.is_multiple_of(SIZES) {
            return Err(Error::failed(format!(
                "a network of width {width} cannot be told the picture's size, as its file says: {SIZES} numbers share the width"
            )));
        }
        let mlp = |name| Mlp::new([SINUSOIDS, width / SIZES], silu, vb.pp(name));
        Ok(Self {
            resolution: mlp("resolution_embedder")?,
            aspect_ratio: mlp("aspect_ratio_embedder")?,
        })
    }
}

/// The last norm, and what makes patches of tokens.
#[derive(Debug)]
struct Last {
    /// (2, D), added to the timestep's embedding.
    scale_shift_table: Tensor,
    proj_out: Linear,
}

impl Last {
    fn new(config: &PixArtConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let numbers = PATCH * PATCH * config.out_channels;
        Ok(Self {
            scale_shift_table: vb.get((LAST_MODULATIONS, config.width()), "scale_shift_table")?,
            proj_out: linear(config.width(), numbers, vb.pp("proj_out"))?,
        })
    }

    /// Tokens (B, N, D) → (B, out, h, w). `time` is (B, D).
    fn forward(&self, tokens: &Tensor, time: &Tensor, grid: Grid) -> CandleResult<Tensor> {
        let modulation = time.unsqueeze(1)?.broadcast_add(&self.scale_shift_table)?;
        let vector = |index: usize| modulation.narrow(1, index, 1)?.squeeze(1);
        let normal = modulated_norm(tokens, &vector(0)?, &vector(1)?, LAST_NORM_EPS)?;
        unpatchify(&self.proj_out.forward(&normal)?, grid, PATCH)
    }
}

impl Adaptable for PixArt {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.pos_embed.each_layer(visit);
        self.timestep_embedder.each_layer(visit);
        if let Some(sizes) = &mut self.size_embedders {
            sizes.resolution.each_layer(visit);
            sizes.aspect_ratio.each_layer(visit);
        }
        self.adaln.each_layer(visit);
        self.caption_projection.each_layer(visit);
        self.blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.proj_out.each_layer(visit);
        }
    }
}
