//! The cache's layout on the disk, the one of Python's huggingface_hub:
//!
//! ```text
//! .locks/models--OWNER--NAME/CHECKSUM.lock
//! models--OWNER--NAME/refs/REVISION                  the commit it stands for
//! models--OWNER--NAME/blobs/CHECKSUM                 what a file holds
//! models--OWNER--NAME/blobs/CHECKSUM.incomplete      the beginning of it
//! models--OWNER--NAME/snapshots/COMMIT/PATH          a link to the blob
//! models--OWNER--NAME/.no_exist/COMMIT/PATH          empty: the hub has no such file
//! ```

use std::path::{Path, PathBuf};

use super::repo::{Repo, is_commit, is_snapshot_name};
use crate::files;

/// A refs file with more than this is none.
const MAX_REF: u64 = 256;

/// One repository's part of the cache.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    pub(super) root: PathBuf,
    pub(super) repo: Repo,
}

impl RepoCache {
    pub fn new(root: &Path, repo: &Repo) -> Self {
        Self {
            root: root.to_owned(),
            repo: repo.clone(),
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.root.join(self.repo.folder_name())
    }

    pub fn snapshots(&self) -> PathBuf {
        self.folder().join("snapshots")
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    pub fn blobs(&self) -> PathBuf {
        self.folder().join("blobs")
    }

    /// The commit of a branch or tag when the hub was last asked.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_ascii_lowercase());
        }
        let text = files::read_text(&self.reference(revision), MAX_REF, "a revision's commit").ok()?;
        let commit = text.trim();
        is_snapshot_name(commit).then(|| commit.to_owned())
    }

    pub(super) fn reference(&self, revision: &str) -> PathBuf {
        revision
            .split('/')
            .fold(self.folder().join("refs"), |folder, part| folder.join(part))
    }
}

/// Bytes that may still be written into a folder, which need not exist; None where the system does not say.
pub(crate) fn free_space(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    fs4::available_space(existing).ok()
}
