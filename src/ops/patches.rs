//! The input's half of [`super::winograd`]'s transform.
//!
//! In go x (B, C, h, w), some rows of tiles and some channels; out come the
//! 6x6 factors of each tile, packed as the kernel's narrow panels:
//! (36, tiles / 6, channels, 6).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::kernel::{LONGEST, NARROW, load, store};
use super::scratch::Scratch;
use super::transform::{self, IN, OUT};
use super::winograd::{PAD, PRODUCTS, Plan};

/// Transforms and packs the input for one group of tiles and one block of
/// channels: (36, tiles / 6, channels, 6).
pub(super) struct PackInput<'a> {
    pub(super) plan: &'a Plan,
    pub(super) x: &'a [f32],
    /// A row of zeros as long as one of x, for rows beyond the edge.
    pub(super) zeros: &'a [f32],
    pub(super) inputs: usize,
    pub(super) padding: usize,
    /// Rows of tiles, counted across the batch.
    pub(super) rows: Range<usize>,
    pub(super) channels: Range<usize>,
    pub(super) cell: &'a mut [f32],
}

impl WithSimd for PackInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.plan.columns;
        let tiles = self.rows.len() * columns;
        // Whole vectors are written, so there is room behind the last tile.
        let stride = (tiles + LONGEST).next_multiple_of(PAD) + PAD;
        let mut products = Scratch::take(PRODUCTS * stride);
        let mut row = RowBuffers::new(columns);
        let depth = self.channels.len();
        for (k, c) in self.channels.clone().enumerate() {
            for (i, tile_row) in self.rows.clone().enumerate() {
                let image = tile_row / self.plan.rows;
                let y = (tile_row % self.plan.rows) * OUT;
                let plane = self.plan.height * self.plan.width;
                let plane = &self.x[(image * self.inputs + c) * plane..][..plane];
                self.along_y(simd, plane, y, &mut row);
                row.along_x(simd, columns, &mut products[i * columns..], stride);
            }
            self.pack(&products, stride, tiles, k, depth);
        }
    }
}

impl PackInput<'_> {
    /// Transforms the six rows of x around the tiles at output row `y`.
    #[inline(always)]
    fn along_y<S: Simd>(&self, simd: S, plane: &[f32], y: usize, row: &mut RowBuffers) {
        let width = self.plan.width;
        let lines: [&[f32]; IN] = std::array::from_fn(|i| match (y + i).checked_sub(self.padding) {
            Some(y) if y < self.plan.height => &plane[y * width..][..width],
            _ => self.zeros,
        });
        let end = width + self.padding;
        for line in row.lines.chunks_exact_mut(row.line) {
            line[..self.padding].fill(0.0);
            line[end.min(row.line)..].fill(0.0);
        }
        // Columns behind the last tile's patch are not needed.
        let count = width.min(row.line - self.padding);
        let lanes = S::F32_LANES;
        let mut at = 0;
        while at < count {
            // The last vector is moved back to end with the row, if it can.
            let start = at.min(count.saturating_sub(lanes));
            let stop = count.min(start + lanes);
            let whole = stop - start == lanes;
            let mut patch = [simd.splat_f32s(0.0); IN];
            for (to, line) in patch.iter_mut().zip(lines) {
                *to = match whole {
                    true => load::<S>(&line[start..]),
                    false => simd.partial_load_f32s(&line[start..stop]),
                };
            }
            let results = transform::input(simd, patch);
            for (line, result) in row.lines.chunks_exact_mut(row.line).zip(results) {
                let to = &mut line[self.padding + start..self.padding + stop];
                match whole {
                    true => store::<S>(to, result),
                    false => simd.partial_store_f32s(to, result),
                }
            }
            at = stop;
        }
    }

    /// Copies one channel's products to their place among the others.
    #[inline(always)]
    fn pack(&mut self, products: &[f32], stride: usize, tiles: usize, k: usize, depth: usize) {
        for p in 0..PRODUCTS {
            let (blocks, rest) = products[p * stride..][..tiles].as_chunks::<NARROW>();
            let cell = &mut self.cell[p * self.plan.stride..][..tiles * depth];
            let (full, last) = cell.split_at_mut(blocks.len() * NARROW * depth);
            for (block, to) in blocks.iter().zip(full.chunks_exact_mut(NARROW * depth)) {
                to[k * NARROW..][..NARROW].copy_from_slice(block);
            }
            for (from, to) in rest.iter().zip(&mut last[k * rest.len()..]) {
                *to = *from;
            }
        }
    }
}

/// One row of tiles of one channel on the way.
struct RowBuffers {
    /// Transformed along y: (6, line).
    lines: Vec<f32>,
    line: usize,
    /// The same with the columns sorted by their place in the tile:
    /// (6, 4, phase).
    phases: Vec<f32>,
    phase: usize,
}

impl RowBuffers {
    fn new(columns: usize) -> Self {
        // One more tile, since a patch reaches two columns into the next.
        let line = OUT * (columns + 1);
        let phase = columns + 1 + LONGEST;
        Self {
            lines: vec![0.0; IN * line],
            line,
            phases: vec![0.0; IN * OUT * phase],
            phase,
        }
    }

    /// Transforms the lines along x to 36 rows, `stride` apart.
    #[inline(always)]
    fn along_x<S: Simd>(&mut self, simd: S, columns: usize, out: &mut [f32], stride: usize) {
        for (line, phases) in self
            .lines
            .chunks_exact(self.line)
            .zip(self.phases.chunks_exact_mut(OUT * self.phase))
        {
            let tiles = line.as_chunks::<OUT>().0;
            for (j, phase) in phases.chunks_exact_mut(self.phase).enumerate() {
                for (to, tile) in phase.iter_mut().zip(tiles) {
                    *to = tile[j];
                }
            }
        }
        for (i, phases) in self.phases.chunks_exact(OUT * self.phase).enumerate() {
            for t in (0..columns).step_by(S::F32_LANES) {
                let mut patch = [simd.splat_f32s(0.0); IN];
                for (j, to) in patch.iter_mut().enumerate() {
                    *to = load::<S>(&phases[j % OUT * self.phase + t + j / OUT..]);
                }
                let results = transform::input(simd, patch);
                for (j, result) in results.into_iter().enumerate() {
                    store::<S>(&mut out[(i * IN + j) * stride + t..], result);
                }
            }
        }
    }
}
