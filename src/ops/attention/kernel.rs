//! The vector code of attention: a register tile for both products, and the softmax around it.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::packed::{BLOCK_KEYS, DEPTH, Packed, PackedHead, Rows, TILE};
use crate::ops::vector::{Scratch, exp2, lanes, parts, transpose, transpose_back};

/// Panels of queries that go through a block of keys before the next block is read.
pub(super) const PANELS: usize = 4;

/// Vectors in a panel of queries: what fills the registers beside six rows of sums.
const fn panel_vectors(lanes: usize) -> usize {
    match lanes {
        1 => 8,
        4 => 4,
        _ => 2,
    }
}

/// Queries in a panel on this machine.
pub(super) fn panel_width() -> usize {
    panel_vectors(lanes()) * lanes()
}

/// `$call` with the constants `W` = `$rows`, 1 to [`TILE`].
macro_rules! with_rows {
    ($rows:expr, $function:ident :: <$($generic:ty),*>($($argument:expr),*)) => {
        match $rows {
            1 => $function::<$($generic),*, NV, 1>($($argument),*),
            2 => $function::<$($generic),*, NV, 2>($($argument),*),
            3 => $function::<$($generic),*, NV, 3>($($argument),*),
            4 => $function::<$($generic),*, NV, 4>($($argument),*),
            5 => $function::<$($generic),*, NV, 5>($($argument),*),
            _ => $function::<$($generic),*, NV, TILE>($($argument),*),
        }
    };
}

/// The kernel of both products: out[i] = out[i]·old + Σ_n left[n][i]·right[n], the first term left out without `old`.
#[inline(always)]
fn tile<S: Simd, const NV: usize, const W: usize>(
    simd: S,
    left: &[f32],
    right: &[[S::f32s; NV]],
    old: Option<[S::f32s; NV]>,
    out: &mut [[S::f32s; NV]],
) {
    let mut sums = [[simd.splat_f32s(0.0); NV]; W];
    for (factors, vectors) in left.as_chunks::<W>().0.iter().zip(right) {
        for (sum, factor) in sums.iter_mut().zip(factors) {
            let factor = simd.splat_f32s(*factor);
            for (sum, vector) in sum.iter_mut().zip(vectors) {
                *sum = simd.mul_add_e_f32s(factor, *vector, *sum);
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        for vector in 0..NV {
            out[vector] = match old {
                Some(old) => simd.mul_add_e_f32s(out[vector], old[vector], sum[vector]),
                None => sum[vector],
            };
        }
    }
}

/// The scores of a block's keys for a panel of queries.
#[inline(always)]
fn scores<S: Simd, const NV: usize>(simd: S, keys: &[f32], queries: &[[S::f32s; NV]], scores: &mut [[S::f32s; NV]]) {
    let count = scores.len();
    for part in parts(queries.len(), DEPTH) {
        let old = (part.start > 0).then_some([simd.splat_f32s(1.0); NV]);
        let (keys, queries) = (&keys[part.start * count..part.end * count], &queries[part.clone()]);
        for rows in parts(count, TILE) {
            let keys = &keys[rows.start * part.len()..rows.end * part.len()];
            with_rows!(rows.len(), tile::<S>(simd, keys, queries, old, &mut scores[rows]));
        }
    }
}

/// `most` or the largest score, per query.
#[inline(always)]
fn maximum<S: Simd, const NV: usize>(simd: S, scores: &[[S::f32s; NV]], mut most: [S::f32s; NV]) -> [S::f32s; NV] {
    for score in scores {
        for vector in 0..NV {
            most[vector] = simd.max_f32s(most[vector], score[vector]);
        }
    }
    most
}

/// Takes the scores to 2^(score - most), and gives their sum.
#[inline(always)]
fn exponentials<S: Simd, const NV: usize>(simd: S, scores: &mut [[S::f32s; NV]], most: [S::f32s; NV]) -> [S::f32s; NV] {
    let mut sum = [simd.splat_f32s(0.0); NV];
    for score in scores {
        for vector in 0..NV {
            score[vector] = exp2(simd, simd.sub_f32s(score[vector], most[vector]));
            sum[vector] = simd.add_f32s(sum[vector], score[vector]);
        }
    }
    sum
}

/// The floats as rows of `NV` vectors.
#[inline(always)]
fn vectors<S: Simd, const NV: usize>(floats: &mut [f32]) -> &mut [[S::f32s; NV]] {
    S::as_mut_simd_f32s(floats).0.as_chunks_mut().0
}

/// A block of one head's queries, and the places of their outputs.
pub(super) struct Task<'a> {
    /// Of all images' heads.
    pub(super) head: usize,
    pub(super) queries: Vec<&'a [f32]>,
    pub(super) output: Vec<&'a mut [f32]>,
}

/// Computes a task.
pub(super) struct Attend<'a> {
    pub(super) keys: PackedHead<'a>,
    pub(super) task: Task<'a>,
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match const { panel_vectors(S::F32_LANES) } {
            8 => self.run::<S, 8>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, 2>(simd),
        }
    }
}

