//! Files for what reads files. They lie in the folder of temporary files, which `tools/fuzz.sh` puts into memory.

use std::{fs, path::Path};

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// Calls `read` with a file of this name and these bytes.
pub fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    with_files(&[(name, bytes)], |folder| read(&folder.join(name)))
}

/// Calls `read` with a folder that holds these files, and maybe others of former calls.
pub fn with_files<T>(files: &[(&str, &[u8])], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("a temporary file");
        }
        read(folder.path())
    })
}

/// Calls `read` with a folder that holds these files and no others of the names `all`.
pub fn with_only<T>(files: &[(&str, &[u8])], all: &[&str], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        for name in all {
            if !files.iter().any(|(kept, _)| kept == name) {
                // Mostly it is not there.
                let _ = fs::remove_file(folder.path().join(name));
            }
        }
    });
    with_files(files, read)
}
