//! Panes: their kinds, and what part of a picture each shows.

use egui_tiles::Tree;
use serde::{Deserialize, Serialize};

use super::{
    kinds::{MenuPlace, PICTURE_LEAST, PaneFacts, RECOMMEND_LEAST, STUDY_LEAST, SaveFacts, pane_kinds},
    page::Page,
};
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

/// Makes the enumeration of the table.
macro_rules! enumerate {
    ($($(#[$doc:meta])* $kind:ident $module:ident::$view:ident $facts:expr;)+) => {
        /// What a pane shows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum PaneKind {
            $($(#[$doc])* $kind,)+
        }

        impl PaneKind {
            /// Every kind, in the order of the table.
            pub const ALL: [Self; [$(Self::$kind),+].len()] = [$(Self::$kind),+];

            /// What the table says of it.
            pub const fn facts(self) -> PaneFacts {
                match self {
                    $(Self::$kind => $facts,)+
                }
            }
        }
    };
}

pane_kinds!(enumerate);

impl PaneKind {
    /// Whether it shows one picture, or something laid over it: such panes zoom and move together.
    pub const fn is_of_picture(self) -> bool {
        self.facts().shows_picture
    }

    /// What it is called in menus and titles.
    pub const fn name(self) -> &'static str {
        self.facts().name
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
