//! The comparison of two sides that came last, and the pass that is run for one.

use crate::{
    components::schedule::Timestep,
    engine::{CompareView, ImageSlot, SeriesQuery},
};

/// What came of a comparison, and what is being asked for it.
#[derive(Debug, Default)]
pub struct CompareState {
    /// The answer that came last.
    pub view: Option<CompareView>,
    /// Timestep and seed that are typed, to be run as B; none: those that are set.
    pub typed: Option<(Timestep, u64)>,
    /// A pass that becomes B when it is there.
    pub asked: Option<(u64, SeriesQuery)>,
}

/// Why a side cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// In words.
    Words(String),
    /// Its maps are not kept: it can be run again in this slot.
    CanRun(ImageSlot),
}
