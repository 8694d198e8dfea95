//! The U-Net itself: down levels, middle, up levels with skips, of resnets that change the grid themselves.

use candle_core::Tensor;
use candle_nn::{Module, VarBuilder};

use super::{
    blocks::{Attention, Resample, Resnet},
    catalogue::{MIDDLE, catalogue},
    conditions::Embedders,
    config::IfConfig,
    ids::{Leaf, Place, id, is_of_up_level},
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    error::{Error, Result},
    geometry::Grid,
    image::picture::CHANNELS,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        feed_forward::gelu,
        layers::Conv2d,
        norms::{GroupNorm, group_norm},
        resnet::conv3x3,
    },
};

/// The U-Net of DeepFloyd IF's first stage with its weights.
#[derive(Debug)]
pub struct IfUnet {
    config: IfConfig,
    embedders: Embedders,
    conv_in: Conv2d,
    down: Vec<Level>,
    mid: Level,
    up: Vec<Level>,
    /// `conv_norm_out` and `conv_out`; none where less was read.
    out: Option<(GroupNorm, Conv2d)>,
    /// Of input, first convolution and output.
    taps: [Tap; 3],
}

/// Resnets, each with the attention behind it, and the resnet that changes the grid.
#[derive(Debug)]
struct Level {
    layers: Vec<(Resnet, Option<Attention>)>,
    sampler: Option<Resnet>,
}

impl Level {
    /// Goes through the resnets; `before` makes the input of each, and `after` meets what comes out of it and its attention.
    fn forward(
        &self,
        mut h: Tensor,
        (time, text): (&Tensor, &Tensor),
        probe: &mut Probe<'_>,
        mut before: impl FnMut(Tensor) -> Result<Tensor>,
        mut after: impl FnMut(&Tensor),
    ) -> Result<Tensor, Stop> {
        for (resnet, attention) in &self.layers {
            h = resnet.forward(&before(h)?, time, probe)?;
            if let Some(attention) = attention {
                h = attention.forward(&h, text)?;
            }
            after(&h);
        }
        if let Some(sampler) = &self.sampler {
            h = sampler.forward(&h, time, probe)?;
        }
        Ok(h)
    }
}

/// Builder of the levels.
struct Builder<'a> {
    config: &'a IfConfig,
    list: &'a Catalogue,
}

impl Builder<'_> {
    /// A level whose resnets take so many channels each and give `channels`, with the tensors `resnets`, `attentions` and, if it
    /// has a sampler of that kind, one named `sampler`.
    fn level(
        &self,
        (before, channels): (&[usize], usize),
        attends: &[bool],
        place: impl Fn(Option<u16>) -> Place,
        sampler: Option<(Resample, &str)>,
        vb: &VarBuilder<'_>,
    ) -> Result<Level> {
        let (config, list) = (self.config, self.list);
        let layers = (0_u16..)
            .zip(before.iter().zip(attends))
            .map(|(repeat, (before, attends))| {
                let at = (place(Some(repeat)), list);
                let widths = [*before, channels];
                let resnet = Resnet::new(config, widths, Resample::Keep, at, vb.pp(format!("resnets.{repeat}")))?;
                let attention = match attends {
                    true => Some(Attention::new(config, channels, vb.pp(format!("attentions.{repeat}")))?),
                    false => None,
                };
                Ok((resnet, attention))
            });
        let sampler = sampler.map(|(resample, name)| {
            let at = (place(None), list);
            Resnet::new(config, [channels, channels], resample, at, vb.pp(name))
        });
        Ok(Level {
            layers: layers.collect::<Result<_>>()?,
            sampler: sampler.transpose()?,
        })
    }
}

