//! How much of an activation is the diffusion noise: the same activation under several seeds, compared with their mean.
//!
//! NSR = mean over seeds of ‖F_k − F̄‖² / ‖F̄ − its spatial mean‖². With m noises averaged it falls as 1/m. Noise that a
//! low-pass leaves is not to be had rid of by blurring: see [`LOW_PASS_SIGMA`].

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    matrix::{View, product},
    similarity::dot_wide,
};
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// Standard deviation of the low-pass, in positions.
pub const LOW_PASS_SIGMA: f64 = 2.0;
/// Channels that one thread takes at a time.
const CHANNELS_AT_A_TIME: usize = 8;
/// Standard deviations after which the kernel of the low-pass ends.
const KERNEL_REACH: f64 = 4.0;

/// How noisy an activation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFigures {
    /// Noises compared.
    pub noises: usize,
    /// Energy of the noise over that of the picture; infinite where the mean has no structure but the noise has.
    pub nsr: f64,
    /// The same after a low-pass of [`LOW_PASS_SIGMA`].
    pub low_passed: f64,
    /// (h·w): v_p = mean over noises of ‖f_kp − f̄_p‖² / (c·var), var the mean square of F̄ about its spatial mean. Their
    /// mean is the NSR.
    pub of_positions: Vec<f32>,
}

/// Passes with different noise compared.
#[derive(Debug)]
pub struct NoiseComparison {
    /// The mean over the passes, (C, h, w).
    pub mean: Vec<f32>,
    /// Difference of each pass from the mean, (C, h, w).
    pub beyond: Vec<Vec<f32>>,
    /// How noisy the activation is.
    pub figures: NoiseFigures,
}

/// Compares the maps of one activation under several noises, at least two, each (C, h, w). What is beyond the mean takes the
/// place of the maps.
///
/// # Errors
///
/// Where there are fewer than two maps, or maps of different shapes.
pub fn compare_noises(grid: Grid, mut maps: Vec<Vec<f32>>) -> Result<NoiseComparison> {
    let (noises, length) = (maps.len(), maps.first().map_or(0, Vec::len));
    if noises < 2 {
        return Err(Error::usage(format!(
            "noise is measured between passes with different noise: at least 2 are needed, {noises} was given"
        )));
    }
    if let Some(other) = maps.iter().find(|map| map.len() != length) {
        return Err(Error::usage(format!(
            "maps of different shapes cannot be compared for noise: one has {length} numbers, another {}",
            other.len()
        )));
    }
    let positions = grid.positions();
    let low_pass = LowPass::new(grid, LOW_PASS_SIGMA);
    let mut mean = vec![0.0; length];
    let at_a_time = CHANNELS_AT_A_TIME * positions;
    // Some channels of every map each: what is done to them finds them in the cache.
    let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
    parts.resize_with(length.div_ceil(at_a_time), Vec::new);
    for map in &mut maps {
        for (part, planes) in parts.iter_mut().zip(map.chunks_mut(at_a_time)) {
            part.push(planes);
        }
    }
    let energies: Vec<Energies> = parts
        .par_iter_mut()
        .zip(mean.par_chunks_mut(at_a_time))
        .map(|(part, mean)| compare_planes(part, mean, &low_pass, positions))
        .collect();
    drop(parts);
    // Added in order, so that the result does not depend on the threads.
    let mut all = Energies::new(positions);
    for energies in &energies {
        all.add(energies);
    }
    let over = |energy: f64, signal: f64| match () {
        () if signal > 0.0 => energy / noises as f64 / signal,
        () if energy > 0.0 => f64::INFINITY,
        () => 0.0,
    };
    let of_position = all.signal / positions as f64;
    let figures = NoiseFigures {
        noises,
        nsr: over(all.noise.iter().sum(), all.signal),
        low_passed: over(all.low_noise, all.low_signal),
        of_positions: all
            .noise
            .iter()
            .map(|energy| over(*energy, of_position) as f32)
            .collect(),
    };
    Ok(NoiseComparison {
        mean,
        beyond: maps,
        figures,
    })
}

