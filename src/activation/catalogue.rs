//! Every activation of a model in execution order, with shapes for a working size, before any weight is read.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Facts, Id, Kind, Name, Stage};
use crate::{
    error::{Error, Result},
    geometry::{Grid, Size},
    words::did_you_mean,
};

/// Number of an activation in execution order: an index into its model's [`Catalogue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tap(pub u32);

impl Tap {
    /// The index as such.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Shape of one activation of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shape {
    /// (C, h, w).
    Features {
        /// Channels C.
        channels: usize,
        /// Rows and columns.
        #[serde(flatten)]
        grid: Grid,
    },
    /// (heads, queries, keys).
    Attention {
        /// Heads.
        heads: usize,
        /// Query positions.
        queries: usize,
        /// Key positions or text tokens.
        keys: usize,
    },
}

impl Shape {
    /// The three numbers of the shape.
    pub const fn dims(self) -> [usize; 3] {
        match self {
            Self::Features { channels, grid } => [channels, grid.height, grid.width],
            Self::Attention { heads, queries, keys } => [heads, queries, keys],
        }
    }

    /// Size in f32, in bytes, for one picture.
    pub const fn bytes(self) -> usize {
        let [a, b, c] = self.dims();
        a.saturating_mul(b).saturating_mul(c).saturating_mul(size_of::<f32>())
    }
}

/// One activation of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CatalogueEntry {
    /// Its name.
    pub id: Id,
    /// Its shape at the catalogue's working size.
    pub shape: Shape,
    /// What it is.
    pub facts: Facts,
}

impl CatalogueEntry {
    /// The decoded picture of one step, (3, H, W), which is no activation of the denoiser.
    fn decoded(picture: Size) -> Self {
        const CHANNELS: usize = 3;
        Self {
            id: Id::VAE_OUT,
            shape: Shape::Features {
                channels: CHANNELS,
                grid: Grid::new(picture.height, picture.width),
            },
            facts: Facts {
                word: Name::of("out"),
                ..Facts::new(Id::VAE_OUT, Stage::Output, Kind::Output)
            },
        }
    }

    /// The activation on whose grid its positions lie: a map's are those of its queries.
    pub(crate) fn positions_of(&self) -> Id {
        self.facts.map_of.map_or(self.id, |map| map.queries)
    }
}

/// All activations of a model at one working size, in execution order.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: Vec<CatalogueEntry>,
    /// Tensors computed from the network's output, with taps behind those of the activations.
    derived: Vec<CatalogueEntry>,
    taps: HashMap<Id, Tap>,
}

impl Catalogue {
    /// Appends an activation; ids are met in execution order and only once. The names of maps end as [`Id::is_map`] has it.
    pub fn push(&mut self, entry: CatalogueEntry) {
        debug_assert_eq!(
            entry.id.is_map(),
            matches!(entry.shape, Shape::Attention { .. }),
            "{}",
            entry.id
        );
        let tap = Tap(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        if self.taps.insert(entry.id, tap).is_none() {
            self.entries.push(entry);
        }
    }

    /// Adds the decoded picture of one step, for models with an autoencoder. Called when all activations are there.
    pub(crate) fn push_decoded(&mut self, working: Size) {
        self.push_derived(CatalogueEntry::decoded(working));
    }

    /// Adds what is computed from the network's output: it has a tap after all activations, and is found by its id, but
    /// it is neither listed nor counted among them. Called when all of them are there.
    fn push_derived(&mut self, entry: CatalogueEntry) {
        let index = self.entries.len() + self.derived.len();
        let tap = Tap(u32::try_from(index).unwrap_or(u32::MAX));
        if self.taps.insert(entry.id, tap).is_none() {
            self.derived.push(entry);
        }
    }

    /// The network's activations in execution order.
    pub fn entries(&self) -> &[CatalogueEntry] {
        &self.entries
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The activation met at `tap`, or what is derived there.
    pub fn entry(&self, tap: Tap) -> Option<&CatalogueEntry> {
        self.entries.iter().chain(&self.derived).nth(tap.index())
    }

    /// The grid of an activation's positions: a map's are those of its queries. None where the model has no such activation.
    pub(crate) fn grid_of(&self, id: Id) -> Option<Grid> {
        let positions = self.entry(self.tap(id)?)?.positions_of();
        match self.entry(self.tap(positions)?)?.shape {
            Shape::Features { grid, .. } => Some(grid),
            Shape::Attention { .. } => None,
        }
    }

    /// The tap of an id, if the model has it.
    pub fn tap(&self, id: Id) -> Option<Tap> {
        self.taps.get(&id).copied()
    }

    /// The tap of an id a model's own code asks for while it is built.
    ///
    /// # Errors
    ///
    /// Where the catalogue lacks the id: network and catalogue do not belong together.
    pub fn expect(&self, id: Id) -> Result<Tap> {
        self.tap(id).ok_or_else(|| {
            Error::failed(format!(
                "the network has a place \"{id}\" that its list of activations lacks"
            ))
        })
    }

    /// The tap of an id as the user wrote it; an unknown one is answered with the nearest.
    ///
    /// # Errors
    ///
    /// Where the model has no such activation; the message names the nearest.
    pub fn find(&self, text: &str) -> Result<Tap> {
        let text = text.trim();
        if let Some(tap) = text.parse::<Id>().ok().and_then(|id| self.tap(id)) {
            return Ok(tap);
        }
        let hint = did_you_mean(text, self.entries.iter().map(|entry| entry.id.as_str()));
        Err(Error::usage(format!(
            "this model has no activation \"{text}\"{hint} (`featscope layers` lists all {})",
            self.len()
        )))
    }

    /// The id whose name is nearest to `text`.
    pub fn nearest(&self, text: &str) -> Option<Id> {
        self.entries
            .iter()
            .map(|entry| entry.id)
            .min_by_key(|id| strsim::damerau_levenshtein(id.as_str(), text))
    }

    /// The activations whose name has every one of the words of `query`, case ignored, in execution order.
    pub fn search(&self, query: &str) -> Vec<Tap> {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        (0u32..)
            .zip(&self.entries)
            .filter(|(_, entry)| words.iter().all(|word| entry.id.as_str().contains(word.as_str())))
            .map(|(index, _)| Tap(index))
            .collect()
    }
}
