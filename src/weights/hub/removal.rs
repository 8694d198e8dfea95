//! Models taken out of the cache again. Other programs share it: what is deleted is said before, nothing is deleted that
//! somebody is downloading, and nothing outside of the folders that the cache's layout names.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Hub,
    cache::RepoCache,
    cached_repo::{is_begun, revisions},
    repo::{Repo, is_snapshot_name},
};
use crate::error::{Error, Result};

/// The parts of a repository's folder, in the order they are deleted: what ends in the middle leaves nothing that claims to be
/// complete. Whatever else lies there is somebody's own and stays.
const PARTS: [&str; 4] = ["refs", "snapshots", ".no_exist", "blobs"];
/// Folders in folders that are looked into, and most entries: real repositories have a few levels and a few dozen files.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 100_000;

/// How much of a repository goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovalScope {
    /// All that the cache holds of it.
    Whole,
    /// The beginnings of files whose download broke off.
    Begun,
    /// One commit, with the files that no other commit has.
    Snapshot(String),
}

/// What a removal deletes, found out before. Plain data; [`Hub::remove`] looks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The repository.
    pub repo: Repo,
    /// How much of it.
    pub scope: RemovalScope,
    /// Its folder in the cache.
    #[serde(with = "crate::files::names")]
    pub folder: PathBuf,
    /// Files that are deleted; links are none.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Hub {
    /// Finds out what a removal would delete.
    ///
    /// # Errors
    ///
    /// Where the cache holds nothing of it, where its folder is none of the cache's layout or leads elsewhere, and where it
    /// cannot be read.
    pub fn removal(&self, repo: &Repo, scope: RemovalScope) -> Result<Removal> {
        let cache = self.cache(repo);
        let doomed = doomed(&cache, &scope)?;
        Ok(Removal {
            repo: repo.clone(),
            scope,
            folder: cache.folder(),
            files: doomed.files,
            bytes: doomed.bytes,
        })
    }

    /// Deletes what was found out before, and gives the bytes that are free now.
    ///
    /// # Errors
    ///
    /// Where somebody is downloading it, where it is no longer what it was, and where a file cannot be deleted: then what was
    /// deleted before it is gone.
    pub fn remove(&self, removal: &Removal) -> Result<u64> {
        let cache = self.cache(&removal.repo);
        let locks = locked(&cache)?;
        let doomed = doomed(&cache, &removal.scope)?;
        if (doomed.files, doomed.bytes) != (removal.files, removal.bytes) {
            return Err(Error::failed(format!(
                "{} has changed since it was looked at: nothing is deleted; look again",
                removal.folder.display()
            )));
        }
        for path in &doomed.paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("delete", path, &error)),
                _ => {}
            }
        }
        for folder in &doomed.folders {
            // One that is not empty holds what is somebody's own, or what another commit has.
            let _ = fs::remove_dir(folder);
        }
        drop(locks);
        Ok(doomed.bytes)
    }
}

/// What goes: files and links in the order of deletion, folders that are empty then, innermost first.
#[derive(Default)]
struct Doomed {
    paths: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    files: usize,
    bytes: u64,
}

impl Doomed {
    /// Adds all of a folder, if it is there. Links are deleted, never followed.
    fn add_tree(&mut self, folder: &Path) -> Result<()> {
        let found = walk(folder)?;
        for (path, meta) in found.files {
            self.add(path, &meta);
        }
        self.folders.extend(found.folders);
        Ok(())
    }

    /// The same with what the cache notes for itself, which nobody counts as files of a model.
    fn add_notes(&mut self, folder: &Path) -> Result<()> {
        let found = walk(folder)?;
        self.paths.extend(found.files.into_iter().map(|(path, _)| path));
        self.folders.extend(found.folders);
        Ok(())
    }

    fn add(&mut self, path: PathBuf, meta: &fs::Metadata) {
        if meta.is_file() {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(meta.len());
        }
        self.paths.push(path);
    }
}

