//! Files of the user: inputs and outputs.
//!
//! In: a path from the user, a workspace or a model's index. Out: an open file or its bytes. Whatever reads a file of the
//! user's calls this, so that a named pipe never makes it wait and no file is read that is larger than its kind can be.
//! Outputs are written with `replace_file` or `write_folder`: the old one stays until the new one is whole.

mod checksum;
mod durable;
mod folder;
pub(crate) mod names;
mod places;
mod replace;
mod unfinished;

pub(crate) use checksum::checksum;
pub(crate) use durable::sync_file;
pub(crate) use folder::UnfinishedFolder;
pub(crate) use folder::{PANES_FILE, RECOMMEND_FILE, REQUEST_FILE, SURVEY_FILE, write_folder};
pub(crate) use places::{check_file, check_folder};
pub(crate) use replace::replace_file;
pub(crate) use replace::write_error;
pub(crate) use unfinished::clear_up_and;

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::Read,
    path::Path,
};

use crate::error::{Error, Result};

/// First bytes of a stand-in of Git's large file storage.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Opens a file for reading. Folders, named pipes, sockets and devices are refused before they are opened: reading from
/// them may wait for ever, or do something.
pub(crate) fn open(path: &Path) -> Result<File> {
    let unread = |error| Error::io("read", path, &error);
    check_kind(path, &fs::metadata(path).map_err(unread)?)?;
    let file = reading().open(path).map_err(unread)?;
    // The file may have been replaced since the check.
    check_kind(path, &file.metadata().map_err(unread)?)?;
    Ok(file)
}

/// Refuses a file that begins as a stand-in of Git's large file storage does: it holds nothing but where the file is.
pub(crate) fn refuse_pointer(path: &Path, start: &[u8]) -> Result<()> {
    match start.starts_with(LFS_POINTER) {
        true => Err(Error::failed(format!(
            "{} only stands for a file of Git LFS; fetch the file itself with `git lfs pull`",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// The bytes of a file, unless there are more than `most`; `kind` names it in messages, as in "a workspace".
pub(crate) fn read(path: &Path, most: u64, kind: &str) -> Result<Vec<u8>> {
    let unread = |error| Error::io("read", path, &error);
    let file = open(path)?;
    let length = file.metadata().map_err(unread)?.len();
    let too_large = |length: u64| {
        Error::failed(format!(
            "{} has {length} bytes; {kind} of more than {most} is not read",
            path.display()
        ))
    };
    if length > most {
        return Err(too_large(length));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize).map_err(|_| {
        Error::failed(format!(
            "{} has {length} bytes: there is not enough memory",
            path.display()
        ))
    })?;
    // A file that grows meanwhile, or whose length the system does not know, is bounded all the same.
    file.take(most + 1).read_to_end(&mut bytes).map_err(unread)?;
    match bytes.len() as u64 {
        length if length > most => Err(too_large(length)),
        _ => {
            refuse_pointer(path, &bytes)?;
            Ok(bytes)
        }
    }
}

/// The text of a file in UTF-8, unless it has more than `most` bytes; `kind` names it in messages.
pub(crate) fn read_text(path: &Path, most: u64, kind: &str) -> Result<String> {
    String::from_utf8(read(path, most, kind)?).map_err(|error| {
        Error::failed(format!(
            "{} is not text in UTF-8: {}",
            path.display(),
            error.utf8_error()
        ))
    })
}

fn check_kind(path: &Path, metadata: &Metadata) -> Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(Error::failed(format!(
            "cannot read {}: it is {}, not a file",
            path.display(),
            kind_of(metadata)
        ))),
    }
}

#[cfg(unix)]
fn kind_of(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn kind_of(metadata: &Metadata) -> &'static str {
    match metadata.is_dir() {
        true => "a folder",
        false => "something else",
    }
}

/// Opening does not wait, also where a pipe has taken the file's place.
#[cfg(unix)]
fn reading() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options
}

#[cfg(not(unix))]
fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_file_is_read_up_to_its_bound() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("text");
        fs::write(&path, "12345")?;
        assert_eq!(read(&path, 5, "a test")?, b"12345");
        let refusal = read(&path, 4, "a test").expect_err("too long").to_string();
        assert!(refusal.contains("5 bytes; a test of more than 4"), "{refusal}");
        fs::write(&path, [0xff])?;
        assert!(read_text(&path, 4, "a test").is_err());
        Ok(())
    }

    #[test]
    fn a_stand_in_of_large_file_storage_is_named() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("config.json");
        fs::write(
            &path,
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        )?;
        let refusal = read(&path, 1000, "a test").expect_err("a pointer").to_string();
        assert!(
            refusal.contains("config.json") && refusal.contains("git lfs pull"),
            "{refusal}"
        );
        Ok(())
    }

    #[test]
    fn what_is_no_file_is_refused_by_its_kind() -> TestResult {
        let folder = tempfile::tempdir()?;
        let refusal = open(folder.path()).expect_err("a folder").to_string();
        assert!(refusal.contains("it is a folder"), "{refusal}");
        assert!(open(&folder.path().join("absent")).is_err());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_at_once() -> TestResult {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
        for (path, kind) in [
            (pipe.as_path(), "a named pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let refusal = open(path).expect_err("no file").to_string();
            assert!(refusal.contains(kind), "{refusal}");
        }
        Ok(())
    }
}
