//! Models that the hub's cache already holds: the one that Python's huggingface_hub keeps.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of the hub's cache: `HF_HUB_CACHE`, else `hub` below `HF_HOME`, else `~/.cache/huggingface/hub`.
pub fn hub_cache() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE")
        .or_else(|| folder("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| env::home_dir().map(|home| home.join(".cache/huggingface/hub")))
}

/// The newest complete-looking snapshot of `owner/name` in the hub's cache.
pub fn hub_folder(id: &str) -> Option<PathBuf> {
    snapshot_with(id, "unet/config.json")
}

/// A single file of `owner/name` in the hub's cache.
pub fn hub_file(id: &str, file: &str) -> Option<PathBuf> {
    Some(snapshot_with(id, file)?.join(file))
}

/// The snapshot of `owner/name` that has the file: of the main revision, else the newest.
fn snapshot_with(id: &str, file: &str) -> Option<PathBuf> {
    let repository = hub_cache()?.join(format!("models--{}", id.replace('/', "--")));
    let snapshots = repository.join("snapshots");
    let has_file = |folder: &Path| folder.join(file).is_file();
    let main = fs::read_to_string(repository.join("refs/main")).ok();
    let main = main
        .map(|revision| snapshots.join(revision.trim()))
        .filter(|folder| has_file(folder));
    main.or_else(|| {
        let modified = |folder: &PathBuf| fs::metadata(folder).and_then(|meta| meta.modified()).ok();
        let folders = fs::read_dir(&snapshots).ok()?.flatten().map(|entry| entry.path());
        folders.filter(|folder| has_file(folder)).max_by_key(modified)
    })
}
