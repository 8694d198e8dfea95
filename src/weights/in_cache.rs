//! Models with short names that the hub's cache already holds.

use std::path::PathBuf;

use super::{
    hub::{DENOISERS, Hub, HubSettings, Repo, RepoPart, Variant},
    moved::names_of,
};
use crate::error::Error;

/// A snapshot in the hub's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its folder.
    pub folder: PathBuf,
    /// Its repository: the requested one, or another name of it.
    pub repository: String,
}

impl Snapshot {
    /// Note where the cache holds the repository under another name.
    pub(crate) fn moved_in_words(&self, asked: &str) -> Option<String> {
        (self.repository != asked).then(|| {
            format!(
                "{asked} is in the hub's cache under another name of the same repository, {}: that one was used",
                self.repository
            )
        })
    }
}

/// The newest complete snapshot of `owner/name` in the hub's cache, else one that has at least the denoiser's configuration, from
/// which its activations are listed;
/// of a repository that moved, under whichever of its names.
pub(crate) fn hub_snapshot(id: &str) -> Option<Snapshot> {
    // An environment without a cache is an error of downloads; here there is simply no such model.
    let hub = Hub::from_env().ok()?;
    let whole = RepoPart::Model(Variant::Full);
    let config_of = |folder: &str| local(&hub, id, &RepoPart::File(format!("{folder}/config.json")));
    local(&hub, id, &whole).or_else(|| DENOISERS.into_iter().find_map(config_of))
}

/// The folder of [`hub_snapshot`].
pub(crate) fn hub_folder(id: &str) -> Option<PathBuf> {
    hub_snapshot(id).map(|snapshot| snapshot.folder)
}

/// A single file of `owner/name` in the hub's cache.
pub(crate) fn hub_file(id: &str, file: &str) -> Option<PathBuf> {
    let hub = Hub::from_env().ok()?;
    Some(local(&hub, id, &RepoPart::File(file.to_owned()))?.folder.join(file))
}

/// The cache's snapshot of a repository, under any of its names.
pub(crate) fn local(hub: &Hub, id: &str, wanted: &RepoPart) -> Option<Snapshot> {
    names_of(id).find_map(|name| {
        Some(Snapshot {
            folder: hub.local(&Repo::new(&name).ok()?, wanted)?,
            repository: name,
        })
    })
}

/// Error where neither a path nor the hub's cache has `OWNER/NAME`.
pub(crate) fn not_downloaded(name: &str) -> Error {
    let cache =
        HubSettings::from_env().map_or_else(|_| String::new(), |settings| format!(" {}", settings.cache.display()));
    Error::failed(format!(
        "\"{name}\" is neither a folder nor a file here, and the hub's cache{cache} does not hold it: \
         `featscope models get {name}` downloads it"
    ))
}
