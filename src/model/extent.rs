//! How much of a network is read: nothing behind the last activation selected, which saves time and memory.

use crate::{
    activation::{Catalogue, CatalogueEntry, Tap},
    error::{Error, Result},
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

    /// How many of a stack's blocks are read; `first` gives the first activation of each.
    ///
    /// # Errors
    ///
    /// That of `first`.
    pub(crate) fn blocks(self, count: usize, first: impl Fn(u16) -> Result<Tap>) -> Result<usize> {
        let Self::UpTo(last) = self else { return Ok(count) };
        for block in 0..count {
            if last < first(block as u16)? {
                return Ok(block);
            }
        }
        Ok(count)
    }

    /// Whether what makes the output is read: tensors derived from it have taps behind all activations of `list`.
    pub(crate) fn reads_output(self, list: &Catalogue) -> bool {
        match self {
            Self::Whole => true,
            Self::UpTo(last) => last.index() >= list.len(),
        }
    }
}

/// Error of a pass that goes beyond the part of the network that was read.
pub(crate) fn nothing_was_read() -> Error {
    Error::failed(
        "this network was read only as far as its last activation that was asked for, and another one was asked for since",
    )
}
