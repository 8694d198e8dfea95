//! Windows over the window: palette, keys, log, frame times, the box for paths, toasts.

use std::time::UNIX_EPOCH;

use egui::{
    Align2, Area, Id, Key, Label, LayerId, Order, ScrollArea, Ui, Window,
    accesskit::{Live, Node},
    vec2,
};

use super::{
    about, browser::browser_ui, dense_screen::dense_screen_ui, export, frame_times::frame_times_ui, jobs, key_sheet,
    models, palette, recoveries, tour::tour_ui,
};
use crate::{
    app::{
        state::{
            canvas_rects::CanvasRects, frame_times::FrameTimes, messages::Level, path_box::PathBox, root::State,
            shown::shown_path,
        },
        theme,
        update::{action::Action, command::Command},
        widgets::dismiss_button_ui,
    },
    files::names,
};

/// Distance of toasts from the corner, and their width, in points.
const TOAST_MARGIN: f32 = 12.0;
const TOAST_WIDTH: f32 = 360.0;
/// How far above the lower edge it is said what a key did, in points: over the status bar.
const NOTE_ABOVE: f32 = 72.0;
/// Seconds of a day, hour and minute.
const DAY_SECS: u64 = 86_400;
const HOUR_SECS: u64 = 3600;
const MINUTE_SECS: u64 = 60;

/// Everything that lies over the panes.
pub fn overlays_ui(
    ui: &mut Ui,
    state: &State,
    canvases: &CanvasRects,
    frames: &FrameTimes,
    commands: &mut Vec<Command>,
) {
    palette::palette_ui(ui, state, commands);
    browser_ui(ui, state, commands);
    missing_ui(ui, state, commands);
    dense_screen_ui(ui, state, commands);
    let overlays = &state.overlays;
    let (mut open, mut asked) = (Vec::new(), Vec::new());
    if overlays.keys {
        open.extend(window_ui(ui, "Keys", Action::Keys, commands, key_sheet::key_sheet_ui));
    }
    if overlays.log {
        open.extend(window_ui(ui, "Log", Action::Log, commands, |ui| log_ui(ui, state)));
    }
    if overlays.models {
        open.extend(window_ui(ui, "Models", Action::Models, commands, |ui| {
            models::models_ui(ui, state, &mut asked);
        }));
    }
    if overlays.export {
        open.extend(window_ui(ui, "Export", Action::ExportPanes, commands, |ui| {
            export::export_ui(ui, state, &mut asked);
        }));
    }
    if overlays.recoveries {
        open.extend(window_ui(ui, "Unsaved work", Action::Recover, commands, |ui| {
            recoveries::recoveries_ui(ui, state, &mut asked);
        }));
    }
    commands.extend(asked);
    if overlays.frame_times {
        let times = |ui: &mut Ui| frame_times_ui(ui, frames);
        open.extend(window_ui(ui, "Frame times", Action::FrameTimes, commands, times));
    }
    if let Some(tour) = &overlays.tour {
        open.extend(tour_ui(ui, state, tour, canvases, commands));
    }
    if overlays.about {
        open.extend(window_ui(ui, "About", Action::About, commands, about::about_ui));
    }
    let typed = state.overlays.palette.is_some() || state.path_box.purpose.is_some();
    if !typed && ui.input(|input| input.key_pressed(Key::Escape)) {
        let layers: Vec<LayerId> = ui.memory(|memory| memory.layer_ids().collect());
        let height = |(_, layer): &(Action, LayerId)| layers.iter().position(|other| other == layer);
        commands.extend(
            open.into_iter()
                .max_by_key(height)
                .map(|(action, _)| Command::Act(action)),
        );
    }
    toasts_ui(ui, state, commands);
    short_note_ui(ui, state);
    jobs::jobs_ui(ui, state, commands);
}

/// A window that its action opens and closes; gives the action and where the window is, if it stays.
fn window_ui(
    ui: &Ui,
    title: &str,
    action: Action,
    commands: &mut Vec<Command>,
    content: impl FnOnce(&mut Ui),
) -> Option<(Action, LayerId)> {
    let mut stays = true;
    let shown = Window::new(title)
        .open(&mut stays)
        .collapsible(false)
        .pivot(Align2::CENTER_CENTER)
        .default_pos(ui.ctx().content_rect().center())
        .constrain(true)
        .show(ui.ctx(), content);
    if !stays {
        commands.push(Command::Act(action));
    }
    shown.filter(|_| stays).map(|shown| (action, shown.response.layer_id))
}

