//! How much of a network is read: nothing behind the last activation selected, which saves time and memory.

use crate::{
    activation::{Catalogue, CatalogueEntry, Tap},
    error::Error,
};

/// How much of a network is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadExtent {
    /// All of it.
    #[default]
    Whole,
    /// As far as this activation; a little more may be read.
    UpTo(Tap),
}

impl LoadExtent {
    /// Whether the activations that `part` names are needed, or lie before one that is.
    pub(crate) fn reaches(self, list: &Catalogue, part: impl Fn(&CatalogueEntry) -> bool) -> bool {
        let Self::UpTo(last) = self else { return true };
        let first = list.entries().iter().find(|entry| part(entry));
        first
            .and_then(|entry| list.tap(entry.id))
            .is_none_or(|first| first <= last)
    }
}

/// Error of a pass that goes beyond the part of the network that was read.
pub(crate) fn nothing_was_read() -> Error {
    Error::failed(
        "this network was read only as far as its last activation that was asked for, and another one was asked for since",
    )
}
