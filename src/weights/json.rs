//! JSON and text beside the weights, each kind within its own bound.

use std::path::Path;

use serde_json::Value;

use crate::{
    error::{Error, Result, clipped},
    files,
};

/// Kind of a text file. It bounds its size: a byte of JSON may take a hundred bytes of memory when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// A configuration of a network, a tokenizer, an adapter.
    Configuration,
    /// A vocabulary with its merges.
    Vocabulary,
    /// Names of activations.
    Layers,
    /// Pairs of points.
    Pairs,
    /// A PCA basis, most of it numbers.
    Basis,
}

impl TextKind {
    /// The most bytes that are read.
    pub fn most_bytes(self) -> u64 {
        match self {
            Self::Configuration | Self::Layers => 1 << 20,
            Self::Pairs => 2 << 20,
            Self::Vocabulary => 4 << 20,
            Self::Basis => 16 << 20,
        }
    }

    /// Its label in messages.
    fn words(self) -> &'static str {
        match self {
            Self::Configuration => "a configuration",
            Self::Vocabulary => "a vocabulary",
            Self::Layers => "a layer file",
            Self::Pairs => "a file of pairs",
            Self::Basis => "a PCA basis",
        }
    }
}

pub(crate) fn read_text(path: &Path, kind: TextKind) -> Result<String> {
    files::read_text(path, kind.most_bytes(), kind.words())
}

/// Reads a configuration. Numbers that Python writes and JSON does not have (`-Infinity`, as in published schedules) count as
/// absent.
///
/// # Errors
///
/// Where the file cannot be read, is larger than a configuration can be, or is no JSON.
pub fn read_json(path: &Path) -> Result<Value> {
    let text = read_text(path, TextKind::Configuration)?;
    let read = serde_json::from_str(&text).or_else(|error| match without_infinities(&text) {
        Some(text) => serde_json::from_str(&text).map_err(|_| error),
        None => Err(error),
    });
    read.map_err(|error| {
        Error::failed(format!(
            "{} is not valid JSON: {}",
            path.display(),
            clipped(&error.to_string())
        ))
    })
}

/// The text with `null` for `NaN`, `Infinity` and `-Infinity` outside of strings; none where there are none.
fn without_infinities(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut replaced = String::with_capacity(text.len());
    let (mut rest, mut found) = (text, false);
    let (mut quoted, mut escaped) = (false, false);
    while let Some(letter) = rest.chars().next() {
        let word = WORDS.into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            replaced.push_str("null");
            rest = &rest[word.len()..];
            found = true;
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        replaced.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    found.then_some(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_python_that_json_lacks_count_as_absent() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("config.json");
        std::fs::write(
            &path,
            r#"{"a": -Infinity, "b": [NaN, Infinity], "c\"NaN": "-Infinity"}"#,
        )?;
        let read = read_json(&path)?;
        assert_eq!(
            read,
            serde_json::json!({"a": null, "b": [null, null], "c\"NaN": "-Infinity"})
        );
        std::fs::write(&path, r#"{"a": -Infinity, "b": nan}"#)?;
        let error = read_json(&path).expect_err("no JSON").to_string();
        assert!(error.contains("not valid JSON"), "{error}");
        Ok(())
    }

    #[test]
    fn each_kind_has_its_own_bound() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("config.json");
        std::fs::write(&path, format!("{{}}{}", " ".repeat((1 << 20) - 2)))?;
        assert!(read_json(&path)?.is_object());
        std::fs::write(&path, format!("{{}}{}", " ".repeat((1 << 20) - 1)))?;
        let error = read_json(&path).expect_err("too long").to_string();
        assert!(
            error.contains("1048577 bytes; a configuration of more than 1048576"),
            "{error}"
        );
        assert_eq!(read_text(&path, TextKind::Vocabulary)?.len(), (1 << 20) + 1);
        Ok(())
    }
}
