//! What is asked about maps that are kept and what is answered: plain data, as all [messages](super::message).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    comparison::Comparison,
    message::{PassId, Slot, Work},
};
use crate::{
    activation::{Grid, Id},
    analysis::{
        colour::RangeRule,
        massive::ChannelFigures,
        pca::{COLOUR_COMPONENTS, PcaOptions},
    },
    paint::ScoreStyle,
};

/// Asked of the workers that look at captured maps. The latest of each kind wins; every save is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ViewRequest {
    /// What is similar to a point or a region.
    Query(Query),
    /// Matches of all pins.
    Matches(MatchesQuery),
    /// PCA colours of an activation.
    Pca(PcaQuery),
    /// Figures of every channel of a map.
    Channels {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
    },
    /// One channel of an activation.
    Channel(ChannelQuery),
    /// Many maps, compared with each other.
    Compare(Comparison),
    /// Writes one map as .npy or .safetensors.
    SaveMap {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
        /// The file; its extension says the format.
        path: PathBuf,
    },
    /// Writes PCA colours as a PNG.
    SavePca {
        /// As they are shown.
        query: PcaQuery,
        /// The pass that is written, one of the query's.
        pass: PassId,
        /// The file.
        path: PathBuf,
    },
    /// Writes the basis of PCA colours, so that other maps can be shown in it.
    SaveBasis {
        /// As they are shown; fitted on each map alone, the first one's basis is written.
        query: PcaQuery,
        /// A .json file.
        path: PathBuf,
    },
    /// Writes a heat map over its picture as a PNG.
    SaveHeat {
        /// The query.
        query: Query,
        /// How scores become colours.
        style: ScoreStyle,
        /// The file.
        path: PathBuf,
    },
}

impl ViewRequest {
    /// The kind of work this is.
    pub fn work(&self) -> Work {
        match self {
            Self::Query(_) | Self::Matches(_) | Self::Pca(_) | Self::Channels { .. } | Self::Channel(_) => Work::View,
            Self::Compare(comparison) => Work::Comparison(comparison.kind()),
            Self::SaveMap { .. } | Self::SavePca { .. } | Self::SaveBasis { .. } | Self::SaveHeat { .. } => Work::Save,
        }
    }
}

/// What of a picture is compared, in its own pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryAt {
    /// The cell under (x, y).
    Point([f64; 2]),
    /// The mean of the unit vectors of all cells whose centre is within `radius` of a path, or of the cell under its
    /// first point where there is none: no long vector outvotes the others. Of attention, the mean of their rows.
    Region {
        /// Points (x, y) of the brush, joined by straight lines.
        path: Vec<[f64; 2]>,
        /// Radius of the brush.
        radius: f64,
    },
    /// A token of the prompt, by its place: where an attention map to text looks for it.
    Word(usize),
}

/// A point or region of one picture, compared with other pictures or with its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The activation.
    pub id: Id,
    /// The pass of the picture the point is in.
    pub source: PassId,
    /// What is compared.
    pub at: QueryAt,
    /// The passes it is compared with, with the slot each is shown in.
    pub targets: Vec<(Slot, PassId)>,
    /// Whether the massive channels of the source (see `analysis::massive`) are left out of source and targets.
    pub drop_massive: bool,
}

/// All pins, compared with all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesQuery {
    /// The activation.
    pub id: Id,
    /// The pins.
    pub pins: Vec<PinQuery>,
    /// The passes they are compared with, with the slot each is shown in.
    pub targets: Vec<(Slot, PassId)>,
    /// How many matches of each pin in each target.
    pub top_k: usize,
    /// Whether the massive channels of a pin's source are left out of source and targets.
    pub drop_massive: bool,
}

/// One pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinQuery {
    /// Chosen by the sender.
    pub pin: u32,
    /// The pass of its picture.
    pub source: PassId,
    /// Where it is.
    pub at: QueryAt,
}

/// PCA colours of one activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaQuery {
    /// The activation.
    pub id: Id,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(Slot, PassId)>,
    /// How the colours come about.
    pub settings: PcaSettings,
}

