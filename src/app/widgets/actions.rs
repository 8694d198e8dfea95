//! Actions as lines of menus and as buttons.

use crate::app::{
    state::{
        path_box::{PathBox, PathPurpose},
        root::State,
    },
    update::{abilities::Abilities, action::Action, command::Command},
};
use egui::{Button, Checkbox, Response, Ui, WidgetInfo, accesskit::Role};

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

/// Opens the box for a path.
pub fn type_path(purpose: PathPurpose) -> Command {
    Command::PathBox(PathBox {
        purpose: Some(purpose),
        text: String::new(),
    })
}
