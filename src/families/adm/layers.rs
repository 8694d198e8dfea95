//! The modules of a block; field names equal the tensor names.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Conv2dConfig, Linear, Module as _, VarBuilder, linear};

use super::{
    config::AdmConfig,
    ids::{self, AttnPart, RESNET_WORDS},
    plan::{Block, Module, Resample},
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    error::Result,
    geometry::Grid,
    nn::{
        attention::{attend, visit_map},
        layers::{Conv2d, conv2d},
        norms::{GroupNorm, group_norm},
        resnet::{conv1x1, conv3x3},
    },
};

/// Of every GroupNorm.
const NORM_EPSILON: f64 = 1e-5;

/// GroupNorm over `channels`.
pub(super) fn norm(config: &AdmConfig, channels: usize, vb: VarBuilder) -> CandleResult<GroupNorm> {
    group_norm(config.num_groups, channels, NORM_EPSILON, vb)
}

/// A 3x3 convolution that halves the grid.
fn conv3x3_down(channels: usize, vb: VarBuilder) -> CandleResult<Conv2d> {
    let config = Conv2dConfig {
        padding: 1,
        stride: 2,
        ..Conv2dConfig::default()
    };
    conv2d(channels, channels, 3, config, vb)
}

/// Nearest enlargement x2 of (B, C, h, w).
fn double(x: &Tensor) -> CandleResult<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    x.upsample_nearest2d(height * 2, width * 2)
}

/// A block b1, b2, …: its modules one after the other.
pub(super) struct BlockLayers {
    layers: Vec<Layer>,
    out: Tap,
}

enum Layer {
    Conv(Conv2d),
    Res(Box<ResBlock>),
    Attention(Box<AttentionBlock>),
    Down(Conv2d),
    Up(Conv2d),
}

