//! The U-Net itself: down levels, middle, up levels with skips.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, GroupNorm, Linear, Module, VarBuilder, conv2d, group_norm, linear, ops::silu};

use super::{
    catalogue::catalogue,
    conditions::{AddedConditions, Conditions, TIME_IDS},
    config::{AddedEmbedding, Level, UnetConfig},
    transformer::Transformer,
};
use crate::{
    activation::{Catalogue, Grid, Halt, Id, Leaf, Place, Probe, Tap},
    error::{Error, Result},
    model::{
        resnet::{Norms, Resnet, conv3x3},
        timestep::timestep_embedding,
    },
};

/// A U-Net of the Stable Diffusion family with its weights.
#[derive(Debug)]
pub struct Unet {
    config: UnetConfig,
    time_embedding: [Linear; 2],
    add_embedding: Option<(AddedEmbedding, [Linear; 2])>,
    conv_in: Conv2d,
    down: Vec<Stage>,
    mid_in: TappedResnet,
    mid_attention: Transformer,
    mid_out: TappedResnet,
    up: Vec<Stage>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    taps: NetworkTaps,
}

#[derive(Debug)]
struct NetworkTaps {
    input: Tap,
    after_conv_in: Tap,
    output: Tap,
}

/// One level: resnets, each with its transformer, and the sampler to the next grid.
#[derive(Debug)]
struct Stage {
    layers: Vec<(TappedResnet, Option<Transformer>)>,
    sampler: Option<(Conv2d, Tap)>,
}

/// A residual block whose increment and output are met by the probe.
#[derive(Debug)]
struct TappedResnet {
    resnet: Resnet,
    increment: Tap,
    out: Tap,
}

/// What every part of the network is built from.
struct Builder<'a> {
    config: &'a UnetConfig,
    list: &'a Catalogue,
}

impl Builder<'_> {
    fn resnet(&self, place: Place, channels: [usize; 2], vb: VarBuilder<'_>) -> Result<TappedResnet> {
        let norms = Norms {
            groups: self.config.norm_num_groups,
            eps: self.config.norm_eps,
        };
        Ok(TappedResnet {
            resnet: Resnet::new(channels[0], channels[1], Some(self.config.time_embed_dim()), norms, vb)?,
            increment: self.list.expect(Id::new(place, Leaf::ResIncrement))?,
            out: self.list.expect(Id::new(place, Leaf::ResOut))?,
        })
    }

    fn transformer(&self, level: &Level, place: Place, vb: VarBuilder<'_>) -> Result<Option<Transformer>> {
        if level.transformer_layers == 0 {
            return Ok(None);
        }
        Transformer::new(self.config, level, place, self.list, vb).map(Some)
    }

    /// Resnets with the given input widths and their transformers.
    fn layers(
        &self,
        level: &Level,
        in_channels: &[usize],
        place: impl Fn(u16) -> Place,
        vb: &VarBuilder<'_>,
    ) -> Result<Vec<(TappedResnet, Option<Transformer>)>> {
        (0u16..)
            .zip(in_channels)
            .map(|(repeat, in_channels)| {
                let place = place(repeat);
                let resnet = self.resnet(
                    place,
                    [*in_channels, level.channels],
                    vb.pp(format!("resnets.{repeat}")),
                )?;
                let attention = self.transformer(level, place, vb.pp(format!("attentions.{repeat}")))?;
                Ok((resnet, attention))
            })
            .collect()
    }

    fn down_stage(&self, index: u16, in_channels: usize, vb: &VarBuilder<'_>) -> Result<Stage> {
        let level = &self.config.down[usize::from(index)];
        let mut widths = vec![level.channels; self.config.layers_per_block];
        widths[0] = in_channels;
        let place = |repeat| Place::Down { level: index, repeat };
        let sampler = match self.list.tap(Id::new(place(None), Leaf::DownsamplerOut)) {
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
        Ok(Stage {
            layers: self.layers(level, &widths, |repeat| place(Some(repeat)), vb)?,
            sampler,
        })
    }

    fn up_stage(&self, index: u16, skips: &mut Vec<usize>, before: usize, vb: &VarBuilder<'_>) -> Result<Stage> {
        let level = &self.config.up[usize::from(index)];
        let widths: Vec<usize> = (0..=self.config.layers_per_block)
            .map(|repeat| {
                let own = if repeat == 0 { before } else { level.channels };
                own + skips.pop().unwrap_or_default()
            })
            .collect();
        let place = |repeat| Place::Up { level: index, repeat };
        let sampler = match self.list.tap(Id::new(place(None), Leaf::UpsamplerOut)) {
            Some(tap) => Some((
                conv3x3(level.channels, level.channels, vb.pp("upsamplers.0.conv"))?,
                tap,
            )),
            None => None,
        };
        Ok(Stage {
            layers: self.layers(level, &widths, |repeat| place(Some(repeat)), vb)?,
            sampler,
        })
    }
}

