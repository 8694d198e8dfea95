//! In the place of `online/` in a build without the feature `hub`.

use std::path::PathBuf;

use super::{DownloadPlan, Hub, HubWatch, Repo, RepoPart, settings::WITHOUT_HUB};
use crate::error::{Error, Result};

impl Hub {
    /// Asks the hub what a repository holds, and chooses what is needed of it.
    ///
    /// # Errors
    ///
    /// Always: this build has no access to the hub.
    pub fn plan(&self, repo: &Repo, _wanted: &RepoPart, _watch: &mut HubWatch<'_>) -> Result<DownloadPlan> {
        Err(no_access(repo))
    }

    /// Downloads what is missing of a plan.
    ///
    /// # Errors
    ///
    /// Always: this build has no access to the hub.
    pub fn fetch(&self, plan: &DownloadPlan, _watch: &mut HubWatch<'_>) -> Result<PathBuf> {
        Err(no_access(&plan.repo))
    }
}

fn no_access(repo: &Repo) -> Error {
    Error::failed(format!("the hub cannot be asked for {repo}: {WITHOUT_HUB}"))
}