/// Sums of squares, those of the noise over all passes.
struct Energies {
    /// Of the mean about its spatial mean.
    signal: f64,
    /// The same of the mean blurred.
    low_signal: f64,
    /// (h·w) of what is beyond the mean.
    noise: Vec<f64>,
    /// The same blurred, all positions together.
    low_noise: f64,
}

impl Energies {
    fn new(positions: usize) -> Self {
        Self {
            signal: 0.0,
            low_signal: 0.0,
            noise: vec![0.0; positions],
            low_noise: 0.0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.signal += other.signal;
        self.low_signal += other.low_signal;
        self.low_noise += other.low_noise;
        self.noise.iter_mut().zip(&other.noise).for_each(|(sum, x)| *sum += x);
    }
}

/// Writes the mean of some planes of every pass into `mean` and takes it from them.
fn compare_planes(maps: &mut [&mut [f32]], mean: &mut [f32], low_pass: &LowPass, positions: usize) -> Energies {
    let mut energies = Energies::new(positions);
    let mut sum = vec![0.0_f64; mean.len()];
    for map in maps.iter() {
        sum.iter_mut()
            .zip(map.iter())
            .for_each(|(sum, x)| *sum += f64::from(*x));
    }
    for (mean, sum) in mean.iter_mut().zip(sum) {
        *mean = (sum / maps.len() as f64) as f32;
    }
    energies.signal = structure(mean, positions);
    energies.low_signal = structure(&low_pass.apply(mean), positions);
    for map in maps {
        map.iter_mut().zip(mean.iter()).for_each(|(x, mean)| *x -= mean);
        for plane in map.chunks_exact(positions) {
            for (energy, x) in energies.noise.iter_mut().zip(plane) {
                *energy += f64::from(*x) * f64::from(*x);
            }
        }
        let low = low_pass.apply(map);
        energies.low_noise += dot_wide(&low, &low);
    }
    energies
}

/// ‖F − its spatial mean‖² of planes one after the other.
fn structure(planes: &[f32], positions: usize) -> f64 {
    let of_plane = |plane: &[f32]| -> f64 {
        let centre = plane.iter().map(|x| f64::from(*x)).sum::<f64>() / positions as f64;
        plane.iter().map(|x| (f64::from(*x) - centre).powi(2)).sum()
    };
    planes.chunks_exact(positions).map(of_plane).sum()
}

/// A Gaussian blur of planes, beyond whose edges they are mirrored (d c b a | a b c d | d c b a), as `scipy.ndimage.gaussian_filter` does
/// by default; as products of matrices, which are faster than sums place by place.
pub(super) struct LowPass {
    grid: Grid,
    down: Vec<Strip>,
    along: Vec<Strip>,
}

/// Weights of some neighbouring places of a line over the places within reach.
struct Strip {
    first: usize,
    seen: Range<usize>,
    /// (places, seen).
    weights: Vec<f32>,
}

impl Strip {
    fn places(&self) -> usize {
        self.weights.len() / self.seen.len()
    }
}

impl LowPass {
    /// For planes of a grid, `sigma` in positions.
    pub(super) fn new(grid: Grid, sigma: f64) -> Self {
        let kernel = gaussian(sigma);
        Self {
            grid,
            down: strips(grid.height, &kernel),
            along: strips(grid.width, &kernel),
        }
    }

