//! Panes that show many activations, timesteps or models beside each other instead of one picture. What they show is
//! computed by the workers; what is chosen in them is part of the document.

mod atlas;
mod colouring;
mod layout;
mod plot;
mod settings;
mod sheet;
mod survey;

use egui::Ui;
use egui_tiles::TileId;

pub use atlas::Atlas;
pub use colouring::{MarkedKey, SheetKey};
pub use settings::{PlotKind, SheetColours, SheetSettings};
pub use survey::SurveyState;

use super::{App, canvas::CanvasContext, document::PaneKind, state::Job};
use crate::engine::{Request, Study, StudyNews};

/// A pane that is not of one picture.
pub fn study_ui(ui: &mut Ui, _tile: TileId, kind: PaneKind, context: &mut CanvasContext<'_>) {
    match kind {
        PaneKind::Sheet => sheet::sheet_ui(ui, context),
        PaneKind::Plot => plot::plot_ui(ui, context),
        PaneKind::Picture | PaneKind::Pca | PaneKind::Heat | PaneKind::Channel => {}
    }
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
            StudyNews::Series(_) => {}
            StudyNews::Surveying(_) | StudyNews::Found(_) => self.take_survey(job, news),
        }
    }
}
