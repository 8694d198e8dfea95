//! Below a model's row: how far its download is, and what deleting it would delete.

use egui::{Align, Button, Label, Layout, ProgressBar, RichText, Ui, WidgetInfo, accesskit::Role};

use crate::{
    app::{
        state::{
            downloads::{Download, DownloadStage, RemovalAsked},
            root::State,
            shown::shown_path,
        },
        theme,
        update::command::{Command, DownloadCommand},
    },
    engine::DownloadProgress,
    families::{
        download_plan::DownloadOption,
        inventory::{LocalModel, LocalModels},
        known::{known_checkpoint, known_checkpoints},
    },
    files::names,
    model::family::KnownFiles,
    weights::hub::{RemovalScope, Variant, bytes},
};

/// Something at the right end of a line, and before it what has the rest.
pub fn two_ends_ui(ui: &mut Ui, right: impl FnOnce(&mut Ui), left: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            right(ui);
            ui.with_layout(Layout::left_to_right(Align::Center), left);
        });
    });
}

/// A button whose name says what it is about: there are many of them.
pub fn named_button_ui(ui: &mut Ui, text: impl Into<String>, name: &str, enabled: bool) -> bool {
    let text = text.into();
    let button = ui.add_enabled(enabled, Button::new(&text));
    let name = format!("{text} {name}");
    button.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, &name));
    button.clicked()
}

/// How far the download of a model is, and what can be done about it.
pub fn order_ui(ui: &mut Ui, shelf: &LocalModels, order: &Download, commands: &mut Vec<Command>) {
    let name = &order.name;
    let drop = || Command::Download(DownloadCommand::Drop(name.clone()));
    match &order.stage {
        DownloadStage::Asking | DownloadStage::Waiting => {
            let words = match order.stage {
                DownloadStage::Asking => "Asking the hub how much it is…",
                _ => "Waits for the download before it.",
            };
            let mut cancelled = false;
            two_ends_ui(
                ui,
                |ui| cancelled = named_button_ui(ui, "Cancel", name, true),
                |ui| {
                    ui.label(words);
                },
            );
            commands.extend(cancelled.then(drop));
        }
        DownloadStage::Offered { offers, chosen } => offered_ui(ui, shelf, name, offers, *chosen, commands),
        DownloadStage::Arriving(arriving) => {
            let mut cancelled = false;
            two_ends_ui(
                ui,
                |ui| cancelled = named_button_ui(ui, "Cancel", name, true),
                |ui| {
                    ui.add(Label::new(arriving.progress.describe()).truncate());
                },
            );
            commands.extend(cancelled.then(drop));
            arriving_ui(ui, arriving);
        }
        DownloadStage::Failed(words) => {
            let mut dismissed = false;
            let mut again = false;
            ui.horizontal(|ui| {
                dismissed = named_button_ui(ui, "Dismiss", name, true);
                again = named_button_ui(ui, "Try again", name, true);
            });
            let colour = ui.visuals().error_fg_color;
            // Addresses in it are there to be copied.
            ui.add(Label::new(RichText::new(words).color(colour)).wrap().selectable(true));
            if again {
                commands.push(Command::Download(DownloadCommand::Ask(name.clone())));
            }
            commands.extend(dismissed.then(drop));
        }
    }
}

/// How much it is, in which format, and whether.
fn offered_ui(
    ui: &mut Ui,
    shelf: &LocalModels,
    name: &str,
    offers: &[DownloadOption],
    chosen: usize,
    commands: &mut Vec<Command>,
) {
    if offers.len() > 1 {
        ui.horizontal_wrapped(|ui| {
            for (index, offer) in offers.iter().enumerate() {
                let (format, hint) = match offer.variant {
                    Variant::Full => ("full", "The weights as they were trained, most often 32-bit numbers"),
                    Variant::Fp16 => (
                        "half precision",
                        "16-bit numbers: half the size, and features that differ a little",
                    ),
                };
                let words = format!("{format}, {}", bytes(offer.bytes_total()));
                if ui.radio(index == chosen, words).on_hover_text(hint).clicked() {
                    commands.push(Command::Download(DownloadCommand::Choose(name.to_owned(), index)));
                }
            }
        });
    }
    let Some(offer) = offers.get(chosen) else { return };
    let (missing, total) = (offer.bytes_missing(), offer.bytes_total());
    let begun = match missing < total {
        true => format!("{} of {} are here already. ", bytes(total - missing), bytes(total)),
        false => String::new(),
    };
    let folder = shelf
        .folder
        .as_ref()
        .map_or_else(String::new, |folder| shown_path(folder));
    let repositories: Vec<String> = offer.plans.iter().map(|plan| plan.repo.to_string()).collect();
    let words = format!(
        "{begun}{} files of {}, into {folder}",
        offer.files(),
        repositories.join(" and ")
    );
    ui.add(Label::new(&words).wrap().selectable(true));
    ui.horizontal(|ui| {
        if named_button_ui(ui, format!("Download {}", bytes(missing)), name, true) {
            commands.push(Command::Download(DownloadCommand::Fetch(name.to_owned())));
        }
        if named_button_ui(ui, "Not now", name, true) {
            commands.push(Command::Download(DownloadCommand::Drop(name.to_owned())));
        }
    });
}

