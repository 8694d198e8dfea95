//! The window of models: what is on this machine, what the hub has, and downloads.

use egui::{
    Align, Button, Frame, Key, Label, Layout, ProgressBar, RichText, ScrollArea, TextEdit, Ui, WidgetInfo,
    accesskit::Role,
};

use crate::{
    app::{
        state::{
            downloads::{Download, DownloadStage, may_be_on_the_hub},
            path_box::PathPurpose,
            root::State,
            shown::shown_path,
        },
        theme,
        update::{
            action::Action,
            command::{Command, DownloadCommand},
        },
    },
    engine::DownloadProgress,
    families::{
        cards::card,
        download_plan::DownloadOption,
        inventory::{LocalModel, LocalModels, ModelKind},
        known::{CONTROL_NETS, known_checkpoint, known_checkpoints},
    },
    model::family::{KnownCheckpoint, KnownFiles},
    weights::hub::{Variant, bytes},
};

/// Width of the window and height of the list, in points, where there is room, and what stays beside them.
const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 460.0;
const BESIDE: f32 = 60.0;
const ABOVE: f32 = 190.0;
/// The least height of the list, in points.
const LEAST_HEIGHT: f32 = 120.0;

/// What is said of something that can be had.
struct Item<'a> {
    name: &'a str,
    /// What it is, in a few words.
    title: &'a str,
    /// Where it comes from, and what it is made for.
    about: String,
    kind: ModelKind,
    /// None for what was asked for by name and is not here.
    stock: Option<&'a LocalModel>,
}

/// Everything that can be loaded or downloaded.
pub fn models_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let screen = ui.ctx().content_rect().size();
    // The window keeps its size, whatever comes and goes inside.
    ui.set_width(WIDTH.min(screen.x - BESIDE).max(0.0));
    let Some(shelf) = &state.downloads.shelf else {
        ui.weak("Looking what is on this machine…");
        return;
    };
    match &shelf.closed {
        Some(why) => {
            ui.add(Label::new(why).wrap().selectable(true));
        }
        None => by_name_ui(ui, state, commands),
    }
    folder_ui(ui, shelf);
    ui.separator();
    let height = (screen.y - ABOVE).clamp(LEAST_HEIGHT, HEIGHT);
    ScrollArea::vertical()
        .auto_shrink(false)
        .min_scrolled_height(height)
        .max_height(height)
        .show(ui, |ui| {
            for (title, items) in chapters(state, shelf) {
                if items.is_empty() {
                    continue;
                }
                ui.strong(title);
                for item in &items {
                    ui.push_id(item.name, |ui| item_ui(ui, state, shelf, item, commands));
                }
                ui.add_space(theme::SPACE_M);
            }
        });
}

/// Leads from elsewhere to the window of models.
pub fn download_button_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let button = ui.button("Download…").on_hover_text(Action::Models.tooltip(ui.ctx()));
    if button.clicked() && !state.overlays.models {
        commands.push(Command::Act(Action::Models));
    }
}

/// Any repository of the hub, by its name.
fn by_name_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut text = state.downloads.typed.clone();
    ui.horizontal(|ui| {
        ui.label("Any model of the hub");
        let edit = ui.add(
            TextEdit::singleline(&mut text)
                .hint_text("OWNER/NAME")
                .background_color(theme::tokens(ui).panel),
        );
        edit.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Name of a model on the hub"));
        let name = text.trim();
        let sound = may_be_on_the_hub(name);
        let button = ui.add_enabled(sound, Button::new("Find"));
        let button = button
            .on_hover_text("Ask the hub how much it is")
            .on_disabled_hover_text("A model's name on the hub looks like OWNER/NAME");
        let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if sound && (button.clicked() || entered) {
            commands.push(Command::Download(DownloadCommand::Ask(name.to_owned())));
        }
    });
    if text != state.downloads.typed {
        commands.push(Command::Download(DownloadCommand::Type(text)));
    }
}

fn folder_ui(ui: &mut Ui, shelf: &LocalModels) {
    if let Some(folder) = &shelf.folder {
        let folder = shown_path(folder);
        let words = RichText::new(format!("Kept in {folder}, which Python's programs share")).weak();
        ui.add(Label::new(words).truncate().selectable(true))
            .on_hover_text(folder);
    }
}

/// What is listed, by chapter.
fn chapters<'a>(state: &'a State, shelf: &'a LocalModels) -> [(&'static str, Vec<Item<'a>>); 4] {
    let listed = |name: &str| shelf.find(name).is_some();
    let mut named: Vec<&str> = state.downloads.orders.iter().map(|order| order.name.as_str()).collect();
    let awaited = state.downloads.awaited.as_deref();
    named.extend(awaited.filter(|name| state.downloads.download(name).is_none()));
    let by_name = named.into_iter().filter(|name| !listed(name)).map(|name| Item {
        name,
        title: name,
        about: "asked for by name".to_owned(),
        kind: ModelKind::Model,
        stock: None,
    });
    let zoo = known_checkpoints().map(|entry| Item {
        name: entry.key,
        title: entry.title,
        about: about_text(entry),
        kind: ModelKind::Model,
        stock: shelf.find(entry.key),
    });
    let nets = CONTROL_NETS.iter().map(|net| Item {
        name: net.source,
        title: net.title,
        about: net.source.to_owned(),
        kind: ModelKind::ControlNet,
        stock: shelf.find(net.source),
    });
    let known = |name: &str| known_checkpoint(name).is_some() || CONTROL_NETS.iter().any(|net| net.source == name);
    let others = shelf.models.iter().filter(|stock| !known(&stock.name));
    let others = others.map(|stock| Item {
        name: &stock.name,
        title: &stock.name,
        about: match stock.kind {
            ModelKind::Model => "model".to_owned(),
            ModelKind::ControlNet => "ControlNet".to_owned(),
        },
        kind: stock.kind,
        stock: Some(stock),
    });
    [
        ("By name", by_name.collect()),
        ("Models", zoo.collect()),
        ("ControlNets", nets.collect()),
        ("Also on this machine", others.collect()),
    ]
}