impl Unet {
    /// Reads the weights from tensors named as in `unet/diffusion_pytorch_model.safetensors`.
    pub fn new(config: UnetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check_runnable()?;
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(1, 1), 1);
        let builder = Builder {
            config: &config,
            list: &list,
        };
        let first = config.down[0].channels;
        let time_dim = config.time_embed_dim();
        // Channels of everything the down stage hands over, in the order in which it is pushed.
        let mut skips = vec![first];
        let mut width = first;
        let mut down = Vec::with_capacity(config.down.len());
        for (index, level) in (0u16..).zip(&config.down) {
            let stage = builder.down_stage(index, width, &vb.pp(format!("down_blocks.{index}")))?;
            width = level.channels;
            skips.extend(std::iter::repeat_n(
                width,
                stage.layers.len() + usize::from(stage.sampler.is_some()),
            ));
            down.push(stage);
        }
        let mid = |repeat, name: &str| builder.resnet(Place::Mid { repeat: Some(repeat) }, [width, width], vb.pp(name));
        let mid_in = mid(0, "mid_block.resnets.0")?;
        let mid_out = mid(1, "mid_block.resnets.1")?;
        let mid_place = Place::Mid { repeat: None };
        let mid_attention = Transformer::new(&config, &config.mid, mid_place, &list, vb.pp("mid_block.attentions.0"))?;
        let mut up = Vec::with_capacity(config.up.len());
        for (index, level) in (0u16..).zip(&config.up) {
            up.push(builder.up_stage(index, &mut skips, width, &vb.pp(format!("up_blocks.{index}")))?);
            width = level.channels;
        }
        let network_tap = |leaf| list.expect(Id::new(Place::Network, leaf));
        let embedding = |width: usize, vb: VarBuilder<'_>| -> Result<[Linear; 2]> {
            Ok([
                linear(width, time_dim, vb.pp("linear_1"))?,
                linear(time_dim, time_dim, vb.pp("linear_2"))?,
            ])
        };
        Ok(Self {
            time_embedding: embedding(first, vb.pp("time_embedding"))?,
            add_embedding: match config.added {
                Some(added) => Some((added, embedding(added.input_width(), vb.pp("add_embedding"))?)),
                None => None,
            },
            conv_in: conv3x3(config.in_channels, first, vb.pp("conv_in"))?,
            down,
            mid_in,
            mid_attention,
            mid_out,
            up,
            conv_norm_out: group_norm(config.norm_num_groups, width, config.norm_eps, vb.pp("conv_norm_out"))?,
            conv_out: conv3x3(width, config.out_channels, vb.pp("conv_out"))?,
            taps: NetworkTaps {
                input: network_tap(Leaf::In)?,
                after_conv_in: network_tap(Leaf::AfterConvIn)?,
                output: network_tap(Leaf::Out)?,
            },
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// One pass: `x` (B, in, h, w) is the noisy latent after input scaling, `t` one timestep per row. Gives the
    /// prediction (B, out, h, w) unless the probe ends the pass before.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &Conditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Halt> {
        self.check_input(x, t, conditions)?;
        let text = conditions.text;
        let x = if self.config.center_input_sample {
            x.affine(2.0, -1.0)?
        } else {
            x.clone()
        };
        probe.visit(self.taps.input, &x)?;
        let time = self.time(t, conditions.added, x.device())?.to_dtype(x.dtype())?;
        let mut h = self.conv_in.forward(&x)?;
        probe.visit(self.taps.after_conv_in, &h)?;
        let mut skips = vec![h.clone()];
        for stage in &self.down {
            for (resnet, attention) in &stage.layers {
                h = resnet.forward(&h, &time, probe)?;
                if let Some(attention) = attention {
                    h = attention.forward(&h, text, probe)?;
                }
                skips.push(h.clone());
            }
            if let Some((conv, tap)) = &stage.sampler {
                h = conv.forward(&h)?;
                probe.visit(*tap, &h)?;
                skips.push(h.clone());
            }
        }
        h = self.mid_in.forward(&h, &time, probe)?;
        h = self.mid_attention.forward(&h, text, probe)?;
        h = self.mid_out.forward(&h, &time, probe)?;
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
                probe.visit(*tap, &h)?;
            }
        }
        let out = self.conv_out.forward(&silu(&self.conv_norm_out.forward(&h)?)?)?;
        probe.visit(self.taps.output, &out)?;
        Ok(out)
    }

    /// SiLU of the timestep embedding with what is added to it, (B, 4·C0): every resnet begins with it.
    fn time(&self, t: &[f32], added: Option<&AddedConditions>, device: &Device) -> Result<Tensor> {
        let config = &self.config;
        let dim = config.down[0].channels;
        let sinusoid = timestep_embedding(t, dim, config.flip_sin_to_cos, config.freq_shift, device)?;
        let mut time = embed(&self.time_embedding, &sinusoid)?;
        if let (Some((widths, layers)), Some(added)) = (&self.add_embedding, added) {
            let ids = added.time_ids.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let sinusoids =
                timestep_embedding(&ids, widths.time_ids, config.flip_sin_to_cos, config.freq_shift, device)?;
            let sinusoids = sinusoids.reshape((t.len(), TIME_IDS * widths.time_ids))?;
            let pooled = added.pooled.to_dtype(DType::F32)?;
            time = (time + embed(layers, &Tensor::cat(&[&pooled, &sinusoids], 1)?)?)?;
        }
        Ok(silu(&time)?)
    }

    fn check_input(&self, x: &Tensor, t: &[f32], conditions: &Conditions<'_>) -> Result<()> {
        let (batch, channels, _, _) = x.dims4()?;
        let (text_batch, _, text_width) = conditions.text.dims3()?;
        if channels != self.config.in_channels || batch != t.len() || batch != text_batch {
            return Err(Error::failed(format!(
                "the U-Net takes (B, {}, h, w), B timesteps and B prompts; found {:?}, {} timesteps, {text_batch} prompts",
                self.config.in_channels,
                x.dims(),
                t.len()
            )));
        }
        if text_width != self.config.cross_attention_dim {
            return Err(Error::failed(format!(
                "the U-Net attends to text states of width {}, the text encoder gives {text_width}: they are not of the \
                 same model",
                self.config.cross_attention_dim
            )));
        }
        let found = conditions
            .added
            .map(|added| (added.pooled.dims(), added.time_ids.dims()));
        let wanted = self
            .config
            .added
            .map(|widths| ([batch, widths.pooled], [batch, TIME_IDS]));
        match (wanted, found) {
            (None, None) => Ok(()),
            (Some((pooled, ids)), Some(found)) if found == (&pooled, &ids) => Ok(()),
            _ => Err(Error::failed(format!(
                "beside text states the U-Net takes a pooled text and time ids of the shapes {wanted:?}, found {found:?}: \
                 U-Net and text encoders are not of the same model"
            ))),
        }
    }
}

/// Linear, SiLU, Linear, of (B, width) in f32.
fn embed([first, second]: &[Linear; 2], x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(first.weight().dtype())?;
    Ok(second.forward(&silu(&first.forward(&x)?)?)?)
}

impl TappedResnet {
    fn forward(&self, x: &Tensor, time: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Halt> {
        let increment = self.resnet.increment(x, Some(time))?;
        probe.visit(self.increment, &increment)?;
        let out = self.resnet.add_shortcut(x, &increment)?;
        probe.visit(self.out, &out)?;
        Ok(out)
    }
}
