//! Menus and toolbar, from the one table of actions; what they share with other panels.

use std::{borrow::Cow, path::Path};

use egui::{Button, Checkbox, ComboBox, MenuBar, Response, ScrollArea, Ui, WidgetInfo, accesskit::Role};

use super::{
    Action, Command, Menu, Notice, PathBox, PathPurpose, State,
    models::download_button_ui,
    presets::presets_ui,
    widgets::{Glyph, glyph_button_ui, glyph_toggle_ui},
};
use crate::{
    engine::{PictureSource, Slot},
    families::known::known_checkpoints,
    files::names,
    weights::embedded::SAMPLES,
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
    let memory = &state.memory;
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

/// An action as a line of a menu.
pub fn action_ui(ui: &mut Ui, state: &State, action: Action, commands: &mut Vec<Command>) {
    let key = action.key_text(ui.ctx());
    let line = ui.add_enabled_ui(state.can(action), |ui| match state.is_on(action) {
        Some(mut on) => {
            let line = ui.horizontal(|ui| {
                let response = ui.checkbox(&mut on, action.name());
                let name = format!("{} {key}", action.name());
                response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), on, &name));
                let right = egui::Layout::right_to_left(egui::Align::Center);
                ui.with_layout(right, |ui| ui.weak(key));
                response
            });
            line.inner
        }
        None => ui.add(Button::new(action.name()).shortcut_text(key)),
    });
    if line.inner.on_hover_text(action.entry().hint).clicked() {
        commands.push(Command::Act(action));
        ui.close();
    }
}

/// An action as a button of its own, with its key in the tooltip.
pub fn action_button_ui(ui: &mut Ui, state: &State, action: Action, commands: &mut Vec<Command>) -> Response {
    let name = action.name().trim_end_matches('…');
    let tooltip = action.tooltip(ui.ctx());
    let response = match state.is_on(action) {
        Some(mut on) => ui.add_enabled(state.can(action), Checkbox::new(&mut on, name)),
        None => ui.add_enabled(state.can(action), Button::new(name)),
    };
    let response = response.on_hover_text(&tooltip).on_disabled_hover_text(&tooltip);
    if response.clicked() {
        commands.push(Command::Act(action));
    }
    response
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
    if !state.memory.settings_shown {
        // They belong to the left side, which is not there.
        work_errors_ui(ui, state, commands);
    }
}

/// Why the last run failed, and why something cannot be shown.
pub fn work_errors_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    if let Some(error) = &state.run.error {
        error_ui(ui, error, Notice::Run, commands);
    }
    if let Some(error) = &state.view_error {
        error_ui(ui, error, Notice::View, commands);
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
            let recent = state.memory.models.iter().filter(|name| !in_zoo(name));
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
    combo
        .response
        .on_hover_text(format!("{weights}  {}", Action::OpenModel.tooltip(ui.ctx())));
}

/// What a path is called in a list: its last part, in which nothing acts.
pub fn file_name(path: &Path) -> Cow<'_, str> {
    match path.file_name().unwrap_or(path.as_os_str()).to_string_lossy() {
        Cow::Borrowed(name) => words::visible(name),
        Cow::Owned(name) => words::visible(&name).into_owned().into(),
    }
}

/// All of a path, in which nothing acts.
pub fn shown_path(path: &Path) -> String {
    words::visible(&path.display().to_string()).into_owned()
}

/// What a picture is called, in which nothing acts.
pub fn shown_source(source: &PictureSource) -> String {
    words::visible(&source.name()).into_owned()
}

/// The end of a long path: what tells it from others.
pub fn short(name: &str) -> String {
    const SHOWN: usize = 24;
    let name = names::shown(name);
    let name = words::visible(&name);
    let count = name.chars().count();
    if count <= SHOWN {
        return name.into_owned();
    }
    format!("…{}", name.chars().skip(count - SHOWN).collect::<String>())
}

/// Opens the box for a path.
pub fn type_path(purpose: PathPurpose) -> Command {
    Command::PathBox(PathBox {
        purpose: Some(purpose),
        text: String::new(),
    })
}

fn picture_menu_ui(ui: &mut Ui, state: &State, slot: Slot, commands: &mut Vec<Command>) {
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
        ui.add_enabled_ui(!state.memory.pictures.is_empty(), |ui| {
            ui.menu_button("Recent", |ui| {
                for path in &state.memory.pictures {
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

/// An error, where it belongs, until it is taken away.
pub fn error_ui(ui: &mut Ui, error: &str, notice: Notice, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        if dismiss_button_ui(ui) {
            commands.push(Command::Dismiss(notice));
        }
        ui.colored_label(ui.visuals().error_fg_color, words::message(error));
    });
}

/// A small button that takes a message away.
pub fn dismiss_button_ui(ui: &mut Ui) -> bool {
    let button = ui.small_button("×").on_hover_text("Dismiss");
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Dismiss"));
    button.clicked()
}
