//! Sends the requests that the state calls for and that were not sent yet.

use super::{app::App, questions::Questions};
use crate::{
    activation::Id,
    app::{
        document::layout::panes,
        state::{
            queries::{channels_query, heat_query, matches_query, same_query},
            root::State,
            work::RunWanted,
        },
    },
    engine::{Request, ViewRequest},
};

impl App {
    pub(in crate::app) fn ask_for_what_is_wanted(&mut self) {
        self.ask_for_runs();
        self.ask_for_comparisons();
        self.ask_questions();
        if self.state.document.pins.is_empty() {
            self.state.matches = None;
        }
    }

    /// Asks the questions of the panes that are open, and those of pointer, pins and inspector.
    fn ask_questions(&mut self) {
        let (state, questions) = (&self.state, &mut self.questions);
        want_heat(state, questions);
        if let Some(query) = matches_query(state) {
            questions.want(query);
        }
        if let Some(query) = channels_query(state) {
            questions.want(query);
        }
        let open = panes(&state.document.layout);
        for (kind, view) in self.views.all() {
            if open.iter().any(|(_, pane)| pane.kind == kind) {
                view.wants(state, questions);
            }
        }
        for (number, question) in questions.take_new() {
            if let ViewRequest::Pca(_) = question {
                // What was wrong with other colours is not wrong with these.
                self.state.view_error = None;
            }
            self.engine.ask(number, question);
        }
    }

    /// Asks again for everything that is shown.
    pub(in crate::app) fn ask_again(&mut self) {
        self.questions.forget();
        self.run_asked = None;
    }

    fn ask_for_runs(&mut self) {
        let state = &self.state;
        // What a held key shows is there or is not, and another model is asked when it is there.
        if state.hold.is_some() || state.model.loading.is_some() {
            return;
        }
        let Some((wanted, id)) = self.wanted_run() else {
            // What is wanted is there: wanted again after something else, it is asked for again.
            self.run_asked = None;
            return;
        };
        let may_run = state.run.asked || state.run_is_cheap() || state.run_is_kept();
        if may_run && self.run_asked.as_ref() != Some(&wanted) {
            let settings = wanted.0.clone();
            self.state.run.running = Some(0.0);
            self.state.run.ended = false;
            self.engine.send(Request::Run { settings, id });
            self.run_asked = Some(wanted);
        }
    }

    /// The run that what is looked at needs, if it is not there.
    fn wanted_run(&self) -> Option<(RunWanted, Id)> {
        let state = &self.state;
        let id = state.layer().filter(|_| state.needs_run())?;
        let settings = state.settings_read();
        Some((RunWanted(settings, id, state.model.generation, state.numbers()), id))
    }

    /// Whether a run is to begin or to end by itself: not one that failed or that the user ended.
    pub(in crate::app) fn run_is_awaited(&self) -> bool {
        let state = &self.state;
        let may_run = state.hold.is_none() && (state.run.asked || state.run_is_cheap() || state.run_is_kept());
        let ended = |wanted: &RunWanted| state.run.ended && self.run_asked.as_ref() == Some(wanted);
        state.run.running.is_some()
            || may_run && state.run.error.is_none() && self.wanted_run().is_some_and(|(wanted, _)| !ended(&wanted))
    }
}

/// A pointer that moves inside one cell asks nothing new.
fn want_heat(state: &State, questions: &mut Questions) {
    let Some(query) = heat_query(state) else { return };
    let same = questions.asked().find_map(|asked| match asked {
        ViewRequest::Heat(before) if same_query(state, before, &query) => Some(before.clone()),
        _ => None,
    });
    questions.want(same.unwrap_or(query));
}
