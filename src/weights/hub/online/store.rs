//! The cache as downloads fill it.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use crate::{
    error::{Error, Result},
    weights::hub::{
        DownloadPlan,
        cache::{RepoCache, free_space},
        repo::{Checksum, Repo, check_path, is_commit},
    },
};

/// Marks folders that back-ups may leave out (bford.info/cachedir).
const TAG_FILE: &str = "CACHEDIR.TAG";
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Models of Hugging Face's hub, which can be downloaded again.\n";

/// Python removes or renames a partial file when its program ends; one that has not changed for this long was left by a
/// program that was killed.
const ABANDONED: Duration = Duration::from_secs(60);

impl RepoCache {
    pub fn pointer(&self, commit: &str, path: &str) -> PathBuf {
        path.split('/')
            .fold(self.snapshot(commit), |folder, part| folder.join(part))
    }

    pub fn blob(&self, checksum: &Checksum) -> PathBuf {
        self.blobs().join(checksum.as_str())
    }

    /// Where a file grows until it is complete.
    pub fn partial(&self, checksum: &Checksum) -> PathBuf {
        self.blobs().join(format!("{checksum}.incomplete"))
    }

    pub fn lock(&self, checksum: &Checksum) -> PathBuf {
        self.root
            .join(".locks")
            .join(self.repo.folder_name())
            .join(format!("{checksum}.lock"))
    }

    /// Remembers the commit that the repository's revision stands for.
    pub fn remember(&self, commit: &str) -> Result<()> {
        let revision = self.repo.revision();
        if is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        // In one step, so that nobody reads half a commit.
        let fresh = beside(&path);
        fs::write(&fresh, commit)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| write_error(&path, &error))
    }

    /// Remembers that a commit has no such file: Python looks there before it asks. Nothing depends on it.
    pub fn remember_absence(&self, commit: &str, path: &str) {
        let file = path
            .split('/')
            .fold(self.folder().join(".no_exist").join(commit), |folder, part| {
                folder.join(part)
            });
        if let Some(folder) = file.parent()
            && !file.exists()
            && self.folder().is_dir()
            && fs::create_dir_all(folder).is_ok()
        {
            let _ = File::create(&file);
        }
    }

    /// Whether the snapshot has the file in its full size.
    pub fn has(&self, commit: &str, path: &str, size: u64) -> bool {
        is_file_of(&self.pointer(commit, path), size)
    }

    /// Whether the blob is there in its full size.
    pub fn has_blob(&self, checksum: &Checksum, size: u64) -> bool {
        is_file_of(&self.blob(checksum), size)
    }

    /// Bytes of the blob that an earlier attempt has left.
    pub fn begun(&self, checksum: &Checksum) -> u64 {
        let own = fs::metadata(self.partial(checksum)).map_or(0, |meta| meta.len());
        own.max(self.abandoned(checksum).map_or(0, |(_, length)| length))
    }

    /// The longest partial file that a program left which is no longer running: Python names one
    /// `CHECKSUM.XXXXXXXX.incomplete`, with a name of its own for every attempt.
    fn abandoned(&self, checksum: &Checksum) -> Option<(PathBuf, u64)> {
        let prefix = format!("{checksum}.");
        let entries = fs::read_dir(self.blobs()).ok()?.flatten();
        let partials = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let unique = name.strip_prefix(&prefix)?.strip_suffix(".incomplete")?;
            let meta = fs::symlink_metadata(entry.path()).ok()?;
            let sound = !unique.is_empty()
                && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
                && meta.is_file()
                && !has_holes(&meta)
                && meta.modified().is_ok_and(|time| is_past(time, ABANDONED));
            sound.then(|| (entry.path(), meta.len()))
        });
        partials.max_by_key(|(_, length)| *length)
    }

    /// Goes on from what Python has left, where that is more. Call it with the lock held.
    pub fn adopt(&self, checksum: &Checksum) {
        let own = self.partial(checksum);
        let length = fs::metadata(&own).map_or(0, |meta| meta.len());
        if let Some((path, more)) = self.abandoned(checksum)
            && more > length
        {
            // Where that fails, the download begins without it.
            let _ = fs::rename(path, own);
        }
    }

    /// Makes the folders that a download writes to, and tags the cache.
    pub fn prepare(&self) -> Result<()> {
        let blobs = self.blobs();
        fs::create_dir_all(&blobs).map_err(|error| write_error(&blobs, &error))?;
        let tag = self.root.join(TAG_FILE);
        if !tag.exists() {
            // Only back-ups care.
            let _ = fs::write(tag, TAG);
        }
        Ok(())
    }

    /// Lets the snapshot's file be the blob: by a relative link, so that the cache can be moved. Where links are
    /// impossible, or `symlinks` forbids them, the blob itself moves there if it is `fresh`, so that no other snapshot can hold it, else a copy.
    pub fn link(&self, commit: &str, path: &str, checksum: &Checksum, fresh: bool, symlinks: bool) -> Result<()> {
        let pointer = self.pointer(commit, path);
        let folder = pointer.parent().unwrap_or(&pointer);
        let failed = |error: io::Error| write_error(&pointer, &error);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        match fs::remove_file(&pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let blob = self.blob(checksum);
        if symlinks {
            let up = "../".repeat(path.split('/').count() + 1);
            let target = PathBuf::from(format!("{up}blobs/{checksum}"));
            match symlink(&target, &pointer) {
                Ok(()) => return Ok(()),
                // Another program was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && pointer.exists() => return Ok(()),
                // This file system or this user may not have links.
                Err(_) => {}
            }
        }
        if fresh && fs::symlink_metadata(&blob).is_ok_and(|meta| meta.is_file()) {
            return fs::rename(&blob, &pointer).map_err(failed);
        }
        copy(&blob, &pointer).map_err(failed)
    }

    /// Copies a file of the snapshot to another one of the same content, where there are no links.
    pub fn duplicate(&self, commit: &str, from: &str, to: &str) -> Result<()> {
        let pointer = self.pointer(commit, to);
        let folder = pointer.parent().unwrap_or(&pointer);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        copy(&self.pointer(commit, from), &pointer).map_err(|error| write_error(&pointer, &error))
    }

    /// Bytes that may still be written to the cache's disk; None where the system does not say.
    pub fn free_space(&self) -> Option<u64> {
        free_space(&self.folder())
    }
}

impl DownloadPlan {
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

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    path.with_file_name(format!(
        ".{}-{}.tmp",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ))
}

/// A copy that appears complete or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let fresh = beside(to);
    let copied = fs::copy(from, &fresh).and_then(|_| fs::rename(&fresh, to));
    if copied.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    copied
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_file_of(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

fn is_past(time: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(time).is_ok_and(|passed| passed >= age)
}

/// Whether some of the file was never written: what writes from several places at once does not leave a beginning.
#[cfg(unix)]
fn has_holes(meta: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    const BLOCK: u64 = 512;
    meta.blocks().saturating_mul(BLOCK) < meta.len()
}

/// The checksum finds out at the end.
#[cfg(not(unix))]
fn has_holes(_meta: &Metadata) -> bool {
    false
}

/// Why the cache cannot be written to, and what to do about it.
pub(super) fn write_error(path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and try again: the download goes on where it stopped"
        }
        _ => {
            "; models cannot be downloaded to this cache: make it writable, or name another folder with HF_HUB_CACHE=FOLDER"
        }
    };
    Error::io("write", path, error).followed_by(hint)
}
