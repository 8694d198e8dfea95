//! Scores of principal components as colours.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pca::{self, COLOUR_COMPONENTS, PcaOptions, Scores};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    io::output::{replace_file, write_png},
};

/// Full intensity of an 8-bit channel.
const FULL: f32 = 255.0;

/// Which scores become black and which become full intensity.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeRule {
    /// The lowest and the highest score of each component.
    #[default]
    MinMax,
    /// Percentiles of each component, 0 to 100, interpolated linearly as numpy does; scores beyond are clipped.
    Percentile {
        /// Percentile that becomes black.
        low: f64,
        /// Percentile that becomes full intensity.
        high: f64,
    },
}

/// Scores that become black (`low`) and full intensity (`high`), per component (k).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColourRange {
    /// Becomes 0, (k).
    pub low: Vec<f32>,
    /// Becomes 255, (k).
    pub high: Vec<f32>,
}

impl ColourRange {
    /// The range over all positions of all given scores: of one map, or of several that shall share their colours.
    ///
    /// # Errors
    ///
    /// Where there are no scores, where they differ in their number of components, and where a percentile is not
    /// between 0 and 100.
    pub fn of(scores: &[&Scores], rule: RangeRule) -> Result<Self> {
        let components = scores.first().map_or(0, |first| first.components);
        if components == 0 || scores.iter().any(|other| other.components != components) {
            return Err(Error::usage(
                "a common colour range needs at least one map, and the same number of components in each",
            ));
        }
        let mut range = Self {
            low: Vec::with_capacity(components),
            high: Vec::with_capacity(components),
        };
        for index in 0..components {
            let values = scores
                .iter()
                .flat_map(|scores| scores.component(index))
                .filter(|value| !value.is_nan());
            let (low, high) = match rule {
                RangeRule::MinMax => values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                }),
                RangeRule::Percentile { low, high } => {
                    let mut sorted: Vec<f32> = values.collect();
                    sorted.sort_unstable_by(f32::total_cmp);
                    (percentile(&sorted, low)?, percentile(&sorted, high)?)
                }
            };
            range.low.push(low);
            range.high.push(high);
        }
        Ok(range)
    }
}

/// Percentile of ascending numbers, between neighbours linearly; 0 where there are none.
fn percentile(sorted: &[f32], percent: f64) -> Result<f32> {
    const WHOLE: f64 = 100.0;
    if !(0.0..=WHOLE).contains(&percent) {
        return Err(Error::usage(format!(
            "a percentile lies between 0 and 100, found {percent}"
        )));
    }
    let place = percent / WHOLE * sorted.len().saturating_sub(1) as f64;
    let low = sorted.get(place.floor() as usize).copied().unwrap_or_default();
    let high = sorted.get(place.ceil() as usize).copied().unwrap_or(low);
    Ok((f64::from(low) + (f64::from(high) - f64::from(low)) * place.fract()) as f32)
}

impl Scores {
    /// The first three components as red, green and blue, each from its lowest to its highest score; a component that is
    /// missing, dropped or constant is black.
    pub fn to_rgb(&self) -> RgbPicture {
        let nothing = |_| ColourRange {
            low: Vec::new(),
            high: Vec::new(),
        };
        // Only scores without a component have no range, and no pixels.
        colour(
            self,
            &ColourRange::of(&[self], RangeRule::MinMax).unwrap_or_else(nothing),
        )
    }
}

/// An 8-bit picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RgbPicture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// (height, width, 3): red, green, blue.
    pub rgb: Vec<u8>,
}

impl RgbPicture {
    /// Writes a PNG file, whole or not at all.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        replace_file(path.as_ref(), |file| {
            write_png(file, [self.width, self.height], &self.rgb)
        })
    }

    /// Enlarged (or reduced) to `width` columns, as many rows as keep the shape, each pixel the nearest one, placed as
    /// Pillow's NEAREST places it: ⌊(i + ½)·in/out⌋.
    pub fn resized_nearest(&self, width: usize) -> Self {
        let width = width.max(1);
        // To the nearest whole row.
        let height = ((2 * self.height * width + self.width) / (2 * self.width.max(1))).max(1);
        let nearest = |index: usize, cells: usize, samples: usize| (2 * index + 1) * cells / (2 * samples);
        let rgb = (0..height)
            .map(|row| nearest(row, self.height, height))
            .flat_map(|row| {
                (0..width)
                    .map(move |column| COLOUR_COMPONENTS * (row * self.width + nearest(column, self.width, width)))
            })
            .flat_map(|start| self.rgb.get(start..start + COLOUR_COMPONENTS).unwrap_or_default())
            .copied()
            .collect();
        Self { height, width, rgb }
    }
}

/// The first three components as red, green and blue: 255·(s − low)/(high − low), clipped and truncated. A component
/// that is missing, dropped or constant is black.
pub fn colour(scores: &Scores, range: &ColourRange) -> RgbPicture {
    let rgb = scores
        .values
        .chunks_exact(scores.components.max(1))
        .flat_map(|row| {
            (0..COLOUR_COMPONENTS).map(|index| {
                let (Some(&score), Some(&low), Some(&high)) =
                    (row.get(index), range.low.get(index), range.high.get(index))
                else {
                    return 0;
                };
                if high > low {
                    // The conversion truncates and clips, and turns NaN into 0.
                    ((score - low) / (high - low) * FULL) as u8
                } else {
                    0
                }
            })
        })
        .collect();
    RgbPicture {
        height: scores.grid.height,
        width: scores.grid.width,
        rgb,
    }
}

/// The picture of Generic Diffusion Feature: exact components of this map alone, not normalised, min–max per component
/// over the map, truncated to 8 bits. One pixel per position.
///
/// # Errors
///
/// As [`pca::fit`] and [`PcaBasis::project`](pca::PcaBasis::project).
pub fn reference_picture(map: &FeatureMap) -> Result<RgbPicture> {
    Ok(pca::fit(&[map], &PcaOptions::default())?.project(map)?.to_rgb())
}
