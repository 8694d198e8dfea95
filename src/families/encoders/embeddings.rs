//! From pixels to tokens: patches, their positions, and the tokens without a place in the picture.

use candle_core::{DType, Result as CandleResult, Tensor};
use candle_nn::{Linear, Module, VarBuilder};

use super::{
    config::EncoderConfig,
    kind::{EncoderKind, REGISTERS},
    positions::resized,
};
use crate::{error::Result, geometry::Grid, image::picture::CHANNELS};

/// The tokens of pictures.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// Of the 3·p·p numbers of a patch, channel by channel and row by row.
    patches: Linear,
    patch: usize,
    /// (1, 1, D).
    class: Option<Tensor>,
    /// (1, registers, D).
    registers: Option<Tensor>,
    positions: Option<PositionTable>,
}

/// The table of positions, at least in f32.
#[derive(Debug)]
struct PositionTable {
    /// (1, D): that of the class token.
    class: Option<Tensor>,
    /// (side·side, D).
    patches: Tensor,
    side: usize,
    antialiased: bool,
}

impl Embeddings {
    pub(super) fn new(config: &EncoderConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (names, width, patch) = (config.kind.names(), config.hidden_size, config.patch_size);
        let numbers = CHANNELS * patch * patch;
        let projection = vb.pp(names.patches);
        let weight = projection
            .get((width, CHANNELS, patch, patch), "weight")?
            .reshape((width, numbers))?;
        // CLIP's alone has none.
        let has_bias = config.kind != EncoderKind::Clip;
        let bias = has_bias.then(|| projection.get(width, "bias")).transpose()?;
        let class = match config.kind.has_class_token() {
            true if config.kind.is_of_a_tower() => Some(vb.get(width, names.class)?.reshape((1, 1, width))?),
            true => Some(vb.get((1, 1, width), names.class)?),
            false => None,
        };
        let registers = (config.registers > 0).then(|| vb.get((1, config.registers, width), REGISTERS));
        let positions = config.kind.has_position_table().then(|| PositionTable::new(config, vb));
        Ok(Self {
            patches: Linear::new(weight, bias),
            patch,
            class,
            registers: registers.transpose()?,
            positions: positions.transpose()?,
        })
    }

    /// Pixels (B, 3, H, W) → tokens (B, special + h·w, D): class, registers, patches row by row.
    pub(super) fn forward(&self, pixels: &Tensor, grid: Grid) -> CandleResult<Tensor> {
        let (rows, patch) = (pixels.dim(0)?, self.patch);
        let numbers = pixels
            .reshape(&[rows, CHANNELS, grid.height, patch, grid.width, patch][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .contiguous()?
            .reshape((rows, grid.positions(), CHANNELS * patch * patch))?;
        let mut patches = self.patches.forward(&numbers)?;
        let mut class = self.class.clone();
        if let Some(table) = &self.positions {
            let of_patches = resized(&table.patches, table.side, grid, table.antialiased)?;
            patches = patches.broadcast_add(&of_patches.to_dtype(patches.dtype())?)?;
            if let (Some(token), Some(position)) = (&class, &table.class) {
                class = Some(token.broadcast_add(&position.to_dtype(token.dtype())?)?);
            }
        }
        let special = [class.as_ref(), self.registers.as_ref()];
        let mut tokens = Vec::with_capacity(special.len() + 1);
        for token in special.into_iter().flatten() {
            let (_, count, width) = token.dims3()?;
            tokens.push(token.broadcast_as((rows, count, width))?);
        }
        tokens.push(patches);
        Tensor::cat(&tokens, 1)
    }
}

impl PositionTable {
    fn new(config: &EncoderConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, side) = (config.hidden_size, config.table_side());
        let special = usize::from(config.kind.has_class_token());
        let count = special + side * side;
        // Resized in f32 whatever the format.
        let vb = match vb.dtype() {
            DType::F16 | DType::BF16 => vb.to_dtype(DType::F32),
            _ => vb.clone(),
        };
        let name = config.kind.names().positions;
        let table = match config.kind.is_of_a_tower() {
            true => vb.get((count, width), name)?,
            false => vb.get((1, count, width), name)?.squeeze(0)?,
        };
        Ok(Self {
            class: (special > 0).then(|| table.narrow(0, 0, special)).transpose()?,
            patches: table.narrow(0, special, side * side)?.contiguous()?,
            side,
            antialiased: config.kind.is_antialiased(),
        })
    }
}
