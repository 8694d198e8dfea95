//! Differences that are made of the weight itself: GLoRA, and the factors of (IA)³.

use candle_core::Tensor;

use super::{Made, Sides, Source, Target, not_for, same_shape, unfit};
use crate::{
    error::{Error, Result},
    nn::adaptable::{LayerInfo, LayerKind},
};

/// GLoRA: W·A + B, both products of two factors.
#[derive(Debug)]
pub(super) struct Glora<'a> {
    pub(super) a: [&'a str; 2],
    pub(super) b: [&'a str; 2],
}

impl<'a> Glora<'a> {
    /// The rank, and the factors with those that stand on the left first: LyCORIS 2 gave them the other way round.
    fn ordered(&self, source: &Source<'_>, info: &LayerInfo) -> Result<(usize, [&'a str; 2], [&'a str; 2])> {
        let Sides { rows, columns, kernel } = Sides::of(info)?;
        let fits = |a: [&str; 2], b: [&str; 2]| {
            let rank = *source.shape(a[1]).first()?;
            let fits = rank > 0
                && same_shape(source.shape(a[0]), &[columns, rank])
                && same_shape(source.shape(a[1]), &[rank, columns])
                && same_shape(source.shape(b[0]), &[rows, rank])
                && same_shape(source.shape(b[1]), &[&[rank, columns], kernel].concat());
            fits.then_some(rank)
        };
        let (a, b) = (self.a, self.b);
        let (old_a, old_b) = ([a[1], a[0]], [b[1], b[0]]);
        if let Some(rank) = fits(a, b) {
            return Ok((rank, a, b));
        }
        if let Some(rank) = fits(old_a, old_b) {
            return Ok((rank, old_a, old_b));
        }
        let found = [a[0], a[1], b[0], b[1]].map(|name| (name, source.shape(name)));
        let wanted = format!("[{columns}, rank], [rank, {columns}], [{rows}, rank] and [rank, {columns}, kernel]");
        Err(unfit(&found, info, &wanted))
    }

    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<usize> {
        Ok(self.ordered(source, info)?.0)
    }

    /// (out, in · kernel).
    pub(super) fn difference(&self, source: &Source<'_>, info: &LayerInfo, weight: &Tensor) -> Result<Tensor> {
        let sides = Sides::of(info)?;
        let (_, a, b) = self.ordered(source, info)?;
        let matrix = |name: &str| Ok::<_, Error>(source.load(name)?.flatten_from(1)?);
        let (rows, columns, positions) = (sides.rows, sides.columns, sides.positions());
        // (out · kernel, in)
        let lines = weight
            .reshape((rows, columns, positions))?
            .transpose(1, 2)?
            .reshape((rows * positions, columns))?;
        let of_weight = lines
            .matmul(&matrix(a[0])?)?
            .matmul(&matrix(a[1])?)?
            .reshape((rows, positions, columns))?
            .transpose(1, 2)?
            .reshape((rows, columns * positions))?;
        Ok((of_weight + matrix(b[0])?.matmul(&matrix(b[1])?)?)?)
    }
}

/// (IA)³: every row or column of a weight is multiplied by a factor.
#[derive(Debug)]
pub(super) struct Scaling<'a> {
    /// Of LyCORIS the factors less 1, of PEFT the factors.
    pub(super) name: &'a str,
    pub(super) rows: Rows<'a>,
}

/// Whether rows or columns are multiplied, by a tensor or by the shapes.
#[derive(Debug)]
pub(super) enum Rows<'a> {
    /// LyCORIS: a tensor says it.
    Said {
        /// Not 0 for columns.
        on_input: &'a str,
    },
    /// PEFT: (out, 1) for rows, and the bias with them, (1, in) for columns.
    ByShape,
}

impl Scaling<'_> {
    /// Whether columns are multiplied, not rows.
    fn of_columns(&self, source: &Source<'_>, info: &LayerInfo) -> Result<bool> {
        let Sides { rows, columns, .. } = Sides::of(info)?;
        let shape = source.shape(self.name);
        match &self.rows {
            Rows::Said { on_input } => {
                let of_columns = source.number(on_input)? != 0.0;
                let sides = if of_columns { columns } else { rows };
                match same_shape(shape, &[sides]) || same_shape(shape, &[1, sides]) {
                    true => Ok(of_columns),
                    false => Err(unfit(&[(self.name, shape)], info, &format!("[{sides}]"))),
                }
            }
            // A convolution's factors have the same shape for rows and columns: which they are for is unknown.
            Rows::ByShape if info.kind == LayerKind::Conv => Err(not_for("PEFT's (IA)³", info)),
            Rows::ByShape if shape == [rows, 1] => Ok(false),
            Rows::ByShape if shape == [1, columns] => Ok(true),
            Rows::ByShape => Err(unfit(
                &[(self.name, shape)],
                info,
                &format!("[{rows}, 1] or [1, {columns}]"),
            )),
        }
    }

    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<()> {
        self.of_columns(source, info).map(|_| ())
    }

    /// At a scale s a factor is 1 + s·(factor − 1).
    pub(super) fn make(&self, source: &Source<'_>, target: &Target<'_>, scale: f64) -> Result<Made> {
        let of_columns = self.of_columns(source, target.info)?;
        let less_one = match &self.rows {
            Rows::Said { .. } => source.load(self.name)?,
            Rows::ByShape => (source.load(self.name)? - 1.0)?,
        };
        let less_one = (less_one.flatten_all()? * scale)?;
        let weight = (target.weight)()?;
        let mut sides = vec![1; weight.rank()];
        sides[usize::from(of_columns)] = less_one.elem_count();
        let bias = match (&self.rows, of_columns, (target.bias)()?) {
            (Rows::ByShape, false, Some(bias)) => Some((bias * &less_one)?),
            _ => None,
        };
        Ok(Made {
            weight: Some(weight.broadcast_mul(&(less_one.reshape(sides)? + 1.0)?)?),
            bias,
            branch: None,
        })
    }
}
