//! The network itself: positions of the latent as tokens, modulations, blocks of two streams, blocks of one.

use std::sync::Arc;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    blocks::{DoubleBlock, OfStream, Rotations, SingleBlock, Vectors},
    catalogue::catalogue,
    config::{AXES, Flux2Config},
};
use crate::{
    activation::{Probe, Stop},
    components::{
        blocks::{Blocks, Holding},
        joint::{JointPart, Rotation, id, last_norm},
    },
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Linear, linear_no_bias},
        time_embedding::timestep_embedding,
    },
};

/// The network multiplies what it is told by this before sinusoids are made of it.
const TOLD_TIMES: f32 = 1000.0;
/// Branches of a stream that has its own: attention and feed-forward part.
const BRANCHES: usize = 2;

/// Flux.2 with its weights.
#[derive(Debug)]
pub struct Flux2 {
    config: Flux2Config,
    x_embedder: Linear,
    context_embedder: Linear,
    time: [Linear; 2],
    /// Of the streams of picture and text.
    double_modulations: [Linear; 2],
    single_modulation: Linear,
    blocks: Blocks<DoubleBlock>,
    single_blocks: Blocks<SingleBlock>,
    /// None where less was read.
    last: Option<Last>,
}

/// The last norm and projection.
#[derive(Debug)]
struct Last {
    norm: Linear,
    proj_out: Linear,
}

