//! Errors where they belong, until the user takes them away.

use egui::{Ui, WidgetInfo, accesskit::Role};

use crate::{
    app::{
        state::root::State,
        update::command::{Command, Notice},
    },
    words,
};

/// Why the last run failed, and why something cannot be shown.
pub fn work_errors_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    if let Some(error) = &state.run.error {
        error_ui(ui, error, Notice::Run, commands);
    }
    if let Some(error) = &state.view_error {
        error_ui(ui, error, Notice::View, commands);
    }
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
