//! The leading eigenpairs of XᵀX for rows X that are already centred: which road leads there fastest, and what the Gram
//! matrix itself says where it is made anyway.
//!
//! Three roads: the dense solver on a small Gram matrix; block Lanczos on the Gram matrix; block Lanczos on X
//! itself, which never forms the matrix (for 4096 x 1280 forming it costs more than all sweeps together).

use rayon::prelude::*;

use super::{
    eigen::{Eigen, inner, symmetric_eigen},
    lanczos::{Search, leading_pairs},
    matrix::{Real, View, multiply, product},
};

/// Up to this size of the Gram matrix the dense solver is faster than any iteration.
const DENSE_LIMIT: usize = 64;

/// Up to this size of the shorter side forming the Gram matrix is cheaper than sweeping over X.
const GRAM_LIMIT: usize = 384;

/// Vectors of a block beyond the wanted ones: each widens the gap that convergence depends on.
const BLOCK_MARGIN: usize = 4;

/// Blocks are a multiple of this, the width of a vector register of the matrix product.
const BLOCK_MULTIPLE: usize = 8;

/// Blocks in the basis before a restart.
const BASIS_BLOCKS: usize = 12;

/// Sweeps over X before the Gram matrix is formed after all: by then it is the cheaper road.
const DATA_SWEEPS: usize = 16;

/// Sweeps over a Gram matrix before the dense solver ends the search.
const GRAM_SWEEPS: usize = 400;

/// Accepted angle to the true component, radians: a thousandth of a step of an 8-bit colour.
const ANGLE: f64 = 4e-6;

/// The same where the components colour a small picture among many: a tenth of a step. What a component explains is off by the
/// square of it.
pub(super) const ANGLE_OF_THUMBNAILS: f64 = 4e-4;

/// Rounding of products in f32, relative to √(λ₁·λ).
const ROUNDING_F32: f64 = 1e-6;

/// Rounding of products in f64, relative to √(λ₁·λ).
const ROUNDING_F64: f64 = 1e-12;

/// Rows of X that one product takes: the rows stay in the second-level cache between the two products of a sweep.
const ROW_BLOCK: usize = 64;

/// Terms of a product that go into the Gram matrix at a time.
const DEPTH_BLOCK: usize = 256;

/// Side of the tiles of the Gram matrix; only those on and above the diagonal are computed. Larger ones are multiplied a little
/// faster, but more of them lies below the diagonal.
const TILE: usize = 128;

/// The rows whose directions are looked for: (rows, columns), row-major.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The numbers; their magnitude should be about 1, so that squares stay in the range of f32.
    pub(super) data: &'a [f32],
    /// Number of rows n.
    pub(super) rows: usize,
    /// Number of columns c.
    pub(super) columns: usize,
}

/// The `wanted` highest eigenvalues of XᵀX and their unit vectors (wanted, c). Eigenvalues surely below `negligible`
/// come without an accurate vector. `None` only if numbers are not finite.
pub(super) fn leading(x: Rows<'_>, wanted: usize, negligible: f64) -> Option<Eigen> {
    let shorter = x.rows.min(x.columns);
    let wanted = wanted.min(shorter);
    if shorter <= GRAM_LIMIT {
        return Gram::of(x).leading(wanted, negligible, ANGLE, None);
    }
    let found = leading_pairs(
        x.columns,
        start_block(x.columns, wanted),
        &Search {
            sweeps: DATA_SWEEPS,
            rounding: ROUNDING_F32,
            ..search(wanted, negligible, ANGLE)
        },
        |block| sweep(x, block),
    )?;
    if found.converged {
        return Some(found.pairs);
    }
    Gram::of(x).leading(wanted, negligible, ANGLE, Some(found.block))
}

fn search(wanted: usize, negligible: f64, angle: f64) -> Search {
    Search {
        wanted,
        basis_limit: BASIS_BLOCKS * block_size(wanted),
        sweeps: GRAM_SWEEPS,
        angle,
        rounding: ROUNDING_F64,
        negligible,
    }
}

fn block_size(wanted: usize) -> usize {
    (wanted + BLOCK_MARGIN).next_multiple_of(BLOCK_MULTIPLE)
}

/// Reproducible directions without pattern, (block, size): splitmix64, mapped to −1 … 1.
fn start_block(size: usize, wanted: usize) -> Vec<f64> {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    const MIX: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let mut state = 0_u64;
    (0..block_size(wanted).min(size) * size)
        .map(|_| {
            state = state.wrapping_add(STEP);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(MIX[0]);
            bits = (bits ^ (bits >> 27)).wrapping_mul(MIX[1]);
            f64::from((bits ^ (bits >> 31)) as i32) / f64::from(i32::MAX)
        })
        .collect()
}

/// XᵀX applied to each row of `block`: one pass over X.
fn sweep(x: Rows<'_>, block: &[f64]) -> Vec<f64> {
    let count = block.len() / x.columns;
    let narrow: Vec<f32> = block.iter().map(|&v| v as f32).collect();
    let directions = View::new(&narrow, count, x.columns);
    let mut scores = vec![0.0_f32; ROW_BLOCK * count];
    let mut partial = vec![0.0_f32; block.len()];
    let mut image = vec![0.0_f64; block.len()];
    for rows in x.data.chunks(ROW_BLOCK * x.columns) {
        let taken = rows.len() / x.columns;
        let part = View::new(rows, taken, x.columns);
        product(part, directions.transposed(), &mut scores, count);
        let scores = View::new(&scores[..taken * count], taken, count);
        product(scores.transposed(), part, &mut partial, x.columns);
        for (sum, &value) in image.iter_mut().zip(&partial) {
            *sum += f64::from(value);
        }
    }
    image
}

