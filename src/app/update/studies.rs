//! Studies: begun under a number, taken as they come.

use super::{app::App, command::look_at};
use crate::{
    app::state::{filmstrip::current_frame, work::Job},
    engine::{Request, Study, StudyEvent},
};

impl App {
    /// Asks for a study under a new number.
    pub(in crate::app) fn begin_study(&mut self, title: String, study: Study) -> u64 {
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
    pub(in crate::app) fn on_study_event(&mut self, job: u64, event: StudyEvent) {
        match event {
            StudyEvent::Series(kept) => {
                let state = &mut self.state;
                state.on_compared_pass(job, &kept);
                self.on_member(job, (*kept).clone());
                let state = &mut self.state;
                let asked = state.rank.asked.iter().find(|(other, _)| *other == job);
                let Some((_, query)) = asked.cloned() else { return };
                if let Some(member) = query.members.get(kept.index) {
                    state.remember_member(member, &kept, &query.ids);
                }
            }
            StudyEvent::SurveyStarted(_) | StudyEvent::Found(_) => self.on_survey_event(job, event),
            StudyEvent::Recommending(_) | StudyEvent::Recommended(_) => self.on_recommend_event(job, event),
        }
    }

    /// Looks at another frame of the film strip.
    pub(in crate::app) fn step_frame(&mut self, step: isize) {
        let state = &self.state;
        let Some(strip) = &state.comparing.strip else { return };
        let current = current_frame(state, strip).unwrap_or(0);
        let last = strip.members.len().saturating_sub(1);
        let next = current.saturating_add_signed(step).min(last);
        let command = look_at(state, strip, next);
        let context = self.textures.context().clone();
        self.apply(command, &context);
    }
}