    /// Blurs planes one after the other, (C, h, w).
    pub(super) fn apply(&self, planes: &[f32]) -> Vec<f32> {
        let Grid { height, width } = self.grid;
        let mut down = vec![0.0; planes.len()];
        for (plane, out) in planes
            .chunks_exact(height * width)
            .zip(down.chunks_exact_mut(height * width))
        {
            for strip in &self.down {
                product(
                    View::new(&strip.weights, strip.places(), strip.seen.len()),
                    View::new(&plane[strip.seen.start * width..], strip.seen.len(), width),
                    &mut out[strip.first * width..],
                    width,
                );
            }
        }
        let mut out = vec![0.0; planes.len()];
        for strip in &self.along {
            product(
                View::strided(&down[strip.seen.start..], planes.len() / width, strip.seen.len(), width),
                View::new(&strip.weights, strip.places(), strip.seen.len()).transposed(),
                &mut out[strip.first..],
                width,
            );
        }
        out
    }
}

/// The weights at 0, 1, 2 … positions from the middle: all of them, both ways, sum to 1.
fn gaussian(sigma: f64) -> Vec<f64> {
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let reach = (KERNEL_REACH * sigma + 0.5).floor() as usize;
    let mut weights: Vec<f64> = (0..=reach)
        .map(|distance| (-0.5 * (distance as f64 / sigma).powi(2)).exp())
        .collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter_mut().for_each(|weight| *weight /= total);
    weights
}

/// The strips of a line of `length` places, the mirrored edges in their weights.
fn strips(length: usize, kernel: &[f64]) -> Vec<Strip> {
    /// Places of a strip: with more of them, more of its weights are zero.
    const AT_A_TIME: usize = 16;
    let reach = kernel.len() - 1;
    let strip = |first: usize| {
        let end = (first + AT_A_TIME).min(length);
        // Places beyond an edge are mirrored to within reach of it.
        let seen = first.saturating_sub(reach)..(end + reach).min(length);
        let mut weights = vec![0.0_f64; (end - first) * seen.len()];
        for (row, place) in weights.chunks_exact_mut(seen.len()).zip(first as isize..) {
            for step in -(reach as isize)..=reach as isize {
                row[mirrored(place + step, length) - seen.start] += kernel[step.unsigned_abs()];
            }
        }
        let weights = weights.into_iter().map(|weight| weight as f32).collect();
        Strip { first, seen, weights }
    };
    (0..length).step_by(AT_A_TIME).map(strip).collect()
}

/// The place that stands for one beyond the ends of a line.
fn mirrored(place: isize, length: usize) -> usize {
    let around = place.rem_euclid(2 * length as isize) as usize;
    around.min(2 * length - 1 - around)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::FeatureMap;

    fn map(height: usize, width: usize, channels: usize, number: impl Fn(usize, usize) -> f32) -> Result<FeatureMap> {
        let grid = Grid::new(height, width);
        let vectors = (0..grid.positions())
            .flat_map(|position| (0..channels).map(move |channel| (position, channel)))
            .map(|(position, channel)| number(position, channel))
            .collect();
        FeatureMap::from_positions(channels, grid, vectors)
    }

    /// A number from −1 to 1 that looks random.
    fn unit(seed: usize, position: usize, channel: usize) -> f32 {
        let mut bits = ((seed << 40) + (position << 20) + channel) as u64;
        for factor in [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb_u64] {
            bits = (bits ^ (bits >> 29)).wrapping_mul(factor);
        }
        (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn compared(maps: &[FeatureMap]) -> Result<NoiseComparison> {
        compare_noises(maps[0].grid(), maps.iter().map(FeatureMap::to_channels).collect())
    }

    fn blurred(map: &FeatureMap, sigma: f64) -> Result<FeatureMap> {
        let planes = LowPass::new(map.grid(), sigma).apply(&map.to_channels());
        FeatureMap::from_channels(map.channels(), map.grid(), &planes)
    }

    #[test]
    fn the_ratio_is_that_of_the_definition() -> Result<()> {
        let maps = (0..5)
            .map(|seed| map(6, 7, 3, |p, c| (p % 7) as f32 * (c + 1) as f32 + 0.3 * unit(seed, p, c)))
            .collect::<Result<Vec<_>>>()?;
        let NoiseComparison { mean, beyond, figures } = compared(&maps)?;
        let of_planes = |planes: &[f32]| FeatureMap::from_channels(3, Grid::new(6, 7), planes);
        let mean = of_planes(&mean)?;
        let residuals = beyond
            .iter()
            .map(|planes| of_planes(planes))
            .collect::<Result<Vec<_>>>()?;
        let mut noise = 0.0;
        let mut of_positions = vec![0.0_f64; 42];
        for (map, residual) in maps.iter().zip(&residuals) {
            for (index, (x, m)) in map.vectors().iter().zip(mean.vectors()).enumerate() {
                assert!((residual.vectors()[index] - (x - m)).abs() < 1e-6);
                let square = f64::from(x - m).powi(2) / 5.0;
                noise += square;
                of_positions[index / 3] += square;
            }
        }
        let centre = |channel: usize| (0..42).map(|p| f64::from(mean.vector(p)[channel])).sum::<f64>() / 42.0;
        let signal: f64 = (0..42)
            .flat_map(|p| (0..3).map(move |c| (p, c)))
            .map(|(p, c)| (f64::from(mean.vector(p)[c]) - centre(c)).powi(2))
            .sum();
        assert!((figures.nsr - noise / signal).abs() < 1e-6 * figures.nsr);
        let var = signal / (42.0 * 3.0);
        for (found, sum) in figures.of_positions.iter().zip(of_positions) {
            assert!((f64::from(*found) - sum / (3.0 * var)).abs() < 1e-5);
        }
        let together: f64 = figures.of_positions.iter().map(|x| f64::from(*x)).sum::<f64>() / 42.0;
        assert!((together - figures.nsr).abs() < 1e-6, "their mean is the ratio");
        assert!(figures.low_passed < 0.5 * figures.nsr, "white noise is blurred away");
        Ok(())
    }

    #[test]
    fn nothing_but_noise_and_no_noise_at_all() -> Result<()> {
        let flat = map(4, 4, 2, |_, _| 3.0)?;
        let opposite = map(4, 4, 2, |_, _| -3.0)?;
        assert!(compared(std::slice::from_ref(&flat)).is_err(), "one noise says nothing");
        assert_eq!(compared(&[flat.clone(), flat.clone()])?.figures.nsr, 0.0);
        assert_eq!(compared(&[flat.clone(), opposite])?.figures.nsr, f64::INFINITY);
        assert!(compared(&[flat, map(4, 5, 2, |_, _| 0.0)?]).is_err());
        Ok(())
    }

    #[test]
    fn a_low_pass_keeps_what_is_constant_and_flattens_what_alternates() -> Result<()> {
        // The weights are in f32.
        const ROUNDING: f32 = 1e-5;
        let constant = map(9, 5, 2, |_, c| c as f32 + 1.0)?;
        let smooth = blurred(&constant, LOW_PASS_SIGMA)?;
        for (x, y) in smooth.vectors().iter().zip(constant.vectors()) {
            assert!((x - y).abs() < ROUNDING);
        }
        // At its edges the mirror image goes on with the same colour.
        const SIDE: usize = 40;
        let board = map(
            SIDE,
            SIDE,
            1,
            |p, _| if (p + p / SIDE).is_multiple_of(2) { 1.0 } else { -1.0 },
        )?;
        let smooth = blurred(&board, LOW_PASS_SIGMA)?;
        let inner = (16..24).flat_map(|row| (16..24).map(move |column| row * SIDE + column));
        assert!(inner.clone().all(|position| smooth.vector(position)[0].abs() < 1e-3));
        // One position alone, and a kernel longer than the line.
        let one = map(1, 1, 3, |_, c| c as f32)?;
        for (x, y) in blurred(&one, LOW_PASS_SIGMA)?.vectors().iter().zip(one.vectors()) {
            assert!((x - y).abs() < ROUNDING);
        }
        assert_eq!(blurred(&board, 0.0)?.vectors(), board.vectors());
        Ok(())
    }

    #[test]
    fn more_noises_averaged_leave_less() -> Result<()> {
        let nsr = |averaged: usize| -> Result<f64> {
            let one = |seed: usize| {
                map(16, 16, 4, |p, c| {
                    let noise = (0..averaged).map(|k| unit(seed * 100 + k, p, c)).sum::<f32>() / averaged as f32;
                    (p % 16) as f32 + noise
                })
            };
            let maps = (0..8).map(one).collect::<Result<Vec<_>>>()?;
            Ok(compared(&maps)?.figures.nsr)
        };
        let ratio = nsr(1)? / nsr(4)?;
        assert!((3.5..4.5).contains(&ratio), "it falls as 1/m: {ratio}");
        Ok(())
    }
}
