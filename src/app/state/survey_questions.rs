//! What a survey measures, and whether it is of the current model, picture and settings.

use super::{root::State, survey::SurveyState};
use crate::engine::{ImageSlot, QueryAt, SurveyQuery};

impl State {
    /// What a survey of the picture worked with measures; none where there is no picture or no model.
    pub fn survey_query(&self) -> Option<SurveyQuery> {
        let slot = self.focused_slot();
        let slot = Some(slot)
            .filter(|slot| self.slot(*slot).picture.is_some())
            .or_else(|| self.open_slots().next())?;
        self.model.info.as_ref()?;
        Some(SurveyQuery {
            slot,
            settings: self.settings_read(),
            noises: self.document.sheet.noises,
            maps: self.document.sheet.maps,
            regions: self.regions(slot),
        })
    }

    /// The regions that are pinned in a picture.
    fn regions(&self, slot: ImageSlot) -> Vec<QueryAt> {
        let pins = self.document.pins.iter().filter(|pin| pin.slot == slot);
        let regions = pins.filter(|pin| matches!(pin.at, QueryAt::Region { .. }));
        regions.map(|pin| pin.at.clone()).collect()
    }

    /// Why a survey is not of what is looked at now; none where it is.
    pub fn survey_is_of_something_else(&self, survey: &SurveyState) -> Option<String> {
        let model = self.model.info.as_ref().map(|info| info.name.as_str());
        if model != Some(survey.model.as_str()) {
            return Some(format!("of the model {}", survey.model));
        }
        let picture = self
            .slot(survey.query.slot)
            .picture
            .as_ref()
            .map(|picture| picture.source.name());
        if picture.as_ref() != Some(&survey.picture) {
            return Some(format!("of the picture {}", survey.picture));
        }
        let now = &self.settings_read();
        let then = &survey.query.settings;
        match (now.t == then.t, now.same_pass(then)) {
            (false, _) => Some(format!("at t {}, not {}", then.t, now.t)),
            (true, false) => Some("with other settings".to_owned()),
            (true, true) => None,
        }
    }

    /// Whether a survey is under way.
    pub fn surveys_now(&self) -> bool {
        let job = self.survey.as_ref().map(|survey| survey.job);
        job.is_some_and(|job| self.studies.iter().any(|study| study.number == job))
    }
}
