//! Requests to the workers that the state calls for: one function for each kind of view.

use super::{root::State, slots::PointAt};
use crate::{
    activation::Id,
    app::document::{layout::panes, pairs::pair_of, pane::PaneKind, root::Document},
    engine::{ChannelQuery, ChannelsQuery, HeatQuery, ImageSlot, MatchesQuery, PcaQuery, PinQuery, QueryAt},
};

/// Whether the PCA colours of a picture are those of what is set.
pub fn pca_is_current(state: &State, slot: ImageSlot) -> bool {
    let wanted = pca_query(state);
    let shown = state.slot(slot).pca.as_ref();
    shown.zip(wanted).is_some_and(|(shown, wanted)| shown.query == wanted) && state.is_captured(slot)
}

/// Whether PCA colours of the selected activation have not come.
pub fn pca_is_missing(state: &State) -> bool {
    pca_query(state).is_some_and(|query| {
        let shown = |slot| state.slot(slot).pca.as_ref().is_some_and(|view| view.query == query);
        !query.passes.iter().all(|(slot, _)| shown(*slot))
    })
}

pub fn shows(document: &Document, kind: PaneKind) -> bool {
    panes(&document.layout).iter().any(|(_, pane)| pane.kind == kind)
}

/// The layer, where it is one that has vectors.
fn features(state: &State) -> Option<Id> {
    state.layer().filter(|id| id.has_vectors())
}

/// How the PCA colours of the pictures that are there are made.
pub fn pca_query(state: &State) -> Option<PcaQuery> {
    let passes = state.shown_passes();
    let id = features(state).filter(|_| !passes.is_empty() && shows(&state.document, PaneKind::Pca))?;
    Some(PcaQuery {
        id,
        passes,
        settings: state.document.pca.clone(),
    })
}

/// What is similar to the selected pin or to the point under the pointer.
pub fn heat_query(state: &State) -> Option<HeatQuery> {
    let (slot, at) = state.query_at()?;
    state.sees(slot, &at).then_some(())?;
    let targets = state.shown_passes();
    let (_, source) = *targets.iter().find(|(other, _)| *other == slot)?;
    Some(HeatQuery {
        id: state.layer()?,
        source,
        at,
        targets,
        drop_massive: state.document.pca.drop_massive,
        head: state.head(),
    })
}

pub fn matches_query(state: &State) -> Option<MatchesQuery> {
    let targets = state.shown_passes();
    let pass_of = |slot| targets.iter().find(|(other, _)| *other == slot).map(|(_, pass)| *pass);
    let pins: Vec<PinQuery> = state
        .document
        .pins
        .iter()
        .filter_map(|pin| {
            let mate = pair_of(pin).map(|pair| (pair.slots[1], pair.at[1]));
            Some(PinQuery {
                pin: pin.number,
                source: pass_of(pin.slot)?,
                at: pin.at.clone(),
                mate,
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

pub fn channels_query(state: &State) -> Option<ChannelsQuery> {
    let id = features(state)?;
    let passes = state.shown_passes();
    let focused = state.focused_slot();
    let of_focused = passes.iter().find(|(slot, _)| *slot == focused);
    let (_, pass) = *of_focused.or(passes.first())?;
    let shown = state.preferences.inspector_shown || shows(&state.document, PaneKind::Channel);
    shown.then_some(ChannelsQuery { id, pass })
}

pub fn channel_query(state: &State) -> Option<ChannelQuery> {
    let id = features(state)?;
    let passes = state.shown_passes();
    // Another layer may have fewer channels; how many is known when their figures have come.
    let known = state.channels.as_ref().filter(|channels| channels.query.id == id)?;
    let channel = state.document.channel.min(known.channels.len().saturating_sub(1));
    (!passes.is_empty()).then_some(ChannelQuery { id, channel, passes })
}

/// Whether two queries ask the same: a pointer that moves inside one cell asks nothing new.
pub fn same_query(state: &State, before: &HeatQuery, now: &HeatQuery) -> bool {
    let (QueryAt::Point(before_at), QueryAt::Point(now_at)) = (&before.at, &now.at) else {
        return before == now;
    };
    let but_point = |query: &HeatQuery| HeatQuery {
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
