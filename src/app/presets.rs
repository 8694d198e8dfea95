//! Published settings, one click away.

use egui::Ui;

use super::{App, Command, State};
use crate::{
    activation::Id,
    extract::{inversion::Inversion, pass::VaeMode, preset::PRESETS, preset::Preset},
};

/// A menu of every preset, each with the model it was published for and, where it has the same activations, with the
/// one that is loaded.
pub fn presets_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let loaded = state.model.info.as_ref().map(|info| info.name.as_str());
    ui.menu_button("Presets", |ui| {
        for preset in PRESETS {
            ui.menu_button(preset.title, |ui| {
                ui.weak(preset.source);
                ui.weak(preset.in_words());
                if ui.button(format!("With {}", preset.model)).clicked() {
                    commands.push(Command::Preset(preset, true));
                    ui.close();
                }
                if let Some(loaded) = loaded.filter(|loaded| *loaded != preset.model && fits(state, preset)) {
                    let name = super::menus::short(loaded);
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

impl App {
    /// Sets what a preset says, on the model it was published for or on the one that is loaded.
    pub(super) fn begin_preset(&mut self, preset: &'static Preset, its_model: bool) {
        let there = self.state.model.info.as_ref().map(|info| info.name.as_str());
        if its_model && (there != Some(preset.model) || self.state.model.loading.is_some()) {
            // What is looked at stays until the model is there: it may not be on this machine.
            self.preset_awaited = Some(preset);
            self.load_model(preset.model.to_owned());
            return;
        }
        self.use_preset(preset);
    }

    /// Sets what a preset says but for the model.
    pub(super) fn use_preset(&mut self, preset: &Preset) {
        let document = &mut self.state.document;
        let settings = &mut document.settings;
        preset.prompt.clone_into(&mut settings.prompt);
        settings.t = preset.t;
        settings.ensemble = preset.ensemble;
        settings.size = preset.size();
        settings.vae = VaeMode::Mean;
        settings.inversion = Inversion::None;
        let first = preset.ids.first().and_then(|name| name.parse().ok());
        document.layer = first.or(document.layer);
        let mut text = format!("{}: {}.", preset.title, preset.in_words());
        if let Some(words) = Preset::open_words(preset.prompt) {
            text += &format!(" Its prompt is \"{}\": replace {words}.", preset.prompt);
        }
        self.state.messages.tell(super::Level::Info, text);
        self.state.want_another_run();
    }
}
