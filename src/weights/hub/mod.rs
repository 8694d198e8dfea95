//! Models of Hugging Face's hub. In: a repository's name. Out: a folder of diffusers' layout in the cache that Python's
//! huggingface_hub keeps, so that nothing is downloaded or stored twice. `weights` and the command line call it.
//!
//! [`Hub::plan`] lists a repository and chooses files, [`Hub::fetch`] downloads those that are missing (both in `online/`,
//! feature `hub`; without it they refuse), [`Hub::local`] finds what is there without asking anybody, and [`Hub::remove`] deletes
//! it. All of it blocks: the window calls it from a worker.

#[cfg(not(feature = "hub"))]
mod absent;
mod cache;
mod cached_repo;
mod choose;
#[cfg(feature = "hub")]
mod online;
mod plan;
mod progress;
mod removal;
mod repo;
mod settings;

use std::path::PathBuf;

pub(crate) use cache::free_space;
pub use cached_repo::{CachedRepo, CachedSnapshot};
pub use choose::{Choice, RepoPart, Variant, Weights, choose};
pub(crate) use choose::{DENOISERS, MODEL_INDEX};
#[cfg(feature = "hub")]
#[doc(hidden)]
pub use online::fuzzing;
pub use plan::{DownloadPlan, PlannedFile};
pub use progress::{HubWatch, TransferProgress, TransferStage};
pub use removal::{Removal, RemovalScope};
pub(crate) use repo::MAIN;
pub use repo::{Checksum, Repo};
pub use settings::{HubSettings, Token};

use self::cache::RepoCache;
use crate::error::Result;

/// The hub with its cache on this machine.
#[derive(Debug, Clone)]
pub struct Hub {
    settings: HubSettings,
}

impl Hub {
    /// The hub of these settings.
    pub fn new(settings: HubSettings) -> Self {
        Self { settings }
    }

    /// The hub that the environment names.
    ///
    /// # Errors
    ///
    /// As [`HubSettings::from_lookup`].
    pub fn from_env() -> Result<Self> {
        HubSettings::from_env().map(Self::new)
    }

    /// Where the hub and its cache are.
    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    fn cache(&self, repo: &Repo) -> RepoCache {
        RepoCache::new(&self.settings.cache, repo)
    }

    /// The folder of a snapshot with all files of the part, found without asking the hub: the revision's own, else, for
    /// the main revision, the newest. Whichever variant of the weights is there will do.
    pub fn local(&self, repo: &Repo, wanted: &RepoPart) -> Option<PathBuf> {
        cached_repo::local(&self.cache(repo), repo, wanted)
    }

    /// The cache's part of a repository, at any revision; None where it has none.
    pub fn cached(&self, repo: &Repo) -> Option<CachedRepo> {
        cached_repo::cached(&self.cache(repo), repo)
    }

    /// The cache's repositories, by name.
    pub fn cached_repos(&self) -> Vec<CachedRepo> {
        let repos = cached_repo::repositories(&self.settings.cache);
        repos.iter().filter_map(|repo| self.cached(repo)).collect()
    }
}

/// A number of bytes as people read it.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = count as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, larger);
    }
    match unit {
        "bytes" => format!("{count} bytes"),
        unit => format!("{scaled:.1} {unit}"),
    }
}
