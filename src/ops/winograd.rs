//! 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3): 36 products for
//! 16 outputs, a quarter of what the definition takes.
//!
//! In go x (B, C, h, w) and the weights; out comes (B, O, h', w'). The grid is
//! cut into 4x4 tiles. For a chunk of tile rows the 6x6 patches are
//! transformed once, packed for the kernel ([`super::patches`]) and shared by
//! all threads. Each thread then takes a team of panels of output channels,
//! transforms their weights, a block of input channels at a time, into memory
//! that stays in its cache, multiplies, and transforms the products back. The weights are kept as they
//! came, only in another order.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{self, Block, LONGEST, NARROW, load, store};
use super::patches::PackInput;
use super::scratch::Scratch;
use super::tiling::{Grid, split};
use super::transform::{self, FACTORS, IN, OUT, TAPS};

/// Products per tile and pair of channels.
pub(super) const PRODUCTS: usize = IN * IN;
const TAPS_2D: usize = TAPS * TAPS;
/// Input channels per block at most: a team's transformed weights for one row
/// of products (6 * 128 * 32 numbers, 98 KB) stay in the second-level cache.
const DEPTH: usize = 128;
/// Tiles that are transformed together, where rows are short enough.
const GROUP: usize = 48;
/// Tiles in a chunk at most, unless one row has more.
const CHUNK: usize = 128;
/// Transformed input in a chunk at most (10 MB), unless one row has more.
const CHUNK_NUMBERS: usize = 5 << 19;
/// Panels of output channels that a thread computes together, so that the
/// packed input is read once for them.
const TOGETHER: usize = 2;
/// Put between arrays whose length is often a power of two, so that the same
/// place in each of them is not in the same set of the cache.
pub(super) const PAD: usize = 16;

/// A 3x3 convolution with stride 1, prepared.
#[derive(Debug)]
pub(super) struct Winograd {
    /// (panel, C, 9, width), the last panel filled up with zeros.
    weights: Vec<f32>,
    /// (panel, width).
    bias: Vec<f32>,
    width: usize,
    inputs: usize,
    outputs: usize,
}

/// Everything about one call that depends on the input's shape.
pub(super) struct Plan {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_width: usize,
    /// Rows of tiles in an image.
    pub(super) rows: usize,
    /// Tiles in a row.
    pub(super) columns: usize,
    /// Rows of tiles in a group.
    pub(super) group_rows: usize,
    /// Blocks of input channels.
    pub(super) blocks: Vec<Range<usize>>,
    /// Numbers between products in the packed input.
    pub(super) stride: usize,
}

impl Plan {
    /// Numbers in the packed input for one group and one block.
    fn cell(&self) -> usize {
        PRODUCTS * self.stride
    }
}

impl Winograd {
    /// `weight` is (O, C, 3, 3) and `bias` (O).
    pub(super) fn new(weight: &[f32], bias: &[f32], outputs: usize, inputs: usize) -> Self {
        let width = kernel::panel_width();
        let panels = outputs.div_ceil(width);
        let mut weights = vec![0.0; panels * inputs * TAPS_2D * width];
        for o in 0..outputs {
            for c in 0..inputs {
                for tap in 0..TAPS_2D {
                    let to = ((o / width * inputs + c) * TAPS_2D + tap) * width + o % width;
                    weights[to] = weight[(o * inputs + c) * TAPS_2D + tap];
                }
            }
        }
        let mut padded = vec![0.0; panels * width];
        padded[..outputs].copy_from_slice(bias);
        Self {
            weights,
            bias: padded,
            width,
            inputs,
            outputs,
        }
    }

    /// The weights as they came, (O, C, 3, 3).
    pub(super) fn weight(&self) -> Vec<f32> {
        let (width, inputs) = (self.width, self.inputs);
        let mut weight = Vec::with_capacity(self.outputs * inputs * TAPS_2D);
        for o in 0..self.outputs {
            let panel = &self.weights[o / width * inputs * TAPS_2D * width..];
            let of_output = panel.iter().skip(o % width).step_by(width);
            weight.extend(of_output.take(inputs * TAPS_2D));
        }
        weight
    }

