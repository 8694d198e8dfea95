//! Unfinished outputs: files and folders that are being written.
//!
//! Unfinished files and folders lie beside their place under names of their own. They go when the work fails, when a signal
//! ends the program, and otherwise when the next output is written there: a lock marks those that a program still writes.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tempfile::{Builder, NamedTempFile, TempDir};

use super::{
    durable::{moved, sync_folder},
    places::unwritable,
    reading,
};
use crate::error::{Error, Result};

/// Prefix of the names of unfinished outputs.
const PREFIX: &str = ".featscope-";
/// Letters and digits behind it.
const RANDOM: usize = 6;
/// Where files cannot be locked, one that has not changed for so long is no longer being written.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// Another program that clears up may take a new file away before it is locked.
const MOST_TRIES: usize = 16;

/// Unfinished outputs of this process, to be removed if it ends now.
static MADE: Mutex<Made> = Mutex::new(Made {
    last: 0,
    things: Vec::new(),
});

struct Made {
    last: u64,
    things: Vec<(u64, Thing)>,
}

enum Thing {
    File(PathBuf),
    Folder(PathBuf),
    /// A folder that goes only if nothing is in it.
    EmptyFolder(PathBuf),
}

fn made() -> MutexGuard<'static, Made> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Made {
    fn add(&mut self, thing: Thing) -> Entry {
        self.last += 1;
        self.things.push((self.last, thing));
        Entry(self.last)
    }
}

/// A line in the list of what has been made; it ends with what it stands for.
struct Entry(u64);

impl Drop for Entry {
    fn drop(&mut self) {
        made().things.retain(|(number, _)| *number != self.0);
    }
}

/// Takes away everything that is unfinished and then ends the program by `end`. What is being put into its place when this
/// is called is put there first; nothing new is begun.
pub(crate) fn clear_up_and(end: impl FnOnce()) {
    const MOST_TRIES: usize = 8;
    let made = made();
    // The contents of a folder were made after it.
    for (_, thing) in made.things.iter().rev() {
        // Leftovers that cannot be removed stay for the next program.
        let _ = match thing {
            Thing::File(path) => fs::remove_file(path),
            // Other threads may still be writing into it.
            Thing::Folder(path) => (0..MOST_TRIES)
                .map(|_| fs::remove_dir_all(path))
                .find(|removed| removed.is_ok() || !path.exists())
                .unwrap_or(Ok(())),
            Thing::EmptyFolder(path) => fs::remove_dir(path),
        };
    }
    end();
    drop(made);
}

/// A file that is being written.
pub(super) struct UnfinishedFile {
    file: NamedTempFile,
    entry: Entry,
}

impl UnfinishedFile {
    /// Makes one in a folder. A private one is for its owner's eyes alone.
    pub(crate) fn in_folder(folder: &Path, private: bool) -> Result<Self> {
        let mut builder = builder();
        if !private {
            share(&mut builder, FILE_MODE);
        }
        for _ in 0..MOST_TRIES {
            let mut made = made();
            let file = builder
                .tempfile_in(folder)
                .map_err(|error| unwritable(folder, &error))?;
            if is_held(file.as_file(), file.path()) {
                let entry = made.add(Thing::File(file.path().to_owned()));
                return Ok(Self { file, entry });
            }
        }
        Err(taken_away(folder))
    }

    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Moves it to its place, in place of what is there.
    pub fn put(self, target: &Path) -> io::Result<()> {
        let Self { file, entry } = self;
        let put = {
            let _made = made();
            file.persist(target).map(drop).map_err(|error| error.error)
        };
        drop(entry);
        put
    }
}

/// A folder that is being filled.
pub(super) struct UnfinishedPlace {
    folder: TempDir,
    entry: Entry,
    _lock: Option<File>,
}

impl UnfinishedPlace {
    /// Makes one in a folder. A private one is for its owner's eyes alone.
    pub(crate) fn in_folder(folder: &Path, private: bool) -> Result<Self> {
        let mut builder = builder();
        if !private {
            share(&mut builder, FOLDER_MODE);
        }
        for _ in 0..MOST_TRIES {
            let mut made = made();
            let place = builder.tempdir_in(folder).map_err(|error| unwritable(folder, &error))?;
            let lock = reading().open(place.path()).ok();
            if lock.as_ref().is_none_or(|lock| is_held(lock, place.path())) {
                let entry = made.add(Thing::Folder(place.path().to_owned()));
                return Ok(Self {
                    folder: place,
                    entry,
                    _lock: lock,
                });
            }
        }
        Err(taken_away(folder))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets `put` move what is in it: no signal ends the program meanwhile.
    pub fn put<T>(self, put: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let done = {
            let _made = made();
            put(self.folder.path())
        };
        drop(self);
        done
    }

    /// Becomes the folder `target` itself, unless something is there by now: then it is given back.
    pub(crate) fn become_folder(self, target: &Path) -> Result<Option<Self>> {
        let put = {
            let _made = made();
            fs::rename(self.folder.path(), target)
        };
        match put {
            Ok(()) => {
                let Self { folder, entry, _lock } = self;
                // Nothing is left at its old path.
                let _ = folder.keep();
                drop(entry);
                Ok(None)
            }
            Err(_) if target.is_dir() => Ok(Some(self)),
            Err(error) => Err(Error::io("write", target, &error)),
        }
    }
}

fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).rand_bytes(RANDOM);
    builder
}

