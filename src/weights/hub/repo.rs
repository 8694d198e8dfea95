//! Names: of repositories, revisions, commits, files, and of a file's content. All are checked here, because all become
//! parts of paths and addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub(super) use crate::words::shown;

/// The revision that is meant where none is named.
pub(crate) const MAIN: &str = "main";

const MAX_NAME: usize = 96;
const MAX_REVISION: usize = 250;
const MAX_PATH: usize = 1024;

/// A model's repository on the hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RepoParts", into = "RepoParts")]
pub struct Repo {
    id: String,
    revision: String,
}

/// A [`Repo`] that was not checked.
#[derive(Serialize, Deserialize)]
struct RepoParts {
    id: String,
    revision: String,
}

impl TryFrom<RepoParts> for Repo {
    type Error = Error;

    fn try_from(parts: RepoParts) -> Result<Self> {
        Self::new(&parts.id)?.at(&parts.revision)
    }
}

impl From<Repo> for RepoParts {
    fn from(Repo { id, revision }: Repo) -> Self {
        Self { id, revision }
    }
}

impl Repo {
    /// The repository `owner/name` at its main revision.
    ///
    /// # Errors
    ///
    /// Where no repository can have this name.
    pub fn new(id: &str) -> Result<Self> {
        let parts: Vec<&str> = id.split('/').collect();
        let sound = parts.len() <= 2
            && parts.iter().all(|part| is_name(part))
            && !id.contains("--")
            && !id.contains("..")
            && !id.ends_with(".git");
        if !sound {
            return Err(Error::usage(format!(
                "\"{}\" is not the name of a model on the hub: one looks like OWNER/NAME, of letters, digits, and \
                 single - _ . within",
                shown(id)
            )));
        }
        Ok(Self {
            id: id.to_owned(),
            revision: MAIN.to_owned(),
        })
    }

    /// The same repository at a branch, a tag, or a commit.
    ///
    /// # Errors
    ///
    /// Where no revision can have this name.
    pub fn at(self, revision: &str) -> Result<Self> {
        let sound = revision.len() <= MAX_REVISION && is_relative(revision);
        if !sound {
            return Err(Error::usage(format!(
                "\"{}\" is not a revision: give the name of a branch or a tag, or a commit",
                shown(revision)
            )));
        }
        Ok(Self {
            revision: revision.to_owned(),
            ..self
        })
    }

    /// `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A branch, a tag, or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The name of its folder in the cache.
    pub(super) fn folder_name(&self) -> String {
        format!("models--{}", self.id.replace('/', "--"))
    }

    /// The repository whose folder in the cache has this name.
    pub(super) fn from_folder_name(name: &str) -> Option<Self> {
        Self::new(&name.strip_prefix("models--")?.replace("--", "/")).ok()
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match self.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(f, " at {revision}"),
        }
    }
}

fn is_name(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = part.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(|&byte| word(byte))
        && bytes.last().is_some_and(|&byte| word(byte))
        && bytes.iter().all(|&byte| word(byte) || byte == b'-' || byte == b'.')
}

/// Whether the text is a path below a folder on every system, without a way out of that folder.
fn is_relative(path: &str) -> bool {
    !path.contains(|c: char| c.is_control() || "\\:*?\"<>|".contains(c))
        && path.split('/').all(|part| !part.trim_matches(['.', ' ']).is_empty())
}

/// Whether the text is a full commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a folder of snapshots may have this name. Python takes any word that the hub calls a commit.
pub(super) fn is_snapshot_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A file's name in a repository, refused where it leads out of the repository's folder or cannot be on some system.
pub(super) fn check_path(path: &str) -> Result<()> {
    if path.len() <= MAX_PATH && is_relative(path) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the repository has a file \"{}\", which no folder on this machine can hold safely; it is not downloaded",
        shown(path)
    )))
}

/// Checksum of a file: 40 hexadecimal digits (git's SHA-1 of a blob) or 64 (SHA-256, of a file in large-file storage).
/// It is the file's entity tag on the hub and its name among the cache's blobs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(String);

impl Checksum {
    /// A checksum in lower case, if `text` is one.
    pub fn new(text: &str) -> Option<Self> {
        let sound = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        sound.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The checksum that an `ETag` header carries: quoted, possibly marked as weak.
    pub fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        Self::new(etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"'))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the file lies in large-file storage, so that the digits are of SHA-256.
    pub(crate) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Checksum {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(&text).ok_or_else(|| Error::failed(format!("\"{}\" is not a SHA-1 or SHA-256", shown(&text))))
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.0
    }
}