    /// `x` is (B, C, h, w), around which there are `padding` zeros on every
    /// side; the result is (B, O, h', w'). The caller has checked that h' and
    /// w' are at least 1.
    pub(super) fn forward(&self, x: &[f32], batch: usize, height: usize, width: usize, padding: usize) -> Vec<f32> {
        let (out_height, out_width) = (height + 2 * padding + 1 - TAPS, width + 2 * padding + 1 - TAPS);
        let grid = Grid {
            channels: self.outputs,
            plane: out_height * out_width,
            unit: OUT * out_width,
        };
        let columns = out_width.div_ceil(OUT);
        let group_rows = (GROUP / columns).clamp(1, batch * grid.units());
        let blocks = split(0..self.inputs, self.inputs.div_ceil(DEPTH));
        let deepest = blocks.iter().map(Range::len).max().unwrap_or(0);
        let plan = Plan {
            height,
            width,
            out_width,
            rows: grid.units(),
            columns,
            group_rows,
            blocks,
            stride: group_rows * columns * deepest + PAD,
        };
        let mut out = vec![0.0; batch * self.outputs * grid.plane];
        let fitting = CHUNK.min(CHUNK_NUMBERS / (PRODUCTS * self.inputs)) / columns;
        let all_rows = batch * plan.rows;
        let chunks = all_rows.div_ceil(fitting.max(1));
        let group_count = |rows: &Range<usize>| rows.len().div_ceil(group_rows);
        let chunks = split(0..all_rows, chunks);
        let most_groups = chunks.iter().map(group_count).max().unwrap_or(0);
        let mut packed = Scratch::take(most_groups * plan.blocks.len() * plan.cell());
        let zeros = vec![0.0; width];
        let group = TOGETHER * self.width;
        let teams = self.outputs.div_ceil(group);
        for chunk in chunks {
            let groups = group_count(&chunk);
            let used = groups * plan.blocks.len() * plan.cell();
            packed[..used]
                .par_chunks_mut(plan.cell())
                .enumerate()
                .for_each(|(i, cell)| {
                    let group = i / plan.blocks.len();
                    let first = chunk.start + group * group_rows;
                    Arch::new().dispatch(PackInput {
                        plan: &plan,
                        x,
                        zeros: &zeros,
                        inputs: self.inputs,
                        padding,
                        rows: first..chunk.end.min(first + group_rows),
                        channels: plan.blocks[i % plan.blocks.len()].clone(),
                        cell,
                    });
                });
            // With fewer teams than threads, rows are shared out as well.
            let parts = rayon::current_num_threads().div_ceil(teams);
            let bands: Vec<_> = split(0..groups, parts)
                .iter()
                .map(|g| {
                    let end = chunk.start + g.end * group_rows;
                    chunk.start + g.start * group_rows..end.min(chunk.end)
                })
                .collect();
            grid.pieces(&mut out, &bands, group)
                .into_par_iter()
                .enumerate()
                .for_each(|(i, pieces)| {
                    let band = bands[i % bands.len()].clone();
                    let first_group = (band.start - chunk.start) / group_rows;
                    Arch::new().dispatch(Multiply {
                        conv: self,
                        plan: &plan,
                        grid: &grid,
                        panel: i / bands.len() * TOGETHER,
                        packed: &packed[first_group * plan.blocks.len() * plan.cell()..used],
                        band,
                        pieces,
                    });
                });
        }
        out
    }
}

/// Computes a team of panels of output channels for a band of tile rows.
struct Multiply<'a> {
    conv: &'a Winograd,
    plan: &'a Plan,
    grid: &'a Grid,
    /// The team's first panel.
    panel: usize,
    /// Rows of tiles, counted across the batch; begins with a group.
    band: Range<usize>,
    /// The packed input from the band's first group on.
    packed: &'a [f32],
    pieces: Vec<&'a mut [f32]>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = kernel::width::<S>();
        let team = TOGETHER.min(self.conv.outputs.div_ceil(width) - self.panel);
        let tiles = self.band.len() * self.plan.columns;
        // (36, team, tiles, width)
        let sums_stride = team * tiles * width + PAD;
        let mut sums = Scratch::take(PRODUCTS * sums_stride);
        // (6, team, channels, width)
        let deepest = self.plan.blocks.iter().map(Range::len).max().unwrap_or(0);
        let panel_weights = deepest * width;
        let weights_stride = team * panel_weights + PAD;
        let mut weights = Scratch::take(IN * weights_stride);
        let group_tiles = self.plan.group_rows * self.plan.columns;
        for (b, block) in self.plan.blocks.iter().enumerate() {
            let depth = block.len();
            for p in 0..PRODUCTS {
                if p % IN == 0 {
                    for t in 0..team {
                        let taps = self.taps(self.panel + t, block);
                        let to = &mut weights[t * panel_weights..];
                        transform_weights(simd, taps, p / IN, to, weights_stride);
                    }
                }
                let weights = &weights[p % IN * weights_stride..];
                let sums = &mut sums[p * sums_stride..];
                for first in (0..tiles).step_by(group_tiles) {
                    let cell = first / group_tiles * self.plan.blocks.len() + b;
                    let cell = &self.packed[cell * self.plan.cell() + p * self.plan.stride..];
                    let end = tiles.min(first + group_tiles);
                    for tile in (first..end).step_by(NARROW) {
                        let rows = NARROW.min(end - tile);
                        let narrow = &cell[(tile - first) * depth..][..rows * depth];
                        for t in 0..team {
                            let wide = &weights[t * panel_weights..][..depth * width];
                            let block = Block {
                                out: &mut sums[(t * tiles + tile) * width..][..rows * width],
                                stride: width,
                                accumulate: b > 0,
                            };
                            kernel::multiply(simd, wide, narrow, rows, block);
                        }
                    }
                }
            }
        }
        for t in 0..team {
            self.transform_back(simd, t, &sums[t * tiles * width..], sums_stride);
        }
    }
}

