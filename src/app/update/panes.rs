//! What is done to panes and what they show.

use egui::Context;
use egui_tiles::TileId;

use super::{action::Action, app::App};
use crate::{
    app::{
        document::{
            layout::{self, standard_layout},
            limits::ZOOM_RANGE,
            pane::{Pane, View},
            root::Document,
        },
        state::root::State,
    },
    engine::ImageSlot,
};

/// How much a step of zoom is.
const ZOOM_STEP: f32 = 1.25;

impl App {
    pub(in crate::app) fn act_on_panes(&mut self, action: Action, context: &Context) {
        let tile = self
            .state
            .focused
            .or_else(|| layout::first_pane(&self.state.document.layout));
        let Some(tile) = tile.filter(|_| action != Action::ResetLayout) else {
            let slots: Vec<ImageSlot> = self.state.document.pictures.keys().copied().collect();
            let slots = if slots.is_empty() { vec![ImageSlot::A] } else { slots };
            self.state.document.layout = standard_layout(&slots);
            self.state.focused = None;
            return;
        };
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
            Action::NextPane => self.state.focused = layout::next_pane(&document.layout, tile),
            _ => {}
        }
    }
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

/// Opens a pane beside the one worked in. What is not of one picture has the whole height.
pub(in crate::app) fn add_pane(state: &mut State, pane: Pane) {
    let layout = &mut state.document.layout;
    let beside = state.focused.or_else(|| layout::last_of(layout, pane.slot));
    let beside = beside.filter(|_| pane.kind.is_of_picture());
    state.focused = Some(layout::add_pane(layout, beside, pane));
}
