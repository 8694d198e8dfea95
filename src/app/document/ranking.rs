//! Settings of the ranking by marked points: pictures, protocol, order of the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{analysis::rank::RankOptions, engine::ImageSlot};

/// What is ranked and how it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RankChoice {
    /// The pictures of source and target points.
    pub slots: [ImageSlot; 2],
    /// How points are found again.
    pub options: RankOptions,
    /// Only in files of the first format: source pins whose partner was chosen, another than the one whose turn it is, or
    /// none. Pins that were paired have a mate instead.
    #[serde(skip_serializing)]
    pub(super) partners: BTreeMap<u32, Option<u32>>,
    /// The column that rows are sorted by.
    pub column: RankColumn,
    /// Whether the worst come first.
    pub reversed: bool,
}

impl Default for RankChoice {
    fn default() -> Self {
        Self {
            slots: [ImageSlot::A, ImageSlot::B],
            options: RankOptions::default(),
            partners: BTreeMap::new(),
            column: RankColumn::default(),
            reversed: false,
        }
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankColumn {
    /// Share of points within 0.1, then mean distance.
    #[default]
    Pck10,
    /// Share of points within 0.05, then mean distance.
    Pck05,
    /// Mean distance.
    Distance,
    /// What is expected by chance of the share within 0.1.
    Chance,
    /// The timestep.
    Timestep,
    /// The order of execution.
    Layer,
}

impl RankColumn {
    /// Every column, from left to right.
    pub const ALL: [Self; 6] = [
        Self::Layer,
        Self::Pck10,
        Self::Pck05,
        Self::Distance,
        Self::Chance,
        Self::Timestep,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pck10 => "PCK@.1",
            Self::Pck05 => "PCK@.05",
            Self::Distance => "mean px",
            Self::Chance => "chance",
            Self::Timestep => "t",
            Self::Layer => "activation",
        }
    }

    /// What it holds.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Pck10 => "Share of points found within 0.1 of the target's longer side; equal ones by mean distance",
            Self::Pck05 => "Share of points found within 0.05 of the target's longer side; equal ones by mean distance",
            Self::Distance => "Mean distance to where the points should be, in pixels of the original target picture",
            Self::Chance => {
                "PCK@.1 that a prediction drawn uniformly from the target's cells (of DIFT: pixels) is expected to have"
            }
            Self::Timestep => "The timestep that ran",
            Self::Layer => "In the order of execution",
        }
    }
}
