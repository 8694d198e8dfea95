//! What of a window is kept for after a crash.

use std::{path::PathBuf, sync::Arc};

use super::keeper::Keeper;
use crate::app::document::{root::Document, workspace::Work};

/// What of this window is kept for after a crash.
#[derive(Default)]
pub struct UnsavedWork {
    /// Who keeps it; nobody where nothing outlasts the window.
    pub(in crate::app) keeper: Option<Keeper>,
    /// What is worked on, as of the last frame.
    pub(in crate::app) work: Option<Work>,
    /// Whether it was not saved then.
    pub(in crate::app) is_unsaved: bool,
    /// The document as a workspace file has it.
    pub saved: Option<Arc<Document>>,
    /// Work of earlier windows that is looked at here now.
    pub(in crate::app) taken_over: Vec<PathBuf>,
    /// All that was opened here: it is offered no more.
    pub(in crate::app) opened: Vec<PathBuf>,
}