/// The Gram matrix of the shorter side of X: XXᵀ (n, n) or XᵀX (c, c). Both have the same eigenvalues but zeros.
pub(super) struct Gram<'a> {
    x: Rows<'a>,
    size: usize,
    matrix: Vec<f64>,
}

impl<'a> Gram<'a> {
    /// Up to [`DENSE_LIMIT`] all in f64. Beyond, products of [`DEPTH_BLOCK`] terms in f32, twice as fast, added in f64: the
    /// rounding of the blocks is random and all but cancels in a direction, so it stays far below a negligible component.
    pub(super) fn of(x: Rows<'a>) -> Self {
        let size = x.rows.min(x.columns);
        let matrix = if size <= DENSE_LIMIT {
            let wide: Vec<f64> = x.data.iter().map(|&v| f64::from(v)).collect();
            gram_of_shorter(&wide, x.rows, x.columns)
        } else {
            gram_of_shorter(x.data, x.rows, x.columns)
        };
        Self { x, size, matrix }
    }

    /// Σ of the squares of all elements, which is that of the squares of all eigenvalues.
    pub(super) fn squares(&self) -> f64 {
        inner(&self.matrix, &self.matrix)
    }

    /// The same as [`leading`], to within `angle` of the true directions; the search starts from directions `start` among the
    /// columns, where some are known.
    pub(super) fn leading(&self, wanted: usize, negligible: f64, angle: f64, start: Option<Vec<f64>>) -> Option<Eigen> {
        if self.x.rows < self.x.columns {
            let pairs = self.own_leading(wanted, negligible, angle, None)?;
            return Some(to_columns(self.x, pairs));
        }
        self.own_leading(wanted, negligible, angle, start)
    }

    fn own_leading(&self, wanted: usize, negligible: f64, angle: f64, start: Option<Vec<f64>>) -> Option<Eigen> {
        if self.size > DENSE_LIMIT {
            let view = View::new(&self.matrix, self.size, self.size);
            let start = start.unwrap_or_else(|| start_block(self.size, wanted));
            let found = leading_pairs(self.size, start, &search(wanted, negligible, angle), |block| {
                multiply(View::new(block, block.len() / self.size, self.size), view)
            })?;
            if found.converged {
                return Some(found.pairs);
            }
        }
        symmetric_eigen(self.matrix.clone(), self.size, wanted)
    }
}

/// Directions among rows become directions among columns: v = Xᵀu/‖Xᵀu‖.
fn to_columns(x: Rows<'_>, pairs: Eigen) -> Eigen {
    let mut vectors = vec![0.0_f64; pairs.values.len() * x.columns];
    for (vector, weights) in vectors
        .chunks_exact_mut(x.columns)
        .zip(pairs.vectors.chunks_exact(x.rows))
    {
        for (row, &weight) in x.data.chunks_exact(x.columns).zip(weights) {
            for (sum, &value) in vector.iter_mut().zip(row) {
                *sum += weight * f64::from(value);
            }
        }
        let norm = inner(vector, vector).sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|v| *v /= norm);
        }
    }
    Eigen {
        values: pairs.values,
        vectors,
    }
}

/// The Gram matrix of the shorter side, its upper tiles computed and mirrored.
fn gram_of_shorter<T: Real + Into<f64> + Sync>(data: &[T], rows: usize, columns: usize) -> Vec<f64> {
    let (size, depth) = (rows.min(columns), rows.max(columns));
    // `count` vectors of the shorter side from `start` on, `terms` numbers of each from `from` on.
    let strip = |start: usize, count: usize, from: usize, terms: usize| {
        if rows < columns {
            View::strided(&data[start * columns + from..], count, terms, columns)
        } else {
            View::strided(&data[from * columns + start..], terms, count, columns).transposed()
        }
    };
    let tiles: Vec<(usize, usize)> = (0..size)
        .step_by(TILE)
        .flat_map(|top| (top..size).step_by(TILE).map(move |left| (top, left)))
        .collect();
    let sums: Vec<Vec<f64>> = tiles
        .par_iter()
        .map(|&(top, left)| {
            let (height, width) = (TILE.min(size - top), TILE.min(size - left));
            let mut sum = vec![0.0_f64; height * width];
            let mut part = vec![T::ZERO; height * width];
            for from in (0..depth).step_by(DEPTH_BLOCK) {
                let terms = DEPTH_BLOCK.min(depth - from);
                product(
                    strip(top, height, from, terms),
                    strip(left, width, from, terms).transposed(),
                    &mut part,
                    width,
                );
                for (sum, &value) in sum.iter_mut().zip(&part) {
                    *sum += value.into();
                }
            }
            sum
        })
        .collect();
    let mut gram = vec![0.0; size * size];
    for (&(top, left), tile) in tiles.iter().zip(&sums) {
        let width = TILE.min(size - left);
        for (row, line) in (top..).zip(tile.chunks_exact(width)) {
            gram[row * size + left..row * size + left + width].copy_from_slice(line);
        }
    }
    for row in 1..size {
        for column in 0..row {
            gram[row * size + column] = gram[column * size + row];
        }
    }
    gram
}

/// No pair at all: the spectrum of numbers that do not vary.
pub(super) fn nothing() -> Eigen {
    Eigen {
        values: Vec::new(),
        vectors: Vec::new(),
    }
}
