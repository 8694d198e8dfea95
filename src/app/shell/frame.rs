//! One frame of the window: panels, panes and what lies over them, and what eframe asks of a program.

use std::time::Instant;

use egui::{CentralPanel, Context, Id, Panel, ScrollArea, Ui, UiBuilder};

use crate::app::{
    panels::{inspector, layers, menus, overlays, pages, settings, status_bar, welcome},
    update::{app::App, keep::MEMORY_KEY},
    views::panes,
};

/// Paints the whole window.
pub fn paint(app: &mut App, ui: &mut Ui) {
    let began = Instant::now();
    let mut commands = std::mem::take(&mut app.commands);
    let context = ui.ctx().clone();
    let state = &app.state;
    let presentation = state.presentation;
    if presentation {
        ui.skip_ahead_auto_ids(2);
    } else {
        Panel::top("menus").show(ui, |ui| menus::menus_ui(ui, state, &mut commands));
        Panel::top("pages").show(ui, |ui| pages::pages_ui(ui, state, &mut commands));
    }
    Panel::bottom("status").show(ui, |ui| status_bar::status_ui(ui, state));
    // A part that is not shown keeps its place in the order of parts: the names of those after it come from that order,
    // and with its name a text field would lose the keyboard, and a slider the pointer.
    if state.preferences.settings_shown && !presentation {
        Panel::left("settings")
            .resizable(true)
            .default_size(settings::WIDTH)
            .size_range(settings::WIDTHS)
            .show(ui, |ui| {
                // Layers keep a part of the side, however much is set above them.
                let height = ui.available_height() * settings::MOST_OF_SIDE;
                ScrollArea::vertical()
                    .id_salt("settings")
                    .max_height(height)
                    .auto_shrink([false, true])
                    .show(ui, |ui| settings::settings_ui(ui, state, &mut commands));
                let of_its_own = UiBuilder::new().scope_id(Id::unique("layers"));
                ui.scope_builder(of_its_own, |ui| {
                    layers::layers_ui(ui, &mut app.tree, state, &mut commands)
                });
            });
    } else {
        ui.skip_ahead_auto_ids(1);
    }
    if state.preferences.inspector_shown && !presentation {
        Panel::right("inspector")
            .resizable(true)
            .default_size(inspector::WIDTH)
            .size_range(inspector::WIDTHS)
            .show(ui, |ui| {
                inspector::inspector_ui(ui, state, &app.textures, &mut commands)
            });
    } else {
        ui.skip_ahead_auto_ids(1);
    }
    if state.welcomes && !presentation {
        Panel::top("welcome").show(ui, |ui| welcome::welcome_ui(ui, state, &mut commands));
    } else {
        ui.skip_ahead_auto_ids(1);
    }
    let frame = egui::Frame::central_panel(ui.style()).inner_margin(0.0);
    let layout = CentralPanel::default().frame(frame).show(ui, |ui| {
        panes::panes_ui(ui, state, &app.textures, &mut app.canvases, &mut commands)
    });
    app.on_layout(layout.inner, &context);
    overlays::overlays_ui(ui, &app.state, &app.frames, &mut commands);
    app.finish_frame(commands, &context);
    app.frames.add(began.elapsed());
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.update(context);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        paint(self, ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.state.preferences.set_arrangement(&self.state.document);
        eframe::set_value(storage, MEMORY_KEY, &self.state.preferences);
        self.remember(storage);
    }

    fn on_exit(&mut self) {
        self.stop_keeping();
    }
}
