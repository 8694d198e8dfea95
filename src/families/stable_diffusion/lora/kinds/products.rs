//! Differences that are products: LoRA, LoHa, LoKr, each with a Tucker core or without.

use std::fmt;

use candle_core::Tensor;

use super::{Sides, Source, same_shape, unfit};
use crate::{
    error::{Error, Result},
    nn::adaptable::{LayerInfo, LayerKind},
};

/// LoRA and LoCon: up·down, or up·core·down.
#[derive(Debug)]
pub(super) struct LowRank<'a> {
    /// (rank, in), with the layer's kernel where there is no core.
    pub(super) down: &'a str,
    /// (out, rank).
    pub(super) up: &'a str,
    /// (rank of up, rank of down, kh, kw).
    pub(super) core: Option<&'a str>,
}

impl LowRank<'_> {
    /// The rank, if the shapes fit the layer's weight.
    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<usize> {
        let Sides { rows, columns, kernel } = Sides::of(info)?;
        let (down, up) = (source.shape(self.down), source.shape(self.up));
        let rank = down.first().copied().unwrap_or(0);
        let found = [(self.down, down), (self.up, up)];
        let point: &[usize] = if self.core.is_some() { &[] } else { kernel };
        let fits = rank > 0
            && same_shape(down, &[&[rank, columns], point].concat())
            && down.len() >= 2
            && up.len() >= 2
            && same_shape(&up[2..], &[])
            && up[0] == rows;
        let up_rank = up.get(1).copied().unwrap_or(0);
        match self.core {
            None if fits && up_rank == rank => Ok(rank),
            None => Err(unfit(
                &found,
                info,
                &format!("[rank, {columns}, …] and [{rows}, rank, …]"),
            )),
            Some(name) => {
                let core = source.shape(name);
                if fits && info.kind == LayerKind::Conv && same_shape(core, &[&[up_rank, rank], kernel].concat()) {
                    return Ok(rank);
                }
                let wanted = format!("[rank, {columns}], [{rows}, rank] and [rank, rank, kernel]");
                Err(unfit(&[found[0], found[1], (name, core)], info, &wanted))
            }
        }
    }

    /// The factors with the dimensions of the layer's, the second with the scale.
    pub(super) fn branch(&self, source: &Source<'_>, info: &LayerInfo, by: f64) -> Result<[Tensor; 2]> {
        let Sides { rows, columns, kernel } = Sides::of(info)?;
        let up = source.load(self.up)?;
        let rank = up.dim(1)?;
        let point = vec![1; kernel.len()];
        let down = self.down(source, info)?;
        Ok([
            down.reshape([&[rank, columns], kernel].concat())?,
            (up * by)?.reshape([&[rows, rank], point.as_slice()].concat())?,
        ])
    }

    /// The whole product, (out, in · kernel).
    pub(super) fn whole(&self, source: &Source<'_>, info: &LayerInfo) -> Result<Tensor> {
        let up = source.load(self.up)?.flatten_from(1)?;
        Ok(up.matmul(&self.down(source, info)?)?)
    }

    /// The down factor with its core, (rank, in · kernel).
    fn down(&self, source: &Source<'_>, info: &LayerInfo) -> Result<Tensor> {
        let down = source.load(self.down)?.flatten_from(1)?;
        match self.core {
            None => Ok(down),
            Some(core) => with_core(&source.load(core)?, &down, Sides::of(info)?.positions()),
        }
    }
}

/// core (r, q, …kernel) and factor (q, n) → (r, n · kernel).
fn with_core(core: &Tensor, factor: &Tensor, positions: usize) -> Result<Tensor> {
    let (inner, outer) = factor.dims2()?;
    let rank = core.dim(0)?;
    let core = core
        .reshape((rank, inner, positions))?
        .transpose(1, 2)?
        .reshape((rank * positions, inner))?;
    let product = core.matmul(factor)?.reshape((rank, positions, outer))?;
    Ok(product.transpose(1, 2)?.reshape((rank, outer * positions))?)
}

