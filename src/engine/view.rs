//! What is asked about maps that are kept and what is answered: plain data, as all [messages](super::message).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    comparison::Comparison,
    message::{PassId, Slot, Work},
};
use crate::{
    activation::{FeatureMap, Id, NotFinite},
    analysis::{
        colour::RangeRule,
        difference::Difference,
        massive::ChannelFigures,
        pairs::PointPair,
        pca::{COLOUR_COMPONENTS, PcaOptions},
        rank::{RankOptions, RankRow},
    },
    components::schedule::Timestep,
    error::Error,
    geometry::Grid,
    render::ScoreStyle,
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
    /// Two maps as A and B.
    Sides(CompareQuery),
    /// How well every kept activation finds marked points again.
    Rank(RankQuery),
    /// Writes one map as .npy or .safetensors.
    SaveMap {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
        /// The file; its extension says the format.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
    },
    /// Writes PCA colours as a PNG.
    SavePca {
        /// As they are shown.
        query: PcaQuery,
        /// The pass that is written, one of the query's.
        pass: PassId,
        /// The file.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
    },
    /// Writes the basis of PCA colours, so that other maps can be shown in it.
    SaveBasis {
        /// As they are shown; fitted on each map alone, the first one's basis is written.
        query: PcaQuery,
        /// A .json file.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
    },
    /// Writes a heat map over its picture as a PNG.
    SaveHeat {
        /// The query.
        query: Query,
        /// How scores become colours.
        style: ScoreStyle,
        /// The file.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
    },
}

impl ViewRequest {
    /// The kind of work this is.
    pub fn work(&self) -> Work {
        match self {
            Self::Query(_)
            | Self::Matches(_)
            | Self::Pca(_)
            | Self::Channels { .. }
            | Self::Channel(_)
            | Self::Sides(_)
            | Self::Rank(_) => Work::View,
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
    /// Of an attention map the head, counted from 0; none: the mean over heads.
    #[serde(default)]
    pub head: Option<usize>,
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
    Saved(#[serde(with = "crate::files::names")] PathBuf),
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

/// Two activations of any passes, compared as A and B.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareQuery {
    /// Pass and activation of A and of B.
    pub sides: [(PassId, Id); 2],
    /// How the colours come about; what the basis is fitted on is the comparison's own business.
    pub settings: PcaSettings,
}

/// How far the colours of two sides agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// One basis was fitted on both.
    OneBasis,
    /// The channel counts differ: each has its own basis, and the scores of B are rotated onto those of A (Procrustes).
    Rotated,
}

impl Agreement {
    /// What the colours of A and B are.
    pub const fn words(self) -> &'static str {
        match self {
            Self::OneBasis => "one PCA basis and one colour range for A and B",
            Self::Rotated => {
                "the channel counts differ: a PCA basis and a colour range for each, the scores of B rotated onto those of A \
                 (Procrustes)"
            }
        }
    }
}

/// The colours of one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedMap {
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each component of its basis.
    pub explained: Vec<f64>,
    /// Channels that were left out as massive.
    pub left_out: Vec<usize>,
}

/// Two sides and how much they differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareView {
    /// What was asked.
    pub query: CompareQuery,
    /// The colours of A and B.
    pub sides: [ComparedMap; 2],
    /// What the colours have in common.
    pub agreement: Agreement,
    /// How much they differ at each position.
    pub difference: Difference,
}

/// Pairs of points of two pictures, to be found again in every kept activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankQuery {
    /// The pictures of the pairs, source and target.
    pub slots: [Slot; 2],
    /// The passes of both, a timestep each.
    pub passes: Vec<RankPasses>,
    /// The pairs, in pixels of the originals.
    pub pairs: Vec<PointPair>,
    /// How points are found.
    pub options: RankOptions,
}

/// One timestep of a ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankPasses {
    /// The timestep that ran.
    pub t: Timestep,
    /// The pass of the source picture.
    pub source: PassId,
    /// The pass of the target picture.
    pub target: PassId,
    /// The activations that are kept of both, in the order of execution.
    pub ids: Vec<Id>,
}

/// What a ranking has found so far. It is told again as it grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankView {
    /// What was asked.
    pub query: RankQuery,
    /// A row per activation and timestep, in the order of the query.
    pub rows: Vec<RankRow>,
    /// Activations that were looked at.
    pub done: usize,
    /// Activations that there are to look at.
    pub total: usize,
    /// Pairs that count, and pairs that the model does not see.
    pub pairs: [usize; 2],
    /// Longer side of the original target picture: what PCK's shares are of.
    pub longer_side_px: usize,
    /// Passes that are no longer kept.
    pub gone: Vec<PassId>,
    /// Activations that have no score, as they are not finite in one of the pictures.
    pub not_finite: Vec<NotFiniteMap>,
    /// Why there is nothing more, where something was wrong.
    pub problem: Option<String>,
}

/// A map that nothing can be computed from: its numbers are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFiniteMap {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// How many of its numbers.
    #[serde(flatten)]
    pub numbers: NotFinite,
}

impl NotFiniteMap {
    /// A map as such a one, where it is.
    pub(super) fn of(map: &FeatureMap, pass: PassId, id: Id) -> Option<Self> {
        let numbers = map.not_finite()?;
        Some(Self { id, pass, numbers })
    }

    /// Why nothing is computed from it.
    pub fn refusal(&self) -> Error {
        Error::usage(format!(
            "{} is not finite: {}, so nothing can be computed from it",
            self.id, self.numbers
        ))
    }
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
    /// Whether the scores are attention weights (of the query's head, or the mean over heads) and not cosines.
    pub attention: bool,
    /// Of attention weights those of every head over the positions of the first target, for choosing one.
    pub heads: Vec<Vec<f32>>,
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
