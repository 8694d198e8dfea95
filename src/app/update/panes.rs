//! What is done to panes and what they show.

use std::collections::BTreeSet;

use egui::Context;
use egui_tiles::TileId;

use super::{action::Action, app::App};
use crate::{
    app::{
        document::{
            arrangement::{arrangement, main_pane},
            layout::{self, Shapes, Side, standard_layout},
            limits::ZOOM_RANGE,
            page::Page,
            pane::{Layout, Pane, PaneKind, View},
            root::Document,
        },
        state::root::State,
        theme,
    },
    engine::ImageSlot,
};

/// How much a step of zoom is.
const ZOOM_STEP: f32 = 1.25;

impl App {
    pub(in crate::app) fn act_on_panes(&mut self, action: Action, context: &Context) {
        if action == Action::ResetLayout {
            self.reset_page();
            return;
        }
        let tile = self
            .state
            .focused
            .or_else(|| layout::first_pane(&self.state.document.layout));
        let Some(tile) = tile else { return };
        let document = &mut self.state.document;
        let view = document.view_of(tile);
        match action {
            Action::ZoomIn => set_view(document, tile, zoomed(view, ZOOM_STEP)),
            Action::ZoomOut => set_view(document, tile, zoomed(view, 1.0 / ZOOM_STEP)),
            Action::Fit => set_view(document, tile, View::default()),
            Action::OneToOne => {
                // How large a pixel is when the picture fits is known only where panes are painted.
                if let Some(zoom) = self.canvases.one_to_one(tile, context.pixels_per_point()) {
                    set_view(document, tile, View { zoom, ..view });
                }
            }
            Action::ClosePane => {
                layout::close_pane(&mut document.layout, tile);
                self.state.focused = None;
            }
            Action::NextPane => {
                let next = layout::next_pane(&document.layout, tile);
                self.state.focused = next;
                // Of a pane that alone is shown the next one is shown alone.
                document.maximised = document.maximised.and(next);
            }
            Action::Maximise => document.maximised = document.maximised.is_none().then_some(tile),
            _ => {}
        }
    }

    /// Shows a page, and works in its main pane.
    pub(in crate::app) fn go_to(&mut self, page: Page) {
        let shapes = self.shapes();
        let state = &mut self.state;
        if state.document.page == page {
            return;
        }
        state.document.go_to(page, shapes);
        state.peek = None;
        state.focused = main_pane(&state.document.layout, page);
    }

    /// Works in a pane of a picture, on this page or on that of pictures: the inspector of a study has none of its controls.
    pub(in crate::app) fn work_in_a_picture(&mut self) {
        let is_picture = |state: &State| state.inspected_pane().is_some_and(|pane| pane.kind.is_of_picture());
        if is_picture(&self.state) {
            return;
        }
        let of_picture = |layout: &Layout| {
            let panes = layout::panes(layout);
            panes
                .iter()
                .find(|(_, pane)| pane.kind.is_of_picture())
                .map(|(tile, _)| *tile)
        };
        if of_picture(&self.state.document.layout).is_none() {
            self.go_to(Page::Correspond);
        }
        self.state.focused = of_picture(&self.state.document.layout);
    }

    /// The panes of the page as they stand at first.
    fn reset_page(&mut self) {
        let shapes = self.shapes();
        let document = &mut self.state.document;
        let slots: Vec<ImageSlot> = document.pictures.keys().copied().collect();
        document.layout = arrangement(document.page, &slots, shapes);
        document.maximised = None;
        self.state.focused = match document.page {
            Page::Correspond => None,
            page => main_pane(&document.layout, page),
        };
    }

    /// Shapes of the pictures and of the room for panes.
    fn shapes(&self) -> Shapes {
        let standard = Shapes::default();
        let room = self.canvases.room_size();
        let sizes = self
            .state
            .open_slots()
            .filter_map(|slot| self.state.slot(slot).picture.as_ref());
        let mut aspects: Vec<f32> = sizes
            .map(|picture| picture.size.width as f32 / picture.size.height as f32)
            .collect();
        aspects.sort_by(f32::total_cmp);
        Shapes {
            picture: aspects.get(aspects.len() / 2).copied().unwrap_or(standard.picture),
            room: room.map_or(standard.room, |room| room.x / room.y),
            height: room.map_or(standard.height, |room| room.y),
        }
    }

    /// Makes room for a picture that has come. Where nobody has changed the panes, all are laid out anew for its shape.
    pub(in crate::app) fn make_room(&mut self, slot: ImageSlot) {
        let with_it = |slots: &mut BTreeSet<ImageSlot>| {
            slots.insert(slot);
        };
        self.lay_out_pictures(with_it, |layout| layout::show_slot(layout, slot));
    }

