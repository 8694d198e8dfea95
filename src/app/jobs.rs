//! The strip of jobs: what is being done in the background, how far it is, and its end on request.

use egui::{ProgressBar, Ui};

use super::{Action, Command, State};

/// Width of a bar, in points.
const BAR_WIDTH: f32 = 150.0;

/// Whether there is anything to show.
pub fn are_there(state: &State) -> bool {
    state.model.loading.is_some() || state.run.running.is_some() || !state.jobs.is_empty()
}

/// A bar, an item count and a way to end it for each job.
pub fn jobs_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        if let Some(done) = state.model.loading {
            let title = format!("Reading {}", super::menus::short(&state.model.wanted));
            if job_ui(ui, &title, Some(done), None) {
                commands.push(Command::Act(Action::Cancel));
            }
        }
        if let Some(done) = state.run.running
            && job_ui(ui, "Running", Some(done), state.run.item)
        {
            commands.push(Command::Act(Action::Cancel));
        }
        for job in &state.jobs {
            if job_ui(ui, &format!("Extracting {}", job.title), job.fraction, job.item) {
                commands.push(Command::CancelJob(job.number));
            }
        }
    });
}

/// One job; whether its end is asked for.
fn job_ui(ui: &mut Ui, title: &str, fraction: Option<f32>, item: Option<[usize; 2]>) -> bool {
    let text = match (fraction, item) {
        (None, _) => "waiting".to_owned(),
        (Some(done), Some([current, all])) if all > 1 => format!("{current} / {all}, {:.0} %", 100.0 * done),
        (Some(done), _) => format!("{:.0} %", 100.0 * done),
    };
    ui.label(title);
    let bar = ProgressBar::new(fraction.unwrap_or(0.0))
        .desired_width(BAR_WIDTH)
        .text(text);
    ui.add(bar);
    let ended = ui
        .small_button("Cancel")
        .on_hover_text(format!("End: {title}"))
        .clicked();
    ui.separator();
    ended
}
