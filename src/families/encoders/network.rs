//! The network itself: patches, blocks, the last norm.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    block::{Block, Places},
    catalogue::catalogue,
    config::EncoderConfig,
    embeddings::Embeddings,
    ids::{INPUT, LAST_NORM, Part},
    kind::BESIDE,
    rope::Rope,
};
use crate::{
    activation::{Id, Probe, Stop, Tap},
    error::{Error, Result},
    geometry::{Grid, Size},
    image::picture::CHANNELS,
    model::extent::{LoadExtent, nothing_was_read},
    nn::norms::{LayerNorm, layer_norm},
    weights::Store,
};

/// An encoder with its weights.
#[derive(Debug)]
pub struct VisionTransformer {
    config: EncoderConfig,
    embeddings: Embeddings,
    pre_norm: Option<LayerNorm>,
    blocks: Vec<Block>,
    /// None where less was read.
    last_norm: Option<LayerNorm>,
    input_tap: Tap,
    last_tap: Tap,
}

/// Opens an encoder as far as `extent`, wherever its tensors lie among those of a file: a text tower, a decoder and heads may be
/// beside it.
///
/// # Errors
///
/// Names a tensor that is missing, of another shape than the configuration says, or of no layer of the encoder.
pub fn open_network(
    config: &EncoderConfig,
    extent: LoadExtent,
    weights: &Store,
    dtype: DType,
    device: &Device,
) -> Result<VisionTransformer> {
    let names = config.kind.names();
    let patches = format!("{}.weight", names.patches);
    let is_there = |prefix: &&&str| weights.shape(&format!("{prefix}{patches}")).is_some();
    let prefix = *names.prefixes.iter().find(is_there).ok_or_else(|| {
        let looked: Vec<String> = names
            .prefixes
            .iter()
            .map(|prefix| format!("{prefix}{patches}"))
            .collect();
        Error::failed(format!(
            "{} lacks the encoder's tensor {}",
            weights.label(),
            looked.join(" or ")
        ))
    })?;
    let at = |vb: VarBuilder<'static>| match prefix.strip_suffix('.') {
        Some(prefix) => vb.pp(prefix),
        None => vb,
    };
    // Names and shapes of what is not read are checked too, in a format that no operator prepares weights for.
    let outline = weights.without_values();
    VisionTransformer::new(
        config.clone(),
        LoadExtent::Whole,
        at(outline.var_builder(DType::F16, &Device::Cpu)),
    )?;
    let is_beside = |name: &str| {
        let inside = name.strip_prefix(prefix).unwrap_or(name);
        BESIDE
            .iter()
            .any(|beside| inside.starts_with(beside) || name.starts_with(beside))
    };
    if let Some(stranger) = outline.unread().into_iter().find(|name| !is_beside(name)) {
        return Err(Error::failed(format!(
            "{}: the tensor {stranger} is of no layer that the configuration describes: it and the weights are not of one model",
            weights.label()
        )));
    }
    VisionTransformer::new(config.clone(), extent, at(weights.var_builder(dtype, device)))
}

impl VisionTransformer {
    /// Reads the weights from tensors named as in transformers, without the prefix of a model around the encoder.
    fn new(config: EncoderConfig, extent: LoadExtent, vb: VarBuilder<'_>) -> Result<Self> {
        let (names, width, eps) = (config.kind.names(), config.hidden_size, config.layer_norm_eps);
        // Which taps there are does not depend on the working size.
        let list = catalogue(&config, Grid::new(1, 1));
        let count = extent.blocks(config.num_hidden_layers, |block| list.expect(Part::Q.id(block)))?;
        let mut blocks = Vec::with_capacity(count);
        for block in 0..count as u16 {
            blocks.push(Block::new(&config, block, &list, &vb)?);
        }
        let last_tap = list.expect(Id::of(LAST_NORM))?;
        let reads_last = matches!(extent, LoadExtent::Whole) || extent == LoadExtent::UpTo(last_tap);
        let norm = |name: &str| layer_norm(width, eps, vb.pp(name));
        Ok(Self {
            embeddings: Embeddings::new(&config, &vb)?,
            pre_norm: config.kind.has_pre_norm().then(|| norm(names.pre_norm)).transpose()?,
            blocks,
            last_norm: reads_last.then(|| norm(names.last_norm)).transpose()?,
            input_tap: list.expect(Id::of(INPUT))?,
            last_tap,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// One pass over pixels (B, 3, H, W), normalised, whose sides are multiples of a patch's, to its last norm, unless the probe ends
    /// it before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] where the probe ends the pass; [`Stop::Error`] where the pixels have no such shape, where the network was not
    /// read to its end, and where the device fails.
    pub fn forward(&self, pixels: &Tensor, probe: &mut Probe<'_>) -> Result<(), Stop> {
        let (_, channels, height, width) = pixels.dims4()?;
        let config = &self.config;
        let fits = |side: usize| side > 0 && side.is_multiple_of(config.patch_size);
        if channels != CHANNELS || !fits(height) || !fits(width) {
            return Err(Error::failed(format!(
                "the encoder takes pictures of {CHANNELS} channels whose sides are multiples of {}; it was given {:?}",
                config.patch_size,
                pixels.dims()
            ))
            .into());
        }
        let grid = config.grid(Size::new(width, height));
        let special = config.special_tokens();
        let tokens = self.embeddings.forward(pixels, grid)?;
        let tokens = probe.visit_tokens_behind(self.input_tap, tokens, special, grid)?;
        let mut tokens = match &self.pre_norm {
            Some(norm) => norm.forward(&tokens)?,
            None => tokens,
        };
        let places = Places {
            special,
            grid,
            rope: self.rope(special, grid, &tokens)?,
        };
        for block in &self.blocks {
            tokens = block.forward(&tokens, &places, probe)?;
        }
        match &self.last_norm {
            Some(norm) if self.blocks.len() == config.num_hidden_layers => {
                probe.visit_tokens_behind(self.last_tap, norm.forward(&tokens)?, special, grid)?;
                Ok(())
            }
            _ => Err(nothing_was_read().into()),
        }
    }

    fn rope(&self, special: usize, grid: Grid, tokens: &Tensor) -> Result<Option<Rope>> {
        if self.config.kind.has_position_table() {
            return Ok(None);
        }
        let dtype = match tokens.dtype() {
            DType::F16 | DType::BF16 => DType::F32,
            wide => wide,
        };
        let (theta, head) = (self.config.rope_theta, self.config.head_width());
        Ok(Some(Rope::new(theta, head, special, grid, dtype, tokens.device())?))
    }
}
