//! Menus and toolbar, from the one table of actions; what they share with other panels.

use egui::{Button, ComboBox, MenuBar, ScrollArea, Ui};

use super::{models::download_button_ui, presets::presets_ui};
use crate::{
    app::{
        state::{
            path_box::PathPurpose,
            reveal::Control,
            root::State,
            shown::{file_name, short, shown_path, shown_source},
        },
        update::{
            abilities::Abilities,
            action::{Action, Menu},
            command::{Command, Notice},
        },
        widgets::{
            Glyph, action_button_ui, action_ui, error_ui, glyph_button_ui, glyph_toggle_ui, reveal, type_path,
            work_errors_ui,
        },
    },
    engine::{ImageSlot, PictureSource},
    families::known::known_checkpoints,
    files::names,
    image::samples::SAMPLES,
    words,
};

/// Actions that have an icon in the toolbar.
const ICONS: [(Action, Glyph); 11] = [
    (Action::OpenPicture, Glyph::Open),
    (Action::SaveWorkspace, Glyph::Save),
    (Action::Undo, Glyph::Undo),
    (Action::Redo, Glyph::Redo),
    (Action::SwapPictures, Glyph::Swap),
    (Action::AddPin, Glyph::Pin),
    (Action::Fit, Glyph::Fit),
    (Action::Link, Glyph::Link),
    (Action::Grid, Glyph::Cells),
    (Action::Loupe, Glyph::Search),
    (Action::Overlay, Glyph::Eye),
];

/// Actions that have a button with their name in the toolbar.
const BUTTONS: [Action; 5] = [
    Action::OneToOne,
    Action::Brush,
    Action::Normalise,
    Action::LockRange,
    Action::Smooth,
];

/// The menu bar.
pub fn menus_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    MenuBar::new().ui(ui, |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| {
                ScrollArea::vertical().show(ui, |ui| {
                    if menu == Menu::File {
                        recent_ui(ui, state, commands);
                    }
                    if menu == Menu::Model {
                        presets_ui(ui, state, commands);
                        ui.separator();
                    }
                    for action in Action::of_menu(menu) {
                        action_ui(ui, state, action, commands);
                    }
                });
            });
        }
    });
}

/// What was opened lately.
fn recent_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let memory = &state.preferences;
    let paths = memory.workspaces.iter().chain(&memory.pictures);
    let mut recent = paths.peekable();
    let any = recent.peek().is_some();
    ui.add_enabled_ui(any, |ui| {
        ui.menu_button("Recent", |ui| {
            for path in recent {
                let name = file_name(path);
                let button = ui.button(short(&name)).on_hover_text(shown_path(path));
                if button.clicked() {
                    commands.push(Command::OpenFiles(vec![path.clone()]));
                    ui.close();
                }
            }
        });
    });
    ui.separator();
}

/// An action as an icon, with its name and key in the tooltip.
fn action_icon_ui(ui: &mut Ui, state: &State, action: Action, glyph: Glyph, commands: &mut Vec<Command>) {
    ui.add_enabled_ui(state.can(action), |ui| {
        let name = action.name().trim_end_matches('…');
        let response = match state.is_on(action) {
            Some(mut on) => glyph_toggle_ui(ui, glyph, &mut on, name),
            None => glyph_button_ui(ui, glyph, name),
        };
        let tooltip = action.tooltip(ui.ctx());
        let response = response.on_hover_text(&tooltip).on_disabled_hover_text(&tooltip);
        if response.clicked() {
            commands.push(Command::Act(action));
        }
    });
}

/// Pictures up to which the toolbar has their names.
const MOST_NAMED: usize = 4;

/// Model, pictures, and what is done most.
pub fn toolbar_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        model_ui(ui, state, commands);
        ui.separator();
        for slot in state.open_slots() {
            picture_menu_ui(ui, state, slot, commands);
        }
        if let Some(slot) = state.document.free_slot() {
            picture_menu_ui(ui, state, slot, commands);
        }
        ui.separator();
        for (action, glyph) in ICONS {
            action_icon_ui(ui, state, action, glyph, commands);
        }
        for action in BUTTONS {
            action_button_ui(ui, state, action, commands);
        }
    });
    if let Some(error) = &state.model.error {
        error_ui(ui, error, Notice::Model, commands);
    }
    if let Some(message) = &state.recovered {
        let words = format!(
            "A bug in the worker was caught ({message}). The model may have to be loaded again: choose it above."
        );
        error_ui(ui, &words, Notice::Recovered, commands);
    }
    if !state.preferences.settings_shown {
        // They belong to the left side, which is not there.
        work_errors_ui(ui, state, commands);
    }
}

