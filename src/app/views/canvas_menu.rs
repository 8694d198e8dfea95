//! What can be done at a point of a picture: its menu.

use egui::Ui;
use egui_tiles::TileId;

use crate::{
    app::{
        document::pane::{Pane, PaneKind, View},
        state::{path_box::PathPurpose, root::State, slots::PointAt},
        update::{action::Action, command::Command},
        widgets::action_ui,
    },
    engine::{ImageSlot, QueryAt},
};

/// The menu of a picture. `at` is the point that was clicked; none outside of the picture.
pub fn canvas_menu_ui(
    ui: &mut Ui,
    state: &State,
    tile: TileId,
    pane: &Pane,
    slot: ImageSlot,
    at: Option<[f64; 2]>,
    commands: &mut Vec<Command>,
) {
    let is_open = state.slot(slot).picture.is_some();
    let mut line = |ui: &mut Ui, words: &str, can: bool, told: &mut dyn FnMut() -> Vec<Command>| {
        if ui.add_enabled(can, egui::Button::new(words)).clicked() {
            commands.extend(told());
            ui.close();
        }
    };
    let point = at.unwrap_or_default();
    let here = at.is_some();
    line(ui, "Pin here", here, &mut || {
        vec![Command::AddPin(slot, QueryAt::Point(point))]
    });
    let others = state.open_slots().any(|other| other != slot);
    line(ui, "Start a pair here", here && others, &mut || {
        vec![Command::StartPair(slot, point)]
    });
    let position = PointAt { slot, at: point };
    line(ui, "Copy position", here, &mut || vec![Command::CopyPosition(position)]);
    ui.separator();
    line(ui, "Show the whole picture", is_open, &mut || {
        vec![Command::View(tile, View::default())]
    });
    let size = state.slot(slot).picture.as_ref().map(|picture| picture.size);
    line(ui, "1:1", is_open, &mut || {
        let mut told = vec![Command::FocusPane(tile)];
        if let Some(size) = size.filter(|_| here) {
            // What was clicked comes into the middle.
            let share = |x: f64, length: usize| ((x + 0.5) / length as f64) as f32;
            let view = state.document.view_of(tile);
            let centre = [share(point[0], size.width), share(point[1], size.height)];
            told.push(Command::View(tile, View { centre, ..view }));
        }
        told.push(Command::Act(Action::OneToOne));
        told
    });
    action_ui(ui, state, Action::OnSource, commands);
    ui.separator();
    let mut line = |ui: &mut Ui, words: &str, can: bool, told: Command| {
        if ui.add_enabled(can, egui::Button::new(words)).clicked() {
            commands.push(told);
            ui.close();
        }
    };
    let (can_save, purpose) = match pane.kind {
        PaneKind::Pca => (state.slot(slot).pca.is_some(), PathPurpose::SavePca(slot)),
        _ => (state.heat_on(slot).is_some(), PathPurpose::SaveHeat(slot)),
    };
    line(ui, "Save image…", can_save, Command::AskPath(purpose));
    line(
        ui,
        "Open another picture here…",
        true,
        Command::AskPath(PathPurpose::Picture(slot)),
    );
    line(ui, "Close picture", is_open, Command::ClosePicture(slot));
}
