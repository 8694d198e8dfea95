//! How much of an activation is the diffusion noise: the same activation under several seeds, compared with their mean.
//!
//! NSR = mean over seeds of ‖F_k − F̄‖² / ‖F̄ − its spatial mean‖². With m noises averaged it falls as 1/m. Noise that a
//! low-pass leaves is not to be had rid of by blurring: see [`low_passed`].

use serde::{Deserialize, Serialize};

use crate::{
    activation::{FeatureMap, Grid},
    error::{Error, Result},
};

/// Standard deviation of the low-pass, in positions.
pub const LOW_PASS_SIGMA: f64 = 2.0;
/// Standard deviations after which the kernel of the low-pass ends.
const KERNEL_REACH: f64 = 4.0;

/// How noisy an activation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFigures {
    /// Seeds compared.
    pub seeds: usize,
    /// The grid.
    pub grid: Grid,
    /// Energy of the noise over that of the picture.
    pub nsr: f64,
    /// (h·w): v_p = mean over seeds of ‖f_kp − f̄_p‖² / (c·var), var the mean square of F̄ about its spatial mean. Their
    /// mean is the NSR.
    pub of_positions: Vec<f32>,
}

/// Takes the maps of one activation, seed by seed, and keeps only their mean and what deviates from it.
#[derive(Debug, Clone)]
pub struct NoiseMeter {
    channels: usize,
    grid: Grid,
    seeds: usize,
    mean: Vec<f64>,
    /// Sum over seeds of the squared deviations of each position (Welford).
    deviations: Vec<f64>,
}

impl NoiseMeter {
    /// A meter for maps like this one, which it has not taken yet.
    pub fn like(map: &FeatureMap) -> Self {
        let (channels, grid) = (map.channels(), map.grid());
        Self {
            channels,
            grid,
            seeds: 0,
            mean: vec![0.0; channels * grid.positions()],
            deviations: vec![0.0; grid.positions()],
        }
    }

    /// Takes the map of one more seed.
    pub fn take(&mut self, map: &FeatureMap) -> Result<()> {
        if (map.channels(), map.grid()) != (self.channels, self.grid) {
            return Err(Error::usage(format!(
                "maps of different shapes cannot be compared for noise: {} x {:?} and {} x {:?}",
                self.channels,
                self.grid,
                map.channels(),
                map.grid()
            )));
        }
        self.seeds += 1;
        let share = 1.0 / self.seeds as f64;
        let means = self.mean.chunks_exact_mut(self.channels);
        let vectors = map.vectors().chunks_exact(self.channels);
        for ((mean, vector), sum) in means.zip(vectors).zip(&mut self.deviations) {
            for (mean, &x) in mean.iter_mut().zip(vector) {
                let before = f64::from(x) - *mean;
                *mean += share * before;
                *sum += before * (f64::from(x) - *mean);
            }
        }
        Ok(())
    }

    /// The mean over the seeds: the signal.
    pub fn mean(&self) -> Result<FeatureMap> {
        let vectors = self.mean.iter().map(|x| *x as f32).collect();
        FeatureMap::from_positions(self.channels, self.grid, vectors)
    }

    /// The figures of what was taken; at least two seeds are needed. A mean without any structure has no ratio to its
    /// noise: infinite, or 0 where there is no noise either.
    pub fn figures(&self) -> Result<NoiseFigures> {
        if self.seeds < 2 {
            return Err(Error::usage(format!(
                "noise is measured between seeds: at least 2 are needed, {} was given",
                self.seeds
            )));
        }
        let positions = self.grid.positions();
        let mut centre = vec![0.0; self.channels];
        for vector in self.mean.chunks_exact(self.channels) {
            centre.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
        }
        centre.iter_mut().for_each(|sum| *sum /= positions as f64);
        let of_vector =
            |vector: &[f64]| -> f64 { vector.iter().zip(&centre).map(|(x, mean)| (x - mean).powi(2)).sum() };
        let signal: f64 = self.mean.chunks_exact(self.channels).map(of_vector).sum();
        let noise: f64 = self.deviations.iter().sum::<f64>() / self.seeds as f64;
        let over = |energy: f64, signal: f64| match () {
            () if signal > 0.0 => energy / signal,
            () if energy > 0.0 => f64::INFINITY,
            () => 0.0,
        };
        let of_position = signal / positions as f64;
        let of_positions = self.deviations.iter().map(|sum| sum / self.seeds as f64);
        Ok(NoiseFigures {
            seeds: self.seeds,
            grid: self.grid,
            nsr: over(noise, signal),
            of_positions: of_positions.map(|energy| over(energy, of_position) as f32).collect(),
        })
    }
}

/// A map blurred by a Gaussian of `sigma` positions; beyond its edges it is mirrored (d c b a | a b c d | d c b a).
pub fn low_passed(map: &FeatureMap, sigma: f64) -> Result<FeatureMap> {
    let kernel = gaussian(sigma);
    let (grid, channels) = (map.grid(), map.channels());
    let along_rows = blurred(
        map.vectors(),
        channels,
        grid.height,
        grid.width,
        &kernel,
        |row, column| grid.index(row, column),
    );
    let both = blurred(
        &along_rows,
        channels,
        grid.width,
        grid.height,
        &kernel,
        |column, row| grid.index(row, column),
    );
    FeatureMap::from_positions(channels, grid, both)
}

