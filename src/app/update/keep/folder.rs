//! A folder for each window that is open: its lock, which the system lets go of however the program ends, and the work that
//! is not saved. In: a window's work. Out: the work of windows that are no more.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant, SystemTime},
};

use super::preferences_file::PreferencesFile;
use crate::{
    app::{
        document::workspace::{EXTENSION, Work, WorkspaceFile},
        state::recovery::Recovery,
    },
    error::{Error, Result},
};

/// Where the folders of windows are, within the folder of what the program remembers.
const WINDOWS: &str = "windows";
/// The lock of everything that windows share.
const SHARED_LOCK: &str = "windows.lock";
/// The lock of one window, which holds the number of its process.
const WINDOW_LOCK: &str = "lock";
/// The work that is not saved, without the ending of workspace files.
const WORK: &str = "work";
/// The copy of what is remembered that eframe has.
const COPY: &str = "eframe.ron";
/// Other windows hold the lock for as long as it takes to write a file; one that is stopped is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Alone with what windows share, until it is dropped.
pub struct Alone {
    _lock: File,
}

/// Waits until no other window reads or changes what they share.
pub fn lock_folder(data: &Path) -> Result<Alone> {
    make_folder(data)?;
    let path = data.join(SHARED_LOCK);
    let failed = |error: &io::Error| Error::io("lock", &path, error);
    let file = open_lock(&path).map_err(|error| failed(&error))?;
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if asked.elapsed() < LONGEST_WAIT => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::failed(format!(
                    "another window holds {} for longer than {} s: end it if it has stopped",
                    path.display(),
                    LONGEST_WAIT.as_secs()
                )));
            }
            // Some network file systems have no locks: files are still written whole.
            Err(TryLockError::Error(_)) => break,
        }
    }
    Ok(Alone { _lock: file })
}

/// The folder of a window that is open.
pub struct WindowFolder {
    data: PathBuf,
    path: PathBuf,
    /// Held as long as the window is there.
    _lock: File,
}

impl WindowFolder {
    /// Makes one. The caller is [alone](lock_folder): a folder whose lock nobody holds is that of a window that is no more.
    pub fn make(data: &Path) -> Result<Self> {
        let windows = data.join(WINDOWS);
        make_folder(&windows)?;
        let path = tempfile::Builder::new()
            .prefix(&format!("{}-", process::id()))
            .tempdir_in(&windows)
            .map_err(|error| Error::io("make a folder in", &windows, &error))?
            .keep();
        let lock = path.join(WINDOW_LOCK);
        let locked = fs::write(&lock, process::id().to_string()).and_then(|()| {
            let file = open_lock(&lock)?;
            match file.try_lock() {
                // Without locks the process is looked for.
                Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
                Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            }
        });
        Ok(Self {
            data: data.to_owned(),
            _lock: locked.map_err(|error| Error::io("lock", &lock, &error))?,
            path,
        })
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the work away: all of it is saved.
    pub fn remove_work(&self) -> Result<()> {
        let path = work_in(&self.path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    /// Takes everything of this window away, its work first: eframe may be writing its copy still, and then the next window
    /// takes that away.
    pub fn remove(&self) -> Result<()> {
        self.remove_work()?;
        // Whatever is left is found by the next window.
        let _ = discard_folder(&self.path);
        Ok(())
    }

    pub fn write_copy(&self, file: &PreferencesFile) -> Result<PathBuf> {
        let path = self.path.join(COPY);
        file.copy_to(&path)?;
        Ok(path)
    }
}

/// Writes the work of a window into its folder; gives the file.
pub fn write_work(folder: &Path, work: Work) -> Result<PathBuf> {
    WorkspaceFile::recovering(work).write(&work_in(folder))
}

/// The folder of the window whose work a file is, where it is one's.
pub fn of_work(data: &Path, path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    (folder.parent()? == data.join(WINDOWS) && *path == work_in(folder)).then(|| folder.to_owned())
}

/// The work of windows that are no more, the last first; what else they left is taken away. The caller is
/// [alone](lock_folder).
pub fn recoveries(data: &Path, own: &Path) -> Result<Vec<Recovery>> {
    let windows = data.join(WINDOWS);
    let unread = |error| Error::io("read", &windows, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(&windows).map_err(unread)? {
        let folder = entry.map_err(unread)?.path();
        if folder == own || !folder.is_dir() || is_open(&folder) {
            continue;
        }
        match recovery(&folder) {
            Some(recovery) => found.push(recovery),
            // One that cannot be removed is found again by the next window.
            None => drop(discard_folder(&folder)),
        }
    }
    found.sort_by_key(|recovery| std::cmp::Reverse(recovery.kept_at));
    Ok(found)
}

/// Takes work away that is offered, unless another window offers the same and has opened it. The caller is
/// [alone](lock_folder).
pub fn discard(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => discard_folder(folder),
        false => Ok(()),
    }
}

/// Reads the work that is in the folder of a window that is no more; none where there is none. Work that cannot be looked
/// at is offered all the same: it is not let go of unasked.
fn recovery(folder: &Path) -> Option<Recovery> {
    let path = work_in(folder);
    let kept_at = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        found => found.and_then(|found| found.modified()),
    };
    let kept_at = kept_at.unwrap_or(SystemTime::UNIX_EPOCH);
    let work = WorkspaceFile::read(&path);
    Some(Recovery {
        folder: folder.to_owned(),
        kept_at,
        work: work.map(Box::new).map_err(|error| error.to_string()),
    })
}

fn work_in(folder: &Path) -> PathBuf {
    folder.join(format!("{WORK}{EXTENSION}"))
}

/// Whether the window of a folder is still there.
fn is_open(folder: &Path) -> bool {
    let path = folder.join(WINDOW_LOCK);
    let Ok(file) = File::open(&path) else {
        return false;
    };
    match file.try_lock() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => is_running(&path),
    }
}

/// Whether the process whose number a lock holds is there, where the system tells.
fn is_running(lock: &Path) -> bool {
    let number = fs::read_to_string(lock).unwrap_or_default();
    let number: Option<u32> = number.trim().parse().ok();
    number.is_some_and(|number| Path::new("/proc").join(number.to_string()).exists())
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::io("make the folder", folder, &error))
}

fn discard_folder(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|error| Error::io("remove", folder, &error))
}
