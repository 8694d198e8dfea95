//! One file, whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{
    durable::{moved, sync_file, take_after},
    places::{check_file, folder_of, through_links},
    unfinished::{MadeFolders, UnfinishedFile, remove_leftovers},
};
use crate::error::{Error, Result};

/// Makes a file by way of an unfinished one beside it: what was there before stays until the new one is complete and on the
/// disk. The new one has the old one's permissions; a link is written through; other names of the same file (hard links)
/// keep the old contents. A path that leads to something that is no file, such as a device or a pipe, is written directly.
pub(crate) fn replace_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    check_file(path)?;
    let named = |error: Error| error.context(path.display());
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        let device = OpenOptions::new().write(true).open(path);
        return filled(device.map_err(|error| Error::io("write", path, &error))?, fill)
            .map(drop)
            .map_err(named);
    }
    let target = through_links(path)?;
    let folder = folder_of(&target);
    let made = MadeFolders::down_to(folder)?;
    let unfinished = UnfinishedFile::in_folder(folder, old.is_some())?;
    remove_leftovers(folder, |_| {});
    filled(unfinished.file(), fill).map_err(named)?;
    let lasting = match &old {
        Some(old) => take_after(unfinished.path(), old),
        None => Ok(()),
    };
    lasting
        .and_then(|()| sync_file(unfinished.file()))
        .map_err(|error| named(write_error(error)))?;
    unfinished
        .put(&target)
        .map_err(|error| Error::io("write", path, &error))?;
    moved(&target);
    made.keep();
    Ok(())
}

/// Makes a new file that is on the disk when this returns.
pub(super) fn make_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let file = File::create_new(path).map_err(write_error)?;
    let file = filled(file, fill)?;
    sync_file(&file).map_err(write_error)
}

/// Buffers what is written, and finds out at the end whether all of it was.
fn filled<W: Write>(file: W, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<W> {
    let mut buffered = BufWriter::new(file);
    fill(&mut buffered)?;
    buffered.into_inner().map_err(|error| write_error(error.into_error()))
}

/// An error of writing, without the file's name, which the caller adds.
pub(crate) fn write_error(error: io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room or write to another place",
        _ => "",
    };
    Error::failed(format!("cannot be written: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn write(path: &Path, text: &str) -> Result<()> {
        replace_file(path, |file| file.write_all(text.as_bytes()).map_err(write_error))
    }

    fn count(folder: &Path) -> io::Result<usize> {
        Ok(fs::read_dir(folder)?.count())
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() -> TestResult {
        let place = tempfile::tempdir()?;
        let path = place.path().join("file");
        write(&path, "old")?;
        let failed = replace_file(&path, |file| {
            file.write_all(b"half").map_err(write_error)?;
            Err(Error::failed("no more"))
        });
        let words = failed.expect_err("it failed").to_string();
        assert!(words.contains("file: no more"), "{words}");
        assert_eq!(
            (fs::read_to_string(&path)?, count(place.path())?),
            ("old".to_owned(), 1)
        );
        let deep = place.path().join("new/folder/file");
        assert!(replace_file(&deep, |_| Err(Error::Cancelled)).is_err());
        assert_eq!(count(place.path())?, 1);
        write(&deep, "new")?;
        write(&path, "new")?;
        assert_eq!(
            (fs::read_to_string(&deep)?, fs::read_to_string(&path)?),
            ("new".to_owned(), "new".to_owned())
        );
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions_and_a_new_one_has_the_usual_ones() -> TestResult {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let place = tempfile::tempdir()?;
        let (path, usual) = (place.path().join("file"), place.path().join("usual"));
        fs::write(&usual, "")?;
        write(&path, "1")?;
        assert_eq!(fs::metadata(&path)?.mode(), fs::metadata(&usual)?.mode());
        for mode in [0o600, 0o640, 0o755] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            write(&path, "2")?;
            assert_eq!(fs::metadata(&path)?.mode() & 0o777, mode);
        }
        // Only root may give a file away; the group's permissions are for that group.
        if chown(&path, Some(1), Some(1)).is_ok() {
            write(&path, "3")?;
            let now = fs::metadata(&path)?;
            assert_eq!((now.uid(), now.gid()), (1, 1));
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_written_through_also_to_what_is_not_there_yet() -> TestResult {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        symlink("second", at("first"))?;
        symlink(at("deep/target"), at("second"))?;
        for text in ["new", "replaced"] {
            write(&at("first"), text)?;
            assert!(
                fs::symlink_metadata(at("first"))?.is_symlink() && fs::symlink_metadata(at("second"))?.is_symlink()
            );
            assert_eq!(fs::read_to_string(at("deep/target"))?, text);
        }
        symlink("b", at("a"))?;
        symlink("a", at("b"))?;
        let words = write(&at("a"), "").expect_err("a circle").to_string();
        assert!(words.contains("circle"), "{words}");
        // Another name of the same file keeps what it had.
        fs::hard_link(at("deep/target"), at("other"))?;
        write(&at("first"), "newer")?;
        assert_eq!(fs::read_to_string(at("other"))?, "replaced");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn what_may_not_be_written_is_not_replaced() -> TestResult {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir()?;
        let path = place.path().join("file");
        fs::write(&path, "mine")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?;
        // Root may write everything.
        if OpenOptions::new().write(true).open(&path).is_err() {
            assert!(check_file(&path).is_err() && write(&path, "").is_err());
            assert_eq!(fs::read_to_string(&path)?, "mine");
        }
        let long = place.path().join("x".repeat(300));
        assert!(check_file(&long).is_err(), "no file can have this name");
        Ok(())
    }
}
