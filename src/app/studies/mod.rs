//! Panes that show many activations, timesteps or models beside each other instead of one picture. What they show is
//! computed by the workers; what is chosen in them is part of the document.

use egui::Ui;
use egui_tiles::TileId;

use super::{canvas::CanvasContext, document::PaneKind};

/// A pane that is not of one picture.
pub fn study_ui(ui: &mut Ui, _tile: TileId, kind: PaneKind, _context: &mut CanvasContext<'_>) {
    ui.label(kind.name());
}
