//! Where the program keeps what outlasts a window.

use std::path::PathBuf;

/// The name under which the desktop and the file system know the program.
pub const NAME: &str = "featscope";

/// The folder in which the program keeps what it remembers.
pub fn data_folder() -> Option<PathBuf> {
    eframe::storage_dir(NAME)
}
