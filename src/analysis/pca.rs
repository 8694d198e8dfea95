//! Principal components of the positions of one map or of several together.

use serde::{Deserialize, Serialize};

use super::{
    eigen::Eigen,
    matrix::{View, multiply},
    similarity::dot_wide,
    spectrum::{self, ANGLE_OF_THUMBNAILS, Gram, Rows},
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    geometry::Grid,
};

/// Components that explain less than this share of the variance are dropped: what they show is rounding.
pub const NEGLIGIBLE_RATIO: f64 = 1e-6;

/// Red, green and blue.
pub const COLOUR_COMPONENTS: usize = 3;

/// Positions projected at a time.
const ROW_BLOCK: usize = 64;

/// Which of the two directions of a component counts as positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignRule {
    /// The score with the largest magnitude over all positions is positive (scikit-learn 1.0.2, u-based `svd_flip`).
    #[default]
    Score,
    /// The loading with the largest magnitude is positive (scikit-learn 1.5 and later).
    Loading,
}

/// How a basis is fitted. The default is the one of the published pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PcaOptions {
    /// Subtract the mean of every channel over all positions.
    pub centre: bool,
    /// Divide the vector of every position by its length first.
    pub l2_normalise_positions: bool,
    /// Divide scores by the standard deviation of their component.
    pub whiten: bool,
    /// Direction of the components.
    pub sign: SignRule,
    /// Number of components k; the first three become colours.
    pub components: usize,
}

impl Default for PcaOptions {
    fn default() -> Self {
        Self {
            centre: true,
            l2_normalise_positions: false,
            whiten: false,
            sign: SignRule::Score,
            components: COLOUR_COMPONENTS,
        }
    }
}

/// A fitted basis. It can be saved and applied to any map with the same number of channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaBasis {
    /// Options of the fit.
    pub options: PcaOptions,
    /// Number of channels c.
    pub channels: usize,
    /// Number of positions n it was fitted on, over all maps.
    pub positions: usize,
    /// Mean per channel (c); zeros where `options.centre` is off.
    pub mean: Vec<f32>,
    /// (k, c) row-major, rows of length 1, by descending variance; rows of dropped components are zero.
    pub components: Vec<f32>,
    /// Variance along each component (k), over n − 1 as in scikit-learn. Without centring, about zero.
    pub explained_variance: Vec<f64>,
    /// Share of the total variance (k).
    pub explained_variance_ratio: Vec<f64>,
    /// Variance of all channels together.
    pub total_variance: f64,
    /// Components (k) dropped because their share is below [`NEGLIGIBLE_RATIO`] or because there are not that many:
    /// their scores are 0, their colour black.
    pub dropped: Vec<bool>,
}

/// Scores of one map in a basis.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Rows and columns of positions.
    pub grid: Grid,
    /// Number of components k.
    pub components: usize,
    /// (h·w, k), row-major.
    pub values: Vec<f32>,
}

impl Scores {
    /// The scores of one component over all positions, row-major (h·w); nothing where there is no such component.
    pub fn component(&self, index: usize) -> impl Iterator<Item = f32> + '_ {
        self.values
            .chunks_exact(self.components.max(1))
            .filter_map(move |row| row.get(index).copied())
    }

    /// Scores of some components, in this order; those that do not exist are 0 everywhere.
    pub(crate) fn of_components(&self, indices: &[usize]) -> Self {
        let rows = self.values.chunks_exact(self.components.max(1));
        Self {
            grid: self.grid,
            components: indices.len(),
            values: rows
                .flat_map(|row| indices.iter().map(|&index| row.get(index).copied().unwrap_or(0.0)))
                .collect(),
        }
    }
}

