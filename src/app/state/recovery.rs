//! Unsaved work of a window that did not come to its end.

use std::{path::PathBuf, time::SystemTime};

use crate::app::document::workspace::OpenedWorkspace;

/// Work of a window that did not come to its end.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The folder it is in.
    pub folder: PathBuf,
    /// When it was kept.
    pub kept_at: SystemTime,
    /// The work, or why it cannot be read.
    pub work: Result<Box<OpenedWorkspace>, String>,
}
