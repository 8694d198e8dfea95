//! Any convolution as a matrix product.
//!
//! In go x (B, C, h, w) and the weights; out comes (B, O, h', w'). The pixels
//! under the filter are packed into panels (C k k, width), a chunk of the
//! output at a time, and shared by all threads; each thread then multiplies
//! them by the weights of a group of output channels. For a 1x1 filter this is
//! the plain product W (O, C) times x (C, h w).

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{self, Block, NARROW, WIDEST};
use super::scratch::Scratch;
use super::tiling::{Grid, split};

/// Steps of the product per block at most: a panel of pixels and one of
/// weights then fit in the first-level cache together.
const DEPTH: usize = 192;
/// Output channels whose weights for a block (74 KB) stay in the second-level
/// cache while the pixels go by.
const GROUP: usize = 16 * NARROW;
/// Packed pixels in a chunk at most (8 MB), unless one panel has more.
const CHUNK_NUMBERS: usize = 2 << 20;
/// Panels that are packed together, so that long pieces of x are read.
const PACKED_TOGETHER: usize = 16;
/// Panels that take turns with each block of weights, so that whole stretches
/// of the output are written.
const PANELS_TOGETHER: usize = 2;

/// A convolution of any filter size and stride, prepared.
#[derive(Debug)]
pub(super) struct Im2Col {
    /// (O / 6, C k k, 6); the last block has as many columns as channels.
    weights: Vec<f32>,
    bias: Vec<f32>,
    width: usize,
    inputs: usize,
    kernel: usize,
    stride: usize,
}

/// The sizes of x, of the zeros around it, and of the output's planes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    height: usize,
    width: usize,
    padding: usize,
    out_width: usize,
}

impl Im2Col {
    /// `weight` is (O, C, k, k) and `bias` (O).
    pub(super) fn new(weight: &[f32], bias: &[f32], inputs: usize, kernel: usize, stride: usize) -> Self {
        let depth = inputs * kernel * kernel;
        let mut weights = Vec::with_capacity(weight.len());
        for block in weight.chunks(NARROW * depth) {
            for k in 0..depth {
                weights.extend(block.iter().skip(k).step_by(depth));
            }
        }
        Self {
            weights,
            bias: bias.to_vec(),
            width: kernel::panel_width(),
            inputs,
            kernel,
            stride,
        }
    }

    /// The weights as they came, (O, C, k, k).
    pub(super) fn weight(&self) -> Vec<f32> {
        let depth = self.depth();
        let mut weight = Vec::with_capacity(self.weights.len());
        for block in self.weights.chunks(NARROW * depth) {
            let columns = block.len() / depth;
            for column in 0..columns {
                weight.extend(block.iter().skip(column).step_by(columns));
            }
        }
        weight
    }

