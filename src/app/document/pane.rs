//! Panes: their kinds, and what part of a picture each shows.

use egui_tiles::Tree;
use serde::{Deserialize, Serialize};

use crate::engine::ImageSlot;

/// What part of a picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The place in the middle of the pane, as shares (x, y) of the picture's width and height.
    pub centre: [f32; 2],
    /// How much larger than the largest size at which the whole picture fits.
    pub zoom: f32,
}

impl Default for View {
    fn default() -> Self {
        Self {
            centre: [0.5; 2],
            zoom: 1.0,
        }
    }
}

/// The panes and their places.
pub type Layout = Tree<Pane>;

/// One pane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    /// What it shows.
    pub kind: PaneKind,
    /// Of which picture.
    pub slot: ImageSlot,
    /// What part of it, where panes do not move together.
    pub view: View,
}

/// What a pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaneKind {
    /// The picture, with the heat map over it.
    Picture,
    /// PCA colours.
    Pca,
    /// The heat map alone.
    Heat,
    /// One channel.
    Channel,
    /// Every activation on one sheet, measured.
    Sheet,
    /// Figures of every activation as a plot.
    Plot,
    /// One activation at several timesteps or seeds.
    Strip,
    /// Activations, timesteps or models compared with each other.
    Cka,
    /// How far an activation moves away from the picture.
    Shift,
    /// Every activation by how well it finds marked points again.
    Rank,
    /// Two of layers, timesteps, seeds, models or pictures as A and B.
    Compare,
}

impl PaneKind {
    /// Every kind, in the order of menus.
    pub const ALL: [Self; 11] = [
        Self::Picture,
        Self::Pca,
        Self::Heat,
        Self::Channel,
        Self::Sheet,
        Self::Plot,
        Self::Strip,
        Self::Cka,
        Self::Shift,
        Self::Rank,
        Self::Compare,
    ];

    /// Whether it shows one picture, or something laid over it: such panes zoom and move together.
    pub const fn is_of_picture(self) -> bool {
        matches!(self, Self::Picture | Self::Pca | Self::Heat | Self::Channel)
    }

    /// What it is called in menus and titles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Picture => "Picture",
            Self::Pca => "PCA",
            Self::Heat => "Heat map",
            Self::Channel => "Channel",
            Self::Sheet => "Contact sheet",
            Self::Plot => "Plot",
            Self::Strip => "Film strip",
            Self::Cka => "CKA matrix",
            Self::Shift => "Content shift",
            Self::Rank => "Ranking",
            Self::Compare => "Comparison",
        }
    }
}

impl Pane {
    /// A pane that shows all of a picture.
    pub fn new(kind: PaneKind, slot: ImageSlot) -> Self {
        Self {
            kind,
            slot,
            view: View::default(),
        }
    }

    /// Its title and accessible name: "PCA of A".
    pub fn title(&self) -> String {
        match self.kind {
            PaneKind::Picture => format!("Picture {}", self.slot.name()),
            kind if !kind.is_of_picture() => kind.name().to_owned(),
            kind => format!("{} of {}", kind.name(), self.slot.name()),
        }
    }
}
