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

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use super::repo::{Checksum, Repo, is_commit, is_snapshot_name};
use crate::{
    error::{Error, Result},
    files,
};

/// Marks folders that back-ups may leave out (bford.info/cachedir).
const TAG_FILE: &str = "CACHEDIR.TAG";
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Models of Hugging Face's hub, which can be downloaded again.\n";

/// Python removes or renames a partial file when its program ends; one that has not changed for this long was left by a
/// program that was killed.
const ABANDONED: Duration = Duration::from_secs(60);

/// A refs file with more than this is none.
const MAX_REF: u64 = 256;

/// One repository's part of the cache.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    root: PathBuf,
    repo: Repo,
    symlinks: bool,
}

impl RepoCache {
    pub fn new(root: &Path, repo: &Repo, symlinks: bool) -> Self {
        Self {
            root: root.to_owned(),
            repo: repo.clone(),
            symlinks,
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

    pub fn pointer(&self, commit: &str, path: &str) -> PathBuf {
        path.split('/')
            .fold(self.snapshot(commit), |folder, part| folder.join(part))
    }

    pub fn blobs(&self) -> PathBuf {
        self.folder().join("blobs")
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

    /// The commit of a branch or tag when the hub was last asked.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_ascii_lowercase());
        }
        let text = files::read_text(&self.reference(revision), MAX_REF, "a revision's commit").ok()?;
        let commit = text.trim();
        is_snapshot_name(commit).then(|| commit.to_owned())
    }

    fn reference(&self, revision: &str) -> PathBuf {
        revision
            .split('/')
            .fold(self.folder().join("refs"), |folder, part| folder.join(part))
    }

    /// Remembers the commit that the repository's revision stands for.
    pub(crate) fn remember(&self, commit: &str) -> Result<()> {
        let revision = self.repo.revision();
        if is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        // In one step, so that no other process reads half a commit.
        let fresh = beside(&path);
        fs::write(&fresh, commit)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| write_error(&path, &error))
    }

    /// Remembers that a commit has no such file: Python looks there before it asks. Nothing depends on it.
    pub(crate) fn remember_absence(&self, commit: &str, path: &str) {
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
    pub(crate) fn has_blob(&self, checksum: &Checksum, size: u64) -> bool {
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
    pub(crate) fn adopt(&self, checksum: &Checksum) {
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
    /// impossible, the blob itself moves there if it is `fresh`, so that no other snapshot can hold it, else a copy.
    pub fn link(&self, commit: &str, path: &str, checksum: &Checksum, fresh: bool) -> Result<()> {
        let pointer = self.pointer(commit, path);
        let folder = pointer.parent().unwrap_or(&pointer);
        let failed = |error: io::Error| write_error(&pointer, &error);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        match fs::remove_file(&pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let blob = self.blob(checksum);
        if self.symlinks {
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
    pub(crate) fn duplicate(&self, commit: &str, from: &str, to: &str) -> Result<()> {
        let pointer = self.pointer(commit, to);
        let folder = pointer.parent().unwrap_or(&pointer);
        fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        copy(&self.pointer(commit, from), &pointer).map_err(|error| write_error(&pointer, &error))
    }

    /// Bytes that may still be written to the cache's disk; None where the system does not say.
    pub(crate) fn free_space(&self) -> Option<u64> {
        free_space(&self.folder())
    }
}

/// Bytes that may still be written into a folder, which need not exist; None where the system does not say.
pub(crate) fn free_space(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    fs4::available_space(existing).ok()
}

/// An unused name in the same folder.
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

/// Waits until what was written is on the disk, so that a blob under its final name is whole after a power cut too.
pub(super) fn settle(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // Some network file systems cannot wait.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}
