//! What is chosen in the panes of studies: part of the document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{Id, Kind, Stage},
    survey::{Column, DEFAULT_NOISES, Measurement, PaperFilter, fits_search},
};

/// Points of a thumbnail's side at the start, and the range it can be set to.
const THUMBNAIL_POINTS: f32 = 76.0;

/// How the survey of the layers and its plots are shown, and what the next survey measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SheetSettings {
    /// Noises that the next survey compares.
    pub noises: usize,
    /// Whether the next survey measures attention maps.
    pub maps: bool,
    /// How activations are laid out; none: in rows where they are sorted by a figure, else as the network runs.
    pub view: Option<SheetView>,
    /// Sorted by a figure; none: as the network runs.
    pub sort: Option<Column>,
    /// Whether the largest come first.
    pub descending: bool,
    /// Words that the names shown have.
    pub search: String,
    /// The steps of the paper's filter.
    pub filter: PaperFilter,
    /// Parts of the network that are left out.
    pub hidden_stages: Vec<Stage>,
    /// Kinds of activations that are left out.
    pub hidden_kinds: Vec<Kind>,
    /// Figures that what is shown lies between.
    pub limits: Vec<Limit>,
    /// What thumbnails show.
    pub colours: SheetColours,
    /// Side of a thumbnail, in points.
    pub side: f32,
    /// Activations that are shown side by side.
    pub marked: Vec<Id>,
    /// What plots show.
    pub plot: PlotKind,
    /// Whether plots have figures that span decades on a linear axis, not on a logarithmic one.
    pub linear: bool,
}

/// How the activations of a survey are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SheetView {
    /// As the network runs: down on the left, up on the right, a grid in each band.
    Network,
    /// Row by row in the order of a figure.
    Grid,
    /// A row for each, with every figure.
    Table,
}

impl SheetView {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Network, Self::Grid, Self::Table];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "U",
            Self::Grid => "grid",
            Self::Table => "table",
        }
    }

    /// What it is, in one sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Network => "As the network runs: down on the left, up on the right, what has one grid side by side.",
            Self::Grid => "Thumbnails row by row, in the order of a figure.",
            Self::Table => "A row for each activation, with all figures as columns that sort.",
        }
    }
}

/// Leaves out activations whose figure lies outside, or that have none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The figure.
    pub column: Column,
    /// From this, included.
    pub low: f64,
    /// To this, included.
    pub high: f64,
}

/// What thumbnails show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SheetColours {
    /// PCA colours of each activation alone.
    #[default]
    Own,
    /// PCA colours rotated onto those of the current layer.
    Agreeing,
    /// How noisy each cell is, from 0 to the noisiest.
    Noise,
}

impl SheetColours {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Own, Self::Agreeing, Self::Noise];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "PCA, each its own",
            Self::Agreeing => "PCA, colours agree",
            Self::Noise => "Noise",
        }
    }

    /// What it is, in one sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Own => {
                "The first three components of each activation alone, each from its lowest to its highest score."
            }
            Self::Agreeing => {
                "The same scores, rotated onto those of the current layer (orthogonal Procrustes): equal colours mean \
                 equal things as far as that goes."
            }
            Self::Noise => "How much passes with different noise differ in each cell, from 0 to the noisiest cell.",
        }
    }
}

/// What plots show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlotKind {
    /// One figure against another, a point for every activation.
    Figures {
        /// To the right.
        x: Column,
        /// Upwards.
        y: Column,
    },
    /// Similarity against distance, a curve for every activation that is marked, and for the one looked at.
    Locality,
}

impl Default for PlotKind {
    fn default() -> Self {
        Self::Figures {
            x: Column::Depth,
            y: Column::Nsr,
        }
    }
}

impl Default for SheetSettings {
    fn default() -> Self {
        Self {
            noises: DEFAULT_NOISES,
            maps: true,
            view: None,
            sort: None,
            descending: false,
            search: String::new(),
            filter: PaperFilter::default(),
            hidden_stages: Vec::new(),
            hidden_kinds: Vec::new(),
            limits: Vec::new(),
            colours: SheetColours::default(),
            side: THUMBNAIL_POINTS,
            marked: Vec::new(),
            plot: PlotKind::default(),
            linear: false,
        }
    }
}

impl SheetSettings {
    /// How activations are laid out.
    pub fn shown_as(&self) -> SheetView {
        self.view.unwrap_or(match self.sort {
            None => SheetView::Network,
            Some(_) => SheetView::Grid,
        })
    }

    /// Sorts by a figure: what is laid out as the network runs has no such order, so that it becomes rows.
    pub fn sort_by(&mut self, column: Option<Column>) {
        self.sort = column;
        if self.view == Some(SheetView::Network) && column.is_some() {
            self.view = Some(SheetView::Grid);
        }
    }

    /// Whether an activation is left after search, filter and limits.
    pub fn keeps(&self, finding: &Measurement) -> bool {
        let inside = |limit: &Limit| {
            let value = limit.column.value(finding);
            value.is_some_and(|value| (limit.low..=limit.high).contains(&value))
        };
        let facts = &finding.facts;
        let hidden = self.hidden_stages.contains(&facts.stage) || self.hidden_kinds.contains(&facts.kind);
        !hidden && fits_search(finding.id, &self.search) && self.filter.keeps(facts) && self.limits.iter().all(inside)
    }

    /// The places in `findings` of what is left, in the order in which it is shown.
    pub fn shown(&self, findings: &[Arc<Measurement>]) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..findings.len())
            .filter(|index| self.keeps(&findings[*index]))
            .collect();
        match self.sort {
            // Found in execution order, unless the survey made way for something.
            None => shown.sort_by_key(|index| findings[*index].order),
            Some(column) => shown.sort_by(|a, b| {
                // What has no such figure comes last, whichever way round.
                let [a, b] = [a, b].map(|index| column.value(&findings[*index]));
                match (a, b) {
                    (Some(a), Some(b)) if self.descending => b.total_cmp(&a),
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    (a, b) => a.is_none().cmp(&b.is_none()),
                }
            }),
        }
        shown
    }
}
