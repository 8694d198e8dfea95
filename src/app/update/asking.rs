//! Sends the requests that the state calls for and that were not sent yet.

use super::{
    app::App,
    requests::{RunWanted, new},
};
use crate::{
    activation::Id,
    app::state::queries::{
        channel_query, channels_query, heat_query, matches_query, pca_is_awaited, pca_query, same_query,
        shown_compare_query, shown_rank_query,
    },
    engine::{Request, ViewRequest},
};

impl App {
    pub(in crate::app) fn ask_for_what_is_wanted(&mut self) {
        self.ask_for_runs();
        self.ask_for_comparisons();
        let state = &self.state;
        let views = [
            new(&mut self.sent.query, heat_query(state), |before, now| {
                same_query(state, before, now)
            })
            .map(ViewRequest::Heat),
            new(&mut self.sent.matches, matches_query(state), PartialEq::eq).map(ViewRequest::Matches),
            new(&mut self.sent.pca, pca_query(state), PartialEq::eq).map(ViewRequest::Pca),
            new(&mut self.sent.channels, channels_query(state), PartialEq::eq).map(ViewRequest::Channels),
            new(&mut self.sent.channel, channel_query(state), PartialEq::eq).map(ViewRequest::Channel),
            new(&mut self.sent.compare, shown_compare_query(state), PartialEq::eq).map(ViewRequest::Compare),
            new(&mut self.sent.rank, shown_rank_query(state), PartialEq::eq).map(ViewRequest::Rank),
        ];
        // Colours that cannot be made are not made by asking for something else.
        let colours_are_missing = pca_is_awaited(state);
        for view in views.into_iter().flatten() {
            if let ViewRequest::Pca(_) = view {
                // What was wrong with other colours is not wrong with these.
                self.state.view_error = None;
                self.sent.failure_read = false;
            }
            self.sent.failure_read &= colours_are_missing;
            self.engine.ask(view);
        }
        if self.state.document.pins.is_empty() {
            self.state.matches = None;
        }
    }

    fn ask_for_runs(&mut self) {
        let state = &self.state;
        // What a held key shows is there or is not, and another model is asked when it is there.
        if state.hold.is_some() || state.model.loading.is_some() {
            return;
        }
        let Some((wanted, id)) = self.wanted_run() else {
            // What is wanted is there: wanted again after something else, it is asked for again.
            self.sent.run = None;
            return;
        };
        let may_run = state.run.asked || state.run_is_cheap() || state.run_is_kept();
        if may_run && self.sent.run.as_ref() != Some(&wanted) {
            let settings = wanted.0.clone();
            self.state.run.running = Some(0.0);
            self.state.run.ended = false;
            self.engine.send(Request::Run { settings, id });
            self.sent.run = Some(wanted);
        }
    }

    /// The run that what is looked at needs, if it is not there.
    fn wanted_run(&self) -> Option<(RunWanted, Id)> {
        let state = &self.state;
        let id = state.layer().filter(|_| state.needs_run())?;
        let settings = state.document.settings.clone();
        Some((RunWanted(settings, id, state.model.generation, state.numbers()), id))
    }

    /// Whether a run is to begin or to end by itself: not one that failed or that the user ended.
    pub(in crate::app) fn run_is_awaited(&self) -> bool {
        let state = &self.state;
        let may_run = state.hold.is_none() && (state.run.asked || state.run_is_cheap() || state.run_is_kept());
        let ended = |wanted: &RunWanted| state.run.ended && self.sent.run.as_ref() == Some(wanted);
        state.run.running.is_some()
            || may_run && state.run.error.is_none() && self.wanted_run().is_some_and(|(wanted, _)| !ended(&wanted))
    }

    /// Whether colours, similarities or matches of what is looked at are still to come.
    pub(in crate::app) fn views_are_awaited(&self) -> bool {
        let state = &self.state;
        if state.view_error.is_some() || self.sent.failure_read {
            return false;
        }
        let heat = heat_query(state).is_some_and(|query| {
            state
                .heat
                .as_ref()
                .is_none_or(|heat| !same_query(state, &heat.query, &query))
        });
        let matches = matches_query(state)
            .is_some_and(|query| state.matches.as_ref().is_none_or(|matches| matches.query != query));
        let channel = channel_query(state)
            .is_some_and(|query| state.channel.as_ref().is_none_or(|channel| channel.query != query));
        let channels =
            channels_query(state).is_some_and(|wanted| state.channels.as_ref().is_none_or(|view| view.query != wanted));
        let rank = shown_rank_query(state).is_some_and(|query| {
            let told = state.rank.view.as_ref();
            told.is_none_or(|view| view.query != query || view.done < view.total)
        });
        let compared = shown_compare_query(state)
            .is_some_and(|query| state.compare.view.as_ref().is_none_or(|view| view.query != query));
        pca_is_awaited(state) || heat || matches || channel || channels || rank || compared
    }
}
