//! Threads that live for one piece of work: dialogs, files, the clipboard.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
    thread,
};

use egui::{ColorImage, Context};

use crate::{
    analysis::pairs::PointPair,
    app::{
        document::{root::Document, workspace::OpenedWorkspace},
        state::{browser::Listing, path_box::PathPurpose, recovery::Recovery},
    },
    engine::recovered,
    error::{Error, Result},
};

/// What lies at a path that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A folder.
    Folder,
    /// A file, or something else that is no folder.
    File,
    /// Nothing.
    Nothing,
}

/// What came of it.
pub enum BackgroundResult {
    /// A path was picked.
    Path(PathPurpose, PathBuf),
    /// The desktop has no dialog to offer.
    NoDialog(PathPurpose),
    /// A folder was listed.
    Listed(Result<Box<Listing>>),
    /// What was typed was looked for.
    Seen(Result<(PathPurpose, PathBuf, Seen)>),
    /// A workspace was read.
    Workspace(Result<Box<OpenedWorkspace>>),
    /// Pairs of points were read.
    Pairs(Result<Vec<PointPair>>),
    /// A workspace was written, and what it holds.
    WorkspaceSaved(Result<(PathBuf, Arc<Document>)>),
    /// Work of windows that did not come to their end was looked for.
    Recoveries(Result<Vec<Recovery>>),
    /// Such work was let go of.
    Discarded(Result<()>),
    /// Preferences or work could not be kept.
    NotKept(String),
    /// A file or folder was written.
    Written(Result<PathBuf>),
    /// A pane was cut out of a picture of the window.
    Copied(Result<ColorImage>),
    /// A picture from the clipboard is in a file.
    Pasted(Result<PathBuf>),
}

/// Does something on a thread of its own and wakes the window with what came of it, as `told` says it; a bug in it, and a
/// thread that there is no room for, are told in its place.
pub fn background<T: 'static>(
    answer: &Sender<BackgroundResult>,
    context: &Context,
    told: fn(Result<T>) -> BackgroundResult,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) {
    let (here, answer, context) = (answer.clone(), answer.clone(), context.clone());
    let started = thread::Builder::new().spawn(move || {
        let bug = |words| Err(Error::failed(format!("a bug was met: {words}")));
        // A window that is gone needs no answer.
        let _ = answer.send(told(recovered(work).unwrap_or_else(bug)));
        context.request_repaint();
    });
    if let Err(error) = started {
        let _ = here.send(told(Err(Error::failed(format!("no thread can be started: {error}")))));
    }
}
