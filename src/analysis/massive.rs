//! Figures of single channels, and the massive ones among them: channels whose magnitude dwarfs all others decide every
//! cosine and the first component, whatever the picture shows.
//!
//! m_c is the mean over positions of |x_pc|; a channel is massive where m_c is more than [`MASSIVE_RATIO`] times the
//! median of all m_c. Nothing is normalised before.

use serde::{Deserialize, Serialize};

pub use crate::activation::MASSIVE_RATIO;
use crate::activation::{FeatureMap, in_medians};

/// Figures of one channel over all positions of a map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChannelFigures {
    /// Mean value.
    pub mean: f64,
    /// Variance of the values, over n positions (not n − 1).
    pub variance: f64,
    /// Mean magnitude m_c.
    pub mean_abs: f64,
    /// m_c in medians of all channels; 0 where the median is 0, when most channels are silent and none is massive.
    pub ratio: f64,
    /// Whether the ratio is above [`MASSIVE_RATIO`].
    pub massive: bool,
}

/// Figures of every channel (C).
pub fn channel_figures(map: &FeatureMap) -> Vec<ChannelFigures> {
    let means = channel_means(map);
    let magnitudes = mean_over_positions(map, |_, x| x.abs());
    let variances = mean_over_positions(map, |channel, x| (x - means[channel]) * (x - means[channel]));
    let ratios = in_medians(&magnitudes);
    means
        .into_iter()
        .zip(variances)
        .zip(magnitudes.into_iter().zip(ratios))
        .map(|((mean, variance), (mean_abs, ratio))| ChannelFigures {
            mean,
            variance,
            mean_abs,
            ratio,
            massive: ratio > MASSIVE_RATIO,
        })
        .collect()
}

/// The mean over positions of every channel (C).
pub(super) fn channel_means(map: &FeatureMap) -> Vec<f64> {
    mean_over_positions(map, |_, x| x)
}

/// Mean of a term (of channel and value) per channel.
fn mean_over_positions(map: &FeatureMap, term: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0_f64; map.channels()];
    for vector in map.vectors().chunks_exact(map.channels()) {
        for (channel, (sum, &x)) in sums.iter_mut().zip(vector).enumerate() {
            *sum += term(channel, f64::from(x));
        }
    }
    let positions = map.grid().positions() as f64;
    sums.into_iter().map(|sum| sum / positions).collect()
}

/// The channels that are massive, counted from 0, ascending. They are never all of them.
pub fn massive_channels(figures: &[ChannelFigures]) -> Vec<usize> {
    let channels = figures.iter().enumerate();
    channels
        .filter(|(_, figures)| figures.massive)
        .map(|(channel, _)| channel)
        .collect()
}

/// Mean cosine of all pairs of different positions; zero vectors have cosine 0 with everything, and one position alone
/// has no pair and 0.
///
/// Exact without forming the pairs: with unit vectors u, the sum over ordered pairs is ‖Σu‖² − Σ‖u‖².
pub fn mean_cosine(map: &FeatureMap) -> f64 {
    let positions = map.grid().positions();
    if positions < 2 {
        return 0.0;
    }
    let mut sum = vec![0.0_f64; map.channels()];
    let mut own = 0.0_f64;
    for vector in map.vectors().chunks_exact(map.channels()) {
        // The map's inverse norms are f32: here small differences of large sums count.
        let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if square > 0.0 {
            let scale = 1.0 / square.sqrt();
            sum.iter_mut()
                .zip(vector)
                .for_each(|(sum, &x)| *sum += scale * f64::from(x));
            own += 1.0;
        }
    }
    let together: f64 = sum.iter().map(|x| x * x).sum();
    (together - own) / (positions as f64 * (positions - 1) as f64)
}
