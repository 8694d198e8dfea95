//! The parts that a U-Net's levels are built from, for the network itself and for its ControlNets.

use candle_core::Tensor;
use candle_nn::{Conv2dConfig, VarBuilder};

use super::super::ids::{Leaf, Place, id};
use super::{
    config::{UnetConfig, UnetLevel},
    transformer::Transformer,
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    error::Result,
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Conv2d, conv2d},
        resnet::{Norms, Resnet, conv3x3},
    },
};

/// One level: resnets, each with its transformer, and the sampler to the next grid.
#[derive(Debug)]
pub struct LevelBlocks {
    /// Resnets and the transformer after each.
    pub layers: Vec<(TappedResnet, Option<Transformer>)>,
    /// The convolution of the sampler, where the level has one.
    pub sampler: Option<(Conv2d, Tap)>,
}

/// A residual block whose increment and output are met by the probe.
#[derive(Debug)]
pub struct TappedResnet {
    resnet: Resnet,
    increment: Tap,
    out: Tap,
}

/// Builder of the network's parts.
pub struct Builder<'a> {
    /// The network's configuration.
    pub config: &'a UnetConfig,
    /// Its activations, for their taps.
    pub list: &'a Catalogue,
}

impl Builder<'_> {
    /// A resnet of `[in, out]` channels.
    pub(in crate::families::stable_diffusion) fn resnet(
        &self,
        place: Place,
        channels: [usize; 2],
        vb: VarBuilder<'_>,
    ) -> Result<TappedResnet> {
        let norms = Norms {
            groups: self.config.norm_num_groups,
            eps: self.config.norm_eps,
        };
        Ok(TappedResnet {
            resnet: Resnet::new(channels[0], channels[1], Some(self.config.time_embed_dim()), norms, vb)?,
            increment: self.list.expect(id(place, Leaf::ResIncrement))?,
            out: self.list.expect(id(place, Leaf::ResOut))?,
        })
    }

    /// A transformer of so many blocks, of the widths of `level`.
    pub(in crate::families::stable_diffusion) fn transformer(
        &self,
        level: &UnetLevel,
        blocks: usize,
        place: Place,
        vb: VarBuilder<'_>,
    ) -> Result<Transformer> {
        Transformer::new(self.config, (level, blocks), place, self.list, vb)
    }

    /// Resnets with the given input widths and their transformers.
    fn layers(
        &self,
        level: &UnetLevel,
        in_channels: &[usize],
        place: impl Fn(u16) -> Place,
        vb: &VarBuilder<'_>,
    ) -> Result<Vec<(TappedResnet, Option<Transformer>)>> {
        (0u16..)
            .zip(in_channels.iter().zip(&level.transformers))
            .map(|(repeat, (in_channels, blocks))| {
                let place = place(repeat);
                let resnet = self.resnet(
                    place,
                    [*in_channels, level.channels],
                    vb.pp(format!("resnets.{repeat}")),
                )?;
                let attention = match blocks {
                    Some(blocks) => {
                        let vb = vb.pp(format!("attentions.{repeat}"));
                        Some(self.transformer(level, *blocks, place, vb)?)
                    }
                    None => None,
                };
                Ok((resnet, attention))
            })
            .collect()
    }

    /// A level of the down stage, with the tensors `resnets`, `attentions` and `downsamplers.0.conv`.
    pub(crate) fn down_stage(&self, index: u16, in_channels: usize, vb: &VarBuilder<'_>) -> Result<LevelBlocks> {
        let level = &self.config.down[usize::from(index)];
        let mut widths = vec![level.channels; level.transformers.len()];
        widths[0] = in_channels;
        let place = |repeat| Place::Down { level: index, repeat };
        let sampler = match self.list.tap(id(place(None), Leaf::DownsamplerOut)) {
            Some(tap) => {
                let strided = Conv2dConfig {
                    padding: 1,
                    stride: 2,
                    ..Default::default()
                };
                Some((
                    conv2d(level.channels, level.channels, 3, strided, vb.pp("downsamplers.0.conv"))?,
                    tap,
                ))
            }
            None => None,
        };
        Ok(LevelBlocks {
            layers: self.layers(level, &widths, |repeat| place(Some(repeat)), vb)?,
            sampler,
        })
    }

    /// A level of the up stage that takes its skips' widths from the end of `skips`.
    pub(crate) fn up_stage(
        &self,
        index: u16,
        skips: &mut Vec<usize>,
        before: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<LevelBlocks> {
        let level = &self.config.up[usize::from(index)];
        let widths: Vec<usize> = (0..level.transformers.len())
            .map(|repeat| {
                let own = if repeat == 0 { before } else { level.channels };
                own + skips.pop().unwrap_or_default()
            })
            .collect();
        let place = |repeat| Place::Up { level: index, repeat };
        let sampler = match self.list.tap(id(place(None), Leaf::UpsamplerOut)) {
            Some(tap) => Some((
                conv3x3(level.channels, level.channels, vb.pp("upsamplers.0.conv"))?,
                tap,
            )),
            None => None,
        };
        Ok(LevelBlocks {
            layers: self.layers(level, &widths, |repeat| place(Some(repeat)), vb)?,
            sampler,
        })
    }
}

impl TappedResnet {
    /// (B, in, h, w) → (B, out, h, w); `time` is SiLU of the timestep embedding.
    pub fn forward(&self, x: &Tensor, time: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let increment = probe.visit(self.increment, self.resnet.increment(x, Some(time))?)?;
        let out = self.resnet.add_shortcut(x, &increment)?;
        probe.visit(self.out, out)
    }
}

impl Adaptable for LevelBlocks {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for (resnet, attention) in &mut self.layers {
            resnet.each_layer(visit);
            attention.each_layer(visit);
        }
        if let Some((conv, _)) = &mut self.sampler {
            conv.each_layer(visit);
        }
    }
}

impl Adaptable for TappedResnet {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.resnet.each_layer(visit);
    }
}
