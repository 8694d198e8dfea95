//! Contents of the cache, known without asking the hub.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{
    json::read_json,
    shard_index::{MOST_BYTES, ShardIndex},
};
use super::{
    cache::RepoCache,
    choose::{MODEL_INDEX, RepoPart, Variant, choose, is_used},
    repo::{MAIN, Repo, is_snapshot_name},
};
use crate::files;

/// Folders below a snapshot that are looked into: models have one level.
const MAX_DEPTH: usize = 4;
/// Most entries of a folder of the cache that are read; real ones have a few dozen.
const MAX_ENTRIES: usize = 100_000;

/// A commit of a repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedSnapshot {
    /// The commit.
    pub commit: String,
    /// Branches and tags that stood for it when the hub was last asked.
    pub revisions: Vec<String>,
    /// Its folder, of diffusers' layout.
    pub folder: PathBuf,
    /// Files that are there.
    pub files: usize,
    /// Links whose file is gone.
    #[serde(default)]
    pub gone: usize,
    /// Whether all is there that the program needs of a model.
    pub complete: bool,
}

/// A repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedRepo {
    /// `owner/name`.
    pub id: String,
    /// Bytes on the disk, what was begun included.
    pub bytes: u64,
    /// Bytes of files that were begun and not completed.
    pub bytes_begun: u64,
    /// How many these are.
    #[serde(default)]
    pub files_begun: usize,
    /// Its folder in the cache.
    #[serde(default, with = "crate::files::names")]
    pub folder: PathBuf,
    /// Its commits, the newest first.
    pub snapshots: Vec<CachedSnapshot>,
}

/// Finds a complete snapshot: the one the revision stands for, else, where none in particular was
/// asked for, the newest.
pub(super) fn local(cache: &RepoCache, repo: &Repo, wanted: &RepoPart) -> Option<PathBuf> {
    let meant = cache.commit_of(repo.revision()).map(|commit| cache.snapshot(&commit));
    let meant = meant.filter(|folder| is_complete(folder, wanted));
    if meant.is_some() || repo.revision() != MAIN {
        return meant;
    }
    let mut folders = snapshot_folders(cache);
    folders.retain(|(_, folder)| is_complete(folder, wanted));
    folders.pop().map(|(_, folder)| folder)
}

/// The folders of all commits with the time of their last change, the newest last.
fn snapshot_folders(cache: &RepoCache) -> Vec<(SystemTime, PathBuf)> {
    let is_snapshot = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(is_snapshot_name) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let modified = |path: &Path| {
        fs::metadata(path)
            .and_then(|meta| meta.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut folders: Vec<(SystemTime, PathBuf)> = entries(&cache.snapshots())
        .filter(is_snapshot)
        .map(|entry| (modified(&entry.path()), entry.path()))
        .collect();
    folders.sort();
    folders
}

/// Whether a folder has all files of the part.
fn is_complete(folder: &Path, wanted: &RepoPart) -> bool {
    if let RepoPart::File(path) = wanted {
        return super::repo::check_path(path).is_ok() && folder.join(path).is_file();
    }
    let mut files = Vec::new();
    collect(folder, "", MAX_DEPTH, &mut files);
    // Whichever variant is there can be opened.
    let Ok(choice) = choose(files.iter().map(String::as_str), &RepoPart::Model(Variant::Full)) else {
        return false;
    };
    let indices = choice.files.iter().filter(|file| file.contains(".index."));
    let mut shards = indices.flat_map(|index| shards(folder, index));
    let chosen: BTreeSet<&str> = choice.files.iter().map(String::as_str).collect();
    let folders: BTreeSet<&str> = files.iter().filter_map(|file| Some(file.split_once('/')?.0)).collect();
    shards.all(|shard| chosen.contains(shard.as_str()))
        && parts(folder, &folders)
            .iter()
            .all(|part| folders.contains(part.as_str()))
}

/// The folders that a model of several networks must have, of those that the program uses.
fn parts(folder: &Path, present: &BTreeSet<&str>) -> Vec<String> {
    if let Ok(Value::Object(index)) = read_json(&folder.join(MODEL_INDEX)) {
        // A part that a model does without is [null, null].
        let is_there = |value: &Value| {
            value
                .as_array()
                .is_some_and(|pair| pair.iter().any(|name| !name.is_null()))
        };
        let parts = index.iter().filter(|(name, value)| is_used(name) && is_there(value));
        return parts.map(|(name, _)| name.clone()).collect();
    }
    if present.contains("unet") {
        return ["vae", "scheduler"].map(str::to_owned).to_vec();
    }
    Vec::new()
}

/// The shards that an index names, as the snapshot's files.
fn shards(folder: &Path, index: &str) -> BTreeSet<String> {
    let beside = index
        .rsplit_once('/')
        .map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let read = files::read(&folder.join(index), MOST_BYTES, "an index of shards").ok();
    match read.and_then(|json| ShardIndex::parse(&json).ok()) {
        Some(index) => index.files.iter().map(|file| format!("{beside}{file}")).collect(),
        // An index that cannot be read: no file is called so, and the snapshot does not count as complete.
        None => BTreeSet::from([format!("{index}/")]),
    }
}

/// The entries of a folder, none where it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES)
}

/// Adds the names of the files in a snapshot; links that lead nowhere are none.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    for entry in entries(folder) {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 1 {
                collect(&entry.path(), &format!("{path}/"), depth - 1, files);
            }
        } else if entry.path().is_file() {
            files.push(path);
        }
    }
}

