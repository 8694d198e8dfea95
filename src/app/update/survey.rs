//! Surveys: begun, and taken as they come.

use std::sync::Arc;

use super::app::App;
use crate::{
    app::{
        document::{layout, pane::PaneKind},
        state::survey::SurveyState,
    },
    engine::{Request, Study, StudyEvent},
};

impl App {
    /// Begins to measure every activation, in the place of a survey under way, and shows the sheet.
    pub(in crate::app) fn begin_survey(&mut self) {
        let Some(query) = self.state.survey_query() else {
            return;
        };
        let Some(info) = &self.state.model.info else { return };
        let model = info.name.clone();
        if let Some(before) = self.state.survey.take() {
            self.engine.send(Request::CancelStudy { job: before.job });
        }
        let slot = self.state.slot(query.slot);
        let picture = slot
            .picture
            .as_ref()
            .map_or(String::new(), |picture| picture.source.name());
        let title = format!("Survey of {picture} at t {}", query.settings.t);
        let job = self.begin_study(title, Study::Survey(query.clone()));
        self.state.survey = Some(SurveyState {
            job,
            query,
            model,
            picture,
            about: None,
            findings: Vec::new(),
        });
        let document = &mut self.state.document;
        let shown = layout::panes(&document.layout)
            .iter()
            .any(|(_, pane)| pane.kind == PaneKind::Sheet);
        if !shown {
            self.open_pane(PaneKind::Sheet);
        }
    }

    /// Takes what a survey found.
    pub(in crate::app) fn on_survey_event(&mut self, job: u64, event: StudyEvent) {
        let Some(survey) = self.state.survey.as_mut().filter(|survey| survey.job == job) else {
            return;
        };
        match event {
            StudyEvent::SurveyStarted(about) => survey.about = Some(*about),
            StudyEvent::Found(finding) => survey.findings.push(Arc::from(finding)),
            StudyEvent::Series(_) => {}
        }
    }
}
