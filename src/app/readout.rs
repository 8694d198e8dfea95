//! The status bar: values under the pointer, provenance, and what was saved.

use egui::{Label, RichText, Ui};

use super::{
    Command, Notice, PointAt, State,
    panels::{dismiss_ui, error_ui},
};
use crate::engine::Slot;

/// What is under the pointer, what is most similar to it, and what ran: always three lines, so that nothing jumps.
pub fn status_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    match state.hover.or(state.pin) {
        Some(point) => {
            line_ui(ui, RichText::new(point_text(state, point)).monospace());
            line_ui(ui, RichText::new(best_text(state)).monospace());
        }
        None => {
            line_ui(
                ui,
                RichText::new("Point at a picture: what is similar lights up.").weak(),
            );
            line_ui(ui, RichText::new("Click to pin the point, Esc to let it go.").weak());
        }
    }
    line_ui(ui, RichText::new(provenance_text(state)).weak());
    match &state.save {
        Some(Ok(saved)) => {
            ui.horizontal(|ui| {
                dismiss_ui(ui, Notice::Save, commands);
                ui.add(Label::new(saved).truncate());
            });
        }
        Some(Err(error)) => error_ui(ui, error, Notice::Save, commands),
        None => {}
    }
    if let Some(message) = &state.recovered {
        let words = format!(
            "A bug in the worker was caught ({message}). The model may have to be loaded again: choose it above."
        );
        error_ui(ui, &words, Notice::Recovered, commands);
    }
}

/// One line, as much of it as there is room for.
fn line_ui(ui: &mut Ui, words: RichText) {
    ui.add(Label::new(words).truncate());
}

/// Pixel, cell, and the cosine with the query.
fn point_text(state: &State, point: PointAt) -> String {
    let [x, y] = point.at.map(|x| x.round() + 0.0);
    let mut text = format!("{} pixel ({x}, {y})", point.slot.name());
    let Some((row, column)) = state.cell_at(point) else {
        if state.shown_grid(point.slot).is_some() {
            text += "  outside of what the model sees";
        }
        return text;
    };
    text += &format!("  cell ({row}, {column})");
    let score = state
        .scores_of(point.slot)
        .and_then(|target| target.scores.get(target.grid.index(row, column)));
    if let Some(score) = score {
        let attention = state.current_heat().is_some_and(|heat| heat.attention);
        text += &format!("  {} {score:.4}", if attention { "attention" } else { "cosine" });
    }
    text
}

/// The best matches of every heat map that is shown.
fn best_text(state: &State) -> String {
    let shown = Slot::ALL.into_iter().filter_map(|slot| state.heat_on(slot));
    let targets = shown.map(|target| {
        let best = target
            .best
            .iter()
            .map(|found| format!("({}, {}) {:.3}", found.cell.0, found.cell.1, found.score));
        format!(
            "best in {}: {}",
            target.slot.name(),
            best.collect::<Vec<_>>().join("  ")
        )
    });
    targets.collect::<Vec<_>>().join("   ")
}

/// Which model file, t, seed, format and device made what is shown, and how long it took.
fn provenance_text(state: &State) -> String {
    let Some(capture) = state.slots.iter().find_map(|slot| slot.capture.as_ref()) else {
        return state
            .model
            .info
            .as_ref()
            .map_or(String::new(), |info| format!("{} ({})", info.name, info.weights));
    };
    const MIB: f64 = (1 << 20) as f64;
    let (ran, settings) = (&capture.ran, &capture.settings);
    let model = state.model.info.as_ref().map_or("", |info| info.name.as_str());
    format!(
        "{model} ({})  t {} ran, noise {:.1} %  seed {}  mean of {}  {} px  {} on {}  {:.2} s  {:.0} MiB kept",
        ran.weights,
        ran.t_ran,
        100.0 * ran.noise_fraction,
        settings.seed,
        settings.ensemble,
        capture.framing.working,
        ran.dtype,
        ran.device,
        ran.seconds,
        capture.kept_bytes as f64 / MIB,
    )
}
