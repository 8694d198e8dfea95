//! What the hub says a repository holds.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::repo::{Checksum, is_commit};
use crate::error::clipped;

/// More files than repositories of models have: a few hundred.
const MOST_FILES: usize = 100_000;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    pub path: String,
    /// Bytes; None where the hub did not say.
    pub size: Option<u64>,
    /// None where the hub did not say.
    pub checksum: Option<Checksum>,
}

/// A repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub commit: String,
    pub files: Vec<ListedFile>,
}

/// The parts of an answer that are used; all others are passed over unread.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(deserialize_with = "files")]
    siblings: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Plain,
    #[serde(default, rename = "blobId")]
    blob_id: Plain,
    #[serde(default)]
    lfs: Pointer,
}

/// A number or a text; of anything else nothing is kept.
#[derive(Default)]
enum Plain {
    Number(u64),
    Text(String),
    #[default]
    Other,
}

impl Plain {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn checksum(&self) -> Option<Checksum> {
        match self {
            Self::Text(text) => Checksum::new(text),
            _ => None,
        }
    }
}

/// What is said of a file in large-file storage; none where it lies in git itself.
#[derive(Default)]
struct Pointer(Option<Lfs>);

#[derive(Default)]
struct Lfs {
    size: Plain,
    sha256: Plain,
    oid: Plain,
}

/// Takes whatever there is, so that what is of another kind than expected says nothing.
struct AnythingVisitor;

/// What an [`AnythingVisitor`] found.
enum Anything {
    Plain(Plain),
    Object(Lfs),
}

impl<'de> Visitor<'de> for AnythingVisitor {
    type Value = Anything;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Other))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Other))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Number(number)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Other))
    }

    fn visit_unit<E>(self) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Other))
    }

    fn visit_str<E>(self, text: &str) -> Result<Anything, E> {
        Ok(Anything::Plain(Plain::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Anything, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Anything::Plain(Plain::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Anything, A::Error> {
        let mut lfs = Lfs::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "size" => lfs.size = map.next_value()?,
                "sha256" => lfs.sha256 = map.next_value()?,
                "oid" => lfs.oid = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Anything::Object(lfs))
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(AnythingVisitor)? {
            Anything::Plain(plain) => plain,
            Anything::Object(_) => Self::Other,
        })
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(AnythingVisitor)? {
            Anything::Plain(_) => Self(None),
            Anything::Object(lfs) => Self(Some(lfs)),
        })
    }
}

impl From<Sibling> for ListedFile {
    fn from(sibling: Sibling) -> Self {
        let own_size = sibling.size.number();
        let (size, checksum) = match &sibling.lfs.0 {
            // A file in large-file storage has a git blob too, but that is only the pointer to it.
            Some(lfs) => (
                lfs.size.number().or(own_size),
                lfs.sha256.checksum().or_else(|| lfs.oid.checksum()),
            ),
            None => (own_size, sibling.blob_id.checksum()),
        };
        Self {
            path: sibling.rfilename,
            size,
            checksum,
        }
    }
}

/// The list of files, each of them reduced to what is used as it is read.
fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ListedFile>, D::Error> {
    struct FilesVisitor;
    impl<'de> Visitor<'de> for FilesVisitor {
        type Value = Vec<ListedFile>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of files with their \"rfilename\"")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<ListedFile>, A::Error> {
            let mut files = Vec::new();
            while let Some(sibling) = list.next_element::<Sibling>()? {
                if files.len() == MOST_FILES {
                    return Err(de::Error::custom(format!("it lists more than {MOST_FILES} files")));
                }
                files.push(sibling.into());
            }
            Ok(files)
        }
    }
    deserializer.deserialize_seq(FilesVisitor)
}

impl Listing {
    /// Reads the answer to `GET /api/models/OWNER/NAME/revision/REVISION?blobs=true`; the error says what is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(json).map_err(|error| {
            let what = match error.is_data() {
                true => "it is not an object with \"sha\", a commit, and \"siblings\", a list of files",
                false => "it is not JSON",
            };
            format!("{what}: {}", clipped(&error.to_string()))
        })?;
        if !is_commit(&answer.sha) {
            return Err("it has no \"sha\" with a commit's 40 hexadecimal digits".to_owned());
        }
        Ok(Self {
            commit: answer.sha.to_ascii_lowercase(),
            files: answer.siblings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_checksums_are_those_of_the_files_and_not_of_pointers() {
        let sha1 = "a".repeat(40);
        let sha256 = "b".repeat(64);
        let commit = "C".repeat(40);
        let json = format!(
            r#"{{"sha": "{commit}", "siblings": [
                {{"rfilename": "a.json", "size": 3, "blobId": "{sha1}"}},
                {{"rfilename": "w", "size": 133, "blobId": "{sha1}", "lfs": {{"sha256": "{sha256}", "size": 9, "pointerSize": 133}}}},
                {{"rfilename": "odd", "size": -1, "blobId": 7}},
                {{"rfilename": "odder", "size": [{{"a": 1}}], "blobId": {{"size": 3}}, "lfs": [[]], "more": [null]}}]}}"#
        );
        let listing = Listing::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(listing.commit, "c".repeat(40));
        let facts: Vec<_> = listing
            .files
            .iter()
            .map(|file| (file.size, file.checksum.clone()))
            .collect();
        assert_eq!(
            facts,
            [
                (Some(3), Checksum::new(&sha1)),
                (Some(9), Checksum::new(&sha256)),
                (None, None),
                (None, None)
            ]
        );
    }

    #[test]
    fn hostile_answers_are_refused() {
        let deep = "[".repeat(200_000);
        let commit = "c".repeat(40);
        for json in [
            "",
            "null",
            "[]",
            "{}",
            deep.as_str(),
            r#"{"sha": 3, "siblings": []}"#,
            r#"{"sha": "../../etc", "siblings": []}"#,
            &format!(r#"{{"sha": "{commit}"}}"#),
            &format!(r#"{{"sha": "{commit}", "siblings": [{{}}]}}"#),
            &format!(r#"{{"sha": "{commit}", "siblings": [null]}}"#),
        ] {
            assert!(
                Listing::from_json(json.as_bytes()).is_err(),
                "{}",
                &json[..json.len().min(60)]
            );
        }
    }
}
