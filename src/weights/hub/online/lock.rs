//! The lock that keeps two programs, this one or Python's, from downloading the same file at the same time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    thread,
    time::Duration,
};

use super::{reporter::Reporter, store::write_error};
use crate::{error::Result, weights::hub::progress::TransferStage};

const POLL: Duration = Duration::from_millis(100);

/// A file lock, until it is dropped, or until the process ends in any way. The lock's file stays where it is, as Python's
/// filelock leaves it: removing it would let others wait for a file that a third process cannot find.
pub(super) struct Lock {
    _file: File,
    is_exclusive: bool,
}

impl Lock {
    /// Waits for the lock. `flock` on Unix is what Python's filelock uses too.
    pub fn wait(path: &Path, reporter: &mut Reporter<'_, '_>) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| write_error(folder, &error))?;
        }
        loop {
            let file = open(path).map_err(|error| write_error(path, &error))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => return Ok(Self::new(file, true)),
                // Somebody removed the file between its opening and its locking.
                Ok(()) => reporter.report()?,
                Err(TryLockError::WouldBlock) => {
                    reporter.stage(TransferStage::Locked)?;
                    thread::sleep(POLL);
                }
                // Some network file systems have no locks. Without one the worst is that two programs write the same
                // bytes to the same places.
                Err(TryLockError::Error(_)) => return Ok(Self::new(file, false)),
            }
        }
    }

    fn new(file: File, is_exclusive: bool) -> Self {
        Self {
            _file: file,
            is_exclusive,
        }
    }

    /// Whether no other process has it: not where the file system has no locks.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }
}

fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    match opened {
        // The file of another user of the same cache: to lock it, reading is enough.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Windows does not let anybody remove a file that is open.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
