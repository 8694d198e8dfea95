//! Plan of a download, made before it begins.

use serde::{Deserialize, Serialize};

use super::{
    choose::Weights,
    repo::{Checksum, Repo},
};

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Its name in the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Checksum,
    /// Whether the cache has it.
    pub present: bool,
    /// Bytes that an earlier attempt has left, where it is not there.
    pub begun: u64,
}

/// Plan of a repository's download. Plain data; [`Hub::fetch`](super::Hub::fetch) looks again at what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadPlan {
    /// The repository at the requested revision.
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
}
