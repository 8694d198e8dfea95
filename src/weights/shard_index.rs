//! The index of a network's shards: `{"weight_map": {tensor: file}}`.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::header::{MOST_NAME_BYTES, MOST_TENSORS};
use crate::error::clipped;

/// The largest index that is read: those of the largest models have 1 MiB.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// More files than a network is cut into.
const MOST_SHARDS: usize = 256;

/// The file of each tensor, by the index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShardIndex {
    /// The names of the files, each once.
    pub(super) files: BTreeSet<String>,
    /// (tensor, file).
    pub(super) tensors: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Whole {
    weight_map: WeightMap,
}

struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensors to files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut tensors = Vec::new();
                while let Some((tensor, file)) = map.next_entry::<String, String>()? {
                    if tensors.len() == MOST_TENSORS || tensor.len().max(file.len()) > MOST_NAME_BYTES {
                        return Err(de::Error::custom(format!(
                            "it names more than {MOST_TENSORS} tensors, or has a name of more than {MOST_NAME_BYTES} bytes"
                        )));
                    }
                    tensors.push((tensor, file));
                }
                Ok(WeightMap(tensors))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

impl ShardIndex {
    /// Reads an index; the error says what is wrong with it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let Whole { weight_map } = serde_json::from_slice(json).map_err(|error| {
            format!(
                "there is no object \"weight_map\" from tensors to files ({})",
                clipped(&error.to_string())
            )
        })?;
        let files: BTreeSet<String> = weight_map.0.iter().map(|(_, file)| file.clone()).collect();
        match files.len() {
            0 => Err("\"weight_map\" names no file".to_owned()),
            1..=MOST_SHARDS => Ok(Self {
                files,
                tensors: weight_map.0,
            }),
            many => Err(format!("it names {many} files; more than {MOST_SHARDS} are not read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_named_once() -> Result<(), String> {
        let json = r#"{"metadata": {"total_size": 3, "x": [[]]}, "weight_map": {"a": "1", "b": "2", "c": "1"}}"#;
        let index = ShardIndex::parse(json.as_bytes())?;
        assert_eq!(index.files.into_iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(index.tensors.len(), 3);
        Ok(())
    }

    #[test]
    fn what_is_no_index_is_refused_with_the_reason() {
        let long = "n".repeat(MOST_NAME_BYTES + 1);
        let many: Vec<String> = (0..=MOST_SHARDS).map(|file| format!("\"{file}\":\"{file}\"")).collect();
        for (json, says) in [
            ("[]".to_owned(), "weight_map"),
            ("{".to_owned(), "weight_map"),
            (r#"{"weight_map": 3}"#.to_owned(), "weight_map"),
            (r#"{"weight_map": {"a": 1}}"#.to_owned(), "weight_map"),
            (r#"{"weight_map": {"a": {"": 0}}}"#.to_owned(), "weight_map"),
            (r#"{"weight_map": {}}"#.to_owned(), "names no file"),
            (format!(r#"{{"weight_map": {{"{long}": "a"}}}}"#), "1024 bytes"),
            (format!(r#"{{"weight_map": {{{}}}}}"#, many.join(",")), "257 files"),
        ] {
            let error = ShardIndex::parse(json.as_bytes()).expect_err("refused");
            assert!(error.contains(says) && error.len() < 1000, "{says}: {error}");
        }
    }
}
