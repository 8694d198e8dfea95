//! One activation of a model, as messages and the cache name it.

use serde::{Deserialize, Serialize};

use crate::activation::{CatalogueEntry, Facts, Id, Shape};

/// One activation of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub id: Id,
    /// Its shape for one picture.
    pub shape: Shape,
    /// What it is.
    pub facts: Facts,
}

impl Layer {
    /// Whether it can be shown: of some attention, the rows cannot be made of the kept queries and keys.
    pub fn can_be_shown(&self) -> bool {
        self.id.has_vectors() || self.facts.map_sources().is_some()
    }

    /// What has to be kept of a pass to look at it: itself, or what its rows are made of.
    pub fn shown_from(&self) -> Vec<Id> {
        match self.facts.map_sources() {
            Some(sources) if !self.id.has_vectors() => sources.into_iter().chain(self.facts.row_sums).collect(),
            _ => vec![self.id],
        }
    }
}

impl From<&CatalogueEntry> for Layer {
    fn from(entry: &CatalogueEntry) -> Self {
        Self {
            id: entry.id,
            shape: entry.shape,
            facts: entry.facts,
        }
    }
}
