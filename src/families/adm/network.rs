//! The network itself.

use candle_core::{DType, Tensor};
use candle_nn::{
    Linear, Module as _, VarBuilder, linear,
    ops::{pixel_shuffle, pixel_unshuffle},
};

use super::{
    catalogue::catalogue,
    config::{AdmConfig, COLOURS},
    ids::{NETWORK_IN, NETWORK_OUT, is_of},
    layers::{BlockLayers, norm, time_width},
    plan::Plan,
};
use crate::{
    activation::{Probe, Stop, Tap},
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{layers::Conv2d, norms::GroupNorm, resnet::conv3x3, time_embedding::timestep_embedding},
};

/// The U-Net of guided-diffusion, with its weights.
pub struct AdmUnet {
    config: AdmConfig,
    time_embed: (Linear, Linear),
    input_blocks: Vec<BlockLayers>,
    middle_block: BlockLayers,
    output_blocks: Vec<BlockLayers>,
    /// The norm and the convolution at the end; none where less was read.
    out: Option<(GroupNorm, Conv2d)>,
    network_in: Tap,
    network_out: Tap,
    dtype: DType,
}

impl AdmUnet {
    /// Takes the tensors of `config`'s network from `vb`, as far as `extent`, which has the names of guided-diffusion.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or has another shape than the configuration says.
    pub fn new(config: &AdmConfig, extent: LoadExtent, vb: VarBuilder) -> Result<Self> {
        let plan = Plan::new(config);
        // Only the order matters here, which is the same at every working size.
        let taps = catalogue(config, Grid::new(config.image_size, config.image_size));
        let blocks = |blocks: &[super::plan::Block]| -> Result<Vec<_>> {
            blocks
                .iter()
                .take_while(|block| extent.reaches(&taps, |entry| is_of(entry.id, block.number)))
                .map(|block| BlockLayers::new(config, block, &taps, &vb))
                .collect()
        };
        let time_width = time_width(config);
        let time_embed = (
            linear(config.num_channels, time_width, vb.pp("time_embed.0"))?,
            linear(time_width, time_width, vb.pp("time_embed.2"))?,
        );
        let last_channels = plan.output.last().map_or(0, |block| block.channels);
        let network_out = taps.expect(NETWORK_OUT)?;
        let out = match extent {
            LoadExtent::UpTo(last) if last < network_out => None,
            _ => Some((
                norm(config, last_channels, vb.pp("out.0"))?,
                conv3x3(last_channels, plan.out_channels, vb.pp("out.2"))?,
            )),
        };
        Ok(Self {
            time_embed,
            input_blocks: blocks(&plan.input)?,
            middle_block: BlockLayers::new(config, &plan.middle, &taps, &vb)?,
            output_blocks: blocks(&plan.output)?,
            out,
            network_in: taps.expect(NETWORK_IN)?,
            network_out,
            dtype: vb.dtype(),
            config: config.clone(),
        })
    }

    /// What the network was built from.
    pub fn config(&self) -> &AdmConfig {
        &self.config
    }

    /// Predicts the noise in `x_t` (B, 3, H, W), or what the configuration says the network predicts: (B, 3, H, W),
    /// or (B, 6, H, W) where a variance follows. `timesteps` holds one t for all rows or one per row, as the
    /// schedule counts them.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where the input has another shape or number of
    /// timesteps, where the network was not read to its end, and where the device fails.
    pub fn forward(&self, x_t: &Tensor, timesteps: &[f32], probe: &mut Probe) -> Result<Tensor, Stop> {
        self.check_input(x_t, timesteps)?;
        let x = pixel_unshuffle(&x_t.to_dtype(self.dtype)?, self.config.patch_size)?;
        let x = probe.visit(self.network_in, x)?;
        let time = self.embed_time(timesteps, &x)?;
        let mut h = x;
        let mut skips = Vec::with_capacity(self.input_blocks.len());
        for block in &self.input_blocks {
            h = block.forward(h, &time, probe)?;
            skips.push(h.clone());
        }
        h = self.middle_block.forward(h, &time, probe)?;
        for (block, skip) in self.output_blocks.iter().zip(skips.into_iter().rev()) {
            let with_skip = Tensor::cat(&[&h, &skip], 1)?;
            h = block.forward(with_skip, &time, probe)?;
        }
        let Some((norm, conv)) = &self.out else {
            return Err(nothing_was_read().into());
        };
        let h = conv.forward(&norm.forward_silu(&h)?)?;
        let out = pixel_shuffle(&h, self.config.patch_size)?;
        probe.visit(self.network_out, out)
    }

    fn check_input(&self, x_t: &Tensor, timesteps: &[f32]) -> Result<()> {
        let (batch, channels, height, width) = x_t.dims4()?;
        if channels != COLOURS || batch == 0 {
            return Err(Error::failed(format!(
                "the network takes pictures (B, {COLOURS}, H, W), found {:?}",
                x_t.dims()
            )));
        }
        if timesteps.len() != 1 && timesteps.len() != batch {
            return Err(Error::failed(format!(
                "{} timesteps were given for {batch} pictures; one for all or one each is expected",
                timesteps.len()
            )));
        }
        self.config.check_size(Grid::new(height, width))
    }

    /// (B, 4·base width), after the SiLU with which every resnet would begin; (1, …) where one t is for all.
    fn embed_time(&self, timesteps: &[f32], like: &Tensor) -> candle_core::Result<Tensor> {
        let told: Vec<f32> = timesteps.iter().map(|t| self.config.model_timestep(*t)).collect();
        let sinusoids = timestep_embedding(&told, self.config.num_channels, true, 0.0, like.device())?;
        let (first, second) = &self.time_embed;
        second
            .forward(&first.forward(&sinusoids.to_dtype(self.dtype)?)?.silu()?)?
            .silu()
    }
}
