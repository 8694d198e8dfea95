//! The name of one activation.
//!
//! The names are those of the reference implementation of *Not All Diffusion Model Activations Have Been Evaluated as
//! Discriminative Features*, so that existing layer lists work unchanged. ADM blocks are numbered `b1`, `b2`, … as in
//! *Do text-free diffusion models learn discriminative visual representations?* Which ids a model has is stated by its
//! family's catalogue; the ids of attention maps, and no others, end in `-map`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Name;
use crate::error::{Error, Result};

/// Suffix of the ids of attention maps.
const MAP: &str = "-map";
/// Suffix of the ids of attention maps to text.
const CROSS_MAP: &str = "cross-map";

/// The name of one activation, of lower-case letters, digits and hyphens; ordered as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Name);

impl Id {
    /// The decoded picture of one step: not an activation of the denoiser, so no list of its activations has it.
    pub(crate) const VAE_OUT: Self = Self::of("vae-out");

    /// A name from a literal of the program.
    pub const fn of(text: &'static str) -> Self {
        Self(Name::of(text))
    }

    /// A name that a family makes of the numbers of a configuration, whose bounds bound how many there are.
    pub fn made(text: &str) -> Self {
        Self(Name::made(text))
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0.as_str()
    }

    /// Whether this is an attention map (B, heads, queries, keys) and not a feature map.
    pub fn is_map(self) -> bool {
        self.as_str().ends_with(MAP)
    }

    /// Whether this is an attention map to text (B, heads, positions, tokens).
    pub fn is_cross_map(self) -> bool {
        self.as_str().ends_with(CROSS_MAP)
    }

    /// Whether every position of the picture has a vector that can be compared: in features its channels, in attention
    /// maps to text the weights of the tokens (the mean over heads).
    pub fn has_vectors(self) -> bool {
        !self.is_map() || self.is_cross_map()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match !text.is_empty() && text.bytes().all(fits) {
            true => Name::new(text).map(Self),
            false => Err(Error::usage(format!("\"{text}\" is not the name of an activation"))),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_once() -> Result<()> {
        let [a, b]: [Id; 2] = [
            "up-level1-repeat0-res-out".parse()?,
            "up-level1-repeat0-res-out".parse()?,
        ];
        assert!(std::ptr::eq(a.as_str(), b.as_str()));
        assert_eq!(
            serde_json::to_string(&a).ok().as_deref(),
            Some("\"up-level1-repeat0-res-out\"")
        );
        Ok(())
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(super::super::name::MOST_BYTES + 1);
        for text in ["", "Unet-out", "unet out", "b1\n", "é", &long] {
            assert!(text.parse::<Id>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn maps_are_known_by_their_last_word() {
        for (text, map, cross, vectors) in [
            ("vit-block0-self-map", true, false, false),
            ("vit-block0-cross-map", true, true, true),
            ("b7-attn-map", true, false, false),
            ("vit-block3-attn2-map", true, false, false),
            ("vit-block0-self-q", false, false, true),
            ("vae-out", false, false, true),
        ] {
            let id: Id = text.parse().expect("an id");
            assert_eq!(
                (id.is_map(), id.is_cross_map(), id.has_vectors()),
                (map, cross, vectors),
                "{text}"
            );
        }
    }
}
