//! Menus, from the one table of actions, and what is set most beside them.

use egui::{Align, Button, ComboBox, Layout, MenuBar, ScrollArea, Ui, vec2};

use super::{
    models::download_button_ui,
    pages::action_icon_ui,
    presets::presets_ui,
    settings::{run_ui, timestep_ui},
};
use crate::{
    app::{
        state::{
            path_box::PathPurpose,
            root::State,
            shown::{file_name, short, shown_path},
        },
        update::{
            action::{Action, Menu},
            command::Command,
        },
        widgets::{Glyph, action_ui, name_combo, type_path},
    },
    families::known::known_checkpoints,
    files::names,
    words,
};

/// The sides of the window, with an icon each.
const SIDES: [(Action, Glyph); 2] = [
    (Action::Inspector, Glyph::RightSide),
    (Action::Settings, Glyph::LeftSide),
];
/// What the timestep's slider needs beside the rest of the row, in points.
const LEAST_WITH_TIMESTEP: f32 = 330.0;
/// What the palette's button and the icons of the sides need, in points.
const PALETTE_WIDTH: f32 = 190.0;
/// Between the lower edge of a menu and that of the window, in points.
const BELOW_MENU: f32 = 60.0;

/// Menus, the model, the timestep, the run, and the way to everything else by name: one row.
pub fn menus_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    MenuBar::new().ui(ui, |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| {
                let height = (ui.ctx().content_rect().height() - BELOW_MENU).max(BELOW_MENU);
                ScrollArea::vertical().max_height(height).show(ui, |ui| {
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
        ui.separator();
        model_ui(ui, state, commands);
        if ui.available_width() >= LEAST_WITH_TIMESTEP {
            timestep_ui(ui, state, commands);
        }
        run_ui(ui, state, commands);
        let right = Layout::right_to_left(Align::Center);
        let room = vec2(ui.available_width(), ui.spacing().interact_size.y);
        if room.x >= PALETTE_WIDTH {
            ui.allocate_ui_with_layout(room, right, |ui| {
                for (action, glyph) in SIDES {
                    action_icon_ui(ui, state, action, glyph, commands);
                }
                palette_button_ui(ui, commands);
            });
        }
    });
}

/// What finds everything by name, with its key.
fn palette_button_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let action = Action::Palette;
    let key = action.key_text(ui.ctx());
    let button = Button::new("Search").shortcut_text(key);
    if ui.add(button).on_hover_text(action.tooltip(ui.ctx())).clicked() {
        commands.push(Command::Act(action));
    }
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

fn model_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let wanted = state.model.wanted.as_str();
    let shown = state.model.info.as_ref().map_or(wanted, |info| info.name.as_str());
    let height = (ui.ctx().content_rect().height() - BELOW_MENU).max(BELOW_MENU);
    let combo = ComboBox::from_id_salt("Model")
        .selected_text(short(shown))
        .height(height)
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
    name_combo(&combo.response, "Model", shown);
    let weights = state.model.info.as_ref().map_or("", |info| info.weights.as_str());
    combo
        .response
        .on_hover_text(format!("{weights}  {}", Action::OpenModel.tooltip(ui.ctx())));
}
