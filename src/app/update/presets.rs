//! Published settings: set now, or when their model is there.

use std::mem;

use super::app::App;
use crate::extract::{preset::Preset, settings::RunSettings};

impl App {
    /// Sets what a preset says, on the model it was published for or on the one that is loaded.
    pub(in crate::app) fn begin_preset(&mut self, preset: &'static Preset, its_model: bool) {
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
    pub(in crate::app) fn use_preset(&mut self, preset: &Preset) {
        let document = &mut self.state.document;
        let settings = &mut document.settings;
        *settings = RunSettings {
            seed: settings.seed,
            adapters: mem::take(&mut settings.adapters),
            ..preset.settings(None)
        };
        let first = preset.ids.first().and_then(|name| name.parse().ok());
        document.layer = first.or(document.layer);
        let mut text = format!("{}: {}.", preset.title, preset.describe());
        if let Some(words) = Preset::open_words(preset.prompt) {
            text += &format!(" Its prompt is \"{}\": replace {words}.", preset.prompt);
        }
        self.state
            .messages
            .report(crate::app::state::messages::Level::Info, text);
        self.state.want_another_run();
    }
}