/// Fits a basis to all positions of all maps together.
///
/// # Errors
///
/// Where there are no maps, where they differ in their number of channels, where no component is asked for, and where
/// numbers are not finite or too large.
pub fn fit(maps: &[&FeatureMap], options: &PcaOptions) -> Result<PcaBasis> {
    let centred = Centred::new(maps, options)?;
    let found = match centred.total > 0.0 {
        true => spectrum::leading(centred.rows(), options.components, centred.negligible()),
        false => Some(spectrum::nothing()),
    };
    centred.basis(found, options)
}

/// The same for one map among many, as exact as a small picture needs, and the map's effective rank (Σλ)²/Σλ² =
/// (tr C)²/‖C‖²_F of the covariance C of its positions: 1 where all variance has one direction, up to min(h·w − 1, c); 0 for a
/// map that is the same everywhere. Both come from the smaller Gram matrix, which is made once.
pub(crate) fn fit_with_rank(map: &FeatureMap, options: &PcaOptions) -> Result<(PcaBasis, f64)> {
    let centred = Centred::new(&[map], options)?;
    if centred.total <= 0.0 {
        return Ok((centred.basis(Some(spectrum::nothing()), options)?, 0.0));
    }
    let gram = Gram::of(centred.rows());
    let found = gram.leading(options.components, centred.negligible(), ANGLE_OF_THUMBNAILS, None);
    let effective_rank = centred.total * centred.total / gram.squares();
    Ok((centred.basis(found, options)?, effective_rank))
}

impl PcaBasis {
    /// Scores of a map, with the preparation the basis was fitted with (normalising, centring, whitening).
    ///
    /// # Errors
    ///
    /// Where the map has another number of channels than the basis, and where the basis is damaged.
    pub fn project(&self, map: &FeatureMap) -> Result<Scores> {
        let k = self.options.components;
        let sound = self.mean.len() == self.channels
            && self.components.len() == k * self.channels
            && self.explained_variance.len() == k;
        if !sound {
            return Err(Error::failed(format!(
                "the saved basis is damaged: {k} components of {} channels do not go with its numbers",
                self.channels
            )));
        }
        if map.channels() != self.channels {
            return Err(Error::usage(format!(
                "the basis was fitted on {} channels, the map has {}: fit one on maps of this activation",
                self.channels,
                map.channels()
            )));
        }
        let components = View::new(&self.components, k, self.channels).transposed();
        let mut values = Vec::with_capacity(map.grid().positions() * k);
        let mut block = Vec::with_capacity(ROW_BLOCK * self.channels);
        for start in (0..map.grid().positions()).step_by(ROW_BLOCK) {
            block.clear();
            let end = (start + ROW_BLOCK).min(map.grid().positions());
            for position in start..end {
                let scale = position_scale(map, position, &self.options);
                let vector = map.vector(position).iter().zip(&self.mean);
                block.extend(vector.map(|(x, mean)| x * scale - mean));
            }
            values.extend(multiply(View::new(&block, end - start, self.channels), components));
        }
        if self.options.whiten {
            for row in values.chunks_exact_mut(k) {
                for (score, &variance) in row.iter_mut().zip(&self.explained_variance) {
                    // A dropped component has scores of 0, which stay.
                    if variance > 0.0 {
                        *score = (f64::from(*score) / variance.sqrt()) as f32;
                    }
                }
            }
        }
        Ok(Scores {
            grid: map.grid(),
            components: k,
            values,
        })
    }
}

/// The channel count all maps share.
fn common_channels(maps: &[&FeatureMap]) -> Result<usize> {
    let first = maps
        .first()
        .ok_or_else(|| Error::usage("principal components of no map: give at least one"))?;
    match maps.iter().find(|map| map.channels() != first.channels()) {
        None => Ok(first.channels()),
        Some(other) => Err(Error::usage(format!(
            "one basis for several maps needs equal channels, found {} and {}: take the same activation of each",
            first.channels(),
            other.channels()
        ))),
    }
}

/// Scale of a position's vector before anything else.
fn position_scale(map: &FeatureMap, position: usize, options: &PcaOptions) -> f32 {
    if options.l2_normalise_positions {
        map.inverse_norms()[position]
    } else {
        1.0
    }
}

