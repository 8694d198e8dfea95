//! The desktop's file dialogs, on a thread of their own.

use std::{path::PathBuf, sync::mpsc::Sender, thread};

use egui::Context;
use rfd::FileDialog;

use super::{background::BackgroundResult, portal::has_file_dialogs};
use crate::app::state::path_box::{PathPurpose, Wanted};

/// Asks for a path; the answer comes through `answer`.
pub fn ask(purpose: PathPurpose, answer: Sender<BackgroundResult>, context: &Context) {
    let (here, context) = (answer.clone(), context.clone());
    let started = thread::Builder::new().spawn(move || {
        let picked = match has_file_dialogs() {
            // One that gives no path was closed without one.
            true => show(purpose).map(|path| BackgroundResult::Path(purpose, path)),
            false => Some(BackgroundResult::NoDialog(purpose)),
        };
        if let Some(picked) = picked {
            // A window that is gone needs no path.
            let _ = answer.send(picked);
            context.request_repaint();
        }
    });
    if started.is_err() {
        // The path can be typed.
        let _ = here.send(BackgroundResult::NoDialog(purpose));
    }
}

fn show(purpose: PathPurpose) -> Option<PathBuf> {
    let dialog = FileDialog::new().set_title(purpose.title());
    match purpose.wanted() {
        Wanted::Folder => dialog.pick_folder(),
        Wanted::File { filter, endings } => dialog.add_filter(filter, &endings).pick_file(),
        Wanted::Save { filter, endings, name } => dialog.add_filter(filter, &endings).set_file_name(name).save_file(),
    }
}
