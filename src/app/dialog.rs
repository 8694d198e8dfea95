//! The desktop's file dialogs, on a thread of their own.

use std::{
    path::PathBuf,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use egui::Context;
use rfd::FileDialog;

use super::state::PathPurpose;

/// What came of a dialog.
pub enum Picked {
    /// A path.
    Path(PathPurpose, PathBuf),
    /// There is no dialog on this desktop.
    NoDialog(PathPurpose),
}

/// A dialog that ends sooner than anybody can cancel it was never shown: there is no portal to show it.
const TOO_SOON: Duration = Duration::from_millis(400);

/// Asks for a path; the answer comes through `answer`.
pub fn ask(purpose: PathPurpose, answer: Sender<Picked>, context: &Context) {
    let context = context.clone();
    thread::spawn(move || {
        let asked = Instant::now();
        let picked = match (show(purpose), asked.elapsed() < TOO_SOON) {
            (Some(path), _) => Some(Picked::Path(purpose, path)),
            (None, true) => Some(Picked::NoDialog(purpose)),
            (None, false) => None,
        };
        if let Some(picked) = picked {
            // A window that is gone needs no path.
            let _ = answer.send(picked);
            context.request_repaint();
        }
    });
}

fn show(purpose: PathPurpose) -> Option<PathBuf> {
    let dialog = FileDialog::new().set_title(purpose.title());
    match purpose {
        PathPurpose::Picture(_) => dialog
            .add_filter("Pictures", &["png", "jpg", "jpeg", "webp"])
            .pick_file(),
        PathPurpose::Model => dialog.pick_folder(),
        PathPurpose::SavePca(_) => dialog.add_filter("PNG", &["png"]).set_file_name("pca.png").save_file(),
        PathPurpose::SaveHeat(_) => dialog.add_filter("PNG", &["png"]).set_file_name("heat.png").save_file(),
        PathPurpose::SaveMap(_) => dialog
            .add_filter("Tensors", &["npy", "safetensors"])
            .set_file_name("map.npy")
            .save_file(),
    }
}
