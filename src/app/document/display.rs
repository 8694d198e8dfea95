//! How things are drawn: colours, ranges, the mask of foreground.

use serde::{Deserialize, Serialize};

use crate::render::{ColourMap, Interpolation};

/// Opacity of the heat map over its picture at the start.
const HEAT_OPACITY: f32 = 0.7;

/// How things are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Display {
    /// Colours of heat maps.
    pub map: ColourMap,
    /// Colours of channels, which have a sign.
    pub channel_map: ColourMap,
    /// Which scores the first and the last colour stand for.
    pub range: RangeMode,
    /// Exponent of the share of the range.
    pub gamma: f32,
    /// Opacity of the heat map over its picture.
    pub opacity: f32,
    /// Between the cells of heat maps.
    pub interpolation: Interpolation,
    /// The heat map also over the picture that the point is in.
    pub on_source: bool,
    /// Whether heat maps are drawn over pictures.
    pub overlay: bool,
    /// Lines between the cells.
    pub grid: bool,
    /// Numbers in cells that are large enough.
    pub numbers: bool,
    /// A magnifying glass at the pointer.
    pub loupe: bool,
    /// Of matches also those after the best one, as dots.
    pub further: bool,
}

/// Which scores the ends of the colours stand for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeMode {
    /// Each map from its own lowest to its own highest score.
    #[default]
    PerMap,
    /// All maps from the lowest to the highest score of any of them.
    Common,
    /// The same two scores for all, whatever the maps hold.
    Fixed([f32; 2]),
}

/// Background differs from foreground by the score of the first component.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Mask {
    /// Whether background is left out.
    pub on: bool,
    /// Where foreground begins.
    pub threshold: f32,
    /// Whether foreground lies below the threshold instead of above it.
    pub below: bool,
}

impl Mask {
    /// Whether a position is foreground.
    pub fn keeps(&self, first: f32) -> bool {
        !self.on || (first > self.threshold) != self.below
    }
}

impl Default for Display {
    fn default() -> Self {
        Self {
            map: ColourMap::default(),
            channel_map: ColourMap::Coolwarm,
            range: RangeMode::default(),
            gamma: 1.0,
            opacity: HEAT_OPACITY,
            interpolation: Interpolation::Bilinear,
            on_source: false,
            overlay: true,
            grid: false,
            numbers: true,
            loupe: false,
            further: false,
        }
    }
}