/// The weights at 0, 1, 2 … positions from the middle: all of them, both ways, sum to 1.
fn gaussian(sigma: f64) -> Vec<f64> {
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let reach = (KERNEL_REACH * sigma).ceil() as usize;
    let mut weights: Vec<f64> = (0..=reach)
        .map(|distance| (-0.5 * (distance as f64 / sigma).powi(2)).exp())
        .collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter_mut().for_each(|weight| *weight /= total);
    weights
}

/// Vectors blurred along lines of `length` positions, of which there are `lines`; `index` gives the position of (line,
/// place on it).
fn blurred(
    vectors: &[f32],
    channels: usize,
    lines: usize,
    length: usize,
    kernel: &[f64],
    index: impl Fn(usize, usize) -> usize,
) -> Vec<f32> {
    let mut out = vec![0.0_f32; vectors.len()];
    let mut sum = vec![0.0_f64; channels];
    let reach = kernel.len() as isize - 1;
    for line in 0..lines {
        for place in 0..length {
            sum.fill(0.0);
            for step in -reach..=reach {
                let weight = kernel[step.unsigned_abs()];
                let from = channels * index(line, mirrored(place as isize + step, length));
                for (sum, &x) in sum.iter_mut().zip(&vectors[from..from + channels]) {
                    *sum += weight * f64::from(x);
                }
            }
            let to = channels * index(line, place);
            for (target, sum) in out[to..to + channels].iter_mut().zip(&sum) {
                *target = *sum as f32;
            }
        }
    }
    out
}

/// The place that stands for one beyond the ends of a line.
fn mirrored(place: isize, length: usize) -> usize {
    let around = place.rem_euclid(2 * length as isize) as usize;
    around.min(2 * length - 1 - around)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mixed = (seed * 7919 + position * 104_729 + channel * 1_299_709 + 12_345).wrapping_mul(2_654_435_761);
        ((mixed >> 7) % 2001) as f32 / 1000.0 - 1.0
    }

    #[test]
    fn the_ratio_is_that_of_the_definition() -> Result<()> {
        let maps = (0..5)
            .map(|seed| map(6, 7, 3, |p, c| (p % 7) as f32 * (c + 1) as f32 + 0.3 * unit(seed, p, c)))
            .collect::<Result<Vec<_>>>()?;
        let mut meter = NoiseMeter::like(&maps[0]);
        maps.iter().try_for_each(|map| meter.take(map))?;
        let figures = meter.figures()?;
        let mean = meter.mean()?;
        let mut noise = 0.0;
        let mut of_positions = vec![0.0_f64; 42];
        for map in &maps {
            for (index, (x, m)) in map.vectors().iter().zip(mean.vectors()).enumerate() {
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
        Ok(())
    }

    #[test]
    fn nothing_but_noise_and_no_noise_at_all() -> Result<()> {
        let flat = map(4, 4, 2, |_, _| 3.0)?;
        let mut meter = NoiseMeter::like(&flat);
        assert!(meter.figures().is_err(), "one seed says nothing");
        meter.take(&flat)?;
        meter.take(&flat)?;
        assert_eq!(meter.figures()?.nsr, 0.0);
        let mut meter = NoiseMeter::like(&flat);
        meter.take(&flat)?;
        meter.take(&map(4, 4, 2, |_, _| -3.0)?)?;
        assert_eq!(meter.figures()?.nsr, f64::INFINITY);
        assert!(meter.take(&map(4, 5, 2, |_, _| 0.0)?).is_err());
        Ok(())
    }

    #[test]
    fn a_low_pass_keeps_what_is_constant_and_flattens_what_alternates() -> Result<()> {
        let constant = map(9, 5, 2, |_, c| c as f32 + 1.0)?;
        for (x, y) in low_passed(&constant, LOW_PASS_SIGMA)?
            .vectors()
            .iter()
            .zip(constant.vectors())
        {
            assert!((x - y).abs() < 1e-6);
        }
        let board = map(16, 16, 1, |p, _| if (p + p / 16) % 2 == 0 { 1.0 } else { -1.0 })?;
        assert!(
            low_passed(&board, LOW_PASS_SIGMA)?
                .vectors()
                .iter()
                .all(|x| x.abs() < 1e-3)
        );
        // One position alone, and a kernel longer than the line.
        let one = map(1, 1, 3, |_, c| c as f32)?;
        assert_eq!(low_passed(&one, LOW_PASS_SIGMA)?.vectors(), one.vectors());
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
            let mut meter = NoiseMeter::like(&one(0)?);
            (0..8).try_for_each(|seed| meter.take(&one(seed)?))?;
            Ok(meter.figures()?.nsr)
        };
        let ratio = nsr(1)? / nsr(4)?;
        assert!((3.0..5.0).contains(&ratio), "it falls as 1/m: {ratio}");
        Ok(())
    }
}