    /// Steps of the product.
    fn depth(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// `x` is (B, C, h, w), around which there are `padding` zeros on every
    /// side; the result is (B, O, h', w'). The caller has checked that h' and
    /// w' are at least 1.
    pub(super) fn forward(&self, x: &[f32], batch: usize, height: usize, width: usize, padding: usize) -> Vec<f32> {
        let out = |size: usize| (size + 2 * padding - self.kernel) / self.stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        let mut shape = Shape {
            height,
            width,
            padding,
            out_width,
        };
        if self.kernel == 1 && self.stride == 1 && padding == 0 {
            // Each pixel stands for itself, so the plane may be one long row.
            shape = Shape {
                height: 1,
                width: height * width,
                padding,
                out_width: height * width,
            };
        }
        let grid = Grid {
            channels: self.bias.len(),
            plane: out_height * out_width,
            unit: self.width,
        };
        let panel = self.depth() * self.width;
        let all_panels = batch * grid.units();
        let fitting = (CHUNK_NUMBERS / panel).max(1);
        let chunks = split(0..all_panels, all_panels.div_ceil(fitting));
        let groups = grid.channels.div_ceil(GROUP);
        let mut result = vec![0.0; batch * grid.channels * grid.plane];
        let mut packed = Scratch::take(fitting.min(all_panels) * panel);
        for chunk in chunks {
            packed[..chunk.len() * panel]
                .par_chunks_mut(PACKED_TOGETHER * panel)
                .enumerate()
                .for_each(|(i, panels)| {
                    let first = chunk.start + i * PACKED_TOGETHER;
                    Arch::new().dispatch(PackPixels {
                        conv: self,
                        shape,
                        grid: &grid,
                        x,
                        range: first..chunk.end.min(first + PACKED_TOGETHER),
                        panels,
                    });
                });
            // With fewer groups than threads, panels are shared out as well.
            let parts = rayon::current_num_threads().div_ceil(groups);
            let bands = split(chunk.clone(), parts);
            grid.pieces(&mut result, &bands, GROUP)
                .into_par_iter()
                .enumerate()
                .for_each(|(i, pieces)| {
                    let band = bands[i % bands.len()].clone();
                    Arch::new().dispatch(Multiply {
                        conv: self,
                        grid: &grid,
                        group: i / bands.len(),
                        packed: &packed[(band.start - chunk.start) * panel..],
                        band,
                        pieces,
                    });
                });
        }
        result
    }
}

/// Packs panels of pixels: (panel, C k k, width).
struct PackPixels<'a> {
    conv: &'a Im2Col,
    shape: Shape,
    grid: &'a Grid,
    x: &'a [f32],
    /// The panels' numbers, counted across the batch.
    range: Range<usize>,
    panels: &'a mut [f32],
}

impl WithSimd for PackPixels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = kernel::width::<S>();
        let kernel = self.conv.kernel;
        let depth = self.conv.depth();
        let runs = self.runs(width);
        let mut line = [0.0; PACKED_TOGETHER * WIDEST];
        for k in 0..depth {
            let (c, tap) = (k / (kernel * kernel), k % (kernel * kernel));
            for run in &runs {
                run.copy(self.conv, &self.shape, self.x, c, tap, &mut line);
            }
            let panels = self.panels.chunks_exact_mut(depth * width);
            for (panel, from) in panels.zip(line.chunks_exact(width)) {
                panel[k * width..][..width].copy_from_slice(from);
            }
        }
    }
}

impl PackPixels<'_> {
    /// The rows of the output that the panels cover.
    fn runs(&self, width: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut panel = 0;
        for (image, units) in self.grid.images(&self.range) {
            let start = units.start * width;
            let end = (units.end * width).min(self.grid.plane);
            let mut at = start;
            while at < end {
                let (y, x) = (at / self.shape.out_width, at % self.shape.out_width);
                let count = (self.shape.out_width - x).min(end - at);
                runs.push(Run {
                    image,
                    y,
                    x,
                    to: panel * width + at - start,
                    count,
                });
                at += count;
            }
            panel += units.len();
        }
        runs
    }
}

/// Pixels of one row of the output.
struct Run {
    image: usize,
    y: usize,
    x: usize,
    /// Where among the panels' pixels it starts.
    to: usize,
    count: usize,
}

impl Run {
    /// Copies what one tap of the filter sees of input channel `c`.
    #[inline(always)]
    fn copy(&self, conv: &Im2Col, shape: &Shape, x: &[f32], c: usize, tap: usize, line: &mut [f32]) {
        let to = &mut line[self.to..self.to + self.count];
        let y = (self.y * conv.stride + tap / conv.kernel).checked_sub(shape.padding);
        let Some(y) = y.filter(|&y| y < shape.height) else {
            to.fill(0.0);
            return;
        };
        let row = ((self.image * conv.inputs + c) * shape.height + y) * shape.width;
        let row = &x[row..row + shape.width];
        let left = self.x * conv.stride + tap % conv.kernel;
        // The part of the run that is within the row.
        let begin = shape.padding.saturating_sub(left).div_ceil(conv.stride);
        let begin = begin.min(self.count);
        let room = (shape.width + shape.padding).saturating_sub(left);
        let end = room.div_ceil(conv.stride).clamp(begin, self.count);
        to[..begin].fill(0.0);
        to[end..].fill(0.0);
        if begin < end {
            let from = &row[left + begin * conv.stride - shape.padding..];
            copy_strided(&mut to[begin..end], from, conv.stride);
        }
    }
}

