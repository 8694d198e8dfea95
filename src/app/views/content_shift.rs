//! The content-shift meter: how far a layer moves away from what it says of the picture alone.

use std::path::Path;

use egui::{Checkbox, Ui};
use egui_tiles::TileId;

use super::{
    controls::{inside_ui, progress_ui, provenance_ui, times_ui},
    curves::{Axes, Curve, curves_ui},
};
use crate::{
    app::{
        document::pane::{Pane, PaneKind},
        export::{
            captions::{not_finite_words, shift_caption},
            content::Content,
            tables::shift_content,
        },
        gpu::textures::Textures,
        state::{comparing::Shifts, root::State, series_questions::AS_SET},
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::action_button_ui,
    },
    engine::ComparisonKind,
    error::Result,
};

/// What a score of 1 and one of 0 stand for.
const REFERENCES: [f64; 2] = [1.0, 0.0];

/// How far an activation moves away from the picture.
pub struct ShiftPane;

impl PaneView for ShiftPane {
    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| shift_ui(ui, tile, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        shift_content(state, path)
    }
}

/// Timesteps and lines.
fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.shift.clone();
    let can = state.shift_variants();
    times_ui(ui, "Timesteps of the meter", &mut choice.times, state.last_t());
    for (on, can, name) in [
        (&mut choice.without_prompt, can.prompt, "without prompt"),
        (&mut choice.without_loras, can.loras, "without LoRA"),
        (&mut choice.without_controls, can.controls, "without ControlNet"),
    ] {
        // What does not act makes no difference.
        ui.add_enabled(can, Checkbox::new(on, name))
            .on_hover_text("One more line, for what is set without it")
            .on_disabled_hover_text("Nothing of it acts now");
    }
    action_button_ui(ui, state, Action::SavePane(PaneKind::Shift), commands);
    if choice != state.document.shift {
        commands.push(Command::Shift(choice));
    }
}

/// The whole pane.
fn shift_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    progress_ui(ui, state, ComparisonKind::Shift, context.commands);
    let Some(shifts) = &state.comparing.shift else { return };
    ui.horizontal(|ui| {
        if let Some(score) = score_now(state, shifts) {
            ui.strong(format!("t {}: score {score:.3}", state.document.settings.t));
        }
        provenance_ui(ui, &shift_caption(state, shifts));
    });
    if let Some(words) = not_finite_words(&shifts.view.not_finite) {
        ui.colored_label(theme::tokens(ui).error, words);
    }
    plot_ui(ui, tile, state, shifts);
}

/// The score of what is set.
fn score_now(state: &State, shifts: &Shifts) -> Option<f64> {
    let t = state.document.settings.t;
    let place = shifts
        .points
        .iter()
        .position(|(name, member, _)| *name == AS_SET && member.settings.t == t)?;
    let score = shifts.view.shifts.get(place).map(|shift| shift.score);
    score.filter(|score| score.is_finite())
}

fn plot_ui(ui: &mut Ui, tile: TileId, state: &State, shifts: &Shifts) {
    let mut names: Vec<&'static str> = shifts.points.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    let curve = |name: &&'static str| {
        let of_line = shifts.points.iter().zip(&shifts.view.shifts);
        let points = of_line
            .filter(|((of, ..), shift)| of == name && shift.score.is_finite())
            .map(|((_, member, _), shift)| [f64::from(member.settings.t), shift.score]);
        Curve {
            name: (*name).to_owned(),
            points: points.collect(),
        }
    };
    let curves: Vec<Curve> = names.iter().map(curve).collect();
    let axes = Axes {
        name: "Content shift against the timestep",
        x: "timestep t",
        y: "score (1: the picture alone, 0: an empty prompt at a high t)",
        now: f64::from(state.document.settings.t),
        references: &REFERENCES,
    };
    curves_ui(ui, ("content shift", tile), &axes, &curves);
}
