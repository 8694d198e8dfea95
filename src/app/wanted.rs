//! What is asked of the workers: whatever is wanted and was not asked for yet.

use super::{
    App, PointAt,
    arrange::panes,
    document::{Document, PaneKind},
    state::State,
    studies::{ranking::wanted_rank, sides::wanted_compare},
};
use crate::{
    activation::Id,
    engine::{
        ChannelQuery, CompareQuery, MatchesQuery, PassId, PcaQuery, PinQuery, Query, QueryAt, RankQuery, Request,
        RunSettings, ViewRequest,
    },
};

/// What the workers were asked last: a request is sent when what is wanted differs.
#[derive(Default)]
pub struct Sent {
    pub(super) run: Option<RunWanted>,
    pca: Option<PcaQuery>,
    query: Option<Query>,
    matches: Option<MatchesQuery>,
    channels: Option<(Id, PassId)>,
    channel: Option<ChannelQuery>,
    rank: Option<RankQuery>,
    compare: Option<CompareQuery>,
    /// Whether the user has read why the last of these failed: no answer is to come.
    pub(super) failure_read: bool,
}

/// What a run depends on: settings, activation, model, and the pictures.
#[derive(PartialEq)]
pub(super) struct RunWanted(RunSettings, Id, u64, Vec<u64>);