/// Copies every `stride`-th number.
#[inline(always)]
fn copy_strided(to: &mut [f32], from: &[f32], stride: usize) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => {
            let (pairs, _) = from.as_chunks::<2>();
            let paired = to.len().min(pairs.len());
            for (to, pair) in to.iter_mut().zip(pairs) {
                *to = pair[0];
            }
            // The last one may be the end of the row, without a partner.
            if let Some(last) = to.get_mut(paired) {
                *last = from[2 * paired];
            }
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

/// Computes a group of output channels for a band of panels.
struct Multiply<'a> {
    conv: &'a Im2Col,
    grid: &'a Grid,
    group: usize,
    /// The packed pixels from the band's first panel on.
    packed: &'a [f32],
    /// Panels, counted across the batch.
    band: Range<usize>,
    pieces: Vec<&'a mut [f32]>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = kernel::width::<S>();
        let depth = self.conv.depth();
        let first = self.group * GROUP;
        let bias = &self.conv.bias[first..];
        let bias = &bias[..bias.len().min(GROUP)];
        let weights = &self.conv.weights[first * depth..][..bias.len() * depth];
        let images = self.grid.images(&self.band);
        for block in split(0..depth, depth.div_ceil(DEPTH)) {
            let mut panels = self.packed;
            for ((_, units), planes) in images.iter().zip(self.pieces.chunks_mut(bias.len())) {
                for start in units.clone().step_by(PANELS_TOGETHER) {
                    let count = PANELS_TOGETHER.min(units.end - start);
                    let at = (start - units.start) * width;
                    let (some, rest) = panels.split_at(count * depth * width);
                    panels = rest;
                    for (i, weights) in weights.chunks(NARROW * depth).enumerate() {
                        let rows = weights.len() / depth;
                        let narrow = &weights[block.start * rows..block.end * rows];
                        for (j, panel) in some.chunks_exact(depth * width).enumerate() {
                            let wide = &panel[block.start * width..block.end * width];
                            let mut sums = [0.0; NARROW * WIDEST];
                            let target = Block {
                                out: &mut sums,
                                stride: width,
                                accumulate: false,
                            };
                            kernel::multiply(simd, wide, narrow, rows, target);
                            let planes = planes[i * NARROW..].iter_mut().take(rows);
                            let rows = sums.chunks_exact(width).zip(&bias[i * NARROW..]);
                            for (plane, (sums, &bias)) in planes.zip(rows) {
                                let at = at + j * width;
                                let end = plane.len().min(at + width);
                                let bias = (block.start == 0).then_some(bias);
                                add(simd, &mut plane[at..end], sums, bias);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds `sums` to `bias`, or else to what is in `out`, which may be shorter.
#[inline(always)]
fn add<S: Simd>(simd: S, out: &mut [f32], sums: &[f32], bias: Option<f32>) {
    let (vectors, rest) = S::as_mut_simd_f32s(out);
    let (sum_vectors, _) = S::as_simd_f32s(sums);
    let last = &sums[vectors.len() * S::F32_LANES..];
    match bias {
        Some(bias) => {
            let bias_vector = simd.splat_f32s(bias);
            for (to, &sum) in vectors.iter_mut().zip(sum_vectors) {
                *to = simd.add_f32s(bias_vector, sum);
            }
            for (to, sum) in rest.iter_mut().zip(last) {
                *to = bias + sum;
            }
        }
        None => {
            for (to, &sum) in vectors.iter_mut().zip(sum_vectors) {
                *to = simd.add_f32s(*to, sum);
            }
            for (to, sum) in rest.iter_mut().zip(last) {
                *to += sum;
            }
        }
    }
}
