//! Panes that show many activations, timesteps or models instead of one picture.

use egui::Ui;
use egui_tiles::TileId;

use super::{cka, compare, contact_sheet, content_shift, filmstrip, placed::CanvasContext, plot, ranking};
use crate::app::{document::pane::PaneKind, theme};

/// A pane that is not of one picture.
pub fn study_ui(ui: &mut Ui, tile: TileId, kind: PaneKind, context: &mut CanvasContext<'_>) {
    match kind {
        PaneKind::Sheet => contact_sheet::sheet_ui(ui, context),
        PaneKind::Plot => plot::plot_ui(ui, context),
        PaneKind::Rank => inside(ui, |ui| ranking::rank_ui(ui, context.state, context.commands)),
        PaneKind::Compare => inside(ui, |ui| compare::compare_ui(ui, tile, context)),
        PaneKind::Strip => inside(ui, |ui| filmstrip::strip_ui(ui, tile, context)),
        PaneKind::Cka => inside(ui, |ui| cka::cka_ui(ui, tile, context)),
        PaneKind::Shift => inside(ui, |ui| content_shift::shift_ui(ui, tile, context)),
        PaneKind::Picture | PaneKind::Pca | PaneKind::Heat | PaneKind::Channel => {}
    }
}

/// With a margin to the edges of the pane.
fn inside(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    egui::Frame::new().inner_margin(theme::SPACE_M).show(ui, add);
}
