//! Panes that show many activations, timesteps or models beside each other instead of one picture. What they show is
//! computed by the workers; what is chosen in them is part of the document.

use egui::Ui;
use egui_tiles::TileId;

use super::{App, canvas::CanvasContext, document::PaneKind, state::Job};
use crate::engine::{Request, Study, StudyNews};

/// A pane that is not of one picture.
pub fn study_ui(ui: &mut Ui, _tile: TileId, kind: PaneKind, _context: &mut CanvasContext<'_>) {
    ui.label(kind.name());
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
    pub(super) fn take_study(&mut self, _job: u64, news: StudyNews) {
        match news {
            StudyNews::Series(_) | StudyNews::Surveying(_) | StudyNews::Found(_) => {}
        }
    }
}