/// All positions of all maps, prepared, centred and brought to magnitudes about 1.
struct Centred {
    positions: usize,
    channels: usize,
    mean: Vec<f32>,
    /// (n, c), row-major, multiplied by `scale`.
    data: Vec<f32>,
    /// A power of two, so that scaling rounds nothing.
    scale: f64,
    /// Sum of all squares of `data`.
    total: f64,
}

impl Centred {
    fn new(maps: &[&FeatureMap], options: &PcaOptions) -> Result<Self> {
        let channels = common_channels(maps)?;
        if options.components == 0 {
            return Err(Error::usage(
                "principal components: at least 1 is needed, 0 were asked for",
            ));
        }
        let positions: usize = maps.iter().map(|map| map.grid().positions()).sum();
        let mut sums = vec![0.0_f64; channels];
        let mut largest = 0.0_f32;
        for map in maps {
            for (position, vector) in map.vectors().chunks_exact(channels).enumerate() {
                let scale = position_scale(map, position, options);
                for (sum, &x) in sums.iter_mut().zip(vector) {
                    let x = x * scale;
                    *sum += f64::from(x);
                    largest = if x.abs() > largest { x.abs() } else { largest };
                }
            }
        }
        if let Some(channel) = sums.iter().position(|sum| !sum.is_finite()) {
            return Err(Error::failed(format!(
                "principal components: channel {channel} holds numbers that are not finite (NaN or infinity); \
                 was the model run in half precision?"
            )));
        }
        let mean: Vec<f32> = if options.centre {
            sums.iter().map(|sum| (sum / positions as f64) as f32).collect()
        } else {
            vec![0.0; channels]
        };
        let scale = power_of_two_to_one(largest);
        let factor = scale as f32;
        let mut data = Vec::with_capacity(positions * channels);
        for map in maps {
            for (position, vector) in map.vectors().chunks_exact(channels).enumerate() {
                let normalise = position_scale(map, position, options);
                let pairs = vector.iter().zip(&mean);
                data.extend(pairs.map(|(x, mean)| (x * normalise - mean) * factor));
            }
        }
        let total = dot_wide(&data, &data);
        Ok(Self {
            positions,
            channels,
            mean,
            data,
            scale,
            total,
        })
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            data: &self.data,
            rows: self.positions,
            columns: self.channels,
        }
    }

    /// Eigenvalues below this belong to components that are dropped.
    fn negligible(&self) -> f64 {
        NEGLIGIBLE_RATIO * self.total
    }

    /// The basis of the directions found: `None` where the numbers are not finite.
    fn basis(self, found: Option<Eigen>, options: &PcaOptions) -> Result<PcaBasis> {
        let found = found
            .ok_or_else(|| Error::failed("principal components: the numbers of the map are too large or not finite"))?;
        let mut components = vec![0.0_f32; options.components * self.channels];
        let mut values = found.values;
        values.resize(options.components, 0.0);
        let dropped: Vec<bool> = values
            .iter()
            .map(|&value| value <= 0.0 || value < self.negligible())
            .collect();
        let rows = components.chunks_exact_mut(self.channels);
        for ((row, vector), &dropped) in rows.zip(found.vectors.chunks_exact(self.channels)).zip(&dropped) {
            if !dropped {
                for (to, &from) in row.iter_mut().zip(vector) {
                    *to = from as f32;
                }
            }
        }
        self.settle_signs(&mut components, options.sign);

        let unit = self.variance_unit();
        let share = |value: &f64| match self.total > 0.0 {
            true => value.max(0.0) / self.total,
            false => 0.0,
        };
        Ok(PcaBasis {
            options: options.clone(),
            channels: self.channels,
            positions: self.positions,
            explained_variance: values.iter().map(|&value| value.max(0.0) * unit).collect(),
            explained_variance_ratio: values.iter().map(share).collect(),
            total_variance: self.total * unit,
            mean: self.mean,
            components,
            dropped,
        })
    }

    /// Factor from a sum of squares of `data` to a variance; one position has none.
    fn variance_unit(&self) -> f64 {
        let freedom = self.positions.saturating_sub(1).max(1) as f64;
        1.0 / (freedom * self.scale * self.scale)
    }

    /// Turns components (k, c) so that the number the rule names is positive; the first of equals decides.
    fn settle_signs(&self, components: &mut [f32], rule: SignRule) {
        let k = components.len() / self.channels;
        let scores = match rule {
            SignRule::Score => multiply(
                View::new(&self.data, self.positions, self.channels),
                View::new(components, k, self.channels).transposed(),
            ),
            SignRule::Loading => Vec::new(),
        };
        for (index, component) in components.chunks_exact_mut(self.channels).enumerate() {
            let extreme = match rule {
                SignRule::Score => extreme(scores.iter().skip(index).step_by(k).copied()),
                SignRule::Loading => extreme(component.iter().copied()),
            };
            if extreme < 0.0 {
                component.iter_mut().for_each(|x| *x = -*x);
            }
        }
    }
}

