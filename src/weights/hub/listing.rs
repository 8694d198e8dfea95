//! What the hub says a repository holds.

use serde_json::Value;

use super::repo::{Checksum, is_commit};

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

impl Listing {
    /// Reads the answer to `GET /api/models/OWNER/NAME/revision/REVISION?blobs=true`; the error says what is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(json).map_err(|error| format!("it is not JSON: {error}"))?;
        let commit = json
            .get("sha")
            .and_then(Value::as_str)
            .filter(|sha| is_commit(sha))
            .ok_or("it has no \"sha\" with a commit's 40 hexadecimal digits")?;
        let siblings = json
            .get("siblings")
            .and_then(Value::as_array)
            .ok_or("it has no list \"siblings\" of files")?;
        let files = siblings.iter().map(|sibling| {
            let path = sibling
                .get("rfilename")
                .and_then(Value::as_str)
                .ok_or("one of its files has no \"rfilename\"")?;
            let lfs = sibling.get("lfs").filter(|lfs| lfs.is_object());
            let text = |value: Option<&Value>| value.and_then(Value::as_str).and_then(Checksum::new);
            let checksum = match lfs {
                // A file in large-file storage has a git blob too, but that is only the pointer to it.
                Some(lfs) => text(lfs.get("sha256")).or_else(|| text(lfs.get("oid"))),
                None => text(sibling.get("blobId")),
            };
            let size = lfs.and_then(|lfs| lfs.get("size")).or_else(|| sibling.get("size"));
            Ok(ListedFile {
                path: path.to_owned(),
                size: size.and_then(Value::as_u64),
                checksum,
            })
        });
        Ok(Self {
            commit: commit.to_ascii_lowercase(),
            files: files.collect::<Result<_, &str>>()?,
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
                {{"rfilename": "odd", "size": -1, "blobId": 7}}]}}"#
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