impl IfUnet {
    /// Reads the weights from tensors named as in `unet/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: IfConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        // Which taps there are does not depend on the working size.
        let side = config.size_multiple();
        let list = catalogue(&config, Grid::new(side, side));
        let builder = Builder {
            config: &config,
            list: &list,
        };
        let channels = &config.block_out_channels;
        let (layers, levels) = (config.layers_per_block, config.levels());
        let mut skips = vec![channels[0]];
        let mut down = Vec::with_capacity(levels);
        for (index, width) in channels.iter().enumerate() {
            let mut before = vec![*width; layers];
            before[0] = channels[index.saturating_sub(1)];
            let level = index as u16;
            let sampler = (index + 1 < levels).then_some((Resample::Down, "downsamplers.0"));
            let place = |repeat| Place::Down { level, repeat };
            let attends = vec![config.attends[index]; layers];
            let vb = vb.pp(format!("down_blocks.{index}"));
            down.push(builder.level((&before, *width), &attends, place, sampler, &vb)?);
            skips.extend(vec![*width; layers + usize::from(sampler.is_some())]);
        }
        let deepest = config.deepest();
        // There is one attention, between the two resnets.
        let mid = builder.level(
            (&[deepest; MIDDLE as usize], deepest),
            &[true, false],
            |repeat| Place::Mid {
                repeat: repeat.unwrap_or_default(),
            },
            None,
            &vb.pp("mid_block"),
        )?;
        let mut up = Vec::with_capacity(levels);
        let mut last = deepest;
        for (level, index) in (0_u16..).zip((0..levels).rev()) {
            if !extent.reaches(&list, |entry| is_of_up_level(entry.id, level)) {
                break;
            }
            let width = channels[index];
            let before: Vec<usize> = (0..=layers)
                .map(|repeat| skips.pop().unwrap_or_default() + if repeat == 0 { last } else { width })
                .collect();
            let sampler = (index > 0).then_some((Resample::Up, "upsamplers.0"));
            let place = |repeat| Place::Up { level, repeat };
            let attends = vec![config.attends[index]; layers + 1];
            let vb = vb.pp(format!("up_blocks.{level}"));
            up.push(builder.level((&before, width), &attends, place, sampler, &vb)?);
            last = width;
        }
        let tap = |leaf| list.expect(id(Place::Network, leaf));
        let taps = [tap(Leaf::In)?, tap(Leaf::AfterConvIn)?, tap(Leaf::Out)?];
        let out = match extent {
            LoadExtent::UpTo(last) if last < taps[2] => None,
            _ => Some((
                group_norm(
                    config.norm_num_groups,
                    channels[0],
                    config.norm_eps,
                    vb.pp("conv_norm_out"),
                )?,
                conv3x3(channels[0], config.out_channels, vb.pp("conv_out"))?,
            )),
        };
        Ok(Self {
            embedders: Embedders::new(&config, &vb)?,
            conv_in: conv3x3(CHANNELS, channels[0], vb.pp("conv_in"))?,
            down,
            mid,
            up,
            out,
            taps,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &IfConfig {
        &self.config
    }

    /// One pass: `x` (B, 3, H, W) is the noisy picture, whose sides are multiples of 2^(levels − 1), `t` one timestep per row, `text`
    /// (1 or B, T, S) the text encoder's states. Gives the output (B, out, H, W), of which the first 3 channels are the predicted
    /// noise, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where picture, timesteps or text do not fit the configuration,
    /// where the network was not read to its end, and where the device fails.
    pub fn forward(&self, x: &Tensor, t: &[f32], text: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        self.check(x, t, text)?;
        let [input, after_conv_in, output] = self.taps;
        let time = gelu(&self.time(t, text)?)?;
        let text = self.embedders.text(text)?;
        let told = (&time, &text);
        let x = probe.visit(input, x.clone())?;
        let mut h = probe.visit(after_conv_in, self.conv_in.forward(&x)?)?;
        let mut skips = vec![h.clone()];
        for level in &self.down {
            h = level.forward(h, told, probe, Ok, |h| skips.push(h.clone()))?;
            if level.sampler.is_some() {
                skips.push(h.clone());
            }
        }
        h = self.mid.forward(h, told, probe, Ok, |_| ())?;
        for level in &self.up {
            let with_skip = |h: Tensor| match skips.pop() {
                Some(skip) => Ok(Tensor::cat(&[&h, &skip], 1)?),
                None => Ok(h),
            };
            h = level.forward(h, told, probe, with_skip, |_| ())?;
        }
        let Some((conv_norm_out, conv_out)) = &self.out else {
            return Err(nothing_was_read().into());
        };
        probe.visit(output, conv_out.forward(&gelu(&conv_norm_out.forward(&h)?)?)?)
    }

    /// What timestep and text become before the blocks, (B, 4·C0).
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub(super) fn time(&self, t: &[f32], text: &Tensor) -> Result<Tensor> {
        Ok(self.embedders.time(t, text)?)
    }

    fn check(&self, x: &Tensor, t: &[f32], text: &Tensor) -> Result<()> {
        let (rows, channels, height, width) = x.dims4()?;
        let multiple = self.config.size_multiple();
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(multiple));
        let (texts, tokens, states) = text.dims3()?;
        let text_fits = states == self.config.encoder_hid_dim && (texts == 1 || texts == rows) && tokens > 0;
        if channels != CHANNELS || !sides_fit || t.len() != rows || !text_fits {
            return Err(Error::failed(format!(
                "this U-Net takes pictures whose sides are multiples of {multiple}, with a timestep for each and text states of \
                 width {} for one or all; it was given {:?} with {} timesteps and text of {:?}",
                self.config.encoder_hid_dim,
                x.dims(),
                t.len(),
                text.dims()
            )));
        }
        Ok(())
    }
}

impl Adaptable for Level {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for (resnet, attention) in &mut self.layers {
            resnet.each_layer(visit);
            attention.each_layer(visit);
        }
        self.sampler.each_layer(visit);
    }
}

impl Adaptable for IfUnet {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.embedders.each_layer(visit);
        self.conv_in.each_layer(visit);
        self.down.each_layer(visit);
        self.mid.each_layer(visit);
        self.up.each_layer(visit);
        if let Some((conv_norm_out, conv_out)) = &mut self.out {
            conv_norm_out.each_layer(visit);
            conv_out.each_layer(visit);
        }
    }
}
