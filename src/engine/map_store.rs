//! The maps that are kept, as queries find them, and why one is not there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    cache::{PassInfo, SharedCache},
    ids::PassId,
};
use crate::{
    activation::{FeatureMap, Id, NotFinite},
    error::{Error, Result},
};

/// The maps that are kept.
#[derive(Clone)]
pub struct MapStore {
    cache: SharedCache,
}

/// Why a query has no answer.
pub enum Unavailable {
    /// The map is not kept (any more).
    Missing(Id, PassId),
    /// A newer query of its kind waits, and will be answered.
    Superseded,
    /// The map is not finite.
    NotFinite(NotFiniteMap),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A map that nothing can be computed from: its numbers are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFiniteMap {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// How many of its numbers.
    #[serde(flatten)]
    pub numbers: NotFinite,
}

impl NotFiniteMap {
    /// A map as such a one, where it is.
    pub fn of(map: &FeatureMap, pass: PassId, id: Id) -> Option<Self> {
        let numbers = map.not_finite()?;
        Some(Self { id, pass, numbers })
    }

    /// Why nothing is computed from it.
    pub fn refusal(&self) -> Error {
        Error::usage(format!(
            "{} is not finite: {}, so nothing can be computed from it",
            self.id, self.numbers
        ))
    }
}

impl MapStore {
    pub(super) fn new(cache: SharedCache) -> Self {
        Self { cache }
    }

    /// A feature map that is kept and that something can be computed from.
    pub fn map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unavailable> {
        let map = self.any_map(pass, id)?;
        match NotFiniteMap::of(&map, pass, id) {
            Some(found) => Err(Unavailable::NotFinite(found)),
            None => Ok(map),
        }
    }

    /// A feature map that is kept, whatever its numbers are.
    pub fn any_map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unavailable> {
        if !id.has_vectors() {
            // Running again would not bring it.
            return Err(Error::usage(format!(
                "{id} is an attention map, of which only queries and keys are kept: choose a feature map"
            ))
            .into());
        }
        self.cache.lock().get(pass, id).ok_or(Unavailable::Missing(id, pass))
    }

    /// The weights of one head of an attention map to text, a channel for every token.
    pub fn head(&self, pass: PassId, id: Id, head: usize) -> Result<Arc<FeatureMap>, Unavailable> {
        let (heads, tokens) = self
            .heads(pass, id)?
            .ok_or_else(|| Error::usage(format!("of {id} only the mean over heads is kept: choose the mean")))?;
        let count = heads.channels() / tokens.max(1);
        if head >= count {
            return Err(no_head(id, count, head).into());
        }
        Ok(Arc::new(heads.channel_range(head * tokens..(head + 1) * tokens)?))
    }

    /// The weights of all heads of an attention map to text, head by head a channel for every token, and the number of tokens.
    /// None where only their mean is kept.
    pub fn heads(&self, pass: PassId, id: Id) -> Result<Option<(Arc<FeatureMap>, usize)>, Unavailable> {
        let tokens = self.map(pass, id)?.channels();
        Ok(self.cache.lock().heads(pass, id).map(|heads| (heads, tokens)))
    }

    /// What is known of a pass; `id` is what it is asked for.
    pub fn info(&self, pass: PassId, id: Id) -> Result<Arc<PassInfo>, Unavailable> {
        self.cache.lock().info(pass).ok_or(Unavailable::Missing(id, pass))
    }
}

/// Why there is no such head.
pub fn no_head(id: Id, count: usize, head: usize) -> Error {
    Error::usage(format!(
        "{id} has {count} heads, number {head} (from 0) was asked for: choose another"
    ))
}