impl Attend<'_> {
    #[inline(always)]
    fn run<S: Simd, const NV: usize>(mut self, simd: S) {
        let (depth, width) = (self.keys.depth, NV * S::F32_LANES);
        let panels = self.task.queries.len().div_ceil(width);
        let panel_len = depth * width;
        let (mut queries, mut sums) = (Scratch::new(panels * panel_len), Scratch::new(panels * panel_len));
        let mut score_memory = Scratch::new(BLOCK_KEYS.1 * width);
        for (rows, panel) in self
            .task
            .queries
            .chunks(width)
            .zip(queries.floats().chunks_exact_mut(panel_len))
        {
            transpose(rows, panel, width);
        }
        // Per panel: the largest score, and the sum of the exponentials.
        let mut state = [([simd.splat_f32s(f32::NEG_INFINITY); NV], [simd.splat_f32s(0.0); NV]); PANELS];

        for (block, keys, values) in self.keys.blocks() {
            let score_rows = vectors::<S, NV>(&mut score_memory.floats()[..block.len() * width]);
            let (queries, sums) = (queries.floats().chunks_exact_mut(panel_len), sums.floats());
            for ((queries, sums), (most, total)) in queries.zip(sums.chunks_exact_mut(panel_len)).zip(state.iter_mut())
            {
                scores::<S, NV>(simd, keys, vectors::<S, NV>(queries), score_rows);
                let before = std::mem::replace(most, maximum(simd, score_rows, *most));
                let sum = exponentials(simd, score_rows, *most);
                let mut shrink = before;
                for vector in 0..NV {
                    shrink[vector] = exp2(simd, simd.sub_f32s(before[vector], most[vector]));
                    total[vector] = simd.mul_add_e_f32s(total[vector], shrink[vector], sum[vector]);
                }
                let sums = vectors::<S, NV>(sums);
                for rows in parts(depth, TILE) {
                    let values = &values[rows.start * block.len()..rows.end * block.len()];
                    with_rows!(
                        rows.len(),
                        tile::<S>(simd, values, score_rows, Some(shrink), &mut sums[rows])
                    );
                }
            }
        }

        let output = self.task.output.chunks_mut(width);
        for ((sums, (_, total)), output) in sums.floats().chunks_exact_mut(panel_len).zip(&state).zip(output) {
            for sum in vectors::<S, NV>(sums) {
                for vector in 0..NV {
                    sum[vector] = simd.div_f32s(sum[vector], total[vector]);
                }
            }
            transpose_back(sums, width, output);
        }
    }
}

/// A panel of queries of all heads.
pub(super) struct MeanMap<'a> {
    pub(super) q: &'a Rows<'a>,
    pub(super) image: usize,
    pub(super) heads: usize,
    pub(super) rows: Range<usize>,
    pub(super) packed: &'a Packed,
    pub(super) output: &'a mut [f32],
}

impl WithSimd for MeanMap<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match const { panel_vectors(S::F32_LANES) } {
            8 => self.run::<S, 8>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, 2>(simd),
        }
    }
}

impl MeanMap<'_> {
    #[inline(always)]
    fn run<S: Simd, const NV: usize>(self, simd: S) {
        let &Packed { keys, depth, .. } = self.packed;
        let width = NV * S::F32_LANES;
        let mut queries = Scratch::new(depth * width);
        let (mut score_memory, mut mean) = (Scratch::new(keys * width), Scratch::new(keys * width));
        let score_rows = vectors::<S, NV>(score_memory.floats());
        for head in 0..self.heads {
            let rows: Vec<&[f32]> = self.rows.clone().map(|row| self.q.row(self.image, head, row)).collect();
            transpose(&rows, queries.floats(), width);
            let mut most = [simd.splat_f32s(f32::NEG_INFINITY); NV];
            let packed = self.packed.head(self.image * self.heads + head);
            for (block, numbers, _) in packed.blocks() {
                let block_rows = &mut score_rows[block];
                scores::<S, NV>(simd, numbers, vectors::<S, NV>(queries.floats()), block_rows);
                most = maximum(simd, block_rows, most);
            }
            // Sums of blocks, so that rounding grows with the root of a block's keys and not of them all.
            let mut total = [simd.splat_f32s(0.0); NV];
            for block in score_rows.chunks_mut(BLOCK_KEYS.1) {
                let sum = exponentials(simd, block, most);
                for vector in 0..NV {
                    total[vector] = simd.add_f32s(total[vector], sum[vector]);
                }
            }
            let share = total.map(|total| simd.div_f32s(simd.splat_f32s(1.0 / self.heads as f32), total));
            for (mean, score) in vectors::<S, NV>(mean.floats()).iter_mut().zip(&*score_rows) {
                for vector in 0..NV {
                    mean[vector] = simd.mul_add_e_f32s(score[vector], share[vector], mean[vector]);
                }
            }
        }
        let mut rows: Vec<&mut [f32]> = self.output.chunks_exact_mut(keys).collect();
        transpose_back(mean.floats(), width, &mut rows);
    }
}