fn doomed(cache: &RepoCache, scope: &RemovalScope) -> Result<Doomed> {
    let folder = cache.folder();
    check_layout(cache)?;
    let mut doomed = Doomed::default();
    match scope {
        RemovalScope::Whole => {
            for part in PARTS {
                let part = folder.join(part);
                match [cache.blobs(), cache.snapshots()].contains(&part) {
                    true => doomed.add_tree(&part)?,
                    false => doomed.add_notes(&part)?,
                }
            }
        }
        RemovalScope::Begun => {
            let begun = walk(&cache.blobs())?.files.into_iter();
            for (path, meta) in begun.filter(|(path, meta)| meta.is_file() && is_begun(path)) {
                doomed.add(path, &meta);
            }
        }
        RemovalScope::Snapshot(commit) => add_snapshot(&mut doomed, cache, commit)?,
    }
    doomed.folders.extend(PARTS.iter().rev().map(|part| folder.join(part)));
    doomed.folders.push(folder);
    Ok(doomed)
}

/// Adds a commit: its names, its links, and the blobs that they alone lead to.
fn add_snapshot(doomed: &mut Doomed, cache: &RepoCache, commit: &str) -> Result<()> {
    let own = cache.snapshot(commit);
    if !is_snapshot_name(commit) || !own.is_dir() {
        return Err(Error::usage(format!(
            "the cache has no commit {commit} of {}: `featscope models list --json` and its folder {} name those that are there",
            cache.repo,
            cache.snapshots().display()
        )));
    }
    for name in revisions(cache).remove(commit).unwrap_or_default() {
        doomed.paths.push(cache.reference(&name));
    }
    let (mut led_to, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (path, meta) in walk(&cache.snapshots())?.files {
        // A link that leads nowhere needs no blob.
        let Some(blob) = fs::canonicalize(&path).ok().filter(|_| meta.is_symlink()) else {
            continue;
        };
        let of = if path.starts_with(&own) {
            &mut led_to
        } else {
            &mut needed
        };
        of.insert(blob);
    }
    doomed.add_tree(&own)?;
    doomed.add_notes(&cache.folder().join(".no_exist").join(commit))?;
    for (path, meta) in walk(&cache.blobs())?.files {
        let is_own = |blob: PathBuf| led_to.contains(&blob) && !needed.contains(&blob);
        if meta.is_file() && fs::canonicalize(&path).is_ok_and(is_own) {
            doomed.add(path, &meta);
        }
    }
    Ok(())
}

/// Refuses a folder that is not there, and one that leads out of the cache.
fn check_layout(cache: &RepoCache) -> Result<()> {
    let folder = cache.folder();
    let parts = PARTS.iter().map(|part| folder.join(part));
    for path in std::iter::once(folder.clone()).chain(parts) {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                return Err(Error::failed(format!(
                    "{} is a link to a folder elsewhere, which is not the cache's: nothing is deleted; delete it by hand",
                    path.display()
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != folder => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::usage(format!(
                    "the cache in {} holds nothing of {}",
                    cache.root.display(),
                    cache.repo
                )));
            }
            Err(error) => return Err(Error::io("read", &path, &error)),
        }
    }
    Ok(())
}

/// The contents of a folder.
#[derive(Default)]
struct Found {
    files: Vec<(PathBuf, fs::Metadata)>,
    /// Innermost first, the folder itself last.
    folders: Vec<PathBuf>,
}

fn walk(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    if folder.is_dir() {
        walk_into(folder, MAX_DEPTH, &mut found)?;
    }
    Ok(found)
}

fn walk_into(folder: &Path, depth: usize, found: &mut Found) -> Result<()> {
    let failed = |error: io::Error| Error::io("read", folder, &error);
    if depth == 0 || found.files.len() > MAX_ENTRIES {
        return Err(Error::failed(format!(
            "{} holds more folders or files than a model has: delete it by hand",
            folder.display()
        )));
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let meta = fs::symlink_metadata(&path).map_err(|error| Error::io("read", &path, &error))?;
        if meta.is_dir() {
            walk_into(&path, depth - 1, found)?;
        } else {
            found.files.push((path, meta));
        }
    }
    found.folders.push(folder.to_owned());
    Ok(())
}

/// The locks of all files that were ever downloaded, so that nobody downloads them meanwhile. The locks' own files stay, as
/// Python leaves them.
fn locked(cache: &RepoCache) -> Result<Vec<File>> {
    let folder = cache.root.join(".locks").join(cache.repo.folder_name());
    let mut locks = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES) {
        // One that cannot be opened is another user's, whose files cannot be deleted either.
        let Ok(file) = File::open(entry.path()) else { continue };
        match file.try_lock() {
            Ok(()) => locks.push(file),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::failed(format!(
                    "{} is being downloaded, by this program or another: nothing is deleted; end the download first",
                    cache.repo
                )));
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(_)) => {}
        }
    }
    Ok(locks)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::weights::hub::HubSettings;

    const OLD: &str = "00000000000000000000000000000000000000aa";
    const NEW: &str = "00000000000000000000000000000000000000bb";

    /// A cache with two commits that share the blob `shared` and each have one of their own, and a file that was begun.
    struct Cache {
        folder: tempfile::TempDir,
    }

    impl Cache {
        fn new() -> Self {
            let cache = Self {
                folder: tempfile::tempdir().expect("a folder"),
            };
            cache.write("blobs/shared", "12345");
            cache.write("blobs/of-old", "123");
            cache.write("blobs/of-new", "1234567");
            cache.write("blobs/next.incomplete", "12");
            for (commit, own) in [(OLD, "of-old"), (NEW, "of-new")] {
                cache.link(
                    &format!("snapshots/{commit}/unet/weights"),
                    &format!("../../../blobs/{own}"),
                );
                cache.link(&format!("snapshots/{commit}/config.json"), "../../blobs/shared");
            }
            cache.write("refs/main", NEW);
            cache.write("refs/pr/1", OLD);
            cache.write(&format!(".no_exist/{OLD}/added.json"), "");
            cache
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("models--a--b").join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }

        fn link(&self, name: &str, target: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            symlink(target, path).expect("a link");
        }

        fn hub(&self) -> Hub {
            Hub::new(HubSettings::new(self.folder.path()))
        }

        fn remove(&self, scope: RemovalScope) -> Result<(usize, u64)> {
            let removal = self.hub().removal(&Repo::new("a/b")?, scope)?;
            assert_eq!(self.hub().remove(&removal)?, removal.bytes);
            Ok((removal.files, removal.bytes))
        }

        fn text(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.path(name)).ok()
        }
    }

    #[test]
    fn a_commit_takes_nothing_from_another() -> Result<()> {
        let cache = Cache::new();
        assert_eq!(cache.remove(RemovalScope::Snapshot(OLD.to_owned()))?, (1, 3));
        assert!(!cache.path("snapshots").join(OLD).exists() && !cache.path("blobs/of-old").exists());
        assert!(!cache.path("refs/pr/1").exists() && !cache.path(".no_exist").exists());
        assert_eq!(cache.text("refs/main").as_deref(), Some(NEW));
        for (name, text) in [("unet/weights", "1234567"), ("config.json", "12345")] {
            assert_eq!(cache.text(&format!("snapshots/{NEW}/{name}")).as_deref(), Some(text));
        }
        assert_eq!(cache.text("blobs/next.incomplete").as_deref(), Some("12"));
        // The last one takes the rest, but for what was begun.
        assert_eq!(cache.remove(RemovalScope::Snapshot(NEW.to_owned()))?, (2, 12));
        assert!(!cache.path("snapshots").exists() && !cache.path("refs/main").exists());
        assert_eq!(cache.remove(RemovalScope::Begun)?, (1, 2));
        let words = cache
            .remove(RemovalScope::Snapshot("../..".to_owned()))
            .expect_err("no commit");
        assert!(words.to_string().contains("holds nothing") || words.to_string().contains("no commit"));
        Ok(())
    }

    #[test]
    fn what_was_begun_goes_by_itself() -> Result<()> {
        let cache = Cache::new();
        assert_eq!(cache.remove(RemovalScope::Begun)?, (1, 2));
        assert!(!cache.path("blobs/next.incomplete").exists());
        assert_eq!(
            cache.text(&format!("snapshots/{OLD}/unet/weights")).as_deref(),
            Some("123")
        );
        Ok(())
    }

    #[test]
    fn all_of_it_goes_and_nothing_beside_it() -> Result<()> {
        let cache = Cache::new();
        let outside = cache.folder.path().join("mine");
        fs::create_dir(&outside).expect("a folder");
        fs::write(outside.join("weights"), "mine").expect("a file");
        symlink(&outside, cache.path("snapshots").join(NEW).join("vae")).expect("a link");
        symlink(outside.join("weights"), cache.path("blobs/elsewhere")).expect("a link");
        cache.write("notes.txt", "mine too");
        assert_eq!(cache.remove(RemovalScope::Whole)?.1, 5 + 3 + 7 + 2);
        assert_eq!(
            fs::read_to_string(outside.join("weights")).ok().as_deref(),
            Some("mine")
        );
        assert_eq!(
            cache.text("notes.txt").as_deref(),
            Some("mine too"),
            "it is none of the cache's"
        );
        for part in PARTS {
            assert!(!cache.path(part).exists(), "{part}");
        }
        fs::remove_file(cache.path("notes.txt")).expect("a file");
        cache.remove(RemovalScope::Whole)?;
        assert!(!cache.path("").exists());
        assert!(
            cache
                .remove(RemovalScope::Whole)
                .is_err_and(|error| error.to_string().contains("holds nothing"))
        );
        Ok(())
    }

    #[test]
    fn what_leads_elsewhere_is_left_alone() -> Result<()> {
        let cache = Cache::new();
        let outside = cache.folder.path().join("mine");
        fs::rename(cache.path("blobs"), &outside).expect("moved");
        symlink(&outside, cache.path("blobs")).expect("a link");
        for scope in [
            RemovalScope::Whole,
            RemovalScope::Begun,
            RemovalScope::Snapshot(OLD.to_owned()),
        ] {
            assert!(
                cache
                    .remove(scope)
                    .is_err_and(|error| error.to_string().contains("link"))
            );
        }
        assert!(outside.join("shared").exists() && cache.path("refs/main").exists());
        fs::rename(cache.path(""), cache.folder.path().join("there")).expect("moved");
        symlink(
            cache.folder.path().join("there"),
            cache.folder.path().join("models--a--b"),
        )
        .expect("a link");
        assert!(cache.remove(RemovalScope::Whole).is_err());
        assert!(cache.path("refs/main").exists());
        Ok(())
    }

    #[test]
    fn nothing_goes_while_somebody_downloads_or_when_it_has_changed() -> Result<()> {
        let cache = Cache::new();
        let repo = Repo::new("a/b")?;
        let removal = cache.hub().removal(&repo, RemovalScope::Whole)?;
        let locks = cache.folder.path().join(".locks/models--a--b");
        fs::create_dir_all(&locks).expect("a folder");
        let lock = File::create(locks.join("next.lock")).expect("a lock");
        lock.lock().expect("locked");
        let refused = cache.hub().remove(&removal).expect_err("it is locked");
        assert!(refused.to_string().contains("is being downloaded"), "{refused}");
        lock.unlock().expect("unlocked");
        cache.write("blobs/next.incomplete", "123");
        let refused = cache.hub().remove(&removal).expect_err("it has changed");
        assert!(refused.to_string().contains("has changed"), "{refused}");
        assert!(cache.path("refs/main").exists() && cache.path("blobs/shared").exists());
        cache.remove(RemovalScope::Whole)?;
        assert!(locks.join("next.lock").exists());
        Ok(())
    }
}