/// What a model is made for, how large it is, and its licence.
fn about_text(entry: &KnownCheckpoint) -> String {
    let card = card(entry.key);
    let parameters = card
        .parameters
        .map(|_| format!(", {} parameters", card.parameters_text()));
    let licence = card.licence.map(|_| format!(", {}", card.licence_text()));
    format!(
        "{}, {}, {} px{}{}",
        entry.key,
        entry.source,
        entry.side,
        parameters.unwrap_or_default(),
        licence.unwrap_or_default()
    )
}

fn item_ui(ui: &mut Ui, state: &State, shelf: &LocalModels, item: &Item<'_>, commands: &mut Vec<Command>) {
    let order = state.downloads.download(item.name);
    let frame = Frame::group(ui.style()).show(ui, |ui| {
        ui.set_width(ui.available_width());
        two_ends_ui(
            ui,
            |ui| button_ui(ui, state, shelf, item, order, commands),
            |ui| {
                ui.add(Label::new(RichText::new(item.title).strong()).truncate());
            },
        );
        let about = match item.stock {
            Some(stock) => format!("{}: {}", item.about, whereabouts(stock)),
            None => item.about.clone(),
        };
        ui.add(Label::new(RichText::new(about).weak()).truncate());
        if state.downloads.awaited.as_deref() == Some(item.name) {
            let tokens = theme::tokens(ui);
            ui.colored_label(
                tokens.warning,
                "Chosen, and not on this machine: it is read as soon as it is.",
            );
        }
        if let Some(order) = order {
            order_ui(ui, shelf, order, commands);
        }
    });
    if state.downloads.sought.as_deref() == Some(item.name) {
        ui.scroll_to_rect(frame.response.rect, Some(Align::Center));
        commands.push(Command::Download(DownloadCommand::Seen));
    }
}

/// Something at the right end of a line, and before it what has the rest.
fn two_ends_ui(ui: &mut Ui, right: impl FnOnce(&mut Ui), left: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            right(ui);
            ui.with_layout(Layout::left_to_right(Align::Center), left);
        });
    });
}

/// Whether something is here, and how much of it.
fn whereabouts(stock: &LocalModel) -> String {
    match (stock.here, stock.bytes) {
        (true, 0) => "inside the program".to_owned(),
        (true, held) => format!("here, {}", bytes(held)),
        (false, 0) => "not here".to_owned(),
        (false, held) => format!("not here, or not all of it ({} of its repository are)", bytes(held)),
    }
}

/// A button whose name says what it is about: there are many of them.
fn named_button_ui(ui: &mut Ui, text: impl Into<String>, name: &str, enabled: bool) -> bool {
    let text = text.into();
    let button = ui.add_enabled(enabled, Button::new(&text));
    let name = format!("{text} {name}");
    button.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, &name));
    button.clicked()
}

/// What can be done with something.
fn button_ui(
    ui: &mut Ui,
    state: &State,
    shelf: &LocalModels,
    item: &Item<'_>,
    order: Option<&Download>,
    commands: &mut Vec<Command>,
) {
    let model = &state.model;
    let here = item.stock.filter(|stock| stock.here);
    let name = item.name;
    let command = match (item.kind, here) {
        (ModelKind::Model, Some(_)) if model.loading.is_some() && model.wanted == name => {
            ui.weak("is being read");
            None
        }
        (ModelKind::Model, Some(_)) if model.info.as_ref().is_some_and(|info| info.name == name) => {
            ui.weak("loaded");
            None
        }
        (ModelKind::Model, Some(_)) => {
            named_button_ui(ui, "Load", name, true).then(|| Command::LoadModel(name.to_owned()))
        }
        (ModelKind::ControlNet, Some(LocalModel { path: Some(path), .. })) => {
            let fits = model.info.as_ref().is_some_and(|info| info.reads_prompt);
            let add = || Command::UsePath(PathPurpose::ControlNet, path.clone());
            named_button_ui(ui, "Add to the model", name, fits).then(add)
        }
        _ if item.stock.is_some_and(|stock| !stock.is_on_the_hub()) => {
            let is_file = known_checkpoint(name).is_some_and(|entry| entry.files == KnownFiles::Elsewhere);
            let open = || Command::AskPath(PathPurpose::ModelFile);
            (is_file && named_button_ui(ui, "Open a file…", name, true)).then(open)
        }
        // Where nothing can be downloaded, why is said above.
        _ if shelf.closed.is_some() || order.is_some() => None,
        _ => {
            let ask = || Command::Download(DownloadCommand::Ask(name.to_owned()));
            named_button_ui(ui, "Download…", name, true).then(ask)
        }
    };
    commands.extend(command);
}

fn order_ui(ui: &mut Ui, shelf: &LocalModels, order: &Download, commands: &mut Vec<Command>) {
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
