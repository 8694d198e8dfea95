//! How much of an activation is the diffusion noise: the same activation under several seeds, compared with their mean.
//!
//! NSR = mean over seeds of ‖F_k − F̄‖² / ‖F̄ − its spatial mean‖². With m noises averaged it falls as 1/m. Noise that a
//! low-pass leaves is not to be had rid of by blurring: see [`low_passed`].

use serde::{Deserialize, Serialize};

use super::{
    massive::channel_means,
    matrix::{View, product},
    similarity::dot_wide,
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// Standard deviation of the low-pass, in positions.
pub const LOW_PASS_SIGMA: f64 = 2.0;
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

/// The mean over `noises` maps of one activation and its figures. `map_of` gives the map of each noise and is asked twice
/// for each, so that one at a time is in memory; `residual` is shown what each of them has beyond the mean.
///
/// At least two noises are needed, of one shape.
pub fn noise_figures(
    noises: usize,
    map_of: &dyn Fn(usize) -> Result<FeatureMap>,
    residual: &mut dyn FnMut(&FeatureMap),
) -> Result<(FeatureMap, NoiseFigures)> {
    if noises < 2 {
        return Err(Error::usage(format!(
            "noise is measured between passes with different noise: at least 2 are needed, {noises} was given"
        )));
    }
    let first = map_of(0)?;
    let (channels, grid) = (first.channels(), first.grid());
    let mut sum: Vec<f64> = first.vectors().iter().map(|x| f64::from(*x)).collect();
    drop(first);
    for noise in 1..noises {
        let map = map_of(noise)?;
        if (map.channels(), map.grid()) != (channels, grid) {
            return Err(Error::usage(format!(
                "maps of different shapes cannot be compared for noise: {channels} x {grid:?} and {} x {:?}",
                map.channels(),
                map.grid()
            )));
        }
        sum.iter_mut()
            .zip(map.vectors())
            .for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let mean = sum.iter().map(|sum| (sum / noises as f64) as f32).collect();
    drop(sum);
    let mean = FeatureMap::from_positions(channels, grid, mean)?;
    let signal = structure(&mean);
    let low_signal = structure(&low_passed(&mean, LOW_PASS_SIGMA)?);
    let mut of_positions = vec![0.0; grid.positions()];
    let mut low_noise = 0.0;
    for noise in 0..noises {
        let map = map_of(noise)?;
        let beyond = map.vectors().iter().zip(mean.vectors()).map(|(x, mean)| x - mean);
        let beyond = FeatureMap::from_positions(channels, grid, beyond.collect())?;
        drop(map);
        residual(&beyond);
        for (energy, vector) in of_positions.iter_mut().zip(beyond.vectors().chunks_exact(channels)) {
            *energy += dot_wide(vector, vector) / noises as f64;
        }
        let low = low_passed(&beyond, LOW_PASS_SIGMA)?;
        low_noise += dot_wide(low.vectors(), low.vectors()) / noises as f64;
    }
    let over = |energy: f64, signal: f64| match () {
        () if signal > 0.0 => energy / signal,
        () if energy > 0.0 => f64::INFINITY,
        () => 0.0,
    };
    let of_position = signal / grid.positions() as f64;
    let figures = NoiseFigures {
        noises,
        nsr: over(of_positions.iter().sum(), signal),
        low_passed: over(low_noise, low_signal),
        of_positions: of_positions
            .iter()
            .map(|energy| over(*energy, of_position) as f32)
            .collect(),
    };
    Ok((mean, figures))
}

/// ‖F − its spatial mean‖².
fn structure(map: &FeatureMap) -> f64 {
    let centre = channel_means(map);
    let of_vector = |vector: &[f32]| -> f64 {
        vector
            .iter()
            .zip(&centre)
            .map(|(x, mean)| (f64::from(*x) - mean).powi(2))
            .sum()
    };
    map.vectors().chunks_exact(map.channels()).map(of_vector).sum()
}

/// A map blurred by a Gaussian of `sigma` positions; beyond its edges it is mirrored (d c b a | a b c d | d c b a), as
/// `scipy.ndimage.gaussian_filter` does by default.
pub fn low_passed(map: &FeatureMap, sigma: f64) -> Result<FeatureMap> {
    let (grid, channels) = (map.grid(), map.channels());
    let kernel = gaussian(sigma);
    let line = grid.width * channels;
    let mut blurred_down = vec![0.0; map.vectors().len()];
    blur(map.vectors(), grid.height, &kernel, &mut blurred_down);
    let mut out = vec![0.0; map.vectors().len()];
    for (row, out) in blurred_down.chunks_exact(line).zip(out.chunks_exact_mut(line)) {
        blur(row, grid.width, &kernel, out);
    }
    FeatureMap::from_positions(channels, grid, out)
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

/// Blurs `length` places that follow each other in `from`, each as many numbers as the others: some places at a time by a matrix
/// of what each gets of those within reach, the mirrored edges among them. That is faster than sums place by place.
fn blur(from: &[f32], length: usize, kernel: &[f64], out: &mut [f32]) {
    /// Places blurred at a time: with more of them, more of the matrix is zero.
    const AT_A_TIME: usize = 16;
    let width = from.len() / length;
    let reach = kernel.len() - 1;
    for first in (0..length).step_by(AT_A_TIME) {
        let end = (first + AT_A_TIME).min(length);
        // What lies beyond an edge is mirrored to within reach of it.
        let seen = first.saturating_sub(reach)..(end + reach).min(length);
        let mut weights = vec![0.0_f64; (end - first) * seen.len()];
        for (row, place) in weights.chunks_exact_mut(seen.len()).zip(first as isize..) {
            for step in -(reach as isize)..=reach as isize {
                row[mirrored(place + step, length) - seen.start] += kernel[step.unsigned_abs()];
            }
        }
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        product(
            View::new(&weights, end - first, seen.len()),
            View::new(&from[seen.start * width..seen.end * width], seen.len(), width),
            &mut out[first * width..end * width],
            width,
        );
    }
}

/// The place that stands for one beyond the ends of a line.
fn mirrored(place: isize, length: usize) -> usize {
    let around = place.rem_euclid(2 * length as isize) as usize;
    around.min(2 * length - 1 - around)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Grid;

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

    fn figures(maps: &[FeatureMap]) -> Result<(FeatureMap, NoiseFigures)> {
        noise_figures(maps.len(), &|noise| Ok(maps[noise].clone()), &mut |_| ())
    }

    #[test]
    fn the_ratio_is_that_of_the_definition() -> Result<()> {
        let maps = (0..5)
            .map(|seed| map(6, 7, 3, |p, c| (p % 7) as f32 * (c + 1) as f32 + 0.3 * unit(seed, p, c)))
            .collect::<Result<Vec<_>>>()?;
        let mut residuals = Vec::new();
        let (mean, figures) = noise_figures(5, &|noise| Ok(maps[noise].clone()), &mut |beyond| {
            residuals.push(beyond.clone());
        })?;
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
        assert!(figures(std::slice::from_ref(&flat)).is_err(), "one noise says nothing");
        assert_eq!(figures(&[flat.clone(), flat.clone()])?.1.nsr, 0.0);
        assert_eq!(figures(&[flat.clone(), opposite])?.1.nsr, f64::INFINITY);
        assert!(figures(&[flat, map(4, 5, 2, |_, _| 0.0)?]).is_err());
        Ok(())
    }

    #[test]
    fn a_low_pass_keeps_what_is_constant_and_flattens_what_alternates() -> Result<()> {
        // The weights are in f32.
        const ROUNDING: f32 = 1e-5;
        let constant = map(9, 5, 2, |_, c| c as f32 + 1.0)?;
        let blurred = low_passed(&constant, LOW_PASS_SIGMA)?;
        for (x, y) in blurred.vectors().iter().zip(constant.vectors()) {
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
        let blurred = low_passed(&board, LOW_PASS_SIGMA)?;
        let inner = (16..24).flat_map(|row| (16..24).map(move |column| row * SIDE + column));
        assert!(inner.clone().all(|position| blurred.vector(position)[0].abs() < 1e-3));
        // One position alone, and a kernel longer than the line.
        let one = map(1, 1, 3, |_, c| c as f32)?;
        for (x, y) in low_passed(&one, LOW_PASS_SIGMA)?.vectors().iter().zip(one.vectors()) {
            assert!((x - y).abs() < ROUNDING);
        }
        assert_eq!(low_passed(&board, 0.0)?.vectors(), board.vectors());
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
            Ok(figures(&maps)?.1.nsr)
        };
        let ratio = nsr(1)? / nsr(4)?;
        assert!((3.5..4.5).contains(&ratio), "it falls as 1/m: {ratio}");
        Ok(())
    }
}
