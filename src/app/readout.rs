//! The status bar: values under the pointer, provenance, and what was saved.

use egui::Ui;

use super::{Command, Notice, PointAt, State, panels::error_ui};
use crate::{activation::Shape, engine::Slot};

/// Two lines: what is under the pointer, and what ran.
pub fn status_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        match state.hover.or(state.pin) {
            Some(point) => ui.monospace(point_text(state, point)),
            None => ui.weak("Point at a picture: what is similar lights up. Click to pin, Esc to let go."),
        };
    });
    ui.horizontal_wrapped(|ui| {
        ui.weak(provenance_text(state));
        match &state.save {
            Some(Ok(saved)) => {
                ui.label(saved);
                if ui.small_button("×").clicked() {
                    commands.push(Command::Dismiss(Notice::Save));
                }
            }
            Some(Err(error)) => error_ui(ui, error, Notice::Save, commands),
            None => {}
        }
    });
    if let Some(message) = &state.recovered {
        let words = format!(
            "A bug in the worker was caught ({message}). The model may have to be loaded again: choose it above."
        );
        error_ui(ui, &words, Notice::Recovered, commands);
    }
}

/// Pixel, cell, cosine with the query, and the five best matches.
fn point_text(state: &State, point: PointAt) -> String {
    let [x, y] = point.at.map(|x| x.round() + 0.0);
    let mut text = format!("{} pixel ({x}, {y})", point.slot.name());
    let capture = state.slot(point.slot).capture.as_ref();
    let layer = state.layers().iter().find(|layer| Some(layer.id) == state.id);
    if let (Some(capture), Some(Shape::Features { grid, .. })) = (capture, layer.map(|layer| layer.shape))
        && let Some((row, column)) = capture.framing.cell_from_original(point.at, grid)
    {
        text += &format!("  cell ({row}, {column})");
        let target = state
            .heat
            .as_ref()
            .and_then(|heat| heat.targets.iter().find(|target| target.slot == point.slot));
        if let Some(target) = target.filter(|target| target.grid == grid) {
            let kind = if state.heat.as_ref().is_some_and(|heat| heat.attention) {
                "attention"
            } else {
                "cosine"
            };
            text += &format!("  {kind} {:.4}", target.scores[grid.index(row, column)]);
        }
    }
    let shown: Vec<_> = Slot::ALL.into_iter().filter_map(|slot| state.heat_on(slot)).collect();
    for target in shown {
        let best = target
            .best
            .iter()
            .map(|found| format!("({}, {}) {:.3}", found.cell.0, found.cell.1, found.score));
        text += &format!(
            "   best in {}: {}",
            target.slot.name(),
            best.collect::<Vec<_>>().join("  ")
        );
    }
    text
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
