//! The requests that were sent last, and what a run depends on.

use crate::{
    activation::Id,
    engine::{ChannelQuery, ChannelsQuery, CompareQuery, HeatQuery, MatchesQuery, PcaQuery, RankQuery, RunSettings},
};

/// What the workers were asked last: a request is sent when what is wanted differs.
#[derive(Default)]
pub struct Questions {
    pub(in crate::app) run: Option<RunWanted>,
    pub(in crate::app) pca: Option<PcaQuery>,
    pub(in crate::app) query: Option<HeatQuery>,
    pub(in crate::app) matches: Option<MatchesQuery>,
    pub(in crate::app) channels: Option<ChannelsQuery>,
    pub(in crate::app) channel: Option<ChannelQuery>,
    pub(in crate::app) rank: Option<RankQuery>,
    pub(in crate::app) compare: Option<CompareQuery>,
    /// Whether the user has read why the last of these failed: no answer is to come.
    pub(in crate::app) failure_read: bool,
}

/// What a run depends on: settings, activation, model, and the pictures.
#[derive(PartialEq)]
pub(in crate::app) struct RunWanted(
    pub(in crate::app) RunSettings,
    pub(in crate::app) Id,
    pub(in crate::app) u64,
    pub(in crate::app) Vec<u64>,
);

/// What is to be sent: what is wanted, if it is not what was sent. Where nothing is wanted, the answer is let go of, and
/// the same is asked for again when it is wanted again.
pub fn new<T: Clone>(sent: &mut Option<T>, wanted: Option<T>, same: impl Fn(&T, &T) -> bool) -> Option<T> {
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
