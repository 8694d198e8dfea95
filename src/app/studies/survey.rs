//! The survey that is looked at: asked for, taken, written.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use crate::{
    app::{
        App, Command, arrange,
        document::{Pane, PaneKind},
        later::{Later, background},
        state::State,
    },
    engine::{QueryAt, Request, Slot, Study, StudyNews, SurveyQuery, Surveying},
    error::{Error, Result},
    files::names,
    io::output::write_folder,
    survey::{Column, Finding, PictureSurvey, write_survey},
};

/// A survey that is under way or done.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyState {
    /// Its job.
    pub job: u64,
    /// What was asked.
    pub query: SurveyQuery,
    /// The model it is of.
    pub model: String,
    /// What the picture is called.
    pub picture: String,
    /// What runs; none before it has begun.
    pub about: Option<Surveying>,
    /// What was found, in the order in which it came.
    pub findings: Vec<Arc<Finding>>,
}

impl SurveyState {
    /// What was found of an activation, by its place.
    pub fn place_of(&self, id: crate::activation::Id) -> Option<usize> {
        self.findings.iter().position(|finding| finding.id == id)
    }

    /// A line that says what was measured.
    pub fn in_words(&self) -> String {
        let settings = &self.query.settings;
        let mut words = vec![
            self.model.clone(),
            self.picture.clone(),
            format!("t {}", settings.t),
            format!("seed {}", settings.seed),
        ];
        if let Some(about) = &self.about {
            words.push(match about.noises {
                1 => "one pass, no noise compared".to_owned(),
                noises => format!("{noises} noises"),
            });
            words.push(format!("{} on {}", about.ran.dtype, about.ran.device));
        }
        words.join(" · ")
    }
}

impl State {
    /// What a survey of the picture worked with measures; none where there is no picture or no model.
    pub fn wanted_survey(&self) -> Option<SurveyQuery> {
        let slot = self.focused_slot();
        let slot = Some(slot)
            .filter(|slot| self.slot(*slot).picture.is_some())
            .or_else(|| self.open_slots().next())?;
        self.model.info.as_ref()?;
        Some(SurveyQuery {
            slot,
            settings: self.document.settings.clone(),
            noises: self.document.sheet.noises,
            maps: self.document.sheet.maps,
            regions: self.regions(slot),
        })
    }

    /// The regions that are pinned in a picture.
    fn regions(&self, slot: Slot) -> Vec<QueryAt> {
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
        let now = &self.document.settings;
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

impl App {
    /// Begins to measure every activation, in the place of a survey under way, and shows the sheet.
    pub(in crate::app) fn begin_survey(&mut self) {
        let Some(query) = self.state.wanted_survey() else {
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
        let shown = arrange::panes(&document.layout)
            .iter()
            .any(|(_, pane)| pane.kind == PaneKind::Sheet);
        if !shown {
            let pane = Pane::new(PaneKind::Sheet, self.state.focused_slot());
            let tile = arrange::add_pane(&mut self.state.document.layout, self.state.focused, pane);
            self.state.focused = Some(tile);
        }
    }

    /// Takes what a survey found.
    pub(super) fn take_survey(&mut self, job: u64, news: StudyNews) {
        let Some(survey) = self.state.survey.as_mut().filter(|survey| survey.job == job) else {
            return;
        };
        match news {
            StudyNews::Surveying(about) => survey.about = Some(*about),
            StudyNews::Found(finding) => survey.findings.push(Arc::from(finding)),
            StudyNews::Series(_) => {}
        }
    }
}

impl App {
    /// Writes the survey on a thread of its own.
    pub(in crate::app) fn save_survey(&mut self, out: PathBuf) {
        let save = save_survey(&self.state, &out);
        let context = self.textures.context().clone();
        background(&self.answer, &context, Later::Written, move || save().map(|()| out));
    }
}

/// Writes the survey into a folder: page, table, sheet.
fn save_survey(state: &State, out: &Path) -> impl FnOnce() -> Result<()> + Send + 'static {
    let survey = state.survey.clone();
    let sort = state.document.sheet.sort.unwrap_or(Column::Order);
    let out = out.to_owned();
    move || {
        let survey = survey.ok_or_else(|| Error::usage("nothing was surveyed yet: there is nothing to save"))?;
        let made_by = json!({
            "request": {
                "model": names::text_json(&survey.model),
                "seed": survey.query.settings.seed,
                "settings": survey.query.settings,
                "regions": survey.query.regions,
            },
            "noises": survey.about.as_ref().map(|about| about.noises),
            "ran": survey.about.as_ref().map(|about| &about.ran),
        });
        let mut findings: Vec<Finding> = survey.findings.iter().map(|finding| Finding::clone(finding)).collect();
        findings.sort_by_key(|finding| finding.order);
        let surveys = [PictureSurvey {
            picture: survey.picture,
            findings,
        }];
        write_folder(&out, |folder| write_survey(folder, &surveys, &made_by, sort))
    }
}

/// Another choice of what the sheet shows.
pub fn changed(state: &State, change: impl FnOnce(&mut super::SheetSettings)) -> Command {
    let mut settings = state.document.sheet.clone();
    change(&mut settings);
    Command::Sheet(Box::new(settings))
}
