//! OFT and BOFT: blocks of a weight's rows or columns are rotated.
//!
//! A rotation is made of a skew matrix Q by Cayley's formula, R = (I + Q)·(I − Q)⁻¹. At a scale s a block is multiplied by
//! s·(R − I) + I.

use candle_core::{DType, Device, Tensor};

use super::{Sides, Source, linalg::Square, not_for, same_shape, unfit};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::lora::scale::OftSettings,
    nn::adaptable::LayerInfo,
};

/// Term that LyCORIS adds to the norm of Q before it divides by it.
const LEAST_NORM: f64 = 1e-8;

/// OFT (blocks, n, n) and BOFT (stages, blocks, n, n) of kohya's scripts and LyCORIS: the weight's rows are rotated.
#[derive(Debug)]
pub(super) struct Rotation<'a> {
    pub(super) blocks: &'a str,
    /// A factor for every row, after the rotation.
    pub(super) rescale: Option<&'a str>,
    /// Whether the blocks are rotations already.
    pub(super) ready: bool,
}

impl Rotation<'_> {
    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<()> {
        let rows = Sides::of(info)?.rows;
        let shape = source.shape(self.blocks);
        let covers = |blocks: usize, side: usize| side > 0 && blocks.checked_mul(side) == Some(rows);
        let fits = match shape {
            [blocks, side, other] => side == other && covers(*blocks, *side),
            // Stage i mixes rows that are side·2^i / 2 apart.
            [stages, blocks, side, other] if !self.ready => {
                let last = u32::try_from(*stages)
                    .ok()
                    .and_then(|stages| 1_usize.checked_shl(stages.checked_sub(1)?));
                let widest = last.and_then(|last| last.checked_mul(*side));
                let in_range =
                    last.is_some_and(|last| last <= rows) && widest.is_some_and(|widest| rows.is_multiple_of(widest));
                side == other && covers(*blocks, *side) && side.is_multiple_of(2) && in_range
            }
            _ => false,
        };
        if !fits {
            let wanted = format!("blocks [blocks, side, side] of all {rows} rows, or stages of them");
            return Err(unfit(&[(self.blocks, shape)], info, &wanted));
        }
        match self.rescale {
            Some(name) if !same_shape(source.shape(name), &[rows]) => {
                Err(unfit(&[(name, source.shape(name))], info, &format!("[{rows}, 1, …]")))
            }
            _ => Ok(()),
        }
    }

    /// The rotated weight. A `constraint` above 0 bounds the norm of all Q together by constraint · rows.
    pub(super) fn apply(
        &self,
        source: &Source<'_>,
        weight: &Tensor,
        constraint: Option<f64>,
        scale: f64,
    ) -> Result<Tensor> {
        let rows = weight.dim(0)?;
        let blocks = source.load(self.blocks)?;
        let shape = blocks.dims().to_vec();
        let side = blocks.dim(shape.len() - 1)?;
        let squares = squares(&blocks, side)?;
        let rotations = match self.ready {
            true => squares,
            false => {
                let skew: Vec<Square> = squares.iter().map(Square::skew).collect();
                let by = shrink(&skew, constraint.unwrap_or(0.0) * rows as f64);
                let cayley = |q: &Square| rotation(&q.mixed(by, q, 0.0));
                skew.iter().map(cayley).collect::<Result<_>>()?
            }
        };
        let mixed: Vec<Square> = rotations.iter().map(|rotation| toned(rotation, scale)).collect();
        let mixed = together(&mixed, &shape)?;
        let rotated = match shape.len() {
            // LyCORIS multiplies by the transposed matrix here, and by the matrix itself in BOFT.
            3 => in_blocks(&mixed.transpose(1, 2)?.contiguous()?, weight)?,
            _ => {
                let mut rotated = weight.clone();
                for stage in 0..shape[0] {
                    let half = (side / 2) << stage;
                    let shuffled = shuffled(&rotated, half)?;
                    let turned = in_blocks(&mixed.get(stage)?, &shuffled)?;
                    rotated = unshuffled(&turned, half)?;
                }
                rotated
            }
        };
        match self.rescale {
            None => Ok(rotated),
            Some(name) => {
                let mut sides = vec![1; rotated.rank()];
                sides[0] = rows;
                Ok(rotated.broadcast_mul(&source.load(name)?.reshape(sides)?)?)
            }
        }
    }
}

/// OFT of PEFT from 0.16 on: the weight's columns are rotated, in blocks whose skew matrices are given by the numbers above
/// their diagonals.
#[derive(Debug)]
pub(super) struct Triangles<'a> {
    /// (blocks, side·(side − 1) / 2).
    pub(super) name: &'a str,
}

