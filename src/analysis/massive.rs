//! Figures of single channels, and the massive ones among them: channels whose magnitude dwarfs all others decide every
//! cosine and the first component, whatever the picture shows.
//!
//! m_c is the mean over positions of |x_pc|; a channel is massive where m_c is more than [`MASSIVE_RATIO`] times the
//! median of all m_c. Nothing is normalised before.

use serde::{Deserialize, Serialize};

use crate::activation::FeatureMap;

/// A channel is massive if its mean magnitude is above this many medians of all channels.
pub const MASSIVE_RATIO: f64 = 100.0;

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
    let typical = median(&magnitudes);
    let ratio = |magnitude: f64| if typical > 0.0 { magnitude / typical } else { 0.0 };
    means
        .into_iter()
        .zip(variances)
        .zip(magnitudes)
        .map(|((mean, variance), mean_abs)| ChannelFigures {
            mean,
            variance,
            mean_abs,
            ratio: ratio(mean_abs),
            massive: ratio(mean_abs) > MASSIVE_RATIO,
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

/// The middle number, between the two middle ones where they are even; 0 of none.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len().is_multiple_of(2)) {
        (None, _) => 0.0,
        (Some(&upper), false) => upper,
        (Some(&upper), true) => f64::midpoint(sorted[middle - 1], upper),
    }
}