/// The cache's part of a repository; None where it has no folder.
pub(super) fn cached(cache: &RepoCache, repo: &Repo) -> Option<CachedRepo> {
    if !cache.folder().is_dir() {
        return None;
    }
    let mut bytes: u64 = 0;
    let mut bytes_begun: u64 = 0;
    let mut files_begun = 0;
    for entry in entries(&cache.blobs()) {
        // A link among the blobs leads to what is counted elsewhere.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            bytes = bytes.saturating_add(meta.len());
            if is_begun(&entry.path()) {
                bytes_begun = bytes_begun.saturating_add(meta.len());
                files_begun += 1;
            }
        }
    }
    let revisions = revisions(cache);
    let snapshots = snapshot_folders(cache).into_iter().rev().map(|(_, folder)| {
        let commit = folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let mut files = Vec::new();
        collect(&folder, "", MAX_DEPTH, &mut files);
        for file in &files {
            // Files that are no links lie here and nowhere else.
            if let Ok(meta) = fs::symlink_metadata(folder.join(file))
                && meta.is_file()
            {
                bytes = bytes.saturating_add(meta.len());
            }
        }
        CachedSnapshot {
            revisions: revisions.get(&commit).cloned().unwrap_or_default(),
            complete: is_complete(&folder, &RepoPart::Model(Variant::Full)),
            files: files.len(),
            gone: gone(&folder, MAX_DEPTH),
            commit,
            folder,
        }
    });
    let snapshots = snapshots.collect();
    Some(CachedRepo {
        id: repo.id().to_owned(),
        bytes,
        bytes_begun,
        files_begun,
        folder: cache.folder(),
        snapshots,
    })
}

/// Whether a blob is the beginning of a file.
pub(super) fn is_begun(blob: &Path) -> bool {
    blob.extension().is_some_and(|ending| ending == "incomplete")
}

/// How many links of a snapshot lead nowhere.
fn gone(folder: &Path, depth: usize) -> usize {
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && depth > 1 => gone(&entry.path(), depth - 1),
        Ok(kind) if kind.is_symlink() && !entry.path().exists() => 1,
        _ => 0,
    };
    entries(folder).map(count).sum()
}

/// The branches and tags of each commit.
pub(super) fn revisions(cache: &RepoCache) -> BTreeMap<String, Vec<String>> {
    let mut names = Vec::new();
    collect(&cache.folder().join("refs"), "", MAX_DEPTH, &mut names);
    names.sort();
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        if let Some(commit) = cache.commit_of(&name) {
            out.entry(commit).or_default().push(name);
        }
    }
    out
}

/// The repositories of models in a cache.
pub(super) fn repositories(root: &Path) -> Vec<Repo> {
    let names = entries(root).filter_map(|entry| entry.file_name().into_string().ok());
    let mut repos: Vec<Repo> = names.filter_map(|name| Repo::from_folder_name(&name)).collect();
    repos.sort_by(|a, b| a.id().cmp(b.id()));
    repos
}
