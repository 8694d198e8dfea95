//! Pillow's resize of 8-bit pictures, bit for bit: the features of the papers were made from its pixels. Meant is
//! Pillow up to 12; version 13 runs the vertical pass first where the height shrinks much more than the width.
//!
//! Two passes, horizontal first, 8-bit between them. The filter is widened by the reduction (antialiasing), its
//! weights are normalised in f64 and rounded to 22 fractional bits.

use std::{f64::consts::PI, ops::Range};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::picture::{CHANNELS, Picture};
use crate::{
    error::{Error, Result},
    geometry::Size,
};

/// Fractional bits of a weight: 32, less 8 for the value and 2 for the sign and the overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Start of a sum, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// An interpolation kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// The mean of the covered pixels.
    Box,
    /// Keys' cubic with a = −0.5.
    Bicubic,
    /// Windowed sinc with a = 3.
    Lanczos,
}

impl Filter {
    /// Half the kernel's width in source pixels, without reduction.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bicubic => 2.0,
            Self::Lanczos => LANCZOS_LOBES,
        }
    }

    /// The kernel at `x` source pixels from its centre.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bicubic => cubic(x.abs()),
            Self::Lanczos if (-LANCZOS_LOBES..LANCZOS_LOBES).contains(&x) => sinc(x) * sinc(x / LANCZOS_LOBES),
            Self::Lanczos => 0.0,
        }
    }
}

const LANCZOS_LOBES: f64 = 3.0;

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// The picture at `size`.
///
/// # Errors
///
/// Where `size` has no pixels.
pub fn resize(picture: &Picture, size: Size, filter: Filter) -> Result<Picture> {
    resize_window(picture, size, filter, (0, 0), size)
}

/// The part of the picture at `size` that begins at `offset` (left, top) and has the size `window`: equal to
/// resizing and then cropping, without ever holding what is cropped away.
///
/// # Errors
///
/// Where the window is empty or not inside of `size`.
pub fn resize_window(
    picture: &Picture,
    size: Size,
    filter: Filter,
    (left, top): (usize, usize),
    window: Size,
) -> Result<Picture> {
    let inside =
        |offset: usize, part: usize, whole: usize| part > 0 && offset.checked_add(part).is_some_and(|end| end <= whole);
    if !inside(left, window.width, size.width) || !inside(top, window.height, size.height) {
        return Err(Error::usage(format!(
            "cannot take {window} pixels at ({left}, {top}) from a picture resized to {size}"
        )));
    }
    let columns = Taps::new(picture.width(), size.width, filter, left..left + window.width);
    let rows = Taps::new(picture.height(), size.height, filter, top..top + window.height);
    let needed = rows.inputs();
    let row_bytes = picture.width() * CHANNELS;
    let source = &picture.rgb()[needed.start * row_bytes..needed.end * row_bytes];
    let narrowed = columns.across(source, row_bytes);
    let rgb = rows.down(&narrowed, window.width * CHANNELS, needed.start);
    Picture::from_rgb(window, rgb)
}

/// For each output position along one axis, the source positions and their weights.
struct Taps {
    /// First source position and number of weights of each output.
    spans: Vec<(usize, usize)>,
    /// Weights of all outputs, one after another, with [`PRECISION_BITS`] fractional bits.
    weights: Vec<i32>,
}

impl Taps {
    /// The taps of the outputs in `window` when `input` positions become `output`.
    fn new(input: usize, output: usize, filter: Filter, window: Range<usize>) -> Self {
        let scale = input as f64 / output as f64;
        let widening = scale.max(1.0);
        // Pillow multiplies by the reciprocal; a division would round otherwise.
        let narrowing = 1.0 / widening;
        let support = filter.support() * widening;
        let mut spans = Vec::with_capacity(window.len());
        let mut weights = Vec::new();
        let mut exact = Vec::new();
        for position in window {
            let center = (position as f64 + 0.5) * scale;
            // Casts towards zero, negative numbers to 0: Pillow's rounding of the two ends.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            exact.clear();
            exact.extend((first..end).map(|source| filter.weight((source as f64 - center + 0.5) * narrowing)));
            let sum: f64 = exact.iter().sum();
            weights.extend(exact.iter().map(|weight| fixed_point(weight / sum)));
            spans.push((first, exact.len()));
        }
        Self { spans, weights }
    }

    /// The source positions that any output needs.
    fn inputs(&self) -> Range<usize> {
        let start = self.spans.iter().map(|span| span.0).min().unwrap_or(0);
        let end = self.spans.iter().map(|span| span.0 + span.1).max().unwrap_or(0);
        start..end
    }

    /// Each output's first source position and weights.
    fn each(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut rest = self.weights.as_slice();
        self.spans.iter().map(move |&(first, count)| {
            let (weights, tail) = rest.split_at(count);
            rest = tail;
            (first, weights)
        })
    }

    /// The horizontal pass over rows of `row_bytes`.
    fn across(&self, source: &[u8], row_bytes: usize) -> Vec<u8> {
        let narrow_bytes = self.spans.len() * CHANNELS;
        let mut narrowed = vec![0; source.len() / row_bytes * narrow_bytes];
        narrowed
            .par_chunks_mut(narrow_bytes)
            .zip(source.par_chunks(row_bytes))
            .for_each(|(target, row)| {
                let (pixels, _) = row.as_chunks::<CHANNELS>();
                let (targets, _) = target.as_chunks_mut::<CHANNELS>();
                for ((first, weights), target) in self.each().zip(targets) {
                    let mut sums = [HALF; CHANNELS];
                    for (pixel, &weight) in pixels[first..].iter().zip(weights) {
                        for (sum, &value) in sums.iter_mut().zip(pixel) {
                            *sum += i32::from(value) * weight;
                        }
                    }
                    *target = sums.map(clip);
                }
            });
        narrowed
    }

    /// The vertical pass over rows of `row_bytes`, the first of which is source position `skipped`.
    fn down(&self, source: &[u8], row_bytes: usize, skipped: usize) -> Vec<u8> {
        let taps: Vec<_> = self.each().collect();
        let mut shortened = vec![0; taps.len() * row_bytes];
        shortened.par_chunks_mut(row_bytes).zip(taps.par_iter()).for_each_init(
            Vec::new,
            |sums, (target, &(first, weights))| {
                sums.clear();
                sums.resize(row_bytes, HALF);
                let rows = source.chunks_exact(row_bytes).skip(first - skipped);
                for (row, &weight) in rows.zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum += i32::from(value) * weight;
                    }
                }
                for (target, &sum) in target.iter_mut().zip(sums.iter()) {
                    *target = clip(sum);
                }
            },
        );
        shortened
    }
}

/// Rounds half away from zero, as Pillow does.
fn fixed_point(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS) + 0.5_f64.copysign(weight)) as i32
}

/// A sum back to 8 bits.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, i32::from(u8::MAX)) as u8
}
