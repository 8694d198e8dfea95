//! The desktop's file dialogs, on a thread of their own.

use std::{
    path::PathBuf,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use egui::Context;
use rfd::FileDialog;

use super::background::BackgroundResult;
use crate::{
    app::state::path_box::PathPurpose,
    image::source::PICTURE_ENDINGS,
    io::writers::{file_extensions, map_extensions},
};

/// A dialog that ends sooner than anybody can cancel it was never shown: there is no portal to show it.
const TOO_SOON: Duration = Duration::from_millis(400);

/// Asks for a path; the answer comes through `answer`.
pub fn ask(purpose: PathPurpose, answer: Sender<BackgroundResult>, context: &Context) {
    let (here, context) = (answer.clone(), context.clone());
    let started = thread::Builder::new().spawn(move || {
        let asked = Instant::now();
        let picked = match (show(purpose), asked.elapsed() < TOO_SOON) {
            (Some(path), _) => Some(BackgroundResult::Path(purpose, path)),
            (None, true) => Some(BackgroundResult::NoDialog(purpose)),
            (None, false) => None,
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
    match purpose {
        PathPurpose::Picture(_) | PathPurpose::ControlImage(_) => {
            dialog.add_filter("Pictures", &PICTURE_ENDINGS).pick_file()
        }
        PathPurpose::Model | PathPurpose::ControlNet | PathPurpose::ExportPanes | PathPurpose::SaveSurvey => {
            dialog.pick_folder()
        }
        PathPurpose::ModelFile => dialog.add_filter("Models", &["safetensors", "ckpt", "pt"]).pick_file(),
        PathPurpose::Lora => dialog.add_filter("LoRAs", &["safetensors", "pt", "bin"]).pick_file(),
        PathPurpose::ControlNetFile => dialog
            .add_filter("ControlNets", &["safetensors", "sft", "pth", "pt", "ckpt", "bin"])
            .pick_file(),
        PathPurpose::Embedding => dialog
            .add_filter("Embeddings", &["safetensors", "sft", "pt", "bin"])
            .pick_file(),
        PathPurpose::OpenWorkspace => dialog.add_filter("Workspaces", &["featscope.json", "json"]).pick_file(),
        PathPurpose::OpenBasis => dialog.add_filter("Bases", &["json"]).pick_file(),
        PathPurpose::SaveWorkspace => dialog
            .add_filter("Workspaces", &["featscope.json"])
            .set_file_name("workspace.featscope.json")
            .save_file(),
        PathPurpose::Extract => save_tensors(dialog, "maps", &file_extensions()),
        PathPurpose::SavePca(_) => dialog.add_filter("PNG", &["png"]).set_file_name("pca.png").save_file(),
        PathPurpose::SaveHeat(_) => dialog.add_filter("PNG", &["png"]).set_file_name("heat.png").save_file(),
        PathPurpose::SavePage => dialog
            .add_filter("Pages", &["html"])
            .set_file_name("page.html")
            .save_file(),
        PathPurpose::SaveMap(_) => save_tensors(dialog, "map", &map_extensions()),
        PathPurpose::SaveBasis => dialog
            .add_filter("Bases", &["json"])
            .set_file_name("basis.json")
            .save_file(),
        PathPurpose::SavePane(kind) => {
            let save = kind.facts().save?;
            dialog
                .add_filter(save.filter, save.extensions)
                .set_file_name(save.file)
                .save_file()
        }
        PathPurpose::OpenPairs => dialog.add_filter("Pairs", &["json"]).pick_file(),
        PathPurpose::SavePairs => dialog
            .add_filter("Pairs", &["json"])
            .set_file_name("pairs.json")
            .save_file(),
        PathPurpose::SaveMatches => dialog
            .add_filter("Tables", &["csv", "json"])
            .set_file_name("matches.csv")
            .save_file(),
    }
}

/// Asks where to write tensors, in a format of the first ending unless another is chosen.
fn save_tensors(dialog: FileDialog, stem: &str, extensions: &[&str]) -> Option<PathBuf> {
    let usual = extensions.first().copied().unwrap_or_default();
    dialog
        .add_filter("Tensors", extensions)
        .set_file_name(format!("{stem}.{usual}"))
        .save_file()
}
