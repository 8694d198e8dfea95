//! What is asked of the hub over the network, and downloaded from it.

mod answer;
mod download;
pub mod fuzzing;
mod http;
mod listing;
mod lock;
mod reporter;
mod store;

use std::{collections::BTreeMap, path::PathBuf};

use ureq::http::Method;

use self::{
    answer::Asker,
    download::download,
    http::Client,
    listing::{ListedFile, Listing},
    reporter::Reporter,
};
use super::{
    Checksum, DownloadPlan, Hub, HubWatch, PlannedFile, Repo, RepoPart, bytes,
    cache::RepoCache,
    choose,
    repo::{check_path, shown},
};
use crate::error::{Error, Result};

impl Hub {
    /// Asks the hub what a repository holds, and chooses what is needed of it.
    ///
    /// # Errors
    ///
    /// Where the hub cannot be reached or has no such repository, revision or file, where the user must accept a licence
    /// first, and where the repository is no model this program knows; [`Error::Cancelled`] as `watch` says.
    pub fn plan(&self, repo: &Repo, wanted: &RepoPart, watch: &mut HubWatch<'_>) -> Result<DownloadPlan> {
        if self.settings.offline {
            return Err(self.offline(repo));
        }
        if let Some(trouble) = &self.settings.trouble {
            return Err(trouble.clone());
        }
        let client = Client::new(&self.settings)?;
        let asker = Asker {
            client: &client,
            settings: &self.settings,
            repo,
        };
        let mut reporter = Reporter::new(0, 0, watch);
        let (_, json) = asker.ask(&Method::GET, &asker.listing_url(), None, &mut reporter)?;
        let listing = Listing::from_json(&json).map_err(|problem| {
            let endpoint = &self.settings.endpoint;
            Error::failed(format!(
                "{endpoint} does not answer as a hub does about {repo}: {problem}"
            ))
        })?;
        let cache = self.cache(repo);
        let names = listing.files.iter().map(|file| file.path.as_str());
        let choice = choose(names, wanted).map_err(|error| {
            if let RepoPart::File(path) = wanted
                && check_path(path).is_ok()
            {
                cache.remember_absence(&listing.commit, path);
            }
            error.context(repo)
        })?;
        let listed: BTreeMap<&str, &ListedFile> = listing.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut files = Vec::new();
        for path in &choice.files {
            check_path(path)?;
            let known = listed.get(path.as_str()).copied();
            files.push(self.planned(&asker, &listing.commit, path, known, &mut reporter)?);
        }
        let mut plan = DownloadPlan {
            repo: repo.clone(),
            commit: listing.commit,
            weights: choice.weights,
            files,
            bytes_total: 0,
            bytes_missing: 0,
        };
        plan.look(&cache)?;
        Ok(plan)
    }

    /// A file with its size and checksum; where the listing lacks them, as some mirrors' do, the file itself is asked for.
    fn planned(
        &self,
        asker: &Asker<'_>,
        commit: &str,
        path: &str,
        known: Option<&ListedFile>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Result<PlannedFile> {
        let mut size = known.and_then(|file| file.size);
        let mut checksum = known.and_then(|file| file.checksum.clone());
        if size.is_none() || checksum.is_none() {
            let (head, _) = asker.ask(&Method::HEAD, &asker.file_url(commit, path), Some(path), reporter)?;
            if head.commit.as_deref().is_some_and(|other| other != commit) {
                return Err(Error::failed(format!(
                    "{path} changed on the hub in between; ask for the model again"
                )));
            }
            size = size.or(head.size);
            checksum = checksum.or(head.checksum);
        }
        match (size, checksum) {
            (Some(size), Some(checksum)) => Ok(PlannedFile {
                path: path.to_owned(),
                size,
                checksum,
                present: false,
                begun: 0,
            }),
            _ => Err(Error::failed(format!(
                "{} does not say the size and the checksum of {path}, without which it cannot be checked; is it a hub? \
                 HF_ENDPOINT names it",
                self.settings.endpoint
            ))),
        }
    }

    /// Downloads what is missing of a plan and returns the snapshot's folder. What an earlier run has begun is continued,
    /// and what this one does not complete stays for the next.
    ///
    /// # Errors
    ///
    /// Where the disk has too little space or cannot be written, where the hub fails again and again, and where what it
    /// sends is not what it listed; [`Error::Cancelled`] as `watch` says.
    pub fn fetch(&self, plan: &DownloadPlan, watch: &mut HubWatch<'_>) -> Result<PathBuf> {
        let cache = self.cache(&plan.repo);
        let mut plan = plan.clone();
        plan.look(&cache)?;
        let folder = cache.snapshot(&plan.commit);
        let mut reporter = Reporter::new(plan.files.len(), plan.bytes_total, watch);
        if plan.is_complete() {
            for file in &plan.files {
                reporter.begin(&file.path, file.size);
                reporter.end()?;
            }
            // A cache that cannot be written to serves as well as any other while nothing is missing.
            let _ = cache.remember(&plan.commit);
            return Ok(folder);
        }
        if self.settings.offline && plan.bytes_missing > 0 {
            return Err(self.offline(&plan.repo));
        }
        if let Some(trouble) = self.settings.trouble.as_ref().filter(|_| plan.bytes_missing > 0) {
            return Err(trouble.clone());
        }
        // First, because a disk that cannot be written to says that it is full.
        cache.prepare()?;
        self.check_space(&cache, &plan)?;
        let client = Client::new(&self.settings)?;
        let asker = Asker {
            client: &client,
            settings: &self.settings,
            repo: &plan.repo,
        };
        let mut complete: BTreeMap<&Checksum, &str> = BTreeMap::new();
        for file in &plan.files {
            reporter.begin(&file.path, file.size);
            if !file.present {
                match complete.get(&file.checksum) {
                    // Without links the blob has moved to the first file that has this content.
                    Some(path) if !cache.has_blob(&file.checksum, file.size) => {
                        cache.duplicate(&plan.commit, path, &file.path)?;
                    }
                    _ => {
                        let fresh = download(&asker, &cache, &plan.commit, file, &mut reporter)?;
                        cache.link(&plan.commit, &file.path, &file.checksum, fresh, self.settings.symlinks)?;
                    }
                }
            }
            complete.insert(&file.checksum, &file.path);
            reporter.end()?;
        }
        // Last, so that the revision's former snapshot stays in use until this one is complete.
        cache.remember(&plan.commit)?;
        Ok(folder)
    }

    fn check_space(&self, cache: &RepoCache, plan: &DownloadPlan) -> Result<()> {
        let needed = plan.bytes_missing.saturating_add(self.settings.margin);
        match cache.free_space() {
            Some(free) if free < needed && plan.bytes_missing > 0 => Err(Error::failed(format!(
                "{} needs {} more on the disk of {}, which has {} left, of which {} must stay free; make room, or name \
                 a folder on another disk with HF_HUB_CACHE=FOLDER",
                plan.repo,
                bytes(plan.bytes_missing),
                self.settings.cache.display(),
                bytes(free),
                bytes(self.settings.margin),
            ))),
            _ => Ok(()),
        }
    }

    fn offline(&self, repo: &Repo) -> Error {
        Error::failed(format!(
            "{repo} is not complete in {}, and HF_HUB_OFFLINE forbids to download it; unset that to allow it",
            shown(&self.settings.cache.display().to_string())
        ))
    }
}
