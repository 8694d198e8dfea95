//! The guided tour: three properties of diffusion features, each on a state of the window that shows it. What the steps
//! say of the embedded model was measured on its sample pictures; what they say of SDXL is what its paper reports.

use egui::{Align2, LayerId, RichText, Ui, Window, vec2};

use crate::app::{
    state::{
        root::State,
        tour::{Shows, TourState},
    },
    theme,
    update::{action::Action, command::Command},
    widgets::action_button_ui,
};

/// What the tour is called.
const TITLE: &str = "Three properties in three minutes";
/// Width of its window, and its distance from the lower edge of the window, in points.
const WIDTH: f32 = 560.0;
const ABOVE_EDGE: f32 = 124.0;

/// The window of the tour; gives what ends it and where it is, if it stays.
pub fn tour_ui(ui: &Ui, state: &State, tour: &TourState, commands: &mut Vec<Command>) -> Option<(Action, LayerId)> {
    let step = tour.steps.get(tour.step)?;
    let mut stays = true;
    let shown = Window::new(TITLE)
        .open(&mut stays)
        .collapsible(false)
        .resizable(false)
        .default_width(WIDTH)
        .pivot(Align2::CENTER_BOTTOM)
        .default_pos(ui.ctx().content_rect().center_bottom() - vec2(0.0, ABOVE_EDGE))
        .constrain(true)
        .show(ui.ctx(), |ui| {
            ui.set_width(WIDTH);
            ui.horizontal(|ui| {
                ui.strong(step.title);
                ui.weak(format!("{} of {}", tour.step + 1, tour.steps.len()));
            });
            ui.label(RichText::new(step.words).size(theme::FONT_BODY));
            if tour.survey_awaited || state.surveys_now() && step.shows == Shows::Survey {
                ui.weak("measuring …");
            }
            ui.horizontal(|ui| {
                for action in [Action::TourBack, Action::TourNext] {
                    action_button_ui(ui, state, action, commands);
                }
                if ui.button("End").on_hover_text("Keep what is shown (Esc)").clicked() {
                    commands.push(Command::Act(Action::Tour));
                }
            });
        });
    if !stays {
        commands.push(Command::Act(Action::Tour));
    }
    shown
        .filter(|_| stays)
        .map(|shown| (Action::Tour, shown.response.layer_id))
}