/// LoRA of a table of embeddings: (up·down)ᵀ, so that a row of the table has its own column of the down factor.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// (rank, rows).
    pub(super) down: &'a str,
    /// (width, rank).
    pub(super) up: &'a str,
}

impl Table<'_> {
    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<usize> {
        let Sides { rows, columns, .. } = Sides::of(info)?;
        let (down, up) = (source.shape(self.down), source.shape(self.up));
        match (down, up) {
            ([rank, of_rows], [of_width, other])
                if *rank > 0 && [of_rows, of_width, other] == [&rows, &columns, rank] =>
            {
                Ok(*rank)
            }
            _ => Err(unfit(
                &[(self.down, down), (self.up, up)],
                info,
                &format!("[rank, {rows}] and [{columns}, rank]"),
            )),
        }
    }

    pub(super) fn whole(&self, source: &Source<'_>) -> Result<Tensor> {
        let product = source.load(self.up)?.matmul(&source.load(self.down)?)?;
        Ok(product.t()?.contiguous()?)
    }
}

/// left·right, or with a core Σ core[i, j, …]·left[i, p]·right[j, r].
#[derive(Debug)]
pub(super) struct Product<'a> {
    /// (rows, rank), or (rank, rows) with a core.
    pub(super) left: &'a str,
    /// (rank, columns), with a kernel or without.
    pub(super) right: &'a str,
    /// (rank, rank, kh, kw).
    pub(super) core: Option<&'a str>,
}

/// Shape of a product.
struct Given {
    rank: usize,
    rows: usize,
    /// All numbers of a row.
    width: usize,
}

impl fmt::Display for Product<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.left, self.right)
    }
}

impl Product<'_> {
    /// Shape of its product; none if its shapes do not go together.
    fn given(&self, source: &Source<'_>) -> Option<Given> {
        let (left, right) = (source.shape(self.left), source.shape(self.right));
        let (rank, right_width) = (*right.first()?, checked_product(&right[1..])?);
        let given = match self.core {
            None => {
                let fits = left.len() >= 2 && left[1] == rank && same_shape(&left[2..], &[]) && right.len() >= 2;
                fits.then(|| Given {
                    rank,
                    rows: left[0],
                    width: right_width,
                })
            }
            Some(core) => match (left, right, source.shape(core)) {
                ([of_left, rows], [_, columns], [first, second, kernel @ ..])
                    if first == of_left && *second == rank =>
                {
                    Some(Given {
                        rank,
                        rows: *rows,
                        width: columns.checked_mul(checked_product(kernel)?)?,
                    })
                }
                _ => None,
            },
        };
        given.filter(|given| given.rank > 0)
    }

    /// The rank of a product that is the whole difference of a layer.
    pub(super) fn check_whole(&self, source: &Source<'_>, info: &LayerInfo) -> Result<usize> {
        let sides = Sides::of(info)?;
        let width = sides.columns * sides.positions();
        match self.given(source) {
            Some(given) if (given.rows, given.width) == (sides.rows, width) => Ok(given.rank),
            _ => Err(self.unfit(source, info, &format!("factors of [{}, {width}]", sides.rows))),
        }
    }

    fn unfit(&self, source: &Source<'_>, info: &LayerInfo, wanted: &str) -> Error {
        let names = [Some(self.left), Some(self.right), self.core];
        let found: Vec<(&str, &[usize])> = names
            .into_iter()
            .flatten()
            .map(|name| (name, source.shape(name)))
            .collect();
        unfit(&found, info, wanted)
    }

    /// (rows, columns · kernel).
    pub(super) fn whole(&self, source: &Source<'_>) -> Result<Tensor> {
        let left = source.load(self.left)?;
        let right = source.load(self.right)?.flatten_from(1)?;
        match self.core {
            None => Ok(left.flatten_from(1)?.matmul(&right)?),
            Some(core) => {
                let core = source.load(core)?;
                let positions = core.elem_count() / (core.dim(0)? * core.dim(1)?).max(1);
                Ok(left.t()?.contiguous()?.matmul(&with_core(&core, &right, positions)?)?)
            }
        }
    }
}

