//! The first half of a U-Net, which a ControlNet has too: timestep, first convolution, down levels, middle.

use candle_core::{Device, Tensor};
use candle_nn::{Module, VarBuilder};

use super::super::ids::{Leaf, Place, id};
use super::{
    blocks::{Builder, LevelBlocks, TappedResnet},
    conditions::SdxlConditioning,
    config,
    time::TimeEmbedding,
    transformer::Transformer,
};
use crate::{
    activation::{Probe, Stop, Tap},
    error::Result,
    nn::{
        adaptable::{Adaptable, Visit},
        layers::Conv2d,
        resnet::conv3x3,
    },
};

/// Timestep embedding, `conv_in`, `down_blocks`, `mid_block`.
#[derive(Debug)]
pub struct DownPath {
    time: TimeEmbedding,
    conv_in: Conv2d,
    after_conv_in: Tap,
    down: Vec<LevelBlocks>,
    mid: Option<Middle>,
    skip_widths: Vec<usize>,
}

/// Layers on the deepest grid: a resnet, and a transformer and a second resnet where there are any.
#[derive(Debug)]
struct Middle {
    first: TappedResnet,
    rest: Option<(Transformer, TappedResnet)>,
}

/// Output of the first half.
#[derive(Debug)]
pub struct Contracted {
    /// Outputs (B, C, h, w) of `conv_in`, of every layer and of every downsampler, in execution order.
    pub skips: Vec<Tensor>,
    /// The output (B, C, h, w) of the middle, on the deepest grid; where there is no middle, that of the last level.
    pub mid: Tensor,
}

impl DownPath {
    /// From the tensors of a whole network.
    pub fn new(builder: &Builder<'_>, vb: &VarBuilder<'_>) -> Result<Self> {
        let Builder { config, list } = builder;
        let first = config.down[0].channels;
        let mut skip_widths = vec![first];
        let mut width = first;
        let mut down = Vec::with_capacity(config.down.len());
        for (index, level) in (0u16..).zip(&config.down) {
            let stage = builder.down_stage(index, width, &vb.pp(format!("down_blocks.{index}")))?;
            width = level.channels;
            skip_widths.extend(std::iter::repeat_n(
                width,
                stage.layers.len() + usize::from(stage.sampler.is_some()),
            ));
            down.push(stage);
        }
        let mid = |repeat, name: &str| builder.resnet(Place::Mid { repeat: Some(repeat) }, [width, width], vb.pp(name));
        let attending = |blocks| {
            let vb = vb.pp("mid_block.attentions.0");
            builder.transformer(config.deepest(), blocks, Place::Mid { repeat: None }, vb)
        };
        let middle = match config.mid {
            config::Middle::Absent => None,
            config::Middle::Resnet => Some(Middle {
                first: mid(0, "mid_block.resnets.0")?,
                rest: None,
            }),
            config::Middle::Attending { blocks } => Some(Middle {
                first: mid(0, "mid_block.resnets.0")?,
                rest: Some((attending(blocks)?, mid(1, "mid_block.resnets.1")?)),
            }),
        };
        Ok(Self {
            time: TimeEmbedding::new(config, vb)?,
            conv_in: conv3x3(config.in_channels, first, vb.pp("conv_in"))?,
            after_conv_in: list.expect(id(Place::Network, Leaf::AfterConvIn))?,
            down,
            mid: middle,
            skip_widths,
        })
    }

    /// Channels of every skip, in the order of [`Contracted::skips`].
    pub(crate) fn skip_widths(&self) -> &[usize] {
        &self.skip_widths
    }

    /// Embedding of the timestep for every resnet, (B, 4·C0).
    pub fn time(&self, t: &[f32], sdxl: Option<&SdxlConditioning>, device: &Device) -> Result<Tensor> {
        self.time.forward(t, sdxl, device)
    }

    /// `x` (B, in, h, w), `text` (B, T, D); `hint` (B, C0, h, w) is added to the output of the first convolution.
    pub fn forward(
        &self,
        x: &Tensor,
        hint: Option<&Tensor>,
        time: &Tensor,
        text: &Tensor,
        probe: &mut Probe<'_>,
    ) -> Result<Contracted, Stop> {
        let mut h = probe.visit(self.after_conv_in, self.conv_in.forward(x)?)?;
        if let Some(hint) = hint {
            h = (h + hint)?;
        }
        let mut skips = vec![h.clone()];
        for stage in &self.down {
            for (resnet, attention) in &stage.layers {
                h = resnet.forward(&h, time, probe)?;
                if let Some(attention) = attention {
                    h = attention.forward(&h, text, probe)?;
                }
                skips.push(h.clone());
            }
            if let Some((conv, tap)) = &stage.sampler {
                h = probe.visit(*tap, conv.forward(&h)?)?;
                skips.push(h.clone());
            }
        }
        if let Some(Middle { first, rest }) = &self.mid {
            h = first.forward(&h, time, probe)?;
            if let Some((attention, last)) = rest {
                h = attention.forward(&h, text, probe)?;
                h = last.forward(&h, time, probe)?;
            }
        }
        Ok(Contracted { skips, mid: h })
    }
}

impl Adaptable for DownPath {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.time.each_layer(visit);
        self.conv_in.each_layer(visit);
        self.down.each_layer(visit);
        if let Some(Middle { first, rest }) = &mut self.mid {
            first.each_layer(visit);
            if let Some((attention, last)) = rest {
                attention.each_layer(visit);
                last.each_layer(visit);
            }
        }
    }
}
