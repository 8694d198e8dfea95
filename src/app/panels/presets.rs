//! Published settings, one click away.

use egui::Ui;

use crate::{
    activation::Id,
    app::{state::root::State, update::command::Command},
    extract::preset::{PRESETS, Preset},
};

/// A menu of every preset, each with the model it was published for and, where it has the same activations, with the
/// one that is loaded.
pub fn presets_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let loaded = state.model.info.as_ref().map(|info| info.name.as_str());
    ui.menu_button("Presets", |ui| {
        for preset in PRESETS {
            ui.menu_button(preset.title, |ui| {
                ui.weak(preset.source);
                ui.weak(preset.describe());
                if ui.button(format!("With {}", preset.model)).clicked() {
                    commands.push(Command::Preset(preset, true));
                    ui.close();
                }
                if let Some(loaded) = loaded.filter(|loaded| *loaded != preset.model && fits(state, preset)) {
                    let name = crate::app::state::shown::short(loaded);
                    let hint = "It has the same activations: its own weights and schedule are used";
                    if ui.button(format!("With {name}")).on_hover_text(hint).clicked() {
                        commands.push(Command::Preset(preset, false));
                        ui.close();
                    }
                }
            });
        }
    });
}

/// Whether the model that is loaded has every activation of a preset.
fn fits(state: &State, preset: &Preset) -> bool {
    let Some(info) = &state.model.info else { return false };
    let mut ids = preset.ids.iter().filter_map(|name| name.parse::<Id>().ok());
    ids.all(|id| info.layers.iter().any(|layer| layer.id == id))
}