fn checked_product(sides: &[usize]) -> Option<usize> {
    sides
        .iter()
        .try_fold(1_usize, |product, side| product.checked_mul(*side))
}

/// A matrix of a LoKr.
#[derive(Debug)]
pub(super) enum Matrix<'a> {
    Whole(&'a str),
    Product(Product<'a>),
}

impl fmt::Display for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(name) => f.write_str(name),
            Self::Product(product) => product.fmt(f),
        }
    }
}

impl Matrix<'_> {
    /// Rows, numbers in a row, and the rank of its product.
    fn sides(&self, source: &Source<'_>) -> Option<(usize, usize, Option<usize>)> {
        match self {
            Self::Whole(name) => match source.shape(name) {
                [rows, rest @ ..] if !rest.is_empty() => Some((*rows, checked_product(rest)?, None)),
                _ => None,
            },
            Self::Product(product) => {
                let given = product.given(source)?;
                Some((given.rows, given.width, Some(given.rank)))
            }
        }
    }

    fn whole(&self, source: &Source<'_>) -> Result<Tensor> {
        match self {
            Self::Whole(name) => Ok(source.load(name)?.flatten_from(1)?),
            Self::Product(product) => product.whole(source),
        }
    }

    fn shapes(&self, source: &Source<'_>) -> String {
        match self {
            Self::Whole(name) => format!("{name} {:?}", source.shape(name)),
            Self::Product(Product { left, right, core }) => {
                let names = [Some(*left), Some(*right), *core];
                let shapes: Vec<String> = names
                    .into_iter()
                    .flatten()
                    .map(|name| format!("{name} {:?}", source.shape(name)))
                    .collect();
                shapes.join(", ")
            }
        }
    }
}

/// LoKr: left ⊗ right, where the right matrix has the kernel.
#[derive(Debug)]
pub(super) struct Kronecker<'a> {
    pub(super) left: Matrix<'a>,
    pub(super) right: Matrix<'a>,
}

impl Kronecker<'_> {
    /// The rank, where one of the matrices is a product.
    pub(super) fn check(&self, source: &Source<'_>, info: &LayerInfo) -> Result<Option<usize>> {
        let Sides { rows, columns, kernel } = Sides::of(info)?;
        let positions: usize = kernel.iter().product();
        let (Some(left), Some(right)) = (self.left.sides(source), self.right.sides(source)) else {
            return Err(self.unfit(source, info));
        };
        let fits = left.0.checked_mul(right.0) == Some(rows)
            && left.1.checked_mul(right.1) == Some(columns * positions)
            && right.1.is_multiple_of(positions);
        if !fits {
            return Err(self.unfit(source, info));
        }
        match (left.2, right.2) {
            (Some(one), Some(other)) if one != other => Err(Error::failed(format!(
                "the two matrices for {} have the ranks {one} and {other}: one was expected",
                info.name
            ))),
            (one, other) => Ok(one.or(other)),
        }
    }

    fn unfit(&self, source: &Source<'_>, info: &LayerInfo) -> Error {
        Error::failed(format!(
            "{} and {} do not fit the layer {}, whose weight is {:?}: their Kronecker product has another shape; it is for \
             another model",
            self.left.shapes(source),
            self.right.shapes(source),
            info.name,
            info.weight
        ))
    }

    /// (out, in · kernel).
    pub(super) fn whole(&self, source: &Source<'_>) -> Result<Tensor> {
        let (left, right) = (self.left.whole(source)?, self.right.whole(source)?);
        let ((a, c), (b, width)) = (left.dims2()?, right.dims2()?);
        let left = left.reshape((a, 1, c, 1))?;
        // (a·b, c·d·kernel): a number of the left matrix multiplies a row of the right one whole.
        let right = right.reshape((1, b, 1, width))?;
        Ok(left.broadcast_mul(&right)?.reshape((a * b, c * width))?)
    }
}
