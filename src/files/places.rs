//! Whether something can be written at a path, found out before the work that it is for.

use std::{
    error,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Links that lead to each other: the kernel follows as many.
const MOST_LINKS: usize = 40;

/// Whether a file can be made or replaced at `path`.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    let target = through_links(path)?;
    check_way(&target)?;
    check_file_place(path)?;
    match fs::metadata(path) {
        // A device or a pipe needs no room beside it.
        Ok(found) if !found.is_file() => Ok(()),
        _ => check_room(folder_of(&target)),
    }
}

/// Whether `path` can be a folder.
pub(crate) fn check_folder(path: &Path) -> Result<()> {
    let target = through_links(path)?;
    check_way(&target)?;
    check_folder_place(path)?;
    check_room(&target)
}

/// Whether what is at `path`, if anything is, can be replaced by a file. What may not be written may not be replaced either.
pub(super) fn check_file_place(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Error::failed(format!(
            "cannot write the file {}: it is a folder; name a file in it",
            path.display()
        ))),
        Ok(found) if found.is_file() => match OpenOptions::new().write(true).open(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::io("write", path, &error)),
        },
        Ok(_) => Ok(()),
        Err(error) => check_absence(path, &error),
    }
}

/// Whether what is at `path`, if anything is, is a folder.
pub(super) fn check_folder_place(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(Error::failed(format!(
            "cannot write into the folder {}: it is a file",
            path.display()
        ))),
        Ok(_) => Ok(()),
        Err(error) => check_absence(path, &error),
    }
}

/// Accepts a path that is not there; refuses one that cannot be looked at for another reason.
fn check_absence(path: &Path, error: &io::Error) -> Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::io("write", path, error)),
    }
}

/// Refuses an output below something that is no folder.
fn check_way(path: &Path) -> Result<()> {
    let mut above = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    match above.find(|parent| parent.exists()) {
        Some(parent) if !parent.is_dir() => Err(Error::failed(format!(
            "cannot write {}: {} is a file, not a folder; write to another place",
            path.display(),
            parent.display()
        ))),
        _ => Ok(()),
    }
}

/// Whether files can be made in a folder, or in the one that it would be made in: a file without a name is, and goes again.
fn check_room(folder: &Path) -> Result<()> {
    let there = folder.ancestors().find(|above| above.is_dir());
    match tempfile::tempfile_in(there.unwrap_or(Path::new("."))) {
        Ok(_) => Ok(()),
        // A full disk may have room again when the work is done.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(()),
        Err(error) => Err(unwritable(folder, &error)),
    }
}

/// Nothing can be made in a folder.
pub(super) fn unwritable(folder: &Path, error: &io::Error) -> Error {
    Error::io("write into the folder", folder, &system_error(error))
}

/// The system's own words, without the path that an error wraps around them.
fn system_error(error: &io::Error) -> io::Error {
    let wrapped = error.get_ref().and_then(error::Error::source);
    let code = wrapped.and_then(|source| source.downcast_ref::<io::Error>()?.raw_os_error());
    let code = code.or(error.raw_os_error());
    code.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Where a path leads: a link stands for what it names, also where that is not there yet.
pub(super) fn through_links(path: &Path) -> Result<PathBuf> {
    if let Ok(target) = fs::canonicalize(path) {
        return Ok(target);
    }
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            // An absolute one takes the place of the folder.
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Error::failed(format!(
        "cannot write {}: its links lead round in a circle",
        path.display()
    )))
}

/// The folder that a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
