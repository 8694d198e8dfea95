//! Power spectra of the channels of a map, |FFT2|² per channel, in f32 with sums in f64.
//!
//! The transforms are products with matrices of cosines and sines: for planes of up to some 128 rows as quick as a fast Fourier
//! transform, for grids of any size.

use std::f64::consts::TAU;

use rayon::prelude::*;

use super::matrix::{View, product};
use crate::geometry::Grid;

/// Channels that one thread takes at a time.
const CHANNELS_AT_A_TIME: usize = 8;

/// A transform of real planes onto a grid that is at least as large; what lies beyond the plane is 0.
pub(super) struct Transform {
    plane: Grid,
    padded: Grid,
    /// (w, 2 half widths): cosines of every frequency, then negative sines.
    rows: Vec<f32>,
    /// (2 half heights, h): cosines of every frequency from 0 on, then sines. The other frequencies are the negatives of these.
    columns: Vec<f32>,
}

impl Transform {
    /// Of planes of one size onto a grid of another, which is nowhere smaller.
    pub(super) fn new(plane: Grid, padded: Grid) -> Self {
        assert!(
            plane.height <= padded.height && plane.width <= padded.width,
            "a plane is larger than its transform"
        );
        let half_width = padded.width / 2 + 1;
        let mut rows = Vec::with_capacity(plane.width * 2 * half_width);
        for x in 0..plane.width {
            let angles = || (0..half_width).map(|fx| angle(fx, x, padded.width));
            rows.extend(angles().map(|angle| angle.cos() as f32));
            rows.extend(angles().map(|angle| -angle.sin() as f32));
        }
        let half_height = padded.height / 2 + 1;
        let mut columns = Vec::with_capacity(2 * half_height * plane.height);
        for part in [f64::cos, f64::sin] {
            for fy in 0..half_height {
                columns.extend((0..plane.height).map(|y| part(angle(fy, y, padded.height)) as f32));
            }
        }
        Self {
            plane,
            padded,
            rows,
            columns,
        }
    }

    /// Columns of the transform that are computed: the others are their mirror images.
    pub(super) fn half_width(&self) -> usize {
        self.padded.width / 2 + 1
    }

    /// How often column `fx` stands for a column of the whole transform: once, or twice with its mirror image.
    pub(super) fn times(&self, fx: usize) -> f64 {
        match fx == 0 || 2 * fx == self.padded.width {
            true => 1.0,
            false => 2.0,
        }
    }

    /// Σ over channels of |FFT2|², (half width, height): column by column. `fill` writes the plane of a channel, (h, w)
    /// row-major.
    pub(super) fn power(&self, channels: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f64> {
        let starts: Vec<usize> = (0..channels).step_by(CHANNELS_AT_A_TIME).collect();
        let parts: Vec<Vec<f64>> = starts
            .par_iter()
            .map_init(
                || Buffers::new(self),
                |buffers, &start| {
                    let mut sum = vec![0.0; self.half_width() * self.padded.height];
                    for channel in start..(start + CHANNELS_AT_A_TIME).min(channels) {
                        fill(channel, &mut buffers.plane);
                        buffers.add_power(self, &mut sum);
                    }
                    sum
                },
            )
            .collect();
        // Added in order, so that the result does not depend on the threads.
        let mut total = vec![0.0; self.half_width() * self.padded.height];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(total, x)| *total += x);
        }
        total
    }
}

/// The angle of frequency `frequency` at `place` in a period of `length`. The remainder first: large angles have coarse sines.
pub(super) fn angle(frequency: usize, place: usize, length: usize) -> f64 {
    TAU * ((frequency * place) % length) as f64 / length as f64
}

/// Buffers of one thread's transforms.
struct Buffers {
    /// (h, w).
    plane: Vec<f32>,
    /// (h, 2 half widths): the rows' transforms, real parts and then imaginary parts.
    of_rows: Vec<f32>,
    /// (2 half heights, 2 half widths): cosines and sines of the columns with both parts.
    products: Vec<f32>,
}

impl Buffers {
    fn new(transform: &Transform) -> Self {
        let Grid { height, width } = transform.plane;
        let both_parts = 2 * transform.half_width();
        Self {
            plane: vec![0.0; height * width],
            of_rows: vec![0.0; height * both_parts],
            products: vec![0.0; transform.columns.len() / height.max(1) * both_parts],
        }
    }

    /// Adds |FFT2|² of the plane to `sum`, (half width, height).
    fn add_power(&mut self, with: &Transform, sum: &mut [f64]) {
        let (plane, padded, half_width) = (with.plane, with.padded, with.half_width());
        let both_parts = 2 * half_width;
        product(
            View::new(&self.plane, plane.height, plane.width),
            View::new(&with.rows, plane.width, both_parts),
            &mut self.of_rows,
            both_parts,
        );
        let half_height = padded.height / 2 + 1;
        product(
            View::new(&with.columns, 2 * half_height, plane.height),
            View::new(&self.of_rows, plane.height, both_parts),
            &mut self.products,
            both_parts,
        );
        let (cosines, sines) = self.products.split_at(half_height * both_parts);
        let lines = cosines.chunks_exact(both_parts).zip(sines.chunks_exact(both_parts));
        for (fy, (cosine, sine)) in lines.enumerate() {
            let mirrored = padded.height - fy;
            let ((cosine_re, cosine_im), (sine_re, sine_im)) = (cosine.split_at(half_width), sine.split_at(half_width));
            for fx in 0..half_width {
                let power = |re: f32, im: f32| f64::from(re) * f64::from(re) + f64::from(im) * f64::from(im);
                sum[fx * padded.height + fy] += power(cosine_re[fx] + sine_im[fx], cosine_im[fx] - sine_re[fx]);
                if fy > 0 && mirrored > fy {
                    sum[fx * padded.height + mirrored] +=
                        power(cosine_re[fx] - sine_im[fx], cosine_im[fx] + sine_re[fx]);
                }
            }
        }
    }
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
                        let angle = -TAU * turns;
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
}
