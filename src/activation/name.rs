//! Interned short texts: names of activations and of their groups.

use std::{
    collections::HashSet,
    fmt,
    sync::{LazyLock, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// Longer names are in no model.
pub(super) const MOST_BYTES: usize = 96;
/// More names than a million models of different names have; what is read from files cannot fill memory with them.
const MOST_NAMES: usize = 1 << 20;

static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

/// An interned short text, copied as a reference; equal and ordered as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name(&'static str);

impl Name {
    /// A name from a literal of the program.
    pub const fn of(text: &'static str) -> Self {
        Self(text)
    }

    /// The name with this text.
    ///
    /// # Errors
    ///
    /// Where the text is longer than any name, or more names were made than all models have.
    pub fn new(text: &str) -> Result<Self> {
        if text.len() > MOST_BYTES {
            return Err(Error::usage(format!(
                "a name of {} bytes is longer than any activation's, which have up to {MOST_BYTES}",
                text.len()
            )));
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST_NAMES && !names.contains(text) {
            return Err(Error::failed(format!(
                "more than {MOST_NAMES} names of activations were read: start the program again"
            )));
        }
        Ok(Self::interned(&mut names, text))
    }

    /// A name that a family makes of the numbers of a configuration, whose bounds bound how many there are.
    pub fn made(text: &str) -> Self {
        Self::interned(&mut NAMES.lock().unwrap_or_else(PoisonError::into_inner), text)
    }

    fn interned(names: &mut HashSet<&'static str>, text: &str) -> Self {
        if let Some(known) = names.get(text) {
            return Self(known);
        }
        let interned: &'static str = Box::leak(text.into());
        names.insert(interned);
        Self(interned)
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether it has no letters.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}
