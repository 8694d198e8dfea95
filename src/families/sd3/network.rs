//! The network itself: patches, stored positions, conditions, blocks of two streams, patches again.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{PATCH, catalogue::catalogue, config::Sd3Config};
use crate::{
    activation::{Probe, Stop},
    components::{
        blocks::{Blocks, Holding},
        joint::{JointBlock, JointPart, JointShape, JointTaps, TimeText, id, last_norm},
        patches::{patch_embedding, unpatchify},
    },
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Conv2d, Linear, linear},
    },
};

/// Stable Diffusion 3 with its weights.
#[derive(Debug)]
pub struct Sd3 {
    config: Sd3Config,
    proj: Conv2d,
    /// (M, M, D), for the grid of the largest picture.
    pos_embed: Tensor,
    time_text_embed: TimeText,
    context_embedder: Linear,
    blocks: Blocks<JointBlock>,
    /// None where less was read.
    last: Option<Last>,
}

/// The last norm, and what makes patches of tokens.
#[derive(Debug)]
struct Last {
    norm: Linear,
    proj_out: Linear,
}

/// Beside the noisy latent, what a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct Sd3Conditions<'a> {
    /// The states of all text encoders, (1 or B, T, their width).
    pub text: &'a Tensor,
    /// The pooled texts side by side, (1 or B, their width).
    pub pooled: &'a Tensor,
}

impl Sd3 {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: Sd3Config, extent: LoadExtent, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, extent, Holding::Whole, vb)
    }

    /// The same, with blocks that are held as `holding` says.
    pub(super) fn held(
        config: Sd3Config,
        extent: LoadExtent,
        holding: Holding,
        vb: VarBuilder<'static>,
    ) -> Result<Self> {
        let width = config.width();
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(PATCH, PATCH), 1);
        let wanted = extent.blocks(config.num_layers, |block| list.expect(id(block, JointPart::Norm1Out)))?;
        let blocks = {
            let (config, vb, list) = (config.clone(), vb.clone(), list.clone());
            Blocks::new(wanted, holding, move |block| {
                let shape = JointShape {
                    width,
                    heads: config.num_attention_heads,
                    inner: config.ffn_width(),
                    qk_norm: config.qk_norm,
                    dual: config.is_dual(block as u16),
                    ends_text: block + 1 == config.num_layers,
                };
                let vb = vb.pp(format!("transformer_blocks.{block}"));
                Ok(JointBlock::new(shape, JointTaps::new(block as u16, &list), &vb)?)
            })?
        };
        let last = || -> CandleResult<Last> {
            const VECTORS: usize = 2;
            Ok(Last {
                norm: linear(width, VECTORS * width, vb.pp("norm_out.linear"))?,
                proj_out: linear(width, PATCH * PATCH * config.in_channels, vb.pp("proj_out"))?,
            })
        };
        let side = config.pos_embed_max_size;
        let pos_embed = vb.get((1, side * side, width), "pos_embed.pos_embed")?;
        Ok(Self {
            proj: patch_embedding(config.in_channels, width, PATCH, vb.pp("pos_embed.proj"))?,
            pos_embed: pos_embed.reshape((side, side, width))?,
            time_text_embed: TimeText::new(width, config.pooled_projection_dim, false, &vb.pp("time_text_embed"))?,
            context_embedder: linear(config.joint_attention_dim, width, vb.pp("context_embedder"))?,
            blocks,
            last: extent.reads_output(&list).then(last).transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Sd3Config {
        &self.config
    }

    /// One pass: `x` (B, C, h, w) is the noisy latent, both sides even, `t` a thousand times the share of noise of each row. Gives
    /// the prediction (B, C, h, w), noise minus picture, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, timesteps or texts do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &Sd3Conditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        self.check(x, t, conditions)?;
        let (rows, _, height, width) = x.dims4()?;
        let grid = self.config.token_grid(Grid::new(height, width));
        let patches = self.proj.forward(x)?.flatten_from(2)?.transpose(1, 2)?;
        let mut tokens = patches.contiguous()?.broadcast_add(&self.positions(grid)?)?;
        let text = self.context_embedder.forward(conditions.text)?;
        let (_, count, wide) = text.dims3()?;
        let mut text = text.broadcast_as((rows, count, wide))?.contiguous()?;
        let modulation = silu(&self.modulation(t, conditions)?)?;
        self.blocks.each(|block| {
            [tokens, text] = block.forward([&tokens, &text], &modulation, None, (grid, false), probe)?;
            Ok::<_, Stop>(())
        })?;
        match &self.last {
            Some(last) if self.blocks.len() == self.config.num_layers => {
                let normal = last_norm(&last.norm, &tokens, &modulation)?;
                Ok(unpatchify(&last.proj_out.forward(&normal)?, grid, PATCH)?)
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    /// The vector that modulates all blocks, before its SiLU: (B, D).
    ///
    /// # Errors
    ///
    /// Where the device fails, or the pooled text is of another width.
    pub fn modulation(&self, t: &[f32], conditions: &Sd3Conditions<'_>) -> Result<Tensor> {
        Ok(self.time_text_embed.forward(t, 0.0, conditions.pooled)?)
    }

    /// The middle of the stored table, (1, h·w, D): it is cut, never stretched.
    fn positions(&self, grid: Grid) -> CandleResult<Tensor> {
        let side = self.config.pos_embed_max_size;
        let (top, left) = ((side - grid.height) / 2, (side - grid.width) / 2);
        let rows = self.pos_embed.narrow(0, top, grid.height)?;
        let cells = rows.narrow(1, left, grid.width)?.contiguous()?;
        cells.reshape((1, grid.positions(), self.config.width()))
    }

    fn check(&self, x: &Tensor, t: &[f32], conditions: &Sd3Conditions<'_>) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(PATCH));
        if channels != config.in_channels || !sides_fit || t.len() != rows {
            return Err(Error::failed(format!(
                "Stable Diffusion 3 takes latents of {} channels whose sides are multiples of {PATCH}, with a timestep for each; it \
                 was given {:?} with {} timesteps",
                config.in_channels,
                x.dims(),
                t.len()
            )));
        }
        let longest = height.max(width) / PATCH;
        if longest > config.pos_embed_max_size {
            return Err(Error::usage(format!(
                "this network has positions for {0} x {0} tokens, a side of {longest} was asked for: choose a smaller size",
                config.pos_embed_max_size
            )));
        }
        let fits = |count: usize| count == 1 || count == rows;
        let (texts, tokens, states) = conditions.text.dims3()?;
        let (pooled_texts, pooled) = conditions.pooled.dims2()?;
        let widths_fit = (states, pooled) == (config.joint_attention_dim, config.pooled_projection_dim);
        if !widths_fit || !fits(texts) || !fits(pooled_texts) || tokens == 0 {
            return Err(Error::failed(format!(
                "Stable Diffusion 3 takes text states of width {} and pooled texts of width {}, for one or all of {rows} rows; it \
                 was given {:?} and {:?}: text encoders and transformer do not belong together",
                config.joint_attention_dim,
                config.pooled_projection_dim,
                conditions.text.dims(),
                conditions.pooled.dims()
            )));
        }
        Ok(())
    }
}

impl Adaptable for Sd3 {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.proj.each_layer(visit);
        self.time_text_embed.each_layer(visit);
        self.context_embedder.each_layer(visit);
        self.blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.norm.each_layer(visit);
            last.proj_out.each_layer(visit);
        }
    }
}
