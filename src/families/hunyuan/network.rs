//! The network itself: patches, conditions, blocks with skips between them, patches again.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    PATCH,
    blocks::{Block, NORM_EPS},
    catalogue::catalogue,
    conditions::{self, HunyuanConditions, TextEmbedder, TimeEmbedder},
    config::HunyuanConfig,
    ids::id,
    rotary::Rotation,
};
use crate::{
    activation::{Probe, Stop},
    components::{
        patches::{patch_embedding, unpatchify},
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

/// Vectors that the timestep gives the last norm: scale and shift.
const LAST_MODULATIONS: usize = 2;

/// HunyuanDiT with its weights.
#[derive(Debug)]
pub struct Hunyuan {
    config: HunyuanConfig,
    pos_embed: Conv2d,
    text_embedder: TextEmbedder,
    time_embedder: TimeEmbedder,
    blocks: Vec<Block>,
    /// None where less was read.
    last: Option<Last>,
}

impl Hunyuan {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: HunyuanConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(PATCH, PATCH), 1);
        let count = extent.blocks(config.num_layers, |block| list.expect(id(block, VitPart::Norm1Out)))?;
        let mut blocks = Vec::with_capacity(count);
        for block in 0..count as u16 {
            blocks.push(Block::new(&config, block, &list, vb.pp(format!("blocks.{block}")))?);
        }
        Ok(Self {
            pos_embed: patch_embedding(config.in_channels, config.width(), PATCH, vb.pp("pos_embed.proj"))?,
            text_embedder: TextEmbedder::new(&config, &vb)?,
            time_embedder: TimeEmbedder::new(&config, vb.pp("time_extra_emb"))?,
            blocks,
            last: extent
                .reads_output(&list)
                .then(|| Last::new(&config, &vb))
                .transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &HunyuanConfig {
        &self.config
    }

    /// One pass: `x` (B, in, h, w) is the noisy latent, both sides even, `t` one timestep per row. Gives the output
    /// (B, out, h, w), of which the first `in` channels are the prediction, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, timesteps or text do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &HunyuanConditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        self.check(x, t)?;
        let time = self.time(t, conditions)?;
        let (_, _, height, width) = x.dims4()?;
        let grid = self.config.token_grid(Grid::new(height, width));
        let rotation = self.rotation(grid, x)?;
        let text = self.text_embedder.forward(conditions)?;
        let patches = self.pos_embed.forward(x)?.flatten_from(2)?.transpose(1, 2)?;
        let mut tokens = patches.contiguous()?;
        let mut skips = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            let earlier = match self.config.has_skip(index) {
                true => skips.pop(),
                false => None,
            };
            tokens = block.forward(&tokens, earlier.as_ref(), (&time, &text, &rotation), grid, probe)?;
            if self.config.gives_skip(index) {
                skips.push(tokens.clone());
            }
        }
        match &self.last {
            Some(last) if self.blocks.len() == self.config.num_layers => Ok(last.forward(&tokens, &time, grid)?),
            _ => Err(nothing_was_read().into()),
        }
    }

    /// What timestep and conditions become before the blocks, (B, D).
    ///
    /// # Errors
    ///
    /// Where the text does not fit the configuration, and where the device fails.
    pub(super) fn time(&self, t: &[f32], conditions: &HunyuanConditions<'_>) -> Result<Tensor> {
        conditions::check(&self.config, conditions)?;
        Ok(self.time_embedder.forward(t, conditions)?)
    }

    /// The turns of a grid.
    pub(super) fn rotation(&self, grid: Grid, x: &Tensor) -> CandleResult<Rotation> {
        Rotation::of_grid(grid, self.config.attention_head_dim, x.device())
    }

    fn check(&self, x: &Tensor, t: &[f32]) -> Result<()> {
        let (rows, channels, height, width) = x.dims4()?;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(PATCH));
        if channels != self.config.in_channels || !sides_fit || t.len() != rows {
            return Err(Error::failed(format!(
                "HunyuanDiT takes latents of {} channels whose sides are multiples of {PATCH}, with a timestep for each; it was \
                 given {:?} with {} timesteps",
                self.config.in_channels,
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
    fn new(config: &HunyuanConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let width = config.width();
        let numbers = PATCH * PATCH * config.out_channels();
        Ok(Self {
            modulation: linear(width, LAST_MODULATIONS * width, vb.pp("norm_out.linear"))?,
            proj_out: linear(width, numbers, vb.pp("proj_out"))?,
        })
    }

    /// Tokens (B, N, D) → (B, out, h, w). `time` is (B, D).
    fn forward(&self, tokens: &Tensor, time: &Tensor, grid: Grid) -> CandleResult<Tensor> {
        let width = tokens.dim(2)?;
        let modulation = self.modulation.forward(&silu(time)?)?;
        let (scale, shift) = (modulation.narrow(1, 0, width)?, modulation.narrow(1, width, width)?);
        let normal = modulated_norm(tokens, &shift, &scale, NORM_EPS)?;
        unpatchify(&self.proj_out.forward(&normal)?, grid, PATCH)
    }
}

impl Adaptable for Hunyuan {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.pos_embed.each_layer(visit);
        self.text_embedder.each_layer(visit);
        self.time_embedder.each_layer(visit);
        self.blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.modulation.each_layer(visit);
            last.proj_out.each_layer(visit);
        }
    }
}
