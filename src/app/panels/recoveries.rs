//! Unsaved work of earlier windows, to be opened or discarded.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use egui::{Grid, ScrollArea, Ui, WidgetInfo, accesskit::Role};

use crate::{
    app::{
        document::workspace::OpenedWorkspace,
        state::{
            recovery::Recovery,
            root::State,
            shown::{file_name, shown_source},
        },
        update::{
            action::Action,
            command::{Command, RecoverCommand},
        },
    },
    words,
};

/// Height of the list of works, in points, at most.
const LIST_HEIGHT: f32 = 320.0;
/// Width of what is said of a work, in points.
const WORDS_WIDTH: f32 = 420.0;

/// The works, each with what can be done with it.
pub fn recoveries_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.label("A window did not come to its end. This is what was not saved in it:");
    ScrollArea::vertical().max_height(LIST_HEIGHT).show(ui, |ui| {
        Grid::new("recoveries").num_columns(3).striped(true).show(ui, |ui| {
            for recovery in &state.recoveries {
                recovery_ui(ui, recovery, commands);
                ui.end_row();
            }
        });
    });
    ui.weak("What is opened here takes the place of what this window shows; undo brings that back.");
    let later = ui
        .button("Not now")
        .on_hover_text("It is offered again at the next start, and before in the menu File.");
    // Whoever has no pointer begins here: what does no harm is nearest.
    let layer = ui.layer_id();
    if !ui.memory(|memory| memory.areas().visible_last_frame(&layer)) {
        later.request_focus();
    }
    if later.clicked() {
        commands.push(Command::Act(Action::Recover));
    }
}

fn recovery_ui(ui: &mut Ui, recovery: &Recovery, commands: &mut Vec<Command>) {
    let age = age_text(recovery.kept_at);
    let words = match &recovery.work {
        Ok(work) => format!("{age}: {}", work_text(work)),
        Err(why) => format!("{age}: {}", words::message(why)),
    };
    ui.scope(|ui| {
        ui.set_max_width(WORDS_WIDTH);
        ui.label(&words);
    });
    for (name, hint, can, command) in [
        (
            "Open",
            "Look at it here.",
            recovery.work.is_ok(),
            RecoverCommand::Open(recovery.folder.clone()),
        ),
        (
            "Discard",
            "Let go of it.",
            true,
            RecoverCommand::Discard(recovery.folder.clone()),
        ),
    ] {
        let button = ui.add_enabled(can, egui::Button::new(name));
        // Read aloud, a button says of which work it is.
        button.widget_info(|| WidgetInfo::labeled(Role::Button, can, format!("{name} the work of {words}")));
        if button.on_hover_text(hint).clicked() {
            commands.push(Command::Recover(command));
        }
    }
}

/// What a work is of: its file, model, layer, pictures and pins.
fn work_text(work: &OpenedWorkspace) -> String {
    let document = &work.document;
    let name_of = |path: &Path| file_name(path).into_owned();
    let mut words = Vec::new();
    words.extend(work.saved_as.as_deref().map(name_of));
    words.extend(document.model.as_ref().map(|model| name_of(Path::new(model))));
    words.extend(document.layer.map(|layer| layer.to_string()));
    words.extend(document.pictures.values().map(|picture| shown_source(&picture.source)));
    words.push(match document.pins.len() {
        0 => "no pins".to_owned(),
        1 => "1 pin".to_owned(),
        count => format!("{count} pins"),
    });
    words.join(", ")
}

/// How long ago something was, in the largest unit of which there are two.
fn age_text(at: SystemTime) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    let secs = at.elapsed().unwrap_or(Duration::ZERO).as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| secs >= 2 * unit);
    match unit {
        Some((unit, name)) => format!("{} {name} ago", secs / unit),
        None => "a moment ago".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_whole_units() {
        let ago = |secs| age_text(SystemTime::now() - Duration::from_secs(secs));
        assert_eq!(ago(0), "a moment ago");
        assert_eq!(ago(130), "2 minutes ago");
        assert_eq!(ago(119 * 60), "119 minutes ago");
        assert_eq!(ago(3 * 86_400), "3 days ago");
        assert_eq!(age_text(SystemTime::now() + Duration::from_secs(60)), "a moment ago");
    }
}
