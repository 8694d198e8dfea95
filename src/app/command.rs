//! Everything the user can do. Widgets send these; [`App::apply`](super::App::apply) alone carries them out.

use std::path::PathBuf;

use super::state::{Display, PathBox, PathPurpose, PointAt};
use crate::{
    activation::Id,
    engine::{PictureSource, RunSettings, Slot},
};

/// One thing the user does.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Read a model: a zoo key, a folder or a file.
    LoadModel(String),
    /// Open a picture in a slot.
    OpenPicture(Slot, PictureSource),
    /// Empty a slot.
    ClosePicture(Slot),
    /// Put picture B into slot A and A into B.
    SwapPictures,
    /// Run with other settings.
    Settings(RunSettings),
    /// Run what is wanted now, however long it takes.
    Run,
    /// End the run or loading under way.
    Cancel,
    /// Look at an activation.
    SelectLayer(Id),
    /// Walk through the listed layers by so many.
    StepLayer(isize),
    /// Search the layers.
    Search(String),
    /// Move the pointer's query.
    Hover(Option<PointAt>),
    /// Fix the query at a point, or let it follow the pointer again.
    Pin(Option<PointAt>),
    /// Draw otherwise.
    Display(Display),
    /// Ask for a path: by the desktop's dialog, or in the box where there is none.
    AskPath(PathPurpose),
    /// Type into the box for paths, open it or close it.
    PathBox(PathBox),
    /// Use a path for what it was asked for.
    UsePath(PathPurpose, PathBuf),
    /// Take a message away.
    Dismiss(Notice),
}

/// A message that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// What was written, or not.
    Save,
    /// A bug a worker met.
    Recovered,
    /// Why a picture was not opened.
    Picture(Slot),
    /// Why a model was not read.
    Model,
    /// Why a run failed.
    Run,
}