impl Multiply<'_> {
    /// A panel's weights for a block of input channels: (channels, 9, width).
    fn taps(&self, panel: usize, block: &Range<usize>) -> &[f32] {
        let one = TAPS_2D * self.conv.width;
        &self.conv.weights[(panel * self.conv.inputs + block.start) * one..][..block.len() * one]
    }

    /// Transforms the sums to pixels, adds the bias and writes them out.
    #[inline(always)]
    fn transform_back<S: Simd>(&mut self, simd: S, member: usize, sums: &[f32], stride: usize) {
        let (width, columns) = (kernel::width::<S>(), self.plan.columns);
        let out_width = self.plan.out_width;
        let bias = &self.conv.bias[(self.panel + member) * width..][..width];
        let channels = (TOGETHER * width).min(self.conv.outputs - self.panel * width);
        // One row of tiles for each channel: (width, 4, line).
        let line = columns * OUT + PAD / 2;
        let mut lines = Scratch::take(width * OUT * line);
        let mut tile_row = 0;
        let images = self.grid.images(&self.band);
        for ((_, rows), planes) in images.into_iter().zip(self.pieces.chunks_mut(channels)) {
            for row in 0..rows.len() {
                for column in 0..columns {
                    let tile = (tile_row * columns + column) * width;
                    for v in (0..width).step_by(S::F32_LANES) {
                        let pixels = tile_back(simd, &sums[tile + v..], stride, &bias[v..]);
                        let lines = &mut lines[v * OUT * line..];
                        transpose::<S>(&pixels, &mut lines[column * OUT..], line);
                    }
                }
                let planes = planes[member * width..].iter_mut();
                for (plane, lines) in planes.zip(lines.chunks_exact(OUT * line)) {
                    let rest = &mut plane[row * OUT * out_width..];
                    for (to, from) in rest.chunks_mut(out_width).zip(lines.chunks_exact(line)) {
                        to.copy_from_slice(&from[..out_width]);
                    }
                }
                tile_row += 1;
            }
        }
    }
}

/// Transforms the weights `taps` (channels, 9, width) for one row of the 6x6
/// products: (6, channels, width), `stride` numbers between the six. All rows
/// at once would not stay in the first-level cache.
#[inline(always)]
fn transform_weights<S: Simd>(simd: S, taps: &[f32], row: usize, out: &mut [f32], stride: usize) {
    let width = kernel::width::<S>();
    let factor = FACTORS[row];
    for (k, taps) in taps.chunks_exact(TAPS_2D * width).enumerate() {
        let once = &taps[factor.once * TAPS * width..][..TAPS * width];
        for v in (0..width).step_by(S::F32_LANES) {
            let mut along_y = [simd.splat_f32s(0.0); TAPS];
            for (x, to) in along_y.iter_mut().enumerate() {
                let once = load::<S>(&once[x * width + v..]);
                let second = load::<S>(&taps[(TAPS + x) * width + v..]);
                let third = load::<S>(&taps[(2 * TAPS + x) * width + v..]);
                *to = factor.of(simd, once, second, third);
            }
            for (j, value) in transform::weights(simd, along_y).into_iter().enumerate() {
                store::<S>(&mut out[j * stride + k * width + v..], value);
            }
        }
    }
}

/// The 4x4 pixels of one tile for a vector of channels.
#[inline(always)]
fn tile_back<S: Simd>(simd: S, sums: &[f32], stride: usize, bias: &[f32]) -> [[S::f32s; OUT]; OUT] {
    let bias = load::<S>(bias);
    let zero = simd.splat_f32s(0.0);
    let mut rows = [[zero; IN]; OUT];
    for j in 0..IN {
        let mut column = [zero; IN];
        for (i, sum) in column.iter_mut().enumerate() {
            *sum = load::<S>(&sums[(i * IN + j) * stride..]);
        }
        for (row, value) in rows.iter_mut().zip(transform::output(simd, column)) {
            row[j] = value;
        }
    }
    let mut pixels = [[zero; OUT]; OUT];
    for (to, row) in pixels.iter_mut().zip(rows) {
        for (to, value) in to.iter_mut().zip(transform::output(simd, row)) {
            *to = simd.add_f32s(value, bias);
        }
    }
    pixels
}

/// Writes a tile so that each channel's pixels are together: (lanes, 4, line).
#[inline(always)]
fn transpose<S: Simd>(pixels: &[[S::f32s; OUT]; OUT], out: &mut [f32], line: usize) {
    for (y, row) in pixels.iter().enumerate() {
        let mut channels = [[0.0; LONGEST]; OUT];
        for (to, value) in channels.iter_mut().zip(row) {
            store::<S>(to, *value);
        }
        for lane in 0..S::F32_LANES {
            let to = &mut out[(lane * OUT + y) * line..][..OUT];
            for (to, channel) in to.iter_mut().zip(&channels) {
                *to = channel[lane];
            }
        }
    }
}
