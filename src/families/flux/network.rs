//! The network itself: packed patches, conditions, blocks of two streams, blocks of one.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{PATCH, catalogue::catalogue, config::FluxConfig, single::SingleBlock};
use crate::{
    activation::{Probe, Stop},
    components::{
        blocks::{Blocks, Holding},
        joint::{JointBlock, JointPart, JointShape, JointTaps, Rotation, TimeText, id, last_norm},
    },
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Linear, linear},
    },
};

/// The network multiplies what it is told by this before sinusoids are made of it.
const TOLD_TIMES: f32 = 1000.0;

/// Flux with its weights.
#[derive(Debug)]
pub struct Flux {
    config: FluxConfig,
    x_embedder: Linear,
    context_embedder: Linear,
    time_text_embed: TimeText,
    blocks: Blocks<JointBlock>,
    single_blocks: Blocks<SingleBlock>,
    /// None where less was read.
    last: Option<Last>,
}

/// The last norm and projection.
#[derive(Debug)]
struct Last {
    norm: Linear,
    proj_out: Linear,
}

/// Beside the noisy latent, what a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct FluxConditions<'a> {
    /// The states of T5, (1 or B, T, their width).
    pub text: &'a Tensor,
    /// The pooled text of CLIP, (1 or B, its width).
    pub pooled: &'a Tensor,
    /// The guidance scale, for networks that are told one.
    pub guidance: f32,
    /// Whether the outputs of blocks with two streams are shown as generic-diffusion-feature shows them: their second norm in the
    /// place of the block's output.
    pub slips: bool,
}

