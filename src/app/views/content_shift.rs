//! The content-shift meter: how far a layer moves away from what it says of the picture alone.

use std::path::Path;

use egui::{Color32, Ui};
use egui_plot::{HLine, HoverPosition, Legend, Line, Plot, PlotPoints, Points, VLine};
use egui_tiles::TileId;

use super::controls::{inside_ui, progress_ui, times_ui};
use crate::{
    app::{
        document::pane::{Pane, PaneKind},
        export::{
            captions::{not_finite_words, shift_caption},
            content::Content,
            tables::shift_content,
        },
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

/// Radius of a point of a line, in points.
const POINT_RADIUS: f32 = 3.0;
/// A plot is at least so high, in points.
const LEAST_HEIGHT: f32 = 120.0;

/// How far an activation moves away from the picture.
pub struct ShiftPane;

impl PaneView for ShiftPane {
    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| shift_ui(ui, tile, context));
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        shift_content(state, path)
    }
}

/// The whole pane.
fn shift_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    let mut choice = state.document.shift.clone();
    let can = state.shift_variants();
    ui.horizontal_wrapped(|ui| {
        times_ui(ui, "Timesteps of the meter", &mut choice.times, state.last_t());
        for (on, can, name) in [
            (&mut choice.without_prompt, can.prompt, "without prompt"),
            (&mut choice.without_loras, can.loras, "without LoRA"),
            (&mut choice.without_controls, can.controls, "without ControlNet"),
        ] {
            // What does not act makes no difference.
            ui.add_enabled(can, egui::Checkbox::new(on, name))
                .on_hover_text("One more line, for what is set without it")
                .on_disabled_hover_text("Nothing of it acts now");
        }
        action_button_ui(ui, state, Action::SavePane(PaneKind::Shift), context.commands);
    });
    progress_ui(ui, state, ComparisonKind::Shift, context.commands);
    if choice != state.document.shift {
        context.commands.push(Command::Shift(choice));
    }
    let Some(shifts) = &state.comparing.shift else { return };
    ui.weak(shift_caption(state, shifts));
    if let Some(words) = not_finite_words(&shifts.view.not_finite) {
        ui.colored_label(theme::tokens(ui).error, words);
    }
    if let Some(score) = score_now(state, shifts) {
        ui.label(format!("t {}: score {score:.3}", state.document.settings.t));
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
    let tokens = theme::tokens(ui);
    let mut names: Vec<&'static str> = shifts.points.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    let weak = tokens.text_weak;
    Plot::new(("content shift", tile))
        .legend(Legend::default())
        .height(ui.available_height().max(LEAST_HEIGHT))
        .x_axis_label("t")
        .y_axis_label("score")
        .allow_scroll(false)
        .label_formatter(|at| match at {
            HoverPosition::NearDataPoint {
                plot_name, position, ..
            } => Some(format!("{plot_name}\nt {:.0}: {:.4}", position.x, position.y)),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            plot.hline(HLine::new("", 1.0).color(weak.gamma_multiply(0.5)));
            plot.hline(HLine::new("", 0.0).color(weak.gamma_multiply(0.5)));
            let now = f64::from(state.document.settings.t);
            plot.vline(VLine::new("", now).color(weak.gamma_multiply(0.5)));
            for (index, name) in names.iter().enumerate() {
                let of_line = shifts.points.iter().zip(&shifts.view.shifts);
                let points: Vec<[f64; 2]> = of_line
                    .filter(|((of, ..), shift)| of == name && shift.score.is_finite())
                    .map(|((_, member, _), shift)| [f64::from(member.settings.t), shift.score])
                    .collect();
                let colour: Color32 = tokens.pin(index as u32 + 1);
                plot.line(Line::new(*name, PlotPoints::from(points.clone())).color(colour));
                plot.points(
                    Points::new(*name, PlotPoints::from(points))
                        .radius(POINT_RADIUS)
                        .color(colour),
                );
            }
        });
}
