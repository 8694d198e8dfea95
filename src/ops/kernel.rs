//! The innermost loop of every convolution: a small block of a matrix product
//! that stays in registers.
//!
//! In go two packed panels over the same `depth`: a *wide* one, `depth` rows
//! of [`panel_width`] numbers that are read as vectors, and a *narrow* one,
//! `depth` rows of up to [`NARROW`] numbers that are broadcast. Out comes
//! `out[n][w] (+)= sum over d of narrow[d][n] * wide[d][w]`.
//!
//! One generic source serves AVX-512, AVX2, NEON and plain code; `pulp` picks
//! the one for this CPU when the program runs.

use pulp::Simd;

use super::vector::lanes;

/// Rows of the result that are computed together. With two vectors each they
/// take 12 of AVX2's 16 registers.
pub(super) const NARROW: usize = 6;

/// Vectors in a row of the wide panel where a vector has at least
/// [`LONG_VECTOR`] numbers.
const VECTORS: usize = 2;
/// Vectors in a row of the wide panel for shorter vectors.
const VECTORS_SHORT: usize = 4;
const LONG_VECTOR: usize = 8;
/// Numbers in the longest vector of any instruction set that `pulp` knows.
pub(super) const LONGEST: usize = 16;
/// The widest panel of any instruction set.
pub(super) const WIDEST: usize = VECTORS * LONGEST;

/// Numbers in a row of the wide panel for the instruction set `S`.
pub(super) const fn width<S: Simd>() -> usize {
    width_of(S::F32_LANES)
}

/// Numbers in a row of the wide panel on this CPU.
pub(super) fn panel_width() -> usize {
    width_of(lanes())
}

const fn width_of(lanes: usize) -> usize {
    if lanes >= LONG_VECTOR {
        VECTORS * lanes
    } else {
        VECTORS_SHORT * lanes
    }
}

/// The first vector of `slice`.
#[inline(always)]
pub(super) fn load<S: Simd>(slice: &[f32]) -> S::f32s {
    S::as_simd_f32s(&slice[..S::F32_LANES]).0[0]
}

/// Writes the first vector of `slice`.
#[inline(always)]
pub(super) fn store<S: Simd>(slice: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut slice[..S::F32_LANES]).0[0] = value;
}

/// Where a block of the result goes: row `n` starts at `out[n * stride]`.
pub(super) struct Block<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
    /// Add to what is there instead of replacing it.
    pub(super) accumulate: bool,
}

/// Multiplies a wide panel by a narrow one with `rows` (1 to [`NARROW`])
/// numbers per step.
#[inline(always)]
pub(super) fn multiply<S: Simd>(simd: S, wide: &[f32], narrow: &[f32], rows: usize, block: Block<'_>) {
    if S::F32_LANES >= LONG_VECTOR {
        by_rows::<S, VECTORS>(simd, wide, narrow, rows, block);
    } else {
        by_rows::<S, VECTORS_SHORT>(simd, wide, narrow, rows, block);
    }
}

#[inline(always)]
fn by_rows<S: Simd, const V: usize>(simd: S, wide: &[f32], narrow: &[f32], rows: usize, block: Block<'_>) {
    match rows {
        1 => in_registers::<S, V, 1>(simd, wide, narrow, block),
        2 => in_registers::<S, V, 2>(simd, wide, narrow, block),
        3 => in_registers::<S, V, 3>(simd, wide, narrow, block),
        4 => in_registers::<S, V, 4>(simd, wide, narrow, block),
        5 => in_registers::<S, V, 5>(simd, wide, narrow, block),
        _ => in_registers::<S, V, NARROW>(simd, wide, narrow, block),
    }
}

#[inline(always)]
fn in_registers<S: Simd, const V: usize, const N: usize>(simd: S, wide: &[f32], narrow: &[f32], block: Block<'_>) {
    let wide = S::as_simd_f32s(wide).0.as_chunks::<V>().0;
    let narrow = narrow.as_chunks::<N>().0;
    let mut sums = [[simd.splat_f32s(0.0); V]; N];
    for (wide, narrow) in wide.iter().zip(narrow) {
        for (sums, &factor) in sums.iter_mut().zip(narrow) {
            let factor = simd.splat_f32s(factor);
            for (sum, &w) in sums.iter_mut().zip(wide) {
                *sum = simd.mul_add_e_f32s(factor, w, *sum);
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        let start = n * block.stride;
        let row = &mut block.out[start..start + V * S::F32_LANES];
        for (out, &sum) in S::as_mut_simd_f32s(row).0.iter_mut().zip(sums) {
            *out = match block.accumulate {
                true => simd.add_f32s(*out, sum),
                false => sum,
            };
        }
    }
}
