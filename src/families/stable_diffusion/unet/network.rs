//! The U-Net itself: down levels, middle, up levels with skips.

use candle_core::{D, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    super::ids::{Leaf, Place, id, is_of_up_level},
    blocks::{Builder, LevelBlocks},
    catalogue::catalogue,
    conditions::Conditions,
    config::UnetConfig,
    down_path::{Contracted, DownPath},
};
use crate::{
    activation::{Probe, Stop, Tap},
    error::{Error, Result},
    geometry::Grid,
    model::{
        control::ControlSignal,
        extent::{LoadExtent, nothing_was_read},
    },
    nn::{
        adaptable::{Adaptable, Visit},
        layers::Conv2d,
        norms::{GroupNorm, group_norm},
        resnet::conv3x3,
    },
};

/// A U-Net of the Stable Diffusion family with its weights.
#[derive(Debug)]
pub struct Unet {
    config: UnetConfig,
    path: DownPath,
    up: Vec<LevelBlocks>,
    /// `conv_norm_out` and `conv_out`; none where less was read.
    out: Option<(GroupNorm, Conv2d)>,
    input: Tap,
    output: Tap,
}

impl Unet {
    /// Reads the weights from tensors named as in `unet/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Where the network is not runnable, and where a tensor is missing or has another shape than the configuration
    /// says.
    pub fn new(config: UnetConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        config.check_runnable()?;
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(1, 1), 1);
        let builder = Builder {
            config: &config,
            list: &list,
        };
        let path = DownPath::new(&builder, &vb)?;
        let mut skips = path.skip_widths().to_vec();
        let mut width = config.deepest().channels;
        let mut up = Vec::with_capacity(config.up.len());
        let up_levels = (0u16..).zip(&config.up);
        let reached = |index: u16| extent.reaches(&list, |entry| is_of_up_level(entry.id, index));
        for (index, level) in up_levels.take_while(|(index, _)| reached(*index)) {
            up.push(builder.up_stage(index, &mut skips, width, &vb.pp(format!("up_blocks.{index}")))?);
            width = level.channels;
        }
        let network_tap = |leaf| list.expect(id(Place::Network, leaf));
        let output = network_tap(Leaf::Out)?;
        let out = match extent {
            LoadExtent::UpTo(last) if last < output => None,
            _ => Some((
                group_norm(config.norm_num_groups, width, config.norm_eps, vb.pp("conv_norm_out"))?,
                conv3x3(width, config.out_channels, vb.pp("conv_out"))?,
            )),
        };
        Ok(Self {
            path,
            up,
            out,
            input: network_tap(Leaf::In)?,
            output,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// One pass: `x` (B, in, h, w) is the noisy latent after input scaling, `t` one timestep per row. Gives the
    /// prediction (B, out, h, w) unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where input, timesteps or conditions do not
    /// fit the configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &Conditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        conditions.check(&self.config, "the U-Net", x, t)?;
        let text = conditions.text;
        let x = if self.config.center_input_sample {
            x.affine(2.0, -1.0)?
        } else {
            x.clone()
        };
        let x = probe.visit(self.input, x)?;
        let time = self.path.time(t, conditions.sdxl, x.device())?.to_dtype(x.dtype())?;
        let mut contracted = self.path.forward(&x, None, &time, text, probe)?;
        if let Some(control) = conditions.control {
            add_control(&mut contracted, control)?;
        }
        let Contracted { mut skips, mid: mut h } = contracted;
        for stage in &self.up {
            for (resnet, attention) in &stage.layers {
                if let Some(skip) = skips.pop() {
                    h = Tensor::cat(&[&h, &skip], 1)?;
                }
                h = resnet.forward(&h, &time, probe)?;
                if let Some(attention) = attention {
                    h = attention.forward(&h, text, probe)?;
                }
            }
            if let (Some((conv, tap)), Some(next)) = (&stage.sampler, skips.last()) {
                h = conv.forward(&h.upsample_nearest2d(next.dim(D::Minus2)?, next.dim(D::Minus1)?)?)?;
                h = probe.visit(*tap, h)?;
            }
        }
        let Some((conv_norm_out, conv_out)) = &self.out else {
            return Err(nothing_was_read().into());
        };
        let out = conv_out.forward(&conv_norm_out.forward_silu(&h)?)?;
        probe.visit(self.output, out)
    }
}

/// Adds the residuals of ControlNets to the skips and to the output of the middle.
fn add_control(contracted: &mut Contracted, control: &ControlSignal) -> Result<()> {
    let Contracted { skips, mid } = contracted;
    if control.down.len() != skips.len() {
        return Err(Error::failed(format!(
            "the ControlNet gives {} residuals, the U-Net has {} skips: they are not of the same family",
            control.down.len(),
            skips.len()
        )));
    }
    for (skip, residual) in skips.iter_mut().zip(&control.down) {
        *skip = (&*skip + residual)?;
    }
    *mid = (&*mid + &control.mid)?;
    Ok(())
}

impl Adaptable for Unet {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.path.each_layer(visit);
        self.up.each_layer(visit);
        if let Some((conv_norm_out, conv_out)) = &mut self.out {
            conv_norm_out.each_layer(visit);
            conv_out.each_layer(visit);
        }
    }
}
