//! How the panes of each page stand at first, and the change from one page to another.

use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};

use super::{
    layout::{Shapes, panes, row_of, standard_layout},
    page::Page,
    pane::{Layout, Pane, PaneKind},
    root::Document,
};
use crate::engine::ImageSlot;

/// Height of a sheet of every layer where the plot below it has 1.
const SHEET_OVER_PLOT: f32 = 2.2;
/// Height of the room, in points, below which a second study stands behind the first instead of below it.
const LEAST_WITH_TWO: f32 = 850.0;
/// Width of a study where the pictures beside it have 1.
const STUDY_BESIDE_PICTURES: f32 = 2.4;
/// Pictures beside a study that show what it points at.
const MOST_BESIDE: usize = 2;

/// The panes of a page as they stand at first, for pictures in some slots and of some shape.
pub fn arrangement(page: Page, slots: &[ImageSlot], shapes: Shapes) -> Layout {
    let first = [ImageSlot::A];
    let slots = if slots.is_empty() { &first[..] } else { slots };
    let mut tiles = Tiles::default();
    let root = match page {
        Page::Correspond => return standard_layout(slots, shapes),
        Page::Layers => layers(&mut tiles, slots, shapes),
        Page::Compare => alone(&mut tiles, PaneKind::Compare, slots),
        Page::Rank => beside_pictures(&mut tiles, PaneKind::Rank, slots),
        Page::Recommend => beside_pictures(&mut tiles, PaneKind::Recommend, slots),
        Page::Timesteps => two_studies(&mut tiles, [PaneKind::Strip, PaneKind::Shift], slots, shapes),
        Page::Cka => alone(&mut tiles, PaneKind::Cka, slots),
    };
    // Each page has a name of its own in egui's memory, so that scrolling in one moves nothing in another.
    Tree::new(egui::Id::unique(("panes", page)), root, tiles)
}

/// The pane that is worked in when a page is shown: its study, else the first picture.
pub fn main_pane(layout: &Layout, page: Page) -> Option<TileId> {
    let panes = panes(layout);
    let study = panes.iter().find(|(_, pane)| pane.kind.facts().home == Some(page));
    study.or(panes.first()).map(|(tile, _)| *tile)
}

impl Document {
    /// Shows another page, with its panes where they were.
    pub fn go_to(&mut self, page: Page, shapes: Shapes) {
        if page == self.page {
            return;
        }
        let slots: Vec<ImageSlot> = self.pictures.keys().copied().collect();
        let shown = self
            .arrangements
            .remove(&page)
            .unwrap_or_else(|| arrangement(page, &slots, shapes));
        let before = std::mem::replace(&mut self.layout, shown);
        self.arrangements.insert(self.page, before);
        self.page = page;
        self.maximised = None;
    }
}

fn pane(tiles: &mut Tiles<Pane>, kind: PaneKind, slot: ImageSlot) -> TileId {
    row_of(tiles, [Pane::new(kind, slot)])
}

fn first_of(slots: &[ImageSlot]) -> ImageSlot {
    slots.first().copied().unwrap_or(ImageSlot::A)
}

fn alone(tiles: &mut Tiles<Pane>, kind: PaneKind, slots: &[ImageSlot]) -> TileId {
    pane(tiles, kind, first_of(slots))
}

/// Panes below each other, with a share for each.
fn column(tiles: &mut Tiles<Pane>, rows: &[(TileId, f32)]) -> TileId {
    linear(tiles, LinearDir::Vertical, rows)
}

/// Panes beside each other, with a share for each.
fn row(tiles: &mut Tiles<Pane>, columns: &[(TileId, f32)]) -> TileId {
    linear(tiles, LinearDir::Horizontal, columns)
}