fn taken_away(folder: &Path) -> Error {
    Error::failed(format!(
        "cannot write into the folder {}: another program takes new files in it away",
        folder.display()
    ))
}

/// Permissions of a new file and a new folder, before the user's umask.
const FILE_MODE: u32 = 0o666;
const FOLDER_MODE: u32 = 0o777;

#[cfg(unix)]
fn share(builder: &mut Builder<'_, '_>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(mode));
}

#[cfg(not(unix))]
fn share(_: &mut Builder<'_, '_>, _: u32) {}

/// Locks something new, so that no process takes it for a leftover; false where one has done so already.
fn is_held(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, path),
        Err(TryLockError::WouldBlock) => false,
        // No locks here: its age decides.
        Err(TryLockError::Error(_)) => true,
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Windows does not let anybody remove a file that is open.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Takes away what programs that were killed left unfinished in a folder; `look` sees each before it goes.
pub(super) fn remove_leftovers(folder: &Path, mut look: impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let ours =
            random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric()));
        if ours {
            remove_leftover(&entry.path(), &mut look);
        }
    }
}

fn remove_leftover(path: &Path, look: &mut dyn FnMut(&Path)) {
    // A link of such a name is no output.
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if !(found.is_file() || found.is_dir()) {
        return;
    }
    let lock = reading().open(path);
    let abandoned = match lock.as_ref().map(File::try_lock) {
        Ok(Ok(())) => lock.as_ref().is_ok_and(|lock| is_at(lock, path)),
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Err(TryLockError::Error(_))) | Err(_) => is_old(&found),
    };
    if abandoned {
        look(path);
        // Another user's stays.
        let _ = match found.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
    }
}

fn is_old(found: &fs::Metadata) -> bool {
    let written = found.modified().ok();
    let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
    age.is_some_and(|age| age > ABANDONED)
}

/// Folders made for an output: removed again unless the output is finished.
pub(super) struct MadeFolders(Vec<(PathBuf, Entry)>);

impl MadeFolders {
    /// Makes a folder and what is missing above it.
    pub(crate) fn down_to(folder: &Path) -> Result<Self> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        let mut made = made();
        let entries = missing.iter().rev().map(|path| {
            let path = (*path).to_owned();
            (path.clone(), made.add(Thing::EmptyFolder(path)))
        });
        let folders = Self(entries.collect());
        let created = fs::create_dir_all(folder);
        // Given up, they are taken off the list.
        drop(made);
        created.map_err(|error| Error::io("make the folder", folder, &error))?;
        Ok(folders)
    }

    /// Keeps them, also if the power fails.
    pub fn keep(mut self) {
        for (path, _) in self.0.drain(..) {
            sync_folder(&path);
            moved(&path);
        }
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for (path, _) in self.0.iter().rev() {
            // A folder that something else is in by now stays.
            let _ = fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn leftovers_go_and_what_is_still_being_written_stays() -> TestResult {
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        let file = UnfinishedFile::in_folder(place.path(), false)?;
        let folder = UnfinishedPlace::in_folder(place.path(), false)?;
        fs::write(folder.path().join("inside"), "")?;
        fs::write(at(".featscope-Abc123"), "left over")?;
        fs::create_dir(at(".featscope-folder"))?;
        fs::write(at(".featscope-folder/inside"), "left over")?;
        let others = [".featscope-notes-of-mine", ".featscope-é12345", "featscope-Abc123"];
        for name in others {
            fs::write(at(name), "mine")?;
        }
        remove_leftovers(place.path(), |_| {});
        assert!(!at(".featscope-Abc123").exists() && !at(".featscope-folder").exists());
        assert!(others.iter().all(|name| at(name).exists()));
        // Elsewhere folders cannot be locked: their age decides.
        assert!(file.path().exists() && folder.path().join("inside").exists());
        drop((file, folder));
        assert_eq!(fs::read_dir(place.path())?.count(), others.len());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_leftover() -> TestResult {
        let place = tempfile::tempdir()?;
        let (target, link) = (place.path().join("target"), place.path().join(".featscope-linked"));
        fs::write(&target, "mine")?;
        std::os::unix::fs::symlink(&target, &link)?;
        remove_leftovers(place.path(), |_| {});
        assert!(target.exists() && fs::symlink_metadata(&link).is_ok());
        Ok(())
    }
}
