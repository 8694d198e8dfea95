//! The network itself: patches, positions, timestep and class, blocks, patches again.

use candle_core::{DType, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    blocks::{Block, Embedder},
    catalogue::catalogue,
    config::{DitConfig, Layout},
    ids::id,
};
use crate::{
    activation::{Probe, Stop},
    components::{
        patches::{patch_embedding, unpatchify},
        sincos_positions::position_table,
        vit_block::VitPart,
    },
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Conv2d, Linear, linear},
        modulation::modulated_norm,
    },
};

/// Epsilon of the last norm.
const LAST_NORM_EPS: f64 = 1e-6;
/// Vectors that timestep and class give the last norm: shift and scale.
const LAST_MODULATIONS: usize = 2;

/// DiT, SiT or REPA with its weights.
#[derive(Debug)]
pub struct Dit {
    config: DitConfig,
    pos_embed: Conv2d,
    /// Of the grid it was trained on, (1, N, D) in f32; none where they are computed for every grid.
    positions: Option<Tensor>,
    /// None where every block has one of its own.
    embedder: Option<Embedder>,
    blocks: Vec<Block>,
    /// None where less was read.
    last: Option<Last>,
}

impl Dit {
    /// Reads the weights as far as `extent`, from tensors named as in diffusers' `transformer/diffusion_pytorch_model.safetensors`;
    /// an embedder that all blocks share lies under `emb`, a table of positions under `pos_embed.pos_embed`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: DitConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        let width = config.width();
        // Which taps there are does not depend on the working size.
        let list = catalogue(&config, Grid::new(config.patch_size, config.patch_size));
        let count = extent.blocks(config.num_layers, |block| list.expect(id(block, VitPart::Norm1Out)))?;
        let mut blocks = Vec::with_capacity(count);
        for block in 0..count as u16 {
            let vb = vb.pp(format!("transformer_blocks.{block}"));
            blocks.push(Block::new(&config, block, &list, vb)?);
        }
        let (embedder, positions) = match config.layout {
            Layout::Diffusers => (None, None),
            Layout::Original => {
                let tokens = config.trained_side().pow(2);
                let in_f32 = vb.clone().set_dtype(DType::F32);
                (
                    Some(Embedder::new(&config, vb.pp("emb"))?),
                    Some(in_f32.get((1, tokens, width), "pos_embed.pos_embed")?),
                )
            }
        };
        Ok(Self {
            pos_embed: patch_embedding(config.in_channels, width, config.patch_size, vb.pp("pos_embed.proj"))?,
            positions,
            embedder,
            blocks,
            last: extent
                .reads_output(&list)
                .then(|| Last::new(&config, &vb))
                .transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// One pass: `x` (B, in, h, w) is the noisy latent, whose sides are multiples of the patch, `t` one timestep per row as the
    /// network counts it, `classes` one row of the table of classes per row. Gives the output (B, out, h, w), of which the first
    /// `in` channels are the prediction, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, timesteps or classes do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(&self, x: &Tensor, t: &[f32], classes: &[u32], probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        self.check(x, t, classes)?;
        let (_, _, height, width) = x.dims4()?;
        let grid = self.config.token_grid(Grid::new(height, width));
        let patches = self.pos_embed.forward(x)?.flatten_from(2)?.transpose(1, 2)?;
        let positions = self.positions(grid, x)?;
        let mut tokens = patches.contiguous()?.broadcast_add(&positions)?;
        let first = self.condition(t, classes)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let own = match &block.embedder {
                Some(embedder) if index > 0 => Some(embedder.forward(t, classes)?),
                _ => None,
            };
            tokens = block.forward(&tokens, own.as_ref().unwrap_or(&first), grid, probe)?;
        }
        match &self.last {
            Some(last) if self.blocks.len() == self.config.num_layers => {
                Ok(last.forward(&tokens, &first, grid, self.config.patch_size)?)
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    /// What timesteps and classes become in the first block and behind the last, (B, D).
    ///
    /// # Errors
    ///
    /// Where nothing was read, and where the device fails.
    pub fn condition(&self, t: &[f32], classes: &[u32]) -> Result<Tensor> {
        let of_first = self.blocks.first().and_then(|block| block.embedder.as_ref());
        let embedder = self.embedder.as_ref().or(of_first).ok_or_else(nothing_was_read)?;
        Ok(embedder.forward(t, classes)?)
    }

    /// Those of a grid, (1, N, D): as they were trained where it is the grid of training.
    fn positions(&self, grid: Grid, x: &Tensor) -> CandleResult<Tensor> {
        let side = self.config.trained_side();
        let table = match &self.positions {
            Some(stored) if grid == Grid::new(side, side) => stored.clone(),
            _ => position_table(self.config.width(), side as f64, grid, x.device())?,
        };
        table.to_dtype(x.dtype())
    }

    fn check(&self, x: &Tensor, t: &[f32], classes: &[u32]) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        let patch = config.patch_size;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(patch));
        let told = classes.len() == rows && classes.iter().all(|class| *class as usize <= config.num_classes);
        if channels != config.in_channels || !sides_fit || t.len() != rows || !told {
            return Err(Error::failed(format!(
                "a DiT takes latents of {} channels whose sides are multiples of {patch}, with a timestep and a class up to {} \
                 for each; it was given {:?} with {} timesteps and the classes {classes:?}",
                config.in_channels,
                config.num_classes,
                x.dims(),
                t.len()
            )));
        }
        Ok(())
    }
}

/// The last norm, and what makes patches of tokens.
#[derive(Debug)]
struct Last {
    modulation: Linear,
    proj_out: Linear,
}

impl Last {
    fn new(config: &DitConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let width = config.width();
        let numbers = config.patch_size * config.patch_size * config.out_channels;
        Ok(Self {
            modulation: linear(width, LAST_MODULATIONS * width, vb.pp("proj_out_1"))?,
            proj_out: linear(width, numbers, vb.pp("proj_out_2"))?,
        })
    }

    /// Tokens (B, N, D) → (B, out, h, w). `condition` is (B, D).
    fn forward(&self, tokens: &Tensor, condition: &Tensor, grid: Grid, patch: usize) -> CandleResult<Tensor> {
        let width = tokens.dim(2)?;
        let modulation = self.modulation.forward(&silu(condition)?)?;
        let vector = |index: usize| modulation.narrow(1, index * width, width);
        let normal = modulated_norm(tokens, &vector(0)?, &vector(1)?, LAST_NORM_EPS)?;
        unpatchify(&self.proj_out.forward(&normal)?, grid, patch)
    }
}

impl Adaptable for Dit {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.pos_embed.each_layer(visit);
        if let Some(embedder) = &mut self.embedder {
            embedder.each_layer(visit);
        }
        self.blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.modulation.each_layer(visit);
            last.proj_out.each_layer(visit);
        }
    }
}