impl Triangles<'_> {
    /// The side of a block.
    fn side(&self, source: &Source<'_>, info: &LayerInfo) -> Result<usize> {
        let settings = Self::settings(source)?;
        let Sides { columns, kernel, .. } = Sides::of(info)?;
        if kernel.iter().any(|side| *side != 1) {
            return Err(not_for("PEFT's OFT with a kernel", info));
        }
        let shape = source.shape(self.name);
        if let [blocks, numbers] = shape {
            // The side of a square with so many numbers above its diagonal.
            let side = (1..=columns)
                .find(|side| side * (side - 1) / 2 >= *numbers)
                .unwrap_or(0);
            let exact = side > 0 && side * (side - 1) / 2 == *numbers && columns.is_multiple_of(side);
            let wanted = if settings.shared { 1 } else { columns / side.max(1) };
            if exact && *blocks == wanted {
                return Ok(side);
            }
        }
        let wanted = format!("a row for each block of its {columns} columns, or one for all where they share it");
        Err(unfit(&[(self.name, shape)], info, &wanted))
    }

    fn settings(source: &Source<'_>) -> Result<OftSettings> {
        source.oft.ok_or_else(|| {
            Error::failed(
                "PEFT's OFT needs the settings in adapter_config.json beside the file (block_share, use_cayley_neumann)",
            )
        })
    }

    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<()> {
        self.side(source, info).map(|_| ())
    }

    /// The weight W·Rᵀ. PEFT has no scale here; s is as in LyCORIS.
    pub(super) fn apply(&self, source: &Source<'_>, weight: &Tensor, scale: f64) -> Result<Tensor> {
        let settings = Self::settings(source)?;
        let triangles = source.load(self.name)?.to_vec2::<f32>()?;
        let (rows, columns) = (weight.dim(0)?, weight.dim(1)?);
        let numbers = triangles.first().map_or(0, Vec::len);
        let side = (1..=columns)
            .find(|side| side * (side - 1) / 2 == numbers)
            .unwrap_or(columns);
        let rotations = triangles
            .iter()
            .map(|triangle| {
                let mut upper = vec![0.0; side * side];
                let places = (0..side).flat_map(|row| (row + 1..side).map(move |column| row * side + column));
                for (place, x) in places.zip(triangle) {
                    upper[place] = f64::from(*x);
                }
                let q = Square::new(side, upper).skew();
                let turned = match settings.terms {
                    Some(terms) => series(&q, terms),
                    // Here Q has the other sign than in LyCORIS.
                    None => rotation(&q.mixed(-1.0, &q, 0.0))?,
                };
                Ok(toned(&turned, scale))
            })
            .collect::<Result<Vec<_>>>()?;
        let blocks = columns / side.max(1);
        let mixed = match settings.shared {
            true => together(&rotations, &[1, side, side])?.repeat((blocks, 1, 1))?,
            false => together(&rotations, &[blocks, side, side])?,
        };
        // (columns, rows): the transposed weight has its columns in blocks of rows.
        let across = weight.reshape((rows, columns))?.t()?.contiguous()?;
        let turned = in_blocks(&mixed, &across)?;
        Ok(turned.t()?.contiguous()?.reshape(weight.shape())?)
    }
}

/// (I + Q)·(I − Q)⁻¹.
fn rotation(q: &Square) -> Result<Square> {
    let one = Square::identity(q.side());
    Ok(one.mixed(1.0, q, 1.0).times(&one.mixed(1.0, q, -1.0).inverse()?))
}

/// PEFT's approximation of (I + Q)·(I − Q)⁻¹ with so many terms: I + 2·Q + 2·Q² + …, the last with 1.
fn series(q: &Square, terms: usize) -> Square {
    let mut sum = Square::identity(q.side());
    if terms < 2 {
        return sum;
    }
    sum = sum.mixed(1.0, q, 2.0);
    if terms > 2 {
        let mut power = q.times(q);
        sum = sum.mixed(1.0, &power, 2.0);
        for _ in 3..terms - 1 {
            power = power.times(q);
            sum = sum.mixed(1.0, &power, 2.0);
        }
        power = power.times(q);
        sum = sum.mixed(1.0, &power, 1.0);
    }
    sum
}

/// s·R + (1 − s)·I.
fn toned(rotation: &Square, scale: f64) -> Square {
    rotation.mixed(scale, &Square::identity(rotation.side()), 1.0 - scale)
}

/// The factor that brings the norm of all matrices together to `most`, if it is larger and there is a bound.
fn shrink(matrices: &[Square], most: f64) -> f64 {
    let numbers = matrices.iter().flat_map(|matrix| matrix.numbers());
    let norm = numbers.map(|x| x * x).sum::<f64>().sqrt() + LEAST_NORM;
    if most > 0.0 && norm > most { most / norm } else { 1.0 }
}

/// The matrices that lie one after another in (…, side, side).
fn squares(blocks: &Tensor, side: usize) -> Result<Vec<Square>> {
    let numbers = blocks.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(numbers
        .chunks_exact((side * side).max(1))
        .map(|square| Square::new(side, square.to_vec()))
        .collect())
}

/// Matrices one after another, as f32 of a shape.
fn together(matrices: &[Square], shape: &[usize]) -> Result<Tensor> {
    let numbers: Vec<f32> = matrices
        .iter()
        .flat_map(|matrix| matrix.numbers().iter().map(|x| *x as f32))
        .collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// Every block of rows of x (rows, …) multiplied from the left by its matrix (blocks, side, side).
fn in_blocks(matrices: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (blocks, side, _) = matrices.dims3()?;
    Ok(matrices.matmul(&x.reshape((blocks, side, ()))?)?.reshape(x.shape())?)
}

/// Rows (c, 2, half) in the order (c, half, 2).
fn shuffled(x: &Tensor, half: usize) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let lines = x.reshape((rows / (2 * half).max(1), 2, half, ()))?;
    Ok(lines.transpose(1, 2)?.contiguous()?.reshape(x.shape())?)
}

/// Rows (c, half, 2) in the order (c, 2, half).
fn unshuffled(x: &Tensor, half: usize) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let lines = x.reshape((rows / (2 * half).max(1), half, 2, ()))?;
    Ok(lines.transpose(1, 2)?.contiguous()?.reshape(x.shape())?)
}
