//! What a fresh window says: one sentence, and three ways to go on.

use egui::{Align, Layout, Ui};

use super::pages::samples_ui;
use crate::app::{
    state::root::State,
    update::{action::Action, command::Command},
    widgets::dismiss_button_ui,
};

/// What is seen, and what to do with it.
const SENTENCE: &str = "What the model takes for the same as the marked eye lights up in the other pictures. Click anywhere to ask \
                        about another place; Esc follows the pointer.";

/// The sentence and the ways, until one of them is gone or they are taken away.
pub fn welcome_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        ui.label(SENTENCE);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if dismiss_button_ui(ui) {
                commands.push(Command::Welcomed);
            }
            for (words, action) in [("Tour", Action::Tour), ("Open images…", Action::AddPicture)] {
                if ui.button(words).on_hover_text(action.entry().hint).clicked() {
                    commands.extend([Command::Act(action), Command::Welcomed]);
                }
            }
            let slot = state.focused_slot();
            ui.menu_button("Samples", |ui| samples_ui(ui, slot, commands));
        });
    });
}
