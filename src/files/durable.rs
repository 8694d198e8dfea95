//! Durable files: the bytes are on the disk before the name, and the name before success is reported.

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

use super::places::folder_of;

/// Waits until what was written to a file is on the disk. File systems that know nothing of this are taken as they are.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

/// Waits until the names in a folder are on the disk. Where a system has no such call, it does so in its own time.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) {
    let _ = super::reading().open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) {}

/// The same of the folder that a path is in: something was put there.
pub(super) fn moved(path: &Path) {
    sync_folder(folder_of(path));
}

/// Gives a new file what the one that it replaces had: its permissions and, where that is allowed, its owner and group.
#[cfg(unix)]
pub(super) fn take_after(new: &Path, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    /// Bits of read, write and execute; a file of numbers needs no others.
    const PERMISSIONS: u32 = 0o777;
    const GROUP: u32 = 0o070;
    const OTHERS: u32 = 0o007;
    /// Bits between those of the group and those of the others.
    const GROUP_SHIFT: u32 = 3;
    let now = fs::symlink_metadata(new)?;
    let mut mode = old.mode() & PERMISSIONS;
    if (now.uid(), now.gid()) != (old.uid(), old.gid())
        && chown(new, Some(old.uid()), Some(old.gid())).is_err()
        && now.gid() != old.gid()
        && chown(new, None, Some(old.gid())).is_err()
    {
        // Another group may not do more than everybody might.
        mode = mode & !GROUP | mode & ((mode & OTHERS) << GROUP_SHIFT);
    }
    fs::set_permissions(new, fs::Permissions::from_mode(mode))
}

/// Elsewhere a file in a folder has the folder's permissions.
#[cfg(not(unix))]
pub(super) fn take_after(_: &Path, _: &Metadata) -> io::Result<()> {
    Ok(())
}