impl App {
    pub(super) fn ask_for_what_is_wanted(&mut self) {
        self.ask_for_runs();
        self.ask_for_comparisons();
        let state = &self.state;
        let views = [
            new(&mut self.sent.query, wanted_query(state), |before, now| {
                same_query(state, before, now)
            })
            .map(ViewRequest::Query),
            new(&mut self.sent.matches, wanted_matches(state), PartialEq::eq).map(ViewRequest::Matches),
            new(&mut self.sent.pca, wanted_pca(state), PartialEq::eq).map(ViewRequest::Pca),
            new(&mut self.sent.channels, wanted_channels(state), PartialEq::eq)
                .map(|(id, pass)| ViewRequest::Channels { id, pass }),
            new(&mut self.sent.channel, wanted_channel(state), PartialEq::eq).map(ViewRequest::Channel),
            new(&mut self.sent.compare, wanted_comparison(state), PartialEq::eq).map(ViewRequest::Sides),
            new(&mut self.sent.rank, wanted_ranking(state), PartialEq::eq).map(ViewRequest::Rank),
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
            self.engine.send(Request::View(view));
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
    pub(super) fn run_is_awaited(&self) -> bool {
        let state = &self.state;
        let may_run = state.hold.is_none() && (state.run.asked || state.run_is_cheap() || state.run_is_kept());
        let ended = |wanted: &RunWanted| state.run.ended && self.sent.run.as_ref() == Some(wanted);
        state.run.running.is_some()
            || may_run && state.run.error.is_none() && self.wanted_run().is_some_and(|(wanted, _)| !ended(&wanted))
    }

    /// Whether colours, similarities or matches of what is looked at are still to come.
    pub(super) fn views_are_awaited(&self) -> bool {
        let state = &self.state;
        if state.view_error.is_some() || self.sent.failure_read {
            return false;
        }
        let heat = wanted_query(state).is_some_and(|query| {
            state
                .heat
                .as_ref()
                .is_none_or(|heat| !same_query(state, &heat.query, &query))
        });
        let matches = wanted_matches(state)
            .is_some_and(|query| state.matches.as_ref().is_none_or(|matches| matches.query != query));
        let channel = wanted_channel(state)
            .is_some_and(|query| state.channel.as_ref().is_none_or(|channel| channel.query != query));
        let channels = wanted_channels(state).is_some_and(|wanted| {
            state
                .channels
                .as_ref()
                .is_none_or(|view| (view.id, view.pass) != wanted)
        });
        let rank = wanted_ranking(state).is_some_and(|query| {
            let told = state.rank.view.as_ref();
            told.is_none_or(|view| view.query != query || view.done < view.total)
        });
        let compared = wanted_comparison(state)
            .is_some_and(|query| state.compare.view.as_ref().is_none_or(|view| view.query != query));
        pca_is_awaited(state) || heat || matches || channel || channels || rank || compared
    }
}

/// Whether PCA colours of what is looked at are still to come.
pub fn pca_is_awaited(state: &State) -> bool {
    wanted_pca(state).is_some_and(|query| {
        let shown = |slot| state.slot(slot).pca.as_ref().is_some_and(|view| view.query == query);
        !query.passes.iter().all(|(slot, _)| shown(*slot))
    })
}

/// What is to be sent: what is wanted, if it is not what was sent. Where nothing is wanted, the answer is let go of, and
/// the same is asked for again when it is wanted again.
fn new<T: Clone>(sent: &mut Option<T>, wanted: Option<T>, same: impl Fn(&T, &T) -> bool) -> Option<T> {
    let Some(wanted) = wanted else {
        *sent = None;
        return None;
    };
    if sent.as_ref().is_some_and(|sent| same(sent, &wanted)) {
        return None;
    }
    *sent = Some(wanted.clone());
    Some(wanted)
}

fn shows(document: &Document, kind: PaneKind) -> bool {
    panes(&document.layout).iter().any(|(_, pane)| pane.kind == kind)
}

/// The layer, where it is one that has vectors.
fn features(state: &State) -> Option<Id> {
    state.layer().filter(|id| id.has_vectors())
}

/// How the PCA colours of the pictures that are there are made.
pub fn wanted_pca(state: &State) -> Option<PcaQuery> {
    let passes = state.shown_passes();
    let id = features(state).filter(|_| !passes.is_empty() && shows(&state.document, PaneKind::Pca))?;
    Some(PcaQuery {
        id,
        passes,
        settings: state.document.pca.clone(),
    })
}

/// What is similar to the selected pin or to the point under the pointer.
pub fn wanted_query(state: &State) -> Option<Query> {
    let (slot, at) = state.query_at()?;
    state.sees(slot, &at).then_some(())?;
    let targets = state.shown_passes();
    let (_, source) = *targets.iter().find(|(other, _)| *other == slot)?;
    Some(Query {
        id: state.layer()?,
        source,
        at,
        targets,
        drop_massive: state.document.pca.drop_massive,
        head: state.head(),
    })
}

fn wanted_matches(state: &State) -> Option<MatchesQuery> {
    let targets = state.shown_passes();
    let pass_of = |slot| targets.iter().find(|(other, _)| *other == slot).map(|(_, pass)| *pass);
    let pins: Vec<PinQuery> = state
        .document
        .pins
        .iter()
        .filter_map(|pin| {
            Some(PinQuery {
                pin: pin.number,
                source: pass_of(pin.slot)?,
                at: pin.at.clone(),
            })
        })
        .collect();
    let id = features(state).filter(|_| !pins.is_empty())?;
    Some(MatchesQuery {
        id,
        pins,
        targets,
        top_k: state.document.top_k,
        drop_massive: state.document.pca.drop_massive,
    })
}

/// What is compared, where a pane shows it.
fn wanted_comparison(state: &State) -> Option<CompareQuery> {
    shows(&state.document, PaneKind::Compare)
        .then(|| wanted_compare(state))
        .flatten()
}

/// What is ranked, where a pane shows it.
fn wanted_ranking(state: &State) -> Option<RankQuery> {
    shows(&state.document, PaneKind::Rank)
        .then(|| wanted_rank(state))
        .flatten()
}

fn wanted_channels(state: &State) -> Option<(Id, PassId)> {
    let id = features(state)?;
    let passes = state.shown_passes();
    let focused = state.focused_slot();
    let of_focused = passes.iter().find(|(slot, _)| *slot == focused);
    let (_, pass) = of_focused.or(passes.first())?;
    let shown = state.memory.inspector_shown || shows(&state.document, PaneKind::Channel);
    shown.then_some((id, *pass))
}

fn wanted_channel(state: &State) -> Option<ChannelQuery> {
    let id = features(state)?;
    let passes = state.shown_passes();
    let shown = shows(&state.document, PaneKind::Channel) && !passes.is_empty();
    // Another layer may have fewer channels; how many is known when their figures have come.
    let known = state.channels.as_ref().filter(|channels| channels.id == id)?;
    let channel = state.document.channel.min(known.channels.len().saturating_sub(1));
    shown.then_some(ChannelQuery { id, channel, passes })
}

/// Whether two queries ask the same: a pointer that moves inside one cell asks nothing new.
fn same_query(state: &State, before: &Query, now: &Query) -> bool {
    let (QueryAt::Point(before_at), QueryAt::Point(now_at)) = (&before.at, &now.at) else {
        return before == now;
    };
    let but_point = |query: &Query| Query {
        at: QueryAt::Point([0.0; 2]),
        ..query.clone()
    };
    if but_point(before) != but_point(now) {
        return false;
    }
    let Some((slot, _)) = now.targets.iter().find(|(_, pass)| *pass == now.source) else {
        return false;
    };
    let cell = |at: [f64; 2]| state.cell_at(PointAt { slot: *slot, at });
    cell(*before_at) == cell(*now_at)
}
