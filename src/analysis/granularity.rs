//! How fine the structure of a map is: property 2 of *Not All Diffusion Model Activations Have Been Evaluated as
//! Discriminative Features* (in-resolution granularity: within one resolution, later blocks show finer structure).
//!
//! Each channel has its mean removed and is brought to unit variance, so that its share of the power does not depend on
//! its scale; a symmetric Hann window lies on both axes. P(k) is the SUM of |FFT2|²
//! over the bin ⌊k + ½⌋ of k = √(fx² + fy²) in cycles per picture, averaged over channels, for the bins 1 … min(h, w)/2.

use serde::{Deserialize, Serialize};

use super::fourier::Transform;
use crate::geometry::Grid;

/// The share of the power that lies below [`Granularity::radius`].
pub const RADIUS_SHARE: f64 = 0.9;

/// The radial spectrum of a map and its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Granularity {
    /// P(k) for k = 1, 2, … cycles per picture.
    pub spectrum: Vec<f64>,
    /// Σ k·P / Σ P, in cycles per picture.
    pub centroid: f64,
    /// The smallest k below which, itself included, lies [`RADIUS_SHARE`] of the power.
    pub radius: usize,
    /// Slope of log P over log k (least squares, over bins with power); none with fewer than two of those.
    pub slope: Option<f64>,
}

impl Granularity {
    /// Of a radial spectrum, as [`spectrum`] gives it or summed over several maps. None without any power.
    pub fn of(spectrum: Vec<f64>) -> Option<Self> {
        let total: f64 = spectrum.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let bins = || spectrum.iter().enumerate().map(|(index, power)| (index + 1, *power));
        let centroid = bins().map(|(k, power)| k as f64 * power).sum::<f64>() / total;
        let mut below = 0.0;
        let reaches = |&(_, power): &(usize, f64)| {
            below += power;
            below >= RADIUS_SHARE * total
        };
        let radius = bins().find(reaches).map_or(spectrum.len(), |(k, _)| k);
        let logarithms: Vec<[f64; 2]> = bins()
            .filter(|(_, power)| *power > 0.0)
            .map(|(k, power)| [(k as f64).ln(), power.ln()])
            .collect();
        Some(Self {
            centroid,
            radius,
            slope: slope(&logarithms),
            spectrum,
        })
    }
}

/// The radial power spectrum of a map, channel by channel (C, h, w). Empty for maps of fewer than two rows or columns, which have
/// no frequency.
pub fn spectrum(planes: &[f32], grid: Grid) -> Vec<f64> {
    let bins = grid.height.min(grid.width) / 2;
    if bins == 0 {
        return Vec::new();
    }
    let positions = grid.positions();
    let channels = planes.len() / positions;
    let window: Vec<f32> = {
        let (rows, columns) = (hann(grid.height), hann(grid.width));
        let of_row = |row: &f64| {
            columns
                .iter()
                .map(move |column| (row * column) as f32)
                .collect::<Vec<_>>()
        };
        rows.iter().flat_map(of_row).collect()
    };
    let transform = Transform::new(grid, grid);
    let power = transform.power(channels, |channel, plane| {
        let own = &planes[channel * positions..(channel + 1) * positions];
        let (mean, deviation) = moments(own);
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for ((x, own), window) in plane.iter_mut().zip(own).zip(&window) {
            *x = ((f64::from(*own) - mean) * scale) as f32 * window;
        }
    });
    let mut radial = vec![0.0; bins];
    for (fx, column) in power.chunks_exact(grid.height).enumerate() {
        // The columns that were not computed are the mirror images of these.
        let times = if fx == 0 || 2 * fx == grid.width { 1.0 } else { 2.0 };
        for (fy, power) in column.iter().enumerate() {
            let fy = fy.min(grid.height - fy);
            let k = (fx as f64).hypot(fy as f64);
            let bin = (k + 0.5).floor() as usize;
            if (1..=bins).contains(&bin) {
                radial[bin - 1] += times * power / channels as f64;
            }
        }
    }
    radial
}