fn model_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let wanted = state.model.wanted.as_str();
    let shown = state.model.info.as_ref().map_or(wanted, |info| info.name.as_str());
    let combo = ComboBox::from_label("Model")
        .selected_text(short(shown))
        .height(400.0)
        .show_ui(ui, |ui| {
            for entry in known_checkpoints() {
                let button = ui.selectable_label(shown == entry.key, entry.key);
                if button.on_hover_text(entry.title).clicked() {
                    commands.push(Command::LoadModel(entry.key.to_owned()));
                }
            }
            let in_zoo = |name: &str| known_checkpoints().any(|entry| entry.key == name);
            let recent = state.preferences.models.iter().filter(|name| !in_zoo(name));
            for name in recent {
                if ui
                    .selectable_label(shown == name, short(name))
                    .on_hover_text(words::visible(&names::shown(name)))
                    .clicked()
                {
                    commands.push(Command::LoadModel(name.clone()));
                }
            }
            ui.separator();
            if ui.button("Open a folder…").clicked() {
                commands.push(Command::AskPath(PathPurpose::Model));
            }
            download_button_ui(ui, state, commands);
            let hint = "All of Stable Diffusion in one .safetensors or .ckpt, or ADM's weights";
            if ui.button("Open a file…").on_hover_text(hint).clicked() {
                commands.push(Command::AskPath(PathPurpose::ModelFile));
            }
            let hint = "A folder of the hub's layout, a file, or OWNER/NAME as on the hub";
            if ui.button("Type a path…").on_hover_text(hint).clicked() {
                commands.push(type_path(PathPurpose::Model));
            }
        });
    let weights = state.model.info.as_ref().map_or("", |info| info.weights.as_str());
    reveal(ui, Control::Model, &combo.response);
    combo
        .response
        .on_hover_text(format!("{weights}  {}", Action::OpenModel.tooltip(ui.ctx())));
}

fn picture_menu_ui(ui: &mut Ui, state: &State, slot: ImageSlot, commands: &mut Vec<Command>) {
    let picture = state.slot(slot).picture.as_ref();
    let title = match picture {
        // Of many there is room for letters; the tabs of their panes have the names.
        Some(_) if state.open_slots().count() > MOST_NAMED => slot.name().to_owned(),
        Some(picture) => format!("{}: {}", slot.name(), short(&picture.source.name())),
        None => format!("+ {}", slot.name()),
    };
    let open = |source| Command::OpenPicture(slot, source);
    let menu = ui.menu_button(title, |ui| {
        if ui.button("Open…").clicked() {
            commands.push(Command::AskPath(PathPurpose::Picture(slot)));
        }
        if ui.button("Type a path…").clicked() {
            commands.push(type_path(PathPurpose::Picture(slot)));
        }
        ui.menu_button("Samples", |ui| {
            ScrollArea::vertical().show(ui, |ui| {
                for sample in SAMPLES {
                    let mut button = ui.button(sample.name);
                    if sample.name.starts_with("photo") {
                        button = button.on_hover_text("A photograph: outside of the embedded model's training");
                    }
                    if button.clicked() {
                        commands.push(open(PictureSource::Sample(sample.name.to_owned())));
                        ui.close();
                    }
                }
            });
        });
        ui.add_enabled_ui(!state.preferences.pictures.is_empty(), |ui| {
            ui.menu_button("Recent", |ui| {
                for path in &state.preferences.pictures {
                    let source = PictureSource::File(path.clone());
                    let button = ui.button(short(&source.name()));
                    if button.on_hover_text(shown_path(path)).clicked() {
                        commands.push(open(source));
                        ui.close();
                    }
                }
            });
        });
        if ui.add_enabled(picture.is_some(), Button::new("Close")).clicked() {
            commands.push(Command::ClosePicture(slot));
        }
    });
    let hint = match picture {
        Some(picture) => format!(
            "Picture {}, {}: open another, or drop a file on its pane",
            slot.name(),
            shown_source(&picture.source)
        ),
        None => format!("Open one more picture, as {}", slot.name()),
    };
    menu.response.on_hover_text(hint);
}