impl Flux2 {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: Flux2Config, extent: LoadExtent, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, extent, Holding::Whole, vb)
    }

    /// The same, with blocks that are held as `holding` says.
    pub(super) fn held(
        config: Flux2Config,
        extent: LoadExtent,
        holding: Holding,
        vb: VarBuilder<'static>,
    ) -> Result<Self> {
        let width = config.width();
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(1, 1), 1);
        let wanted = extent.blocks(usize::from(config.blocks()), |block| {
            list.expect(id(block, JointPart::Norm1Out))
        })?;
        let of_two = config.num_layers.min(wanted);
        let list = Arc::new(list);
        let blocks = {
            let (list, vb, config) = (Arc::clone(&list), vb.clone(), config.clone());
            Blocks::new(of_two, holding, move |block| {
                let vb = vb.pp(format!("transformer_blocks.{block}"));
                Ok(DoubleBlock::new(&config, block as u16, &list, &vb)?)
            })?
        };
        let single_blocks = {
            let (list, vb, config) = (Arc::clone(&list), vb.clone(), config.clone());
            Blocks::new(wanted - of_two, holding, move |single| {
                let block = (config.num_layers + single) as u16;
                let vb = vb.pp(format!("single_transformer_blocks.{single}"));
                Ok(SingleBlock::new(&config, block, &list, &vb)?)
            })?
        };
        let last = || -> CandleResult<Last> {
            const VECTORS: usize = 2;
            Ok(Last {
                norm: linear_no_bias(width, VECTORS * width, vb.pp("norm_out.linear"))?,
                proj_out: linear_no_bias(width, config.in_channels, vb.pp("proj_out"))?,
            })
        };
        let time = vb.pp("time_guidance_embed.timestep_embedder");
        let double = |stream: &str| {
            let vb = vb.pp(format!("double_stream_modulation_{stream}.linear"));
            linear_no_bias(width, BRANCHES * Vectors::COUNT * width, vb)
        };
        Ok(Self {
            x_embedder: linear_no_bias(config.in_channels, width, vb.pp("x_embedder"))?,
            context_embedder: linear_no_bias(config.joint_attention_dim, width, vb.pp("context_embedder"))?,
            time: [
                linear_no_bias(config.timestep_guidance_channels, width, time.pp("linear_1"))?,
                linear_no_bias(width, width, time.pp("linear_2"))?,
            ],
            double_modulations: [double("img")?, double("txt")?],
            single_modulation: linear_no_bias(width, Vectors::COUNT * width, vb.pp("single_stream_modulation.linear"))?,
            blocks,
            single_blocks,
            last: extent.reads_output(&list).then(last).transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Flux2Config {
        &self.config
    }

    /// One pass: `x` (B, C, h, w) is the noisy latent, `sigma` the share of noise of each row, `text` (1 or B, T, their width) the
    /// states of the text encoder. Gives the prediction (B, C, h, w), noise minus picture, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, shares or texts do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(&self, x: &Tensor, sigma: &[f32], text: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        self.check(x, sigma, text)?;
        let (rows, _, height, width) = x.dims4()?;
        let (grid, count) = (Grid::new(height, width), text.dim(1)?);
        let mut tokens = self.x_embedder.forward(&pack(x)?)?;
        let mut text = self
            .context_embedder
            .forward(text)?
            .broadcast_as((rows, count, self.config.width()))?
            .contiguous()?;
        let modulation = silu(&self.modulation(sigma, x.dtype(), x.device())?)?;
        let of_streams: [OfStream; 2] = {
            let [picture, text] = &self.double_modulations;
            [
                Vectors::of(&picture.forward(&modulation)?)?,
                Vectors::of(&text.forward(&modulation)?)?,
            ]
        };
        let [of_one] = Vectors::of(&self.single_modulation.forward(&modulation)?)?;
        let rotations = self.rotations(grid, count, x.device())?;
        self.blocks.each(|block| {
            [tokens, text] = block.forward([&tokens, &text], &of_streams, &rotations, grid, probe)?;
            Ok::<_, Stop>(())
        })?;
        self.single_blocks.each(|block| {
            [tokens, text] = block.forward([&tokens, &text], &of_one, &rotations, grid, probe)?;
            Ok::<_, Stop>(())
        })?;
        let is_whole = self.single_blocks.len() == self.config.num_single_layers;
        match &self.last {
            Some(last) if is_whole => {
                let normal = last_norm(&last.norm, &tokens, &modulation)?;
                Ok(unpack(&last.proj_out.forward(&normal)?, grid)?)
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    /// The vector that modulates all blocks, before its SiLU: (B, D).
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn modulation(&self, sigma: &[f32], dtype: DType, device: &Device) -> Result<Tensor> {
        let told: Vec<f32> = sigma.iter().map(|sigma| TOLD_TIMES * sigma).collect();
        let channels = self.config.timestep_guidance_channels;
        let embedded = timestep_embedding(&told, channels, true, 0.0, device)?.to_dtype(dtype)?;
        let [first, second] = &self.time;
        Ok(second.forward(&silu(&first.forward(&embedded)?)?)?)
    }

    fn rotations(&self, grid: Grid, text_tokens: usize, device: &Device) -> Result<Rotations> {
        let of = |places: Vec<[usize; AXES]>| {
            let Flux2Config {
                axes_dims_rope,
                rope_theta,
                ..
            } = self.config;
            Rotation::of_positions(places.into_iter(), axes_dims_rope, rope_theta, device)
        };
        Ok(Rotations {
            picture: of(picture_places(grid))?,
            text: of(text_places(text_tokens))?,
        })
    }

    fn check(&self, x: &Tensor, sigma: &[f32], text: &Tensor) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        if channels != config.in_channels || height * width == 0 || sigma.len() != rows {
            return Err(Error::failed(format!(
                "Flux.2 takes latents of {} channels with a share of noise for each; it was given {:?} with {} shares",
                config.in_channels,
                x.dims(),
                sigma.len()
            )));
        }
        let (texts, tokens, states) = text.dims3()?;
        if states != config.joint_attention_dim || (texts != 1 && texts != rows) || tokens == 0 {
            return Err(Error::failed(format!(
                "Flux.2 takes text states of width {} for one or all of {rows} rows; it was given {:?}: text encoder and transformer \
                 do not belong together",
                config.joint_attention_dim,
                text.dims()
            )));
        }
        Ok(())
    }
}

/// Positions of the picture's tokens: (0, row, column, 0).
pub(super) fn picture_places(grid: Grid) -> Vec<[usize; AXES]> {
    let places = (0..grid.positions()).map(|position| grid.row_column(position));
    places.map(|(row, column)| [0, row, column, 0]).collect()
}

/// Positions of the text's: (0, 0, 0, place).
pub(super) fn text_places(tokens: usize) -> Vec<[usize; AXES]> {
    (0..tokens).map(|place| [0, 0, 0, place]).collect()
}

/// (B, C, h, w) → (B, h·w, C): a token is a position.
///
/// # Errors
///
/// Where the device fails.
pub fn pack(latents: &Tensor) -> Result<Tensor> {
    Ok(latents.flatten_from(2)?.transpose(1, 2)?.contiguous()?)
}

/// The inverse of [`pack`], for tokens on a grid.
fn unpack(tokens: &Tensor, grid: Grid) -> CandleResult<Tensor> {
    let (rows, _, channels) = tokens.dims3()?;
    tokens
        .transpose(1, 2)?
        .contiguous()?
        .reshape((rows, channels, grid.height, grid.width))
}

impl Adaptable for Flux2 {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.x_embedder.each_layer(visit);
        self.context_embedder.each_layer(visit);
        self.time.iter_mut().for_each(|layer| layer.each_layer(visit));
        self.double_modulations
            .iter_mut()
            .for_each(|layer| layer.each_layer(visit));
        self.single_modulation.each_layer(visit);
        self.blocks.each_layer(visit);
        self.single_blocks.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.norm.each_layer(visit);
            last.proj_out.each_layer(visit);
        }
    }
}
