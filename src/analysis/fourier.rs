//! Power spectra of the channels of a map, |FFT2|² per channel, in f32 with sums in f64.

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

use crate::geometry::Grid;

/// Channels that one thread takes at a time.
const CHANNELS_AT_A_TIME: usize = 8;

/// A transform of real planes onto a grid that is at least as large; what lies beyond the plane is 0.
pub(super) struct Transform {
    plane: Grid,
    padded: Grid,
    rows: Arc<dyn RealToComplex<f32>>,
    columns: Arc<dyn Fft<f32>>,
}

impl Transform {
    /// Of planes of one size onto a grid of another, which is nowhere smaller.
    pub(super) fn new(plane: Grid, padded: Grid) -> Self {
        assert!(
            plane.height <= padded.height && plane.width <= padded.width,
            "a plane is larger than its transform"
        );
        Self {
            plane,
            padded,
            rows: RealFftPlanner::new().plan_fft_forward(padded.width),
            columns: FftPlanner::new().plan_fft_forward(padded.height),
        }
    }

    /// Columns of the transform that are computed: the others are their mirror images.
    pub(super) fn half_width(&self) -> usize {
        self.padded.width / 2 + 1
    }

    /// Σ over channels of |FFT2|², (half width, height): column by column. `fill` writes the plane of a channel, (h, w)
    /// row-major.
    pub(super) fn power(&self, channels: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f64> {
        let size = self.half_width() * self.padded.height;
        let starts: Vec<usize> = (0..channels).step_by(CHANNELS_AT_A_TIME).collect();
        let parts: Vec<Vec<f64>> = starts
            .par_iter()
            .map_init(
                || Work::new(self),
                |work, &start| {
                    let mut sum = vec![0.0; size];
                    for channel in start..(start + CHANNELS_AT_A_TIME).min(channels) {
                        fill(channel, &mut work.plane);
                        work.transform(self);
                        for (sum, x) in sum.iter_mut().zip(&work.spectrum) {
                            *sum += f64::from(x.re) * f64::from(x.re) + f64::from(x.im) * f64::from(x.im);
                        }
                    }
                    sum
                },
            )
            .collect();
        // Added in order, so that the result does not depend on the threads.
        let mut total = vec![0.0; size];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(total, x)| *total += x);
        }
        total
    }
}

/// What one thread needs for its transforms.
struct Work {
    plane: Vec<f32>,
    row: Vec<f32>,
    of_row: Vec<Complex<f32>>,
    /// (half width, height).
    spectrum: Vec<Complex<f32>>,
    row_scratch: Vec<Complex<f32>>,
    column_scratch: Vec<Complex<f32>>,
}

impl Work {
    fn new(transform: &Transform) -> Self {
        let zero = Complex::new(0.0, 0.0);
        Self {
            plane: vec![0.0; transform.plane.positions()],
            row: transform.rows.make_input_vec(),
            of_row: transform.rows.make_output_vec(),
            spectrum: vec![zero; transform.half_width() * transform.padded.height],
            row_scratch: transform.rows.make_scratch_vec(),
            column_scratch: vec![zero; transform.columns.get_inplace_scratch_len()],
        }
    }

    fn transform(&mut self, with: &Transform) {
        let height = with.padded.height;
        self.spectrum.fill(Complex::new(0.0, 0.0));
        for (y, line) in self.plane.chunks_exact(with.plane.width).enumerate() {
            self.row.fill(0.0);
            self.row[..line.len()].copy_from_slice(line);
            let done = with
                .rows
                .process_with_scratch(&mut self.row, &mut self.of_row, &mut self.row_scratch);
            debug_assert!(done.is_ok(), "the plan made these buffers");
            for (x, value) in self.of_row.iter().enumerate() {
                self.spectrum[x * height + y] = *value;
            }
        }
        with.columns
            .process_with_scratch(&mut self.spectrum, &mut self.column_scratch);
    }
}

/// The least length from `least` on that has no other prime factors than 2, 3 and 5: transforms of it are quick.
pub(super) fn quick_length(least: usize) -> usize {
    let is_quick = |length: &usize| {
        let mut rest = *length;
        for factor in [2, 3, 5] {
            while rest.is_multiple_of(factor) {
                rest /= factor;
            }
        }
        rest == 1
    };
    (least.max(1)..).find(is_quick).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_is_that_of_the_definition() {
        let (plane, padded) = (Grid::new(3, 4), Grid::new(5, 6));
        let transform = Transform::new(plane, padded);
        let value = |channel: usize, place: usize| ((channel * 12 + place) * 37 % 23) as f32 / 7.0 - 1.0;
        let power = transform.power(11, |channel, out| {
            for (place, x) in out.iter_mut().enumerate() {
                *x = value(channel, place);
            }
        });
        for fx in 0..transform.half_width() {
            for fy in 0..padded.height {
                let mut expected = 0.0;
                for channel in 0..11 {
                    let [mut re, mut im] = [0.0_f64; 2];
                    for place in 0..plane.positions() {
                        let (y, x) = plane.row_column(place);
                        let turns = (fy * y) as f64 / padded.height as f64 + (fx * x) as f64 / padded.width as f64;
                        let angle = -std::f64::consts::TAU * turns;
                        re += f64::from(value(channel, place)) * angle.cos();
                        im += f64::from(value(channel, place)) * angle.sin();
                    }
                    expected += re * re + im * im;
                }
                let found = power[fx * padded.height + fy];
                assert!(
                    (found - expected).abs() < 1e-4 * (1.0 + expected),
                    "{fx} {fy}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn quick_lengths() {
        let lengths = [1, 7, 11, 127, 128, 135].map(quick_length);
        assert_eq!(lengths, [1, 8, 12, 128, 128, 135]);
    }
}
