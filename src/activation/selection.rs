//! Which activations a pass records.

use serde_json::Value;

use super::{Catalogue, CatalogueEntry, Tap};
use crate::{
    error::{Error, Result},
    words::{fits, is_pattern, near_ones},
};

/// A set of taps: one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    words: Vec<u64>,
    last: Option<Tap>,
}

impl Selection {
    /// Parses the value of `--activations`: `all` (the list but attention maps), `all-maps` (the list), or
    /// ids and patterns of ids separated by commas. (A layer file is read with [`parse_layer_file`] and given with [`Self::from_names`].)
    ///
    /// # Errors
    ///
    /// Where the model lacks one of the ids, and where there is none.
    pub fn parse(text: &str, catalogue: &Catalogue) -> Result<Self> {
        match text.trim() {
            "all" => Ok(Self::features(catalogue)),
            "all-maps" => Ok(Self::listed(catalogue, |_| true)),
            list => Self::from_names(
                list.split(',').map(str::trim).filter(|name| !name.is_empty()),
                catalogue,
            ),
        }
    }

    /// Every activation of the model's list that is not an attention map.
    pub fn features(catalogue: &Catalogue) -> Self {
        Self::listed(catalogue, |entry| !entry.id.is_map())
    }

    /// The activations of the model's list that `fits`; what is offered beside it is selected by name alone.
    pub(crate) fn listed(catalogue: &Catalogue, fits: impl Fn(&CatalogueEntry) -> bool) -> Self {
        (0u32..)
            .zip(catalogue.entries())
            .filter(|(_, entry)| !entry.facts.is_extra && fits(entry))
            .map(|(index, _)| Tap(index))
            .collect()
    }

    /// Ids by name; an unknown one is an error that names the nearest. A name with `*` or `?` is a pattern: as "all", it takes
    /// the list without attention maps; those it takes where it fits nothing else, and what is offered beside the list
    /// where it fits nothing in it.
    ///
    /// # Errors
    ///
    /// Where the model lacks one of the names, a pattern fits nothing, and where there is no name.
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n str>, catalogue: &Catalogue) -> Result<Self> {
        let mut selection = Self::default();
        for name in names {
            match is_pattern(name) {
                true => fitting(name.trim(), catalogue)?
                    .into_iter()
                    .for_each(|tap| selection.insert(tap)),
                false => selection.insert(catalogue.find(name)?),
            }
        }
        if selection.is_empty() {
            return Err(Error::usage(
                "no activation was asked for: give ids separated by commas, \"all\" or \"all-maps\"",
            ));
        }
        Ok(selection)
    }

    /// Adds a tap.
    pub fn insert(&mut self, tap: Tap) {
        let (word, bit) = (tap.index() / 64, tap.index() % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
        self.last = self.last.max(Some(tap));
    }

    /// Whether a tap is in the set.
    pub fn contains(&self, tap: Tap) -> bool {
        self.words
            .get(tap.index() / 64)
            .is_some_and(|word| word >> (tap.index() % 64) & 1 == 1)
    }

    /// The last tap in execution order.
    pub fn last(&self) -> Option<Tap> {
        self.last
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The taps in execution order.
    pub fn iter(&self) -> impl Iterator<Item = Tap> + '_ {
        let end = self.last.map_or(0, |tap| tap.0 + 1);
        (0..end).map(Tap).filter(|tap| self.contains(*tap))
    }

    /// How many taps are selected.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

impl FromIterator<Tap> for Selection {
    fn from_iter<I: IntoIterator<Item = Tap>>(taps: I) -> Self {
        let mut selection = Self::default();
        for tap in taps {
            selection.insert(tap);
        }
        selection
    }
}

/// The activations that a pattern takes, at least one.
fn fitting(pattern: &str, catalogue: &Catalogue) -> Result<Vec<Tap>> {
    let all = || (0u32..).zip(catalogue.entries());
    let kind = |entry: &CatalogueEntry| (entry.facts.is_extra, entry.id.is_map());
    let found: Vec<_> = all().filter(|(_, entry)| fits(pattern, entry.id.as_str())).collect();
    let first = found.iter().map(|(_, entry)| kind(entry)).min();
    if let Some(first) = first {
        let of_kind = found.into_iter().filter(|(_, entry)| kind(entry) == first);
        return Ok(of_kind.map(|(index, _)| Tap(index)).collect());
    }
    let hint = near_ones(pattern, all().map(|(_, entry)| entry.id.as_str()));
    Err(Error::usage(format!(
        "no activation of this model fits \"{pattern}\"{hint} (`featscope layers` lists all {})",
        catalogue.len()
    )))
}

/// The names a layer file asks for. The file is a JSON object of id → bool, where false means absent (the layout of
/// generic-diffusion-feature), or an array of ids.
///
/// # Errors
///
/// Where the text is no JSON, or JSON of another form.
pub fn parse_layer_file(json: &str) -> Result<Vec<String>> {
    let malformed = || Error::usage("a layer file is a JSON object of id → true or false, or an array of ids");
    match serde_json::from_str(json) {
        Ok(Value::Object(layers)) => layers
            .into_iter()
            .filter_map(|(id, on)| match on {
                Value::Bool(true) => Some(Ok(id)),
                Value::Bool(false) => None,
                _ => Some(Err(malformed())),
            })
            .collect(),
        Ok(Value::Array(ids)) => ids
            .into_iter()
            .map(|id| id.as_str().map(str::to_owned).ok_or_else(malformed))
            .collect(),
        Ok(_) => Err(malformed()),
        Err(error) => Err(malformed().context(error)),
    }
}
