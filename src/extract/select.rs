//! Which activations a request asks for, before the model's catalogue is known.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    activation::{Catalogue, Selection, parse_layer_file},
    error::Result,
    files::names,
    weights::{TextKind, read_text},
};

/// The text of [`Select::Features`].
const FEATURES: &str = "all";
/// The text of [`Select::Everything`].
const EVERYTHING: &str = "all-maps";

/// What a request asks for. Its JSON is the text that `--activations` takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Select {
    /// Every activation that is no attention map.
    #[default]
    Features,
    /// Every activation.
    Everything,
    /// These ids, as they were written.
    Ids(Vec<String>),
    /// The ids of a layer file.
    LayerFile(PathBuf),
}

impl Select {
    /// What a text asks for: `all`, `all-maps`, a layer file (`.json`), or ids separated by commas.
    pub fn of(text: &str) -> Self {
        match text {
            FEATURES => Self::Features,
            EVERYTHING => Self::Everything,
            text => {
                let path = names::path(text.trim());
                let is_file = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
                match is_file {
                    true => Self::LayerFile(path),
                    false => Self::Ids(text.split(',').map(str::to_owned).collect()),
                }
            }
        }
    }

    /// The text that asks for it.
    pub fn text(&self) -> String {
        match self {
            Self::Features => FEATURES.to_owned(),
            Self::Everything => EVERYTHING.to_owned(),
            Self::Ids(ids) => ids.join(","),
            Self::LayerFile(path) => names::text(path),
        }
    }

    /// Whether it asks for nothing at all.
    pub fn is_empty(&self) -> bool {
        self.text().trim().is_empty()
    }

    /// The activations of a model that it asks for.
    ///
    /// # Errors
    ///
    /// Where an id is unknown, the layer file cannot be read, or nothing is asked for.
    pub fn resolve(&self, catalogue: &Catalogue) -> Result<Selection> {
        match self {
            Self::LayerFile(path) => read_text(path, TextKind::Layers).and_then(|text| {
                let in_file = || Selection::from_names(parse_layer_file(&text)?.iter().map(String::as_str), catalogue);
                in_file().map_err(|error| error.context(path.display()))
            }),
            _ => Selection::parse(&self.text(), catalogue),
        }
    }
}

impl Serialize for Select {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        names::serialize(&self.text(), serializer)
    }
}

impl<'de> Deserialize<'de> for Select {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        names::deserialize(deserializer).map(|text: String| Self::of(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_what_it_asks_for_make_each_other() -> Result<(), serde_json::Error> {
        let ids = |ids: &[&str]| Select::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
        for (text, select) in [
            ("all", Select::Features),
            ("all-maps", Select::Everything),
            ("b1, b2,", ids(&["b1", " b2", ""])),
            (" all", ids(&[" all"])),
            ("", ids(&[""])),
            ("layers.JSON", Select::LayerFile(PathBuf::from("layers.JSON"))),
        ] {
            assert_eq!(Select::of(text), select, "{text:?}");
            assert_eq!(select.text(), text);
            assert_eq!(serde_json::to_string(&select)?, serde_json::to_string(text)?);
            assert_eq!(serde_json::from_value::<Select>(text.into())?, select);
        }
        assert_eq!(Select::of(" layers.json "), Select::of("layers.json"));
        assert!(Select::of(" ").is_empty() && !Select::Features.is_empty());
        Ok(())
    }
}
