//! The leading eigenpairs of XᵀX for rows X that are already centred: which road leads there fastest.
//!
//! Three roads: the dense solver on a small Gram matrix; block Lanczos on a Gram matrix formed in f64; block Lanczos
//! on X itself, which never forms the matrix (for 4096 x 1280 forming it costs more than all sweeps together).

use super::{
    eigen::{Eigen, inner, symmetric_eigen},
    lanczos::{Search, leading_pairs},
    matrix::{Store, View, multiply, product},
};

/// Up to this size of the Gram matrix the dense solver is faster than any iteration.
const DENSE_LIMIT: usize = 64;

/// Up to this size of the shorter side forming the Gram matrix in f64 is cheaper than sweeping over X.
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

/// Rounding of products in f32, relative to √(λ₁·λ).
const ROUNDING_F32: f64 = 1e-6;

/// Rounding of products in f64, relative to √(λ₁·λ).
const ROUNDING_F64: f64 = 1e-12;

/// Rows of X that one product takes: the rows stay in the second-level cache between the two products of a sweep.
const ROW_BLOCK: usize = 64;

/// Rows of X turned into f64 at a time while the Gram matrix is formed.
const WIDEN_BLOCK: usize = 256;

/// Side of the tiles of the Gram matrix; only those on and above the diagonal are computed.
const TILE: usize = 256;

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
        return leading_of_gram(x, wanted, negligible, None);
    }
    let found = leading_pairs(
        x.columns,
        start_block(x.columns, wanted),
        &Search {
            sweeps: DATA_SWEEPS,
            rounding: ROUNDING_F32,
            ..search(wanted, negligible)
        },
        |block| sweep(x, block),
    )?;
    if found.converged {
        return Some(found.pairs);
    }
    leading_of_gram(x, wanted, negligible, Some(found.block))
}

fn search(wanted: usize, negligible: f64) -> Search {
    Search {
        wanted,
        basis_limit: BASIS_BLOCKS * block_size(wanted),
        sweeps: GRAM_SWEEPS,
        angle: ANGLE,
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
        product(part, directions.transposed(), &mut scores, count, Store::Replace);
        let scores = View::new(&scores[..taken * count], taken, count);
        product(scores.transposed(), part, &mut partial, x.columns, Store::Replace);
        for (sum, &value) in image.iter_mut().zip(&partial) {
            *sum += f64::from(value);
        }
    }
    image
}

/// The same through the Gram matrix of the shorter side, formed in f64.
fn leading_of_gram(x: Rows<'_>, wanted: usize, negligible: f64, start: Option<Vec<f64>>) -> Option<Eigen> {
    if x.rows < x.columns {
        let gram = gram_of_rows(x);
        let pairs = leading_of_matrix(&gram, x.rows, wanted, negligible, None)?;
        return Some(to_columns(x, pairs));
    }
    let gram = gram_of_columns(x);
    leading_of_matrix(&gram, x.columns, wanted, negligible, start)
}

fn leading_of_matrix(
    matrix: &[f64],
    size: usize,
    wanted: usize,
    negligible: f64,
    start: Option<Vec<f64>>,
) -> Option<Eigen> {
    if size > DENSE_LIMIT {
        let view = View::new(matrix, size, size);
        let start = start.unwrap_or_else(|| start_block(size, wanted));
        let found = leading_pairs(size, start, &search(wanted, negligible), |block| {
            multiply(View::new(block, block.len() / size, size), view)
        })?;
        if found.converged {
            return Some(found.pairs);
        }
    }
    symmetric_eigen(matrix.to_vec(), size, wanted)
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

/// XXᵀ, (n, n).
fn gram_of_rows(x: Rows<'_>) -> Vec<f64> {
    let wide: Vec<f64> = x.data.iter().map(|&v| f64::from(v)).collect();
    let mut gram = vec![0.0; x.rows * x.rows];
    add_upper_tiles(&mut gram, x.rows, |start, count| {
        View::new(&wide[start * x.columns..], count, x.columns)
    });
    mirror(&mut gram, x.rows);
    gram
}

/// XᵀX, (c, c).
fn gram_of_columns(x: Rows<'_>) -> Vec<f64> {
    let mut gram = vec![0.0; x.columns * x.columns];
    for rows in x.data.chunks(WIDEN_BLOCK * x.columns) {
        let wide: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        add_upper_tiles(&mut gram, x.columns, |start, count| {
            View::strided(&wide[start..], rows.len() / x.columns, count, x.columns).transposed()
        });
    }
    mirror(&mut gram, x.columns);
    gram
}

/// Adds the products of all strips with themselves and later ones to a (size, size) matrix: its upper triangle, in
/// tiles. `strip(start, count)` are `count` rows of the left factor.
fn add_upper_tiles<'a>(gram: &mut [f64], size: usize, strip: impl Fn(usize, usize) -> View<'a, f64>) {
    for top in (0..size).step_by(TILE) {
        let height = TILE.min(size - top);
        for left in (top..size).step_by(TILE) {
            let width = TILE.min(size - left);
            product(
                strip(top, height),
                strip(left, width).transposed(),
                &mut gram[top * size + left..],
                size,
                Store::Add,
            );
        }
    }
}

/// Copies the upper triangle to the lower one.
fn mirror(matrix: &mut [f64], size: usize) {
    for row in 1..size {
        for column in 0..row {
            matrix[row * size + column] = matrix[column * size + row];
        }
    }
}

/// No pair at all: the spectrum of numbers that do not vary.
pub(super) fn nothing() -> Eigen {
    Eigen {
        values: Vec::new(),
        vectors: Vec::new(),
    }
}