    /// Takes the panes of a picture that was closed away, where nobody has changed them.
    pub(in crate::app) fn give_room_back(&mut self, slot: ImageSlot) {
        let without_it = |slots: &mut BTreeSet<ImageSlot>| {
            // The last one's panes say how another picture is opened.
            if slots.len() > 1 {
                slots.remove(&slot);
            }
        };
        self.lay_out_pictures(without_it, |_| {});
    }

    /// Changes the page of pictures for others: laid out anew if it is as it was at first, else by `otherwise`.
    fn lay_out_pictures(&mut self, change: impl FnOnce(&mut BTreeSet<ImageSlot>), otherwise: impl FnOnce(&mut Layout)) {
        let shapes = self.shapes();
        let document = &mut self.state.document;
        let layout = match document.page {
            Page::Correspond => &mut document.layout,
            // It is made when it is shown, if it was not yet.
            _ => match document.arrangements.get_mut(&Page::Correspond) {
                Some(layout) => layout,
                None => return,
            },
        };
        let mut slots: BTreeSet<ImageSlot> = layout::panes(layout).iter().map(|(_, pane)| pane.slot).collect();
        let before: Vec<ImageSlot> = slots.iter().copied().collect();
        if !layout::is_standard(layout, &before) {
            otherwise(layout);
            return;
        }
        change(&mut slots);
        let slots: Vec<ImageSlot> = slots.into_iter().collect();
        let worked_in = self
            .state
            .focused
            .and_then(|tile| layout::pane_mut(layout, tile).cloned());
        *layout = standard_layout(&slots, shapes);
        if document.page == Page::Correspond {
            let is_it = |pane: &Pane| {
                worked_in
                    .as_ref()
                    .is_some_and(|other| (other.kind, other.slot) == (pane.kind, pane.slot))
            };
            let panes = layout::panes(&document.layout);
            let again = panes.iter().find(|(_, pane)| is_it(pane));
            self.state.focused = again.map(|(tile, _)| *tile);
            document.maximised = None;
        }
    }

    /// Opens a pane of a kind: a study on its page, anything else beside the pane worked in.
    pub(in crate::app) fn open_pane(&mut self, kind: PaneKind) {
        let slot = self.state.focused_slot();
        if let Some(home) = kind.facts().home {
            self.go_to(home);
            let panes = layout::panes(&self.state.document.layout);
            let found = panes.iter().find(|(_, there)| there.kind == kind);
            if let Some(tile) = found.map(|(tile, _)| *tile) {
                self.state.focused = Some(tile);
                self.state.document.maximised = None;
                // It may stand behind the tab of another one.
                self.state.document.layout.make_active(|other, _| other == tile);
                return;
            }
        }
        self.add_pane(Pane::new(kind, slot));
    }

    /// Puts a pane beside the one worked in, or below it, or in its place with a tab: where both keep the room they need.
    pub(in crate::app) fn add_pane(&mut self, pane: Pane) {
        let document = &mut self.state.document;
        document.maximised = None;
        let layout = &mut document.layout;
        let neighbour = self.state.focused.or_else(|| layout::last_of(layout, pane.slot));
        let neighbour = neighbour.or_else(|| layout::first_pane(layout));
        let room = neighbour.and_then(|tile| self.canvases.rect(tile));
        let side = match (neighbour, room) {
            (Some(tile), Some(rect)) => {
                let there = layout::pane_mut(layout, tile).map_or(pane.kind, |there| there.kind);
                let [least_width, least_height] = least_of_both(there, pane.kind);
                if rect.width() >= 2.0 * least_width {
                    Side::Right
                } else if rect.height() >= 2.0 * least_height + theme::TITLE_HEIGHT {
                    Side::Below
                } else {
                    Side::Tab
                }
            }
            _ => Side::Right,
        };
        self.state.focused = Some(layout::add_pane(layout, neighbour, side, pane));
    }
}

/// The room that a pane of either of two kinds needs, in points.
fn least_of_both(a: PaneKind, b: PaneKind) -> [f32; 2] {
    let [a, b] = [a, b].map(|kind| kind.facts().least);
    [a[0].max(b[0]), a[1].max(b[1])]
}

/// Shows another part: in all panes where they move together, else in one.
pub(in crate::app) fn set_view(document: &mut Document, tile: TileId, view: View) {
    let [least, most] = ZOOM_RANGE;
    let view = View {
        centre: view.centre.map(|share| share.clamp(0.0, 1.0)),
        zoom: view.zoom.clamp(least, most),
    };
    if document.linked {
        document.view = view;
    } else if let Some(pane) = layout::pane_mut(&mut document.layout, tile) {
        pane.view = view;
    }
}

fn zoomed(view: View, by: f32) -> View {
    View {
        zoom: view.zoom * by,
        ..view
    }
}