/// How PCA colours come about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PcaSettings {
    /// What the basis is fitted on.
    pub basis: BasisChoice,
    /// How it is fitted, with as many components as are shown, at least; a saved basis brings its own.
    pub options: PcaOptions,
    /// Which scores become black and which full intensity: over all maps that share a basis.
    pub clip: RangeRule,
    /// The components, counted from 0, that become red, green and blue.
    pub shown: [usize; COLOUR_COMPONENTS],
    /// Whether the massive channels of the first map that a basis is fitted on are left out of all; not with a saved
    /// basis, which knows its channels.
    pub drop_massive: bool,
}

impl Default for PcaSettings {
    fn default() -> Self {
        Self {
            basis: BasisChoice::default(),
            options: PcaOptions::default(),
            clip: RangeRule::default(),
            shown: [0, 1, 2],
            drop_massive: false,
        }
    }
}

/// What a PCA basis is fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasisChoice {
    /// All pictures together: the same colour means the same.
    #[default]
    Together,
    /// Each picture alone.
    Each,
    /// One picture, for all.
    Of(Slot),
    /// A basis in a file.
    Saved(PathBuf),
}

/// One channel of an activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelQuery {
    /// The activation.
    pub id: Id,
    /// The channel, counted from 0.
    pub channel: usize,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(Slot, PassId)>,
}

/// PCA colours of one picture's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaView {
    /// What was asked.
    pub query: PcaQuery,
    /// Where it is shown.
    pub slot: Slot,
    /// The pass.
    pub pass: PassId,
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each component of the basis.
    pub explained: Vec<f64>,
    /// Components (counted from 0) without variance, shown black.
    pub dropped: Vec<usize>,
    /// Positions the basis was fitted on.
    pub fitted_on: usize,
    /// Scores of the first component, row-major: what foreground is told from background by.
    pub first: Vec<f32>,
    /// Channels that were left out as massive.
    pub left_out: Vec<usize>,
}

/// A position of a picture and how similar it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// (row, column).
    pub cell: (usize, usize),
    /// The cell's centre in pixels of the picture.
    pub at: [f64; 2],
    /// Cosine, or attention weight.
    pub score: f32,
}

/// Similarities of one picture's positions to a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetHeat {
    /// Where it is shown.
    pub slot: Slot,
    /// Rows and columns.
    pub grid: Grid,
    /// Row-major.
    pub scores: Vec<f32>,
    /// The most similar positions, best first.
    pub best: Vec<Match>,
}

/// What is similar to a point or a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatView {
    /// What was asked.
    pub query: Query,
    /// (row, column) of the cells that were compared: one under a point, all of a region.
    pub cells: Vec<(usize, usize)>,
    /// One heat map per target.
    pub targets: Vec<TargetHeat>,
    /// Whether the scores are attention weights (mean over heads) and not cosines.
    pub attention: bool,
    /// Of an attention map to text, the weight of every token at the cells compared (their mean).
    pub words: Vec<f32>,
}

/// Matches of all pins in all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesView {
    /// What was asked.
    pub query: MatchesQuery,
    /// One per pin that lies where the model sees its picture.
    pub pins: Vec<PinMatches>,
}

/// Matches of one pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinMatches {
    /// The pin.
    pub pin: u32,
    /// (row, column) of its cells.
    pub cells: Vec<(usize, usize)>,
    /// In each target.
    pub targets: Vec<TargetMatches>,
}

/// Matches of one pin in one target, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetMatches {
    /// The target.
    pub slot: Slot,
    /// Best first.
    pub best: Vec<RankedMatch>,
}

/// A match, and where one gets from it on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankedMatch {
    /// Where it is and how similar.
    pub found: Match,
    /// The position of the pin's picture that is most similar to it, in pixels of that picture.
    pub back: [f64; 2],
    /// Whether that is the pin's own cell, or one of its region.
    pub mutual: bool,
    /// Distance from there to the pin's nearest cell, in cells.
    pub cycle_cells: f32,
}

/// Figures of every channel of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelsView {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// Every channel.
    pub channels: Vec<ChannelFigures>,
    /// Those flagged as massive.
    pub massive: Vec<usize>,
    /// Mean cosine of all pairs of positions: with all channels, and without the massive ones.
    pub mean_cosine: [f64; 2],
}

/// One channel of one picture each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelView {
    /// What was asked.
    pub query: ChannelQuery,
    /// Rows, columns and values of each picture, in the order of the query's passes.
    pub maps: Vec<(Slot, Grid, Vec<f32>)>,
}
