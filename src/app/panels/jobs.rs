//! The strip of jobs: what is being done in the background, how far it is, and its end on request.

use egui::{Align2, Area, Frame, Id, Order, ProgressBar, Ui, vec2};

use crate::app::{
    state::{downloads::DownloadStage, root::State, shown::file_name},
    update::{
        action::Action,
        command::{Command, DownloadCommand},
    },
};

/// Width of a bar, in points.
const BAR_WIDTH: f32 = 150.0;
/// Distance from the lower edge of the window, above the status bar, in points.
const ABOVE_STATUS: f32 = 76.0;

/// A bar, an item count and a way to end it for each job. It lies over the panes, so that nothing moves when it comes
/// and goes.
pub fn jobs_ui(ui: &Ui, state: &State, commands: &mut Vec<Command>) {
    // Their own window says more of them.
    let downloads = || state.downloads.under_way().filter(|_| !state.overlays.models);
    let busy = state.model.loading.is_some()
        || state.run.running.is_some()
        || !state.jobs.is_empty()
        || !state.studies.is_empty()
        || !state.pages.is_empty()
        || downloads().next().is_some();
    if !busy {
        return;
    }
    Area::new(Id::unique("jobs"))
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -ABOVE_STATUS))
        .order(Order::Foreground)
        .show(ui.ctx(), |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                if let Some(done) = state.model.loading {
                    let title = format!("Reading {}", crate::app::state::shown::short(&state.model.wanted));
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
                for page in &state.pages {
                    ui.horizontal(|ui| {
                        ui.spinner();
                        ui.label(format!("Writing {}", file_name(page)));
                    });
                }
                for study in &state.studies {
                    if job_ui(ui, &study.title, study.fraction, study.item) {
                        commands.push(Command::CancelStudy(study.number));
                    }
                }
                for order in downloads() {
                    let fraction = match &order.stage {
                        DownloadStage::Arriving(arriving) => Some(arriving.progress.fraction()),
                        _ => None,
                    };
                    if job_ui(
                        ui,
                        &format!("Downloading {}", crate::app::state::shown::short(&order.name)),
                        fraction,
                        None,
                    ) {
                        commands.push(Command::Download(DownloadCommand::Drop(order.name.clone())));
                    }
                }
            });
        });
}

/// One job; whether its end is asked for.
fn job_ui(ui: &mut Ui, title: &str, fraction: Option<f32>, item: Option<[usize; 2]>) -> bool {
    let text = match (fraction, item) {
        (None, _) => "waiting".to_owned(),
        (Some(done), Some([current, all])) if all > 1 => format!("{current} / {all}, {:.0} %", 100.0 * done),
        (Some(done), _) => format!("{:.0} %", 100.0 * done),
    };
    let line = ui.horizontal(|ui| {
        ui.label(title);
        let bar = ProgressBar::new(fraction.unwrap_or(0.0))
            .desired_width(BAR_WIDTH)
            .text(text);
        ui.add(bar);
        let cancel = ui.small_button("Cancel").on_hover_text(format!("End: {title}"));
        cancel.clicked()
    });
    line.inner
}
