//! The hub's listing of a repository.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::clipped,
    weights::hub::repo::{Checksum, is_commit},
};

/// More files than repositories of models have: a few hundred.
const MOST_FILES: usize = 100_000;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    pub path: String,
    /// Bytes; None where the hub did not name them.
    pub size: Option<u64>,
    /// None where the hub did not name it.
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

/// A file as the hub lists it; what may be of any kind is read only where it is used.
#[derive(Deserialize)]
struct Sibling<'a> {
    rfilename: String,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    #[serde(borrow, rename = "blobId")]
    blob_id: Option<&'a RawValue>,
    #[serde(borrow)]
    lfs: Option<&'a RawValue>,
}

/// Entry of a file in large-file storage.
#[derive(Default, Deserialize)]
struct Lfs<'a> {
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    #[serde(borrow)]
    sha256: Option<&'a RawValue>,
    #[serde(borrow)]
    oid: Option<&'a RawValue>,
}

/// A value of the expected type; none for others.
fn field<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

impl From<Sibling<'_>> for ListedFile {
    fn from(sibling: Sibling<'_>) -> Self {
        let (size, checksum) = match sibling.lfs {
            // A file in large-file storage has a git blob too, but that is only the pointer to it.
            Some(_) => {
                let lfs: Lfs<'_> = field(sibling.lfs).unwrap_or_default();
                (
                    field(lfs.size).or_else(|| field(sibling.size)),
                    field(lfs.sha256).or_else(|| field(lfs.oid)),
                )
            }
            None => (field(sibling.size), field(sibling.blob_id)),
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
            while let Some(sibling) = list.next_element::<Sibling<'_>>()? {
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
