//! What is looked at, and how: everything that undo goes back to and that a workspace file holds. What the workers
//! make of it is not in here.

use std::collections::BTreeMap;

use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Serialize};

use super::studies::{CkaChoice, SheetSettings, ShiftChoice, StripChoice, ranking::RankChoice, sides::CompareChoice};
use crate::{
    activation::Id,
    components::schedule::Timestep,
    engine::{PcaSettings, PictureSource, QueryAt, RunSettings, Slot},
    extract::{inversion::Inversion, pass::VaeMode},
    geometry::framing::WorkingSize,
    model::adapters::Adapters,
    paint::{ColourMap, Interpolation},
};

/// Opacity of the heat map over its picture at the start.
const HEAT_OPACITY: f32 = 0.7;
/// Matches told of each pin in each picture at the start.
const FIRST_TOP_K: usize = 3;

/// What is looked at, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The model, as the user named it; none before the first one is there.
    #[serde(default, with = "crate::files::names")]
    pub model: Option<String>,
    /// The pictures.
    pub pictures: BTreeMap<Slot, PictureRef>,
    /// What a pass is run with.
    pub settings: RunSettings,
    /// The activation looked at.
    pub layer: Option<Id>,
    /// The points and regions that were fixed, in the order they were made.
    pub pins: Vec<Pin>,
    /// The pin whose similarities are shown; none: those of the point under the pointer.
    pub selected_pin: Option<u32>,
    /// Matches told of each pin in each picture.
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
    /// The panes.
    pub layout: Layout,
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
    pub slot: Slot,
    /// Where.
    pub at: QueryAt,
}

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

/// Background is told from foreground by the score of the first component.
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
    pub slot: Slot,
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
    pub fn new(kind: PaneKind, slot: Slot) -> Self {
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

/// Pictures side by side where more than two would be too flat below each other.
const PICTURES_IN_A_ROW: usize = 2;
/// Pictures up to which each has its own colours; of more, the first is the one to point at and the others answer.
const MOST_WITH_COLOURS: usize = 4;
/// Height of the first picture's pane where the colours below it have 1.
const HEIGHT_OF_FIRST: f32 = 1.7;

/// Picture and PCA for each of some slots: a row for each, or for two where there are several. Of many, the first is large,
/// with colours below it, and the others stand in a grid beside it.
pub fn standard_layout(slots: &[Slot]) -> Layout {
    let mut tiles = Tiles::default();
    let root = match slots {
        [first, others @ ..] if slots.len() > MOST_WITH_COLOURS => first_and_others(&mut tiles, *first, others),
        _ => rows_of_all(&mut tiles, slots),
    };
    Tree::new(egui::Id::unique("panes"), root, tiles)
}

fn rows_of_all(tiles: &mut Tiles<Pane>, slots: &[Slot]) -> TileId {
    let in_a_row = if slots.len() > PICTURES_IN_A_ROW {
        PICTURES_IN_A_ROW
    } else {
        1
    };
    let rows = slots
        .chunks(in_a_row)
        .map(|slots| {
            let kinds = [PaneKind::Picture, PaneKind::Pca];
            let panes = slots.iter().flat_map(|slot| kinds.map(|kind| Pane::new(kind, *slot)));
            row_of(tiles, panes)
        })
        .collect();
    tiles.insert_vertical_tile(rows)
}

fn first_and_others(tiles: &mut Tiles<Pane>, first: Slot, others: &[Slot]) -> TileId {
    let picture = row_of(tiles, [Pane::new(PaneKind::Picture, first)]);
    // The colours of two pictures show what corresponds: those of the first and of the one that is least like it in order.
    let coloured = [Some(&first), others.last()].into_iter().flatten();
    let colours = row_of(tiles, coloured.map(|slot| Pane::new(PaneKind::Pca, *slot)));
    let mut column = Linear::new(LinearDir::Vertical, vec![picture, colours]);
    column.shares.set_share(picture, HEIGHT_OF_FIRST);
    let column = tiles.insert_new(Tile::Container(Container::Linear(column)));
    // The half of the window beside the first is about twice as high as wide.
    let columns = (others.len() as f32 / 2.0).sqrt().ceil() as usize;
    let rows = others
        .chunks(columns)
        .map(|slots| row_of(tiles, slots.iter().map(|slot| Pane::new(PaneKind::Picture, *slot))))
        .collect();
    let grid = tiles.insert_vertical_tile(rows);
    tiles.insert_horizontal_tile(vec![column, grid])
}

/// Panes side by side, each with a tab that it can be dragged by; one alone needs no row.
fn row_of(tiles: &mut Tiles<Pane>, panes: impl IntoIterator<Item = Pane>) -> TileId {
    let panes: Vec<TileId> = panes.into_iter().map(|pane| tiles.insert_pane(pane)).collect();
    let tabs: Vec<TileId> = panes
        .into_iter()
        .map(|pane| tiles.insert_tab_tile(vec![pane]))
        .collect();
    match tabs.as_slice() {
        [alone] => *alone,
        _ => tiles.insert_horizontal_tile(tabs),
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
        }
    }
}

impl Default for Document {
    /// What a fresh window shows.
    fn default() -> Self {
        Self {
            model: None,
            pictures: BTreeMap::new(),
            settings: RunSettings {
                prompt: String::new(),
                t: Timestep::default(),
                seed: 0,
                ensemble: 1,
                vae: VaeMode::Mean,
                size: WorkingSize::ShortSide(0),
                inversion: Inversion::None,
                adapters: Adapters::default(),
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
            layout: standard_layout(&[Slot::A, Slot::B]),
        }
    }
}

impl Document {
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
    pub fn free_slot(&self) -> Option<Slot> {
        Slot::all().find(|slot| !self.pictures.contains_key(slot))
    }
}