fn linear(tiles: &mut Tiles<Pane>, direction: LinearDir, children: &[(TileId, f32)]) -> TileId {
    if let [(alone, _)] = children {
        return *alone;
    }
    let mut linear = Linear::new(direction, children.iter().map(|(tile, _)| *tile).collect());
    for (tile, share) in children {
        linear.shares.set_share(*tile, *share);
    }
    tiles.insert_new(Tile::Container(Container::Linear(linear)))
}

/// Every layer with a plot of its figures, and beside them the pictures in the layer that is pointed at.
fn layers(tiles: &mut Tiles<Pane>, slots: &[ImageSlot], shapes: Shapes) -> TileId {
    let slot = first_of(slots);
    let study = two_studies(tiles, [PaneKind::Sheet, PaneKind::Plot], slots, shapes);
    let mut beside = vec![(pane(tiles, PaneKind::Picture, slot), 1.0)];
    beside.push((pane(tiles, PaneKind::Pca, slot), 1.0));
    if let Some(other) = slots.get(1) {
        beside.push((pane(tiles, PaneKind::Picture, *other), 1.0));
    }
    let beside = column(tiles, &beside);
    row(tiles, &[(study, STUDY_BESIDE_PICTURES), (beside, 1.0)])
}

/// A study, and beside it the first pictures: a ranking looks for the points of one in the other.
fn beside_pictures(tiles: &mut Tiles<Pane>, kind: PaneKind, slots: &[ImageSlot]) -> TileId {
    let study = pane(tiles, kind, first_of(slots));
    let pictures: Vec<(TileId, f32)> = slots
        .iter()
        .take(MOST_BESIDE)
        .map(|slot| (pane(tiles, PaneKind::Picture, *slot), 1.0))
        .collect();
    if pictures.is_empty() {
        return study;
    }
    let pictures = column(tiles, &pictures);
    row(tiles, &[(study, STUDY_BESIDE_PICTURES), (pictures, 1.0)])
}

/// Two studies below each other, or one behind the other where the window is low.
fn two_studies(tiles: &mut Tiles<Pane>, kinds: [PaneKind; 2], slots: &[ImageSlot], shapes: Shapes) -> TileId {
    let slot = first_of(slots);
    if shapes.height < LEAST_WITH_TWO {
        let panes = kinds.map(|kind| tiles.insert_pane(Pane::new(kind, slot)));
        return tiles.insert_tab_tile(panes.to_vec());
    }
    let [first, second] = kinds.map(|kind| pane(tiles, kind, slot));
    let share = if kinds[0] == PaneKind::Sheet {
        SHEET_OVER_PLOT
    } else {
        1.0
    };
    column(tiles, &[(first, share), (second, 1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::document::layout::tidy;

    #[test]
    fn every_page_has_its_studies_and_is_tidy() {
        for count in 0..4 {
            let slots: Vec<ImageSlot> = ImageSlot::all().take(count).collect();
            for page in Page::ALL {
                let layout = arrangement(page, &slots, Shapes::default());
                let mut tidied = layout.clone();
                tidy(&mut tidied);
                assert_eq!(layout, tidied, "{page:?} with {count} pictures");
                for kind in PaneKind::ALL.into_iter().filter(|kind| kind.facts().home == Some(page)) {
                    let there = panes(&layout).into_iter().any(|(_, pane)| pane.kind == kind);
                    assert!(there, "{kind:?} on {page:?}");
                }
            }
        }
    }

    #[test]
    fn a_page_is_as_it_was_left() {
        let mut document = Document::default();
        let first = document.layout.clone();
        document.go_to(Page::Rank, Shapes::default());
        let main = main_pane(&document.layout, Page::Rank).expect("a page has panes");
        let changed = Pane::new(PaneKind::Heat, ImageSlot::B);
        crate::app::document::layout::change_pane(&mut document.layout, main, changed);
        let rank = document.layout.clone();
        document.go_to(Page::Correspond, Shapes::default());
        assert_eq!(document.layout, first);
        document.go_to(Page::Rank, Shapes::default());
        assert_eq!(document.layout, rank);
        assert_eq!(document.arrangements.len(), 1);
    }
}
