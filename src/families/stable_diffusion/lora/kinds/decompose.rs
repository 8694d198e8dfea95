//! DoRA: a weight whose rows or columns have norms of their own, whatever was added to it.

use candle_core::{D, Tensor};

use super::{Sides, Source, Strength, same_shape, unfit};
use crate::{error::Result, nn::adaptable::LayerInfo};

/// The norms of a weight's rows or columns.
#[derive(Debug)]
pub(super) enum Norms<'a> {
    /// LyCORIS: (out, 1, …) of the rows, or (1, in, …) of the columns.
    Lycoris(&'a str),
    /// PEFT: (out), or (1, out, 1, 1), of the rows.
    Peft(&'a str),
}

impl<'a> Norms<'a> {
    /// Of the tensors with the names of both, of which a layer has one.
    pub(super) fn take(lycoris: Option<&'a str>, peft: Option<&'a str>) -> Option<Self> {
        lycoris.map(Self::Lycoris).or(peft.map(Self::Peft))
    }

    pub(super) fn name(&self) -> &'a str {
        match self {
            Self::Lycoris(name) | Self::Peft(name) => name,
        }
    }

    /// Whether LyCORIS's norms are of the columns.
    fn of_columns(shape: &[usize], sides: Sides<'_>) -> Option<bool> {
        if same_shape(shape, &[1, sides.columns]) && shape.len() >= 2 {
            return Some(true);
        }
        (same_shape(shape, &[sides.rows, 1]) && shape.len() >= 2).then_some(false)
    }

    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<()> {
        let sides = Sides::of(info)?;
        let shape = source.shape(self.name());
        let (fits, wanted) = match self {
            Self::Lycoris(_) => (
                Self::of_columns(shape, sides).is_some(),
                format!("[{}, 1, …] or [1, {}, …]", sides.rows, sides.columns),
            ),
            Self::Peft(_) => {
                let rows = sides.rows;
                let fits = same_shape(shape, &[rows]) || same_shape(shape, &[1, rows]);
                (fits, format!("[{rows}] or [1, {rows}, 1, 1]"))
            }
        };
        match fits {
            true => Ok(()),
            false => Err(unfit(&[(self.name(), shape)], info, &wanted)),
        }
    }

    /// The weight with the difference added and its norms put right.
    ///
    /// LyCORIS adds the whole difference, and its scale s makes of the norm's ratio q the factor s·(q − 1) + 1; PEFT multiplies
    /// the difference by s.
    pub(super) fn apply(
        &self,
        source: &Source<'_>,
        weight: Tensor,
        difference: &Tensor,
        strength: Strength,
    ) -> Result<Tensor> {
        let (by, s) = match self {
            Self::Lycoris(_) => (strength.factor, Some(strength.scale)),
            Self::Peft(_) => (strength.both(), None),
        };
        let sum = (weight + (difference * by)?)?;
        let wanted = source.load(self.name())?;
        let (rows, columns) = (sum.dim(0)?, sum.dim(1)?);
        let sides = Sides {
            rows,
            columns,
            kernel: &[],
        };
        let of_columns = matches!(self, Self::Lycoris(_)) && Self::of_columns(wanted.dims(), sides) == Some(true);
        // (rows, columns, positions): a norm is over all but one of the first two.
        let cells = sum.reshape((rows, columns, ()))?;
        let squares = cells.sqr()?.sum_keepdim(D::Minus1)?;
        let (norms, wanted) = match of_columns {
            true => (squares.sum_keepdim(0)?.sqrt()?, wanted.reshape((1, columns, 1))?),
            false => (squares.sum_keepdim(1)?.sqrt()?, wanted.reshape((rows, 1, 1))?),
        };
        let ratio = match s {
            // LyCORIS keeps a norm of 0 from being divided by.
            Some(s) => ((((wanted / (norms + f64::from(f32::EPSILON))?)? - 1.0)? * s)? + 1.0)?,
            None => (wanted / norms)?,
        };
        Ok(cells.broadcast_mul(&ratio)?.reshape(sum.shape())?)
    }
}