/// Mean and standard deviation, over n numbers. A deviation that is only rounding counts as none.
fn moments(numbers: &[f32]) -> (f64, f64) {
    const ROUNDING: f64 = 1e-7;
    let count = numbers.len() as f64;
    let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let variance = numbers.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    (
        mean,
        if deviation > ROUNDING * mean.abs() {
            deviation
        } else {
            0.0
        },
    )
}

/// The symmetric Hann window, `numpy.hanning`.
fn hann(length: usize) -> Vec<f64> {
    let last = (length.max(2) - 1) as f64;
    (0..length)
        .map(|n| match length {
            1 => 1.0,
            _ => 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / last).cos(),
        })
        .collect()
}

fn slope(points: &[[f64; 2]]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count;
    let (x, y) = (mean(0), mean(1));
    let across: f64 = points.iter().map(|point| (point[0] - x) * (point[1] - y)).sum();
    let along: f64 = points.iter().map(|point| (point[0] - x).powi(2)).sum();
    (points.len() > 1 && along > 0.0).then(|| across / along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::FeatureMap,
        analysis::noise::{LOW_PASS_SIGMA, LowPass},
        error::{Error, Result},
    };

    fn map(height: usize, width: usize, value: impl Fn(usize, usize, usize) -> f32) -> Result<FeatureMap> {
        const CHANNELS: usize = 3;
        let grid = Grid::new(height, width);
        let vectors = (0..grid.positions()).flat_map(|position| {
            let (row, column) = grid.row_column(position);
            (0..CHANNELS)
                .map(|channel| value(row, column, channel))
                .collect::<Vec<_>>()
        });
        FeatureMap::from_positions(CHANNELS, grid, vectors.collect())
    }

    fn of_map(map: &FeatureMap) -> Vec<f64> {
        spectrum(&map.to_channels(), map.grid())
    }

    fn centroid(map: &FeatureMap) -> Result<f64> {
        Granularity::of(of_map(map))
            .map(|figures| figures.centroid)
            .ok_or_else(|| Error::failed("no power"))
    }

    #[test]
    fn a_wave_lies_at_its_frequency_whatever_its_height() -> Result<()> {
        for cycles in [3.0, 6.0, 11.0] {
            let wave = map(32, 48, |_, column, channel| {
                100.0_f32.powi(channel as i32) * (std::f32::consts::TAU * cycles * column as f32 / 48.0).sin()
            })?;
            let figures = Granularity::of(of_map(&wave)).ok_or_else(|| Error::failed("no power"))?;
            assert!((figures.centroid - f64::from(cycles)).abs() < 0.3, "{figures:?}");
            assert!(figures.radius.abs_diff(cycles as usize) <= 1);
        }
        Ok(())
    }

    #[test]
    fn a_blurred_map_is_coarser() -> Result<()> {
        let rough = map(24, 20, |row, column, channel| {
            ((row * 7919 + column * 104_729 + channel * 31) % 97) as f32
        })?;
        let smooth = LowPass::new(rough.grid(), LOW_PASS_SIGMA).apply(&rough.to_channels());
        let smooth = FeatureMap::from_channels(rough.channels(), rough.grid(), &smooth)?;
        assert!(centroid(&smooth)? < 0.6 * centroid(&rough)?);
        let slopes = [&rough, &smooth].map(|map| Granularity::of(of_map(map)).and_then(|figures| figures.slope));
        assert!(slopes[1] < slopes[0], "{slopes:?}");
        Ok(())
    }

    #[test]
    fn maps_without_structure_or_size_have_no_granularity() -> Result<()> {
        assert_eq!(Granularity::of(of_map(&map(8, 8, |_, _, _| 5.3)?)), None);
        for [height, width] in [[1, 1], [1, 9], [9, 1]] {
            assert!(of_map(&map(height, width, |row, column, _| (row + column) as f32)?).is_empty());
        }
        assert!(of_map(&map(2, 2, |row, _, _| row as f32)?).len() == 1);
        Ok(())
    }
}
