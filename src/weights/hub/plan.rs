//! What a download will fetch, known before it begins.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    cache::RepoCache,
    choose::Weights,
    repo::{Checksum, Repo, check_path, is_commit},
};
use crate::error::{Error, Result};

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Its name in the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What it holds.
    pub checksum: Checksum,
    /// Whether the cache has it.
    pub present: bool,
    /// Bytes that an earlier attempt has left, where it is not there.
    pub begun: u64,
}

/// What to download of a repository. Plain data; who fetches it looks again at what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadPlan {
    /// The repository and the revision that was asked for.
    pub repo: Repo,
    /// The commit that the revision stands for.
    pub commit: String,
    /// Which weights were chosen, for each network.
    pub weights: Vec<Weights>,
    /// The files.
    pub files: Vec<PlannedFile>,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes that are still to come over the network.
    pub bytes_missing: u64,
}

impl DownloadPlan {
    /// Whether nothing is left to download.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.present)
    }

    /// Looks what the cache holds, and adds up. Errors where the plan leads out of the cache or makes no sense.
    pub(super) fn look(&mut self, cache: &RepoCache) -> Result<()> {
        if !is_commit(&self.commit) {
            return Err(Error::failed(format!("the plan for {} has no commit", self.repo)));
        }
        let mut total: u64 = 0;
        let mut missing: u64 = 0;
        let mut counted = BTreeSet::new();
        for file in &mut self.files {
            check_path(&file.path)?;
            file.present = cache.has(&self.commit, &file.path, file.size);
            let is_blob = cache.has_blob(&file.checksum, file.size);
            let begun = if file.present || is_blob {
                0
            } else {
                cache.begun(&file.checksum)
            };
            // More than the whole is thrown away.
            file.begun = if begun > file.size { 0 } else { begun };
            total = total.checked_add(file.size).ok_or_else(|| too_large(&self.repo))?;
            if !file.present && !is_blob && counted.insert(file.checksum.clone()) {
                missing += file.size - file.begun;
            }
        }
        self.bytes_total = total;
        self.bytes_missing = missing;
        Ok(())
    }
}

fn too_large(repo: &Repo) -> Error {
    Error::failed(format!(
        "{repo}: the sizes that the hub gives cannot be true: together they are beyond 2^64 bytes"
    ))
}
