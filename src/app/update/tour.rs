//! The guided tour: begun, stepped through, ended.

use super::app::App;
use crate::{
    app::state::tour::{DEMO, SDXL, Shows, TourState, document_of},
    engine::ImageSlot,
};

impl App {
    /// Begins the tour, or ends it.
    pub(in crate::app) fn toggle_tour(&mut self) {
        self.state.preferences.tour_seen = true;
        if self.state.overlays.tour.take().is_some() {
            return;
        }
        let known = |name: &&'static str| {
            let info = self.state.model.info.as_ref();
            info.is_some_and(|info| info.layers.iter().any(|layer| layer.id.to_string() == **name))
        };
        let sdxl = SDXL.iter().flat_map(|step| step.layers).all(known);
        self.state.overlays.tour = Some(TourState {
            step: 0,
            steps: if sdxl { SDXL } else { DEMO },
            before: Box::new(self.state.document.clone()),
            survey_awaited: false,
        });
        self.show_step(0);
    }

    /// Goes to another step of the tour, if there is one.
    pub(in crate::app) fn step_tour(&mut self, forward: bool) {
        let Some(tour) = &self.state.overlays.tour else { return };
        let next = if forward {
            tour.step + 1
        } else {
            tour.step.saturating_sub(1)
        };
        if next < tour.steps.len() {
            self.show_step(next);
        }
    }

    /// Ends the tour and shows what was there before it; whether there was one.
    pub(in crate::app) fn undo_tour(&mut self) -> bool {
        let Some(tour) = self.state.overlays.tour.take() else {
            return false;
        };
        self.restore(*tour.before);
        true
    }

    fn show_step(&mut self, number: usize) {
        let Some(tour) = &mut self.state.overlays.tour else {
            return;
        };
        let Some(step) = tour.steps.get(number) else { return };
        tour.step = number;
        tour.survey_awaited = step.shows == Shows::Survey;
        let document = document_of(step, &tour.before, std::ptr::eq(tour.steps, DEMO));
        let layer = self.state.document.layer;
        if document.layer != layer {
            self.state.layer_before = layer;
        }
        self.state.focused = None;
        self.restore(document);
    }

    /// Begins the survey of a step when its model and picture are there.
    pub(in crate::app) fn follow_tour(&mut self) {
        let state = &self.state;
        let Some(tour) = &state.overlays.tour else { return };
        let model_is_there = state.model.loading.is_none()
            && state.model.info.as_ref().map(|info| &info.name) == state.document.model.as_ref();
        let picture_is_there = state.slot(ImageSlot::A).picture.as_ref().map(|picture| &picture.source)
            == state
                .document
                .pictures
                .get(&ImageSlot::A)
                .map(|picture| &picture.source);
        if !(tour.survey_awaited && model_is_there && picture_is_there && state.survey_query().is_some()) {
            return;
        }
        let measured = state
            .survey
            .as_ref()
            .is_some_and(|survey| state.survey_is_of_something_else(survey).is_none());
        if !measured {
            self.begin_survey();
        }
        if let Some(tour) = &mut self.state.overlays.tour {
            tour.survey_awaited = false;
        }
    }
}