impl Flux {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: FluxConfig, extent: LoadExtent, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, extent, Holding::Whole, vb)
    }

    /// The same, with blocks that are held as `holding` says.
    pub(super) fn held(
        config: FluxConfig,
        extent: LoadExtent,
        holding: Holding,
        vb: VarBuilder<'static>,
    ) -> Result<Self> {
        let width = config.width();
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(PATCH, PATCH), 1);
        let shape = JointShape {
            width,
            heads: config.num_attention_heads,
            inner: config.ffn_width(),
            qk_norm: true,
            dual: false,
            ends_text: false,
        };
        let wanted = extent.blocks(usize::from(config.blocks()), |block| {
            list.expect(id(block, JointPart::Norm1Out))
        })?;
        let of_two = config.num_layers.min(wanted);
        let list = Arc::new(list);
        let blocks = {
            let (list, vb) = (Arc::clone(&list), vb.clone());
            Blocks::new(of_two, holding, move |block| {
                let vb = vb.pp(format!("transformer_blocks.{block}"));
                Ok(JointBlock::new(shape, JointTaps::new(block as u16, &list), &vb)?)
            })?
        };
        let single_blocks = {
            let (list, vb, config) = (Arc::clone(&list), vb.clone(), config.clone());
            Blocks::new(wanted - of_two, holding, move |single| {
                let block = (config.num_layers + single) as u16;
                let vb = vb.pp(format!("single_transformer_blocks.{single}"));
                Ok(SingleBlock::new(&config, block, &list, &vb)?)
            })?
        };
        let last = || -> CandleResult<Last> {
            const VECTORS: usize = 2;
            Ok(Last {
                norm: linear(width, VECTORS * width, vb.pp("norm_out.linear"))?,
                proj_out: linear(width, config.in_channels, vb.pp("proj_out"))?,
            })
        };
        Ok(Self {
            x_embedder: linear(config.in_channels, width, vb.pp("x_embedder"))?,
            context_embedder: linear(config.joint_attention_dim, width, vb.pp("context_embedder"))?,
            time_text_embed: TimeText::new(
                width,
                config.pooled_projection_dim,
                config.guidance_embeds,
                &vb.pp("time_text_embed"),
            )?,
            blocks,
            single_blocks,
            last: extent.reads_output(&list).then(last).transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// One pass: `x` (B, C, h, w) is the noisy latent, both sides even, `sigma` the share of noise of each row. Gives the
    /// prediction (B, C, h, w), noise minus picture, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, shares or texts do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        sigma: &[f32],
        conditions: &FluxConditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        self.check(x, sigma, conditions)?;
        let (rows, _, height, width) = x.dims4()?;
        let grid = self.config.token_grid(Grid::new(height, width));
        let mut tokens = self.x_embedder.forward(&pack(x)?)?;
        let mut text = of_rows(&self.context_embedder.forward(conditions.text)?, rows)?;
        let modulation = silu(&self.modulation(sigma, conditions)?)?;
        let rotation = Rotation::of_grid(grid, self.config.axes_dims_rope, x.device())?;
        self.blocks.each(|block| {
            let place = (grid, conditions.slips);
            [tokens, text] = block.forward([&tokens, &text], &modulation, Some(&rotation), place, probe)?;
            Ok::<_, Stop>(())
        })?;
        self.single_blocks.each(|block| {
            [tokens, text] = block.forward([&tokens, &text], &modulation, &rotation, grid, probe)?;
            Ok::<_, Stop>(())
        })?;
        let is_whole = self.single_blocks.len() == self.config.num_single_layers;
        match &self.last {
            Some(last) if is_whole => {
                let normal = last_norm(&last.norm, &tokens, &modulation)?;
                Ok(unpack(&last.proj_out.forward(&normal)?, grid)?)
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    /// The vector that modulates all blocks, before its SiLU: (B, D).
    ///
    /// # Errors
    ///
    /// Where the device fails, or the pooled text is of another width.
    pub fn modulation(&self, sigma: &[f32], conditions: &FluxConditions<'_>) -> Result<Tensor> {
        let told: Vec<f32> = sigma.iter().map(|sigma| TOLD_TIMES * sigma).collect();
        let guidance = TOLD_TIMES * conditions.guidance;
        Ok(self.time_text_embed.forward(&told, guidance, conditions.pooled)?)
    }

    fn check(&self, x: &Tensor, sigma: &[f32], conditions: &FluxConditions<'_>) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(PATCH));
        if channels != config.latent_channels() || !sides_fit || sigma.len() != rows {
            return Err(Error::failed(format!(
                "Flux takes latents of {} channels whose sides are multiples of {PATCH}, with a share of noise for each; it was \
                 given {:?} with {} shares",
                config.latent_channels(),
                x.dims(),
                sigma.len()
            )));
        }
        let fits = |count: usize| count == 1 || count == rows;
        let (texts, tokens, states) = conditions.text.dims3()?;
        let (pooled_texts, pooled) = conditions.pooled.dims2()?;
        let widths_fit = (states, pooled) == (config.joint_attention_dim, config.pooled_projection_dim);
        if !widths_fit || !fits(texts) || !fits(pooled_texts) || tokens == 0 {
            return Err(Error::failed(format!(
                "Flux takes text states of width {} and a pooled text of width {}, for one or all of {rows} rows; it was given \
                 {:?} and {:?}: text encoders and transformer do not belong together",
                config.joint_attention_dim,
                config.pooled_projection_dim,
                conditions.text.dims(),
                conditions.pooled.dims()
            )));
        }
        Ok(())
    }
}

/// (1 or B, T, D) → (B, T, D).
fn of_rows(text: &Tensor, rows: usize) -> CandleResult<Tensor> {
    let (_, tokens, width) = text.dims3()?;
    text.broadcast_as((rows, tokens, width))?.contiguous()
}

/// (B, C, 2h, 2w) → (B, h·w, 4·C): a token has the four numbers of each channel beside each other, by row and column.
///
/// # Errors
///
/// Where a side is odd.
pub fn pack(latents: &Tensor) -> Result<Tensor> {
    let (rows, channels, height, width) = latents.dims4()?;
    let grid = Grid::new(height / PATCH, width / PATCH);
    let tokens = latents
        .reshape(&[rows, channels, grid.height, PATCH, grid.width, PATCH][..])?
        .permute([0, 2, 4, 1, 3, 5])?
        .contiguous()?;
    Ok(tokens.reshape((rows, grid.positions(), channels * PATCH * PATCH))?)
}

/// The inverse of [`pack`], for tokens on a grid.
fn unpack(tokens: &Tensor, grid: Grid) -> CandleResult<Tensor> {
    let (rows, _, numbers) = tokens.dims3()?;
    let channels = numbers / (PATCH * PATCH);
    tokens
        .reshape(&[rows, grid.height, grid.width, channels, PATCH, PATCH][..])?
        .permute([0, 3, 1, 4, 2, 5])?
        .contiguous()?
        .reshape((rows, channels, PATCH * grid.height, PATCH * grid.width))
}

impl Adaptable for Flux {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.x_embedder.each_layer(visit);
        self.context_embedder.each_layer(visit);
        self.time_text_embed.each_layer(visit);
        self.blocks.each_layer(visit);
        self.single_blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.norm.each_layer(visit);
            last.proj_out.each_layer(visit);
        }
    }
}
