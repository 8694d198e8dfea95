//! How much of a network is read: what lies behind the last activation that is wanted takes neither time nor memory.

use crate::{
    activation::{Catalogue, Id, Place, Tap},
    error::Error,
};

/// How much of a network is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// As far as this activation; a little more may be read.
    UpTo(Tap),
}

impl Extent {
    /// Whether the activations of the places that `part` names are needed, or lie before one that is.
    pub(crate) fn reaches(self, list: &Catalogue, part: impl Fn(Place) -> bool) -> bool {
        let Self::UpTo(last) = self else { return true };
        let first: Option<Id> = list.entries().iter().map(|entry| entry.id).find(|id| part(id.place));
        first.and_then(|id| list.tap(id)).is_none_or(|first| first <= last)
    }
}

/// What a pass is told that goes on where nothing was read.
pub(crate) fn nothing_was_read() -> Error {
    Error::failed(
        "this network was read only as far as its last activation that was asked for, and another one was asked for since",
    )
}