/// What has happened so far.
fn log_ui(ui: &mut Ui, state: &State) {
    let lines = &state.messages.log;
    if lines.is_empty() {
        ui.weak("Nothing has happened yet.");
        return;
    }
    let height = (ui.ctx().content_rect().height() - 160.0).max(120.0);
    ScrollArea::vertical()
        .stick_to_bottom(true)
        .max_height(height)
        .show(ui, |ui| {
            for line in lines {
                ui.horizontal_wrapped(|ui| {
                    let secs = line.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % DAY_SECS;
                    let (hours, minutes) = (secs / HOUR_SECS, secs % HOUR_SECS / MINUTE_SECS);
                    ui.weak(format!("{hours:02}:{minutes:02}:{:02} UTC", secs % MINUTE_SECS));
                    ui.colored_label(level_colour(ui, line.level), line.level.word());
                    ui.label(&line.text);
                });
            }
        });
}

fn level_colour(ui: &Ui, level: Level) -> egui::Color32 {
    let tokens = theme::tokens(ui);
    match level {
        Level::Info => tokens.success,
        Level::Warning => tokens.warning,
        Level::Error => tokens.error,
    }
}

/// What the last key did, in the middle below; whoever reads the window aloud is told it.
fn short_note_ui(ui: &Ui, state: &State) {
    let Some(note) = &state.messages.short else { return };
    Area::new(Id::unique("short note"))
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -NOTE_ABOVE))
        .order(Order::Foreground)
        .interactable(false)
        .show(ui.ctx(), |ui| {
            egui::Frame::popup(ui.style()).show(ui, |ui| {
                let response = ui.add(Label::new(&note.text).extend().selectable(false));
                let live = |node: &mut Node| node.set_live(Live::Polite);
                ui.ctx().accesskit_node_builder(response.id, live);
            });
        });
}

/// Messages in the corner, the newest lowest.
fn toasts_ui(ui: &Ui, state: &State, commands: &mut Vec<Command>) {
    if state.messages.toasts.is_empty() {
        return;
    }
    Area::new(Id::unique("toasts"))
        .anchor(Align2::RIGHT_BOTTOM, vec2(-TOAST_MARGIN, -5.0 * TOAST_MARGIN))
        .order(Order::Foreground)
        .show(ui.ctx(), |ui| {
            ui.set_max_width(TOAST_WIDTH);
            for toast in &state.messages.toasts {
                egui::Frame::popup(ui.style()).show(ui, |ui| {
                    ui.horizontal_wrapped(|ui| {
                        if dismiss_button_ui(ui) {
                            commands.push(Command::DismissToast(toast.number));
                        }
                        ui.colored_label(level_colour(ui, toast.level), toast.level.word());
                        ui.label(&toast.text);
                    });
                });
            }
        });
}

/// Pictures of a workspace that are not where it says.
fn missing_ui(ui: &Ui, state: &State, commands: &mut Vec<Command>) {
    if state.missing.is_empty() {
        return;
    }
    Window::new("Missing pictures")
        .collapsible(false)
        .resizable(false)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .show(ui.ctx(), |ui| {
            ui.label("The workspace names pictures that are not there. Where are they now?");
            for (slot, picture) in &state.missing {
                ui.horizontal(|ui| {
                    ui.label(format!("{}: {}", slot.name(), shown_path(&picture.source.path())));
                    let purpose = crate::app::state::path_box::PathPurpose::Picture(*slot);
                    if ui.button("Find…").on_hover_text("Choose the file").clicked() {
                        commands.push(Command::AskPath(purpose));
                    }
                    if ui.button("Type…").on_hover_text("Type its path").clicked() {
                        commands.push(Command::PathBox(PathBox {
                            purpose: Some(purpose),
                            text: names::text(picture.source.path()),
                        }));
                    }
                    if ui.button("Do without").clicked() {
                        commands.push(Command::ClosePicture(*slot));
                    }
                });
            }
        });
}
