//! Panes that show many activations, timesteps or models beside each other instead of one picture. What they show is
//! computed by the workers; what is chosen in them is part of the document.

mod atlas;
pub mod choices;
mod cka_pane;
mod colouring;
pub mod comparing;
mod layout;
mod matrix;
mod parts;
mod plot;
mod rank_pane;
pub mod ranking;
pub mod series;
mod settings;
mod sheet;
mod shift_pane;
pub mod sides;
mod sides_pane;
mod strip_pane;
mod survey;
mod tables;

use egui::{Response, Ui, WidgetInfo, accesskit::Role};
use egui_tiles::TileId;

pub use atlas::Atlas;
pub use choices::{CkaBetween, CkaChoice, CkaRows, LayerChoice, ShiftChoice, StripAxis, StripChoice};
pub use colouring::{MarkedKey, SheetKey};
pub use comparing::Comparing;
pub use settings::{PlotKind, SheetColours, SheetSettings};
pub use survey::SurveyState;

use super::{App, canvas::CanvasContext, document::PaneKind, state::Job, theme};
use crate::engine::{Request, Study, StudyNews};

/// A pane that is not of one picture.
pub fn study_ui(ui: &mut Ui, tile: TileId, kind: PaneKind, context: &mut CanvasContext<'_>) {
    match kind {
        PaneKind::Sheet => sheet::sheet_ui(ui, context),
        PaneKind::Plot => plot::plot_ui(ui, context),
        PaneKind::Rank => inside(ui, |ui| rank_pane::rank_ui(ui, context.state, context.commands)),
        PaneKind::Compare => inside(ui, |ui| sides_pane::compare_ui(ui, tile, context)),
        PaneKind::Strip => inside(ui, |ui| strip_pane::strip_ui(ui, tile, context)),
        PaneKind::Cka => inside(ui, |ui| cka_pane::cka_ui(ui, tile, context)),
        PaneKind::Shift => inside(ui, |ui| shift_pane::shift_ui(ui, tile, context)),
        PaneKind::Picture | PaneKind::Pca | PaneKind::Heat | PaneKind::Channel => {}
    }
}

/// What a list that stands beside its words is called.
fn name_combo(response: &Response, label: &str, chosen: &str) {
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, label);
        info.current_text_value = Some(chosen.to_owned());
        info
    });
}

/// With a margin to the edges of the pane.
fn inside(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    egui::Frame::new().inner_margin(theme::SPACE_M).show(ui, add);
}

impl App {
    /// Asks for a study under a new number.
    pub(super) fn begin_study(&mut self, title: String, study: Study) -> u64 {
        self.state.jobs_begun += 1;
        let number = self.state.jobs_begun;
        self.state.studies.push_back(Job {
            number,
            title,
            fraction: None,
            item: None,
        });
        let study = Box::new(study);
        self.engine.send(Request::Study { job: number, study });
        number
    }

    /// Takes what a study found.
    pub(super) fn take_study(&mut self, job: u64, news: StudyNews) {
        match news {
            StudyNews::Series(kept) => {
                let state = &mut self.state;
                state.take_compared(job, &kept);
                self.take_member(job, (*kept).clone());
                let state = &mut self.state;
                let asked = state.rank.asked.iter().find(|(other, _)| *other == job);
                let Some((_, query)) = asked.cloned() else { return };
                if let Some(member) = query.members.get(kept.index) {
                    state.remember_member(member, &kept, &query.ids);
                }
            }
            StudyNews::Surveying(_) | StudyNews::Found(_) => self.take_survey(job, news),
        }
    }

    /// Looks at another frame of the film strip.
    pub(super) fn step_frame(&mut self, step: isize) {
        let state = &self.state;
        let Some(strip) = &state.comparing.strip else { return };
        let current = strip_pane::current_frame(state, strip).unwrap_or(0);
        let last = strip.members.len().saturating_sub(1);
        let next = current.saturating_add_signed(step).min(last);
        let command = strip_pane::look_at(state, strip, next);
        let context = self.textures.context().clone();
        self.apply(command, &context);
    }
}
