//! Recommendations: begun, and taken as they come.

use std::sync::Arc;

use super::app::App;
use crate::{
    app::{document::pane::PaneKind, state::recommend::RecommendState},
    engine::{Request, Study, StudyEvent},
};

impl App {
    /// Begins to compare every activation, in the place of a recommendation under way, and shows its pane.
    pub(in crate::app) fn begin_recommendation(&mut self) {
        let state = &self.state;
        let (Some(query), Some(info)) = (state.recommend_query(), &state.model.info) else {
            return;
        };
        let model = info.name.clone();
        let fingerprints = state.fingerprints_of(&query.slots);
        let open = query.slots.iter().filter_map(|slot| state.slot(*slot).picture.as_ref());
        let pictures = open.map(|picture| picture.source.path()).collect();
        if let Some(before) = self.state.recommend.take() {
            self.engine.send(Request::CancelStudy { job: before.job });
        }
        let title = format!("Recommendation for {} picture(s)", query.slots.len());
        let job = self.begin_study(title, Study::Recommend(query.clone()));
        self.state.recommend = Some(RecommendState {
            job,
            query,
            model,
            fingerprints,
            pictures,
            about: None,
            found: None,
        });
        self.open_pane(PaneKind::Recommend);
    }

    /// Takes what a recommendation tells.
    pub(in crate::app) fn on_recommend_event(&mut self, job: u64, event: StudyEvent) {
        let recommend = self.state.recommend.as_mut().filter(|recommend| recommend.job == job);
        let Some(recommend) = recommend else { return };
        match event {
            StudyEvent::Recommending(about) => recommend.about = Some(*about),
            StudyEvent::Recommended(found) => recommend.found = Some(Arc::from(found)),
            StudyEvent::Series(_) | StudyEvent::SurveyStarted(_) | StudyEvent::Found(_) => {}
        }
    }
}