/// The first number of the largest magnitude, 0 if there is none.
fn extreme(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(
        0.0,
        |best: f32, value| if value.abs() > best.abs() { value } else { best },
    )
}

/// The power of two that brings `largest` to 1 … 2.
fn power_of_two_to_one(largest: f32) -> f64 {
    // Beyond this the factor itself would leave the range of f32.
    const FURTHEST: f64 = 120.0;
    if largest > 0.0 {
        (-f64::from(largest).log2().floor()).clamp(-FURTHEST, FURTHEST).exp2()
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank_of(map: &FeatureMap) -> Result<f64> {
        Ok(fit_with_rank(map, &PcaOptions::default())?.1)
    }

    fn map(height: usize, channels: usize, number: impl Fn(usize, usize) -> f32) -> Result<FeatureMap> {
        let grid = Grid::new(height, 7);
        let vectors = (0..grid.positions())
            .flat_map(|position| (0..channels).map(move |channel| (position, channel)))
            .map(|(position, channel)| number(position, channel));
        FeatureMap::from_positions(channels, grid, vectors.collect())
    }

    #[test]
    fn one_direction_has_rank_one_and_equal_ones_count() -> Result<()> {
        let one = map(5, 4, |p, c| p as f32 * (c as f32 - 1.5) + 10.0)?;
        assert!((rank_of(&one)? - 1.0).abs() < 1e-6);
        // Each channel is large at one position alone.
        let many = map(1, 7, |p, c| if p == c { 1.0 } else { 0.0 })?;
        assert!((rank_of(&many)? - 6.0).abs() < 1e-5);
        assert_eq!(rank_of(&map(3, 3, |_, c| c as f32)?)?, 0.0);
        Ok(())
    }

    #[test]
    fn more_channels_than_a_tile_and_than_positions() -> Result<()> {
        // Both ways round, across the edge of a tile, against the eigenvalues' sums by hand.
        for (height, channels) in [(50, 300), (100, 300)] {
            let number = |p: usize, c: usize| ((p * 7919 + c * 104_729 + p * c * 13) % 211) as f32 - 100.0;
            let map = map(height, channels, number)?;
            let positions = height * 7;
            let mean: Vec<f64> = (0..channels)
                .map(|c| (0..positions).map(|p| f64::from(number(p, c))).sum::<f64>() / positions as f64)
                .collect();
            let x = |p: usize, c: usize| f64::from(number(p, c)) - mean[c];
            let (mut trace, mut squares) = (0.0, 0.0);
            for a in 0..channels {
                for b in 0..channels {
                    let entry: f64 = (0..positions).map(|p| x(p, a) * x(p, b)).sum();
                    squares += entry * entry;
                    if a == b {
                        trace += entry;
                    }
                }
            }
            let expected = trace * trace / squares;
            let found = rank_of(&map)?;
            assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
        }
        Ok(())
    }
}