impl BlockLayers {
    pub(super) fn new(config: &AdmConfig, block: &Block, taps: &Catalogue, vb: &VarBuilder) -> Result<Self> {
        let inside = |word: &str| taps.expect(ids::inside(block.number, word));
        let vb = vb.pp(&block.path);
        let mut resnets = RESNET_WORDS.into_iter();
        let layers = block
            .modules
            .iter()
            .enumerate()
            .map(|(index, module)| {
                let vb = vb.pp(index);
                Ok(match *module {
                    Module::Conv { input, output } => Layer::Conv(conv3x3(input, output, vb)?),
                    Module::Down { channels } => Layer::Down(conv3x3_down(channels, vb.pp("op"))?),
                    Module::Up { channels } => Layer::Up(conv3x3(channels, channels, vb.pp("conv"))?),
                    Module::Res {
                        input,
                        output,
                        resample,
                    } => {
                        let (increment, out) = resnets.next().unwrap_or(RESNET_WORDS[1]);
                        let taps = (inside(increment)?, inside(out)?);
                        Layer::Res(Box::new(ResBlock::new(config, (input, output), resample, taps, vb)?))
                    }
                    Module::Attention { channels, heads } => {
                        let taps = AttentionTaps::new(block.number, taps)?;
                        Layer::Attention(Box::new(AttentionBlock::new(config, channels, heads, taps, vb)?))
                    }
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            out: taps.expect(ids::block(block.number))?,
        })
    }

    /// `x` (B, C, h, w), `time` (B, 4·base width) after its SiLU.
    pub(super) fn forward(&self, x: Tensor, time: &Tensor, probe: &mut Probe) -> Result<Tensor, Stop> {
        let mut h = x;
        for layer in &self.layers {
            h = match layer {
                Layer::Conv(conv) | Layer::Down(conv) => conv.forward(&h)?,
                Layer::Up(conv) => conv.forward(&double(&h)?)?,
                Layer::Res(resnet) => resnet.forward(&h, time, probe)?,
                Layer::Attention(attention) => attention.forward(&h, probe)?,
            };
        }
        probe.visit(self.out, h)
    }
}

/// Two convolutions around the timestep, beside a shortcut.
struct ResBlock {
    /// `in_layers`: norm, SiLU, convolution.
    in_norm: GroupNorm,
    in_conv: Conv2d,
    /// `emb_layers`: SiLU (done once for all resnets), linear.
    emb: Linear,
    /// `out_layers`: norm, SiLU, dropout, convolution.
    out_norm: GroupNorm,
    out_conv: Conv2d,
    /// 1x1 convolution where the number of channels changes.
    skip_connection: Option<Conv2d>,
    resample: Resample,
    use_scale_shift_norm: bool,
    increment: Tap,
    out: Tap,
}

impl ResBlock {
    /// `channels`: of the input and the output.
    fn new(
        config: &AdmConfig,
        channels: (usize, usize),
        resample: Resample,
        (increment, out): (Tap, Tap),
        vb: VarBuilder,
    ) -> CandleResult<Self> {
        let (input, output) = channels;
        let time_width = time_width(config);
        let emb_width = if config.use_scale_shift_norm {
            2 * output
        } else {
            output
        };
        let skip_connection = (input != output)
            .then(|| conv1x1(input, output, vb.pp("skip_connection")))
            .transpose()?;
        Ok(Self {
            in_norm: norm(config, input, vb.pp("in_layers.0"))?,
            in_conv: conv3x3(input, output, vb.pp("in_layers.2"))?,
            emb: linear(time_width, emb_width, vb.pp("emb_layers.1"))?,
            out_norm: norm(config, output, vb.pp("out_layers.0"))?,
            out_conv: conv3x3(output, output, vb.pp("out_layers.3"))?,
            skip_connection,
            resample,
            use_scale_shift_norm: config.use_scale_shift_norm,
            increment,
            out,
        })
    }

    fn resampled(&self, x: &Tensor) -> CandleResult<Tensor> {
        match self.resample {
            Resample::None => Ok(x.clone()),
            Resample::Down => x.avg_pool2d(2),
            Resample::Up => double(x),
        }
    }

    fn forward(&self, x: &Tensor, time: &Tensor, probe: &mut Probe) -> Result<Tensor, Stop> {
        let h = self.in_norm.forward_silu(x)?;
        let h = self.in_conv.forward(&self.resampled(&h)?)?;
        // Each convolution of a large picture takes long enough to be worth a look at the user's wish to stop.
        probe.check(self.increment)?;
        let h = self.out_conv.forward(&self.timed(&h, time)?)?;
        let h = probe.visit(self.increment, h)?;
        let shortcut = self.resampled(x)?;
        let shortcut = match &self.skip_connection {
            Some(conv) => conv.forward(&shortcut)?,
            None => shortcut,
        };
        let out = (shortcut + h)?;
        probe.visit(self.out, out)
    }

    /// SiLU of the second norm, with the timestep in it.
    fn timed(&self, h: &Tensor, time: &Tensor) -> CandleResult<Tensor> {
        let emb = self.emb.forward(time)?;
        match self.use_scale_shift_norm {
            true => self.out_norm.forward_scaled_silu(h, &emb),
            false => self.out_norm.forward_shifted_silu(h, &emb),
        }
    }
}

/// Width of the timestep's embedding.
pub(super) fn time_width(config: &AdmConfig) -> usize {
    4 * config.num_channels
}

/// Self-attention over all positions.
struct AttentionBlock {
    norm: GroupNorm,
    /// 1x1 convolution in the file, (3·C, C) here.
    qkv: Linear,
    /// 1x1 convolution in the file, (C, C) here.
    proj_out: Linear,
    heads: usize,
    use_new_attention_order: bool,
    taps: AttentionTaps,
}

struct AttentionTaps {
    q: Tap,
    k: Tap,
    v: Tap,
    map: Tap,
    out: Tap,
}

impl AttentionTaps {
    fn new(block: u16, taps: &Catalogue) -> Result<Self> {
        let tap = |part: AttnPart| taps.expect(ids::inside(block, part.word()));
        Ok(Self {
            q: tap(AttnPart::Q)?,
            k: tap(AttnPart::K)?,
            v: tap(AttnPart::V)?,
            map: tap(AttnPart::Map)?,
            out: tap(AttnPart::Out)?,
        })
    }
}

/// A convolution over a sequence with a kernel of one position, as the linear layer it is.
fn pointwise(input: usize, output: usize, vb: VarBuilder) -> CandleResult<Linear> {
    let weight = vb.get((output, input, 1), "weight")?.squeeze(2)?;
    Ok(Linear::new(weight, Some(vb.get(output, "bias")?)))
}

impl AttentionBlock {
    fn new(
        config: &AdmConfig,
        channels: usize,
        heads: usize,
        taps: AttentionTaps,
        vb: VarBuilder,
    ) -> CandleResult<Self> {
        Ok(Self {
            norm: norm(config, channels, vb.pp("norm"))?,
            qkv: pointwise(channels, 3 * channels, vb.pp("qkv"))?,
            proj_out: pointwise(channels, channels, vb.pp("proj_out"))?,
            heads,
            use_new_attention_order: config.use_new_attention_order,
            taps,
        })
    }

    fn forward(&self, x: &Tensor, probe: &mut Probe) -> Result<Tensor, Stop> {
        let (batch, channels, height, width) = x.dims4()?;
        let grid = Grid::new(height, width);
        let positions = grid.positions();
        let head_width = channels / self.heads;
        // (B, h·w, C): every step but the norm works position by position.
        let tokens = self.norm.forward_tokens(x)?;
        let qkv = self.qkv.forward(&tokens)?;
        let (qkv, which) = if self.use_new_attention_order {
            (qkv.reshape((batch, positions, 3, self.heads, head_width))?, 2)
        } else {
            (qkv.reshape((batch, positions, self.heads, 3, head_width))?, 3)
        };
        // Each (B, h·w, heads, C/heads).
        let [q, k, v] = [0, 1, 2].map(|index| qkv.narrow(which, index, 1).and_then(|part| part.squeeze(which)));
        let (mut q, mut k, mut v) = (q?, k?, v?);
        for (tap, part) in [(self.taps.q, &mut q), (self.taps.k, &mut k), (self.taps.v, &mut v)] {
            // Joining the heads copies, so it is done only for who asks.
            if probe.wants(tap) {
                let met = probe.visit_tokens(tap, part.flatten_from(2)?, grid)?;
                *part = met.reshape(part.dims())?;
            } else {
                probe.passed(tap)?;
            }
        }
        let (q, k, v) = (q.transpose(1, 2)?, k.transpose(1, 2)?, v.transpose(1, 2)?);
        let scale = 1.0 / (head_width as f64).sqrt();
        visit_map(probe, self.taps.map, &q, &k, scale)?;
        let attended = attend(&q, &k, &v, scale)?;
        let out = self
            .proj_out
            .forward(&attended)?
            .transpose(1, 2)?
            .reshape((batch, channels, height, width))?;
        let out = probe.visit(self.taps.out, out)?;
        Ok((x + out)?)
    }
}
