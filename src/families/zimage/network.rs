//! The network itself: packed patches and text, each refined alone, blocks of both, patches again.

use candle_core::{DType, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    MULTIPLE, PATCH,
    blocks::{Block, Tokens},
    catalogue::catalogue,
    config::ZImageConfig,
    padded,
};
use crate::{
    activation::{Probe, Stop},
    components::{
        blocks::{Blocks, Holding},
        joint::{JointPart, JointTaps, Rotation, id},
        patches::unpatchify,
    },
    error::{Error, Result},
    geometry::Grid,
    model::extent::{LoadExtent, nothing_was_read},
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Linear, linear},
        modulation::modulated_norm,
        rms_norm::{RmsNorm, rms_norm},
        time_embedding::timestep_embedding,
    },
};

/// Width of the sinusoids that the timestep becomes, and inside its embedder.
const SINUSOIDS: usize = 256;
const TIME_INNER: usize = 1024;
/// Epsilon of the last norm.
const LAST_NORM_EPS: f64 = 1e-6;
/// Names of the layers for patches of 2 x 2 positions of one frame.
const OF_PATCHES: &str = "2-1";

/// Z-Image with its weights.
#[derive(Debug)]
pub struct ZImage {
    config: ZImageConfig,
    x_embedder: Linear,
    /// (1, D).
    x_pad_token: Tensor,
    cap_norm: RmsNorm,
    cap_embedder: Linear,
    /// (1, D).
    cap_pad_token: Tensor,
    time: [Linear; 2],
    noise_refiner: Vec<Block>,
    context_refiner: Vec<Block>,
    layers: Blocks<Block>,
    taps: Vec<JointTaps>,
    /// None where less was read.
    last: Option<Last>,
}

/// The last norm and projection.
#[derive(Debug)]
struct Last {
    modulation: Linear,
    linear: Linear,
}

/// Beside the noisy latent, what a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct ZImageConditions<'a> {
    /// The states of the text encoder, (1 or B, T, their width).
    pub text: &'a Tensor,
}

impl ZImage {
    /// Reads the weights from tensors named as in `transformer/diffusion_pytorch_model.safetensors`, as far as `extent`.
    ///
    /// # Errors
    ///
    /// Names a tensor that is missing or of another shape than the configuration says.
    pub fn new(config: ZImageConfig, extent: LoadExtent, vb: VarBuilder<'static>) -> Result<Self> {
        Self::held(config, extent, Holding::Whole, vb)
    }