/// The file in work, and everything.
fn arriving_ui(ui: &mut Ui, arriving: &DownloadProgress) {
    let progress = &arriving.progress;
    let fraction = |done: u64, total: u64| match total {
        0 => 0.0,
        total => (done as f64 / total as f64) as f32,
    };
    let file = ProgressBar::new(fraction(progress.file_done, progress.file_total)).text(format!(
        "{} of {}",
        bytes(progress.file_done),
        bytes(progress.file_total)
    ));
    ui.add(file);
    let rate = arriving
        .bytes_per_sec
        .map_or_else(String::new, |rate| format!(", {}/s", bytes(rate as u64)));
    let all = ProgressBar::new(progress.fraction()).text(format!(
        "{} of {} files, {} of {}{rate}",
        progress.files_done,
        progress.files_total,
        bytes(progress.bytes_done),
        bytes(progress.bytes_total)
    ));
    ui.add(all);
}

/// What would be deleted, whom that concerns, and whether to do it.
pub fn removal_ui(
    ui: &mut Ui,
    state: &State,
    shelf: &LocalModels,
    stock: &LocalModel,
    asked: &RemovalAsked,
    commands: &mut Vec<Command>,
) {
    let tokens = theme::tokens(ui);
    let name = &asked.name;
    let Some(removal) = &asked.removal else {
        ui.weak("Looking what would be deleted…");
        return;
    };
    let folder = shown_path(&removal.folder);
    let what = match removal.scope {
        RemovalScope::Begun => format!("Delete the files that were begun in {folder}?"),
        _ => format!("Delete {folder}?"),
    };
    let size = bytes(removal.bytes);
    let words = format!(
        "{what} {} files, {size}. Other programs that use this cache, such as Python's diffusers and transformers, lose them too.",
        removal.files
    );
    ui.add(Label::new(RichText::new(words).strong()).wrap().selectable(true));
    if removal.scope != RemovalScope::Begun {
        for words in concerned(state, shelf, stock) {
            ui.add(Label::new(RichText::new(words).color(tokens.warning)).wrap());
        }
    }
    if asked.under_way {
        ui.weak("Deleting…");
        return;
    }
    ui.horizontal(|ui| {
        if named_button_ui(ui, format!("Delete {size}"), name, true) {
            commands.push(Command::Download(DownloadCommand::Remove));
        }
        if named_button_ui(ui, "Keep", name, true) {
            commands.push(Command::Download(DownloadCommand::KeepModel));
        }
    });
}

/// Who needs the files of a repository.
fn concerned(state: &State, shelf: &LocalModels, stock: &LocalModel) -> Vec<String> {
    let Some(held) = &stock.held else { return Vec::new() };
    let mut words = Vec::new();
    let lies_in = |path: &std::path::Path| path.starts_with(&held.folder);
    let model = &state.model;
    let loaded = model.info.as_ref().map(|info| info.name.as_str());
    let mut names = loaded.into_iter().chain(Some(model.wanted.as_str()));
    if names.any(|used| used == stock.name || used == held.repository || lies_in(&names::path(used))) {
        words
            .push("It is the model in use: what is in memory goes on, what is read in every pass does not.".to_owned());
    }
    let adapters = &state.document.settings.adapters;
    let mut files = adapters.controls.iter().map(|control| &control.net);
    let mut loras = adapters.loras.iter().map(|lora| &lora.file);
    if files.any(|path| lies_in(path)) || loras.any(|path| lies_in(path)) {
        words.push("It is put on the model in use.".to_owned());
    }
    let same = |other: &&LocalModel| {
        let theirs = other.held.as_ref().map(|held| &held.repository);
        other.name != stock.name && theirs == Some(&held.repository)
    };
    for other in shelf.models.iter().filter(same) {
        words.push(format!("{} is in the same folder and goes with it.", other.name));
    }
    for entry in known_checkpoints() {
        let KnownFiles::DropIn { bases, .. } = entry.files else {
            continue;
        };
        let needs = bases.iter().filter_map(|base| known_checkpoint(base));
        let mut needs = needs.map(|base| base.key).filter(|base| *base == stock.name);
        if needs.next().is_some() && shelf.find(entry.key).is_some_and(|other| other.here) {
            words.push(format!("{} is put into it and needs it.", entry.key));
        }
    }
    words
}
