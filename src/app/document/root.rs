//! The document: settings of every view, pictures, pins and layout.

use std::collections::BTreeMap;

use egui_tiles::{Tile, TileId};
use serde::{Deserialize, Serialize};

use super::{
    choices::{CkaChoice, ShiftChoice, StripChoice},
    compare::CompareChoice,
    display::{Display, Mask},
    layout::first_layout,
    page::Page,
    pane::{Layout, View},
    ranking::RankChoice,
    sheet::SheetSettings,
};
use crate::{
    activation::Id,
    engine::{ImageSlot, PcaSettings, PictureSource, QueryAt, RunSettings},
    geometry::framing::WorkingSize,
};

/// The model a fresh window begins with.
pub const FIRST_MODEL: &str = "demo";
/// The pictures a fresh window begins with: one animal in every style of drawing there is, then others.
pub const FIRST_SAMPLES: [&str; 7] = [
    "noto-cat-face",
    "noto-v1-cat-face",
    "fluent-cat-face",
    "fluent-flat-cat-face",
    "fluent-dog-face",
    "noto-fox",
    "fluent-flat-tiger-face",
];
/// The point of the first of them that is marked at first, in its pixels: an eye.
pub const FIRST_POINT: [f64; 2] = [84.0, 132.0];
/// Matches of each pin in each picture at the start.
const FIRST_TOP_K: usize = 3;

/// What is looked at, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The model, as the user named it; none before the first one is there.
    #[serde(default, with = "crate::files::names")]
    pub model: Option<String>,
    /// The pictures.
    pub pictures: BTreeMap<ImageSlot, PictureRef>,
    /// What a pass is run with.
    pub settings: RunSettings,
    /// The activation looked at.
    pub layer: Option<Id>,
    /// The points and regions that were fixed, in the order they were made.
    pub pins: Vec<Pin>,
    /// The pin whose similarities are shown; none: those of the point under the pointer.
    pub selected_pin: Option<u32>,
    /// Matches of each pin in each picture.
    pub top_k: usize,
    /// How things are drawn.
    pub display: Display,
    /// How PCA colours come about.
    pub pca: PcaSettings,
    /// What of PCA colours counts as background.
    pub mask: Mask,
    /// The channel that channel panes show, counted from 0.
    pub channel: usize,
    /// The token of the prompt that attention to text is shown of, counted from 0.
    #[serde(default)]
    pub word: Option<usize>,
    /// What film strips show.
    #[serde(default)]
    pub strip: StripChoice,
    /// What CKA matrices compare.
    #[serde(default)]
    pub cka: CkaChoice,
    /// What content-shift meters show.
    #[serde(default)]
    pub shift: ShiftChoice,
    /// The head that attention is shown of, counted from 0; none: the mean over heads.
    #[serde(default)]
    pub head: Option<usize>,
    /// What is ranked by marked points, and how the table is sorted.
    #[serde(default)]
    pub rank: RankChoice,
    /// What is compared as A and B.
    #[serde(default)]
    pub compare: CompareChoice,
    /// How surveys are made and shown.
    #[serde(default)]
    pub sheet: SheetSettings,
    /// What part of the pictures is shown, where panes move together.
    pub view: View,
    /// Whether panes move together.
    pub linked: bool,
    /// The page that is shown.
    #[serde(default)]
    pub page: Page,
    /// The panes of the page that is shown.
    pub layout: Layout,
    /// The panes of pages that were shown before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arrangements: BTreeMap<Page, Layout>,
    /// The pane that alone is shown, in the place of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximised: Option<TileId>,
}

/// A picture that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureRef {
    /// Where it comes from.
    pub source: PictureSource,
    /// Tells whether the file still holds the same pixels.
    pub fingerprint: Option<u64>,
}

/// A point or region that similarities are shown to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Its number, from 1; its colour follows from it.
    pub number: u32,
    /// The picture it is in.
    pub slot: ImageSlot,
    /// Where.
    pub at: QueryAt,
}

impl Default for Document {
    /// What a fresh window shows.
    fn default() -> Self {
        Self {
            model: None,
            pictures: BTreeMap::new(),
            settings: RunSettings {
                // Workspaces name a size before a model is there, too.
                size: Some(WorkingSize::ShortSide(0)),
                ..RunSettings::default()
            },
            layer: None,
            pins: Vec::new(),
            selected_pin: None,
            top_k: FIRST_TOP_K,
            display: Display::default(),
            pca: PcaSettings::default(),
            mask: Mask::default(),
            channel: 0,
            word: None,
            strip: StripChoice::default(),
            cka: CkaChoice::default(),
            shift: ShiftChoice::default(),
            head: None,
            rank: RankChoice::default(),
            compare: CompareChoice::default(),
            sheet: SheetSettings::default(),
            view: View::default(),
            linked: true,
            page: Page::default(),
            layout: first_layout(),
            arrangements: BTreeMap::new(),
            maximised: None,
        }
    }
}

impl Document {
    /// What part a pane shows.
    pub fn view_of(&self, tile: TileId) -> View {
        match self.layout.tiles.get(tile) {
            Some(Tile::Pane(pane)) if !self.linked => pane.view,
            _ => self.view,
        }
    }

    /// A pin by its number.
    pub fn pin(&self, number: u32) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.number == number)
    }

    /// The pin whose similarities are shown.
    pub fn active_pin(&self) -> Option<&Pin> {
        self.pin(self.selected_pin?)
    }

    /// Takes some pins away; none of them is selected any more.
    pub fn delete_pins(&mut self, which: impl Fn(&Pin) -> bool) {
        self.pins.retain(|pin| !which(pin));
        self.selected_pin = self.selected_pin.filter(|number| self.pin(*number).is_some());
    }

    /// The smallest number no pin has.
    pub fn next_pin_number(&self) -> u32 {
        (1..).find(|number| self.pin(*number).is_none()).unwrap_or(1)
    }

    /// The first slot without a picture.
    pub fn free_slot(&self) -> Option<ImageSlot> {
        ImageSlot::all().find(|slot| !self.pictures.contains_key(slot))
    }
}