    /// The same, with blocks of the main stack that are held as `holding` says.
    pub(super) fn held(
        config: ZImageConfig,
        extent: LoadExtent,
        holding: Holding,
        vb: VarBuilder<'static>,
    ) -> Result<Self> {
        let (width, modulation) = (config.dim, config.modulation_width());
        // Which taps there are depends neither on the working size nor on the number of tokens.
        let list = catalogue(&config, Grid::new(PATCH, PATCH), 1);
        let refiners = config.n_refiner_layers;
        let wanted = extent.blocks(refiners + config.n_layers, |block| {
            list.expect(id(block, JointPart::Norm1Out))
        })?;
        let noise_refiner: Vec<Block> = (0..wanted.min(refiners))
            .map(|block| Block::new(&config, true, &vb.pp(format!("noise_refiner.{block}"))))
            .collect::<CandleResult<_>>()?;
        // The text is refined only where something sees it.
        let wanted = wanted.saturating_sub(refiners);
        let refines_text = if wanted > 0 { refiners } else { 0 };
        let context_refiner: Vec<Block> = (0..refines_text)
            .map(|block| Block::new(&config, false, &vb.pp(format!("context_refiner.{block}"))))
            .collect::<CandleResult<_>>()?;
        let layers = {
            let (config, vb) = (config.clone(), vb.pp("layers"));
            Blocks::new(wanted, holding, move |block| {
                Ok(Block::new(&config, true, &vb.pp(block))?)
            })?
        };
        let last = || -> CandleResult<Last> {
            let vb = vb.pp(format!("all_final_layer.{OF_PATCHES}"));
            Ok(Last {
                modulation: linear(modulation, width, vb.pp("adaLN_modulation.1"))?,
                linear: linear(width, PATCH * PATCH * config.in_channels, vb.pp("linear"))?,
            })
        };
        let time = vb.pp("t_embedder.mlp");
        Ok(Self {
            x_embedder: linear(
                PATCH * PATCH * config.in_channels,
                width,
                vb.pp(format!("all_x_embedder.{OF_PATCHES}")),
            )?,
            x_pad_token: vb.get((1, width), "x_pad_token")?,
            cap_norm: rms_norm(config.cap_feat_dim, config.norm_eps, vb.pp("cap_embedder.0"))?,
            cap_embedder: linear(config.cap_feat_dim, width, vb.pp("cap_embedder.1"))?,
            cap_pad_token: vb.get((1, width), "cap_pad_token")?,
            time: [
                linear(SINUSOIDS, TIME_INNER, time.pp("0"))?,
                linear(TIME_INNER, modulation, time.pp("2"))?,
            ],
            noise_refiner,
            context_refiner,
            layers,
            taps: (0..config.blocks()).map(|block| JointTaps::new(block, &list)).collect(),
            last: extent.reads_output(&list).then(last).transpose()?,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &ZImageConfig {
        &self.config
    }

    /// One pass: `x` (B, C, h, w) is the noisy latent, both sides even, `t` the share of the picture in each row, 1 − σ. Gives the
    /// prediction (B, C, h, w), picture minus noise, unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where latents, shares or texts do not fit the
    /// configuration, where the network was not read to its end, and where the device fails.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &[f32],
        conditions: &ZImageConditions<'_>,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        self.check(x, t, conditions)?;
        let (rows, _, height, width) = x.dims4()?;
        let config = &self.config;
        let grid = config.token_grid(Grid::new(height, width));
        let (positions, text_tokens) = (grid.positions(), conditions.text.dim(1)?);
        let (all_positions, all_text) = (padded(positions), padded(text_tokens));
        let time = self.modulation(t, x.dtype(), x.device())?;
        let rotation = |places: Vec<[usize; 3]>| {
            Rotation::of_positions(places.into_iter(), config.axes_dims, config.rope_theta, x.device())
        };
        // A text's tokens stand one behind the other, its padding too; the picture stands behind them all.
        let text_places: Vec<[usize; 3]> = (1..=all_text).map(|place| [place, 0, 0]).collect();
        let mut places: Vec<[usize; 3]> = (0..positions)
            .map(|position| {
                let (row, column) = grid.row_column(position);
                [all_text + 1, row, column]
            })
            .collect();
        places.resize(all_positions, [0; 3]);

        let embedded = self.x_embedder.forward(&patchify(x)?)?;
        let mut tokens = with_padding(&embedded, &self.x_pad_token, all_positions)?;
        let of_picture = rotation(places.clone())?;
        let alone = Tokens { grid, text: None };
        let mut taps = self.taps.iter();
        for (block, taps) in self
            .noise_refiner
            .iter()
            .zip(taps.by_ref().take(config.n_refiner_layers))
        {
            tokens = block.forward_shown(&tokens, &time, &of_picture, alone, taps, probe)?;
        }
        if self.noise_refiner.len() < config.n_refiner_layers {
            return Err(nothing_was_read().into());
        }
        let text = self.cap_embedder.forward(&self.cap_norm.forward(conditions.text)?)?;
        let mut text = with_padding(&text, &self.cap_pad_token, all_text)?;
        let of_text = rotation(text_places.clone())?;
        for block in &self.context_refiner {
            text = block.forward(&text, &of_text)?;
        }
        let text = text.broadcast_as((rows, all_text, config.dim))?.contiguous()?;
        tokens = Tensor::cat(&[&tokens, &text], 1)?;
        places.extend(text_places);
        let of_both = rotation(places)?;
        let both = Tokens {
            grid,
            text: Some((all_positions, all_text)),
        };
        self.layers.each(|block| {
            if let Some(taps) = taps.next() {
                tokens = block.forward_shown(&tokens, &time, &of_both, both, taps, probe)?;
            }
            Ok::<_, Stop>(())
        })?;
        match &self.last {
            Some(last) if self.layers.len() == config.n_layers => {
                let tokens = tokens.narrow(1, 0, positions)?.contiguous()?;
                Ok(unpatchify(&last.forward(&tokens, &time)?, grid, PATCH)?)
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    /// The vector that modulates all blocks, (B, modulation).
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn modulation(&self, t: &[f32], dtype: DType, device: &candle_core::Device) -> Result<Tensor> {
        let scaled: Vec<f32> = t.iter().map(|t| self.config.t_scale as f32 * t).collect();
        let embedded = timestep_embedding(&scaled, SINUSOIDS, true, 0.0, device)?.to_dtype(dtype)?;
        let [first, second] = &self.time;
        Ok(second.forward(&silu(&first.forward(&embedded)?)?)?)
    }

    fn check(&self, x: &Tensor, t: &[f32], conditions: &ZImageConditions<'_>) -> Result<()> {
        let config = &self.config;
        let (rows, channels, height, width) = x.dims4()?;
        let sides_fit = [height, width]
            .iter()
            .all(|side| *side > 0 && side.is_multiple_of(PATCH));
        if channels != config.in_channels || !sides_fit || t.len() != rows {
            return Err(Error::failed(format!(
                "Z-Image takes latents of {} channels whose sides are multiples of {PATCH}, with a share for each; it was given {:?} \
                 with {} shares",
                config.in_channels,
                x.dims(),
                t.len()
            )));
        }
        let (texts, tokens, states) = conditions.text.dims3()?;
        if states != config.cap_feat_dim || (texts != 1 && texts != rows) || tokens == 0 {
            return Err(Error::failed(format!(
                "Z-Image takes text states of width {} for one or all of {rows} rows; it was given {:?}: text encoder and transformer \
                 do not belong together",
                config.cap_feat_dim,
                conditions.text.dims()
            )));
        }
        let [most_text, most_rows, most_columns] = config.axes_lens;
        let needed = [padded(tokens) + MULTIPLE, height / PATCH, width / PATCH];
        if needed
            .iter()
            .zip([most_text, most_rows, most_columns])
            .any(|(needed, most)| *needed > most)
        {
            return Err(Error::usage(format!(
                "Z-Image has places for {most_rows} x {most_columns} tokens of a picture and {most_text} of a text; {:?} were asked for: \
                 choose a smaller size or a shorter prompt",
                [needed[1], needed[2], tokens]
            )));
        }
        Ok(())
    }
}

impl Last {
    /// LN(x)·(1 + scale), and the projection: (B, N, D) → (B, N, 4·C).
    fn forward(&self, x: &Tensor, time: &Tensor) -> CandleResult<Tensor> {
        let scale = self.modulation.forward(&silu(time)?)?;
        let normal = modulated_norm(x, &scale.zeros_like()?, &scale, LAST_NORM_EPS)?;
        self.linear.forward(&normal)
    }
}

/// (B, C, 2h, 2w) → (B, h·w, 4·C): a token has the channels of each position beside each other, by row and column.
fn patchify(latents: &Tensor) -> CandleResult<Tensor> {
    let (rows, channels, height, width) = latents.dims4()?;
    let grid = Grid::new(height / PATCH, width / PATCH);
    latents
        .reshape(&[rows, channels, grid.height, PATCH, grid.width, PATCH][..])?
        .permute([0, 2, 4, 3, 5, 1])?
        .contiguous()?
        .reshape((rows, grid.positions(), channels * PATCH * PATCH))
}

/// Tokens (B, N, D) with a padding token (1, D) behind them, up to `count`.
fn with_padding(tokens: &Tensor, padding: &Tensor, count: usize) -> CandleResult<Tensor> {
    let (rows, tokens_here, width) = tokens.dims3()?;
    match count - tokens_here {
        0 => Ok(tokens.clone()),
        missing => {
            let padding = padding.unsqueeze(0)?.broadcast_as((rows, missing, width))?;
            Tensor::cat(&[tokens, &padding.contiguous()?], 1)
        }
    }
}

impl Adaptable for ZImage {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.x_embedder.each_layer(visit);
        self.cap_embedder.each_layer(visit);
        self.time.iter_mut().for_each(|layer| layer.each_layer(visit));
        self.noise_refiner.each_layer(visit);
        self.context_refiner.each_layer(visit);
        self.layers.each_layer(visit);
        if let Some(last) = &mut self.last {
            last.modulation.each_layer(visit);
            last.linear.each_layer(visit);
        }
    }
}
