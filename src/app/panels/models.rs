//! The window of models: what is on this machine, what the hub has, and downloads.

use std::cmp::{Ordering, Reverse};

use egui::{Align, Button, Key, Label, Layout, RichText, ScrollArea, TextEdit, Ui, WidgetInfo, accesskit::Role, vec2};

use super::model_row::{Item, columns, item_ui};
use crate::{
    app::{
        state::{
            downloads::{ModelColumn, may_be_on_the_hub},
            root::State,
            shown::shown_path,
        },
        theme,
        update::{
            action::Action,
            command::{Command, DownloadCommand},
        },
    },
    families::{
        cards::UNKNOWN,
        inventory::{LocalModels, ModelKind},
        known::{CONTROL_NETS, known_checkpoint, known_checkpoints},
    },
    weights::hub::bytes,
};

/// Width of the window and height of the list, in points, where there is room, and what stays beside them.
const WIDTH: f32 = 1120.0;
const HEIGHT: f32 = 620.0;
const BESIDE: f32 = 60.0;
const ABOVE: f32 = 230.0;
/// The least height of the list, in points.
const LEAST_HEIGHT: f32 = 120.0;
/// Width of the boxes to type in, in points.
const BOX: f32 = 220.0;

/// Everything that can be loaded or downloaded.
pub fn models_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let screen = ui.ctx().content_rect().size();
    // The window keeps its size, whatever comes and goes inside.
    ui.set_width(WIDTH.min(screen.x - BESIDE).max(0.0));
    let Some(shelf) = &state.downloads.shelf else {
        ui.weak("Looking what is on this machine…");
        return;
    };
    ui.horizontal_wrapped(|ui| {
        search_ui(ui, state, commands);
        if shelf.closed.is_none() {
            ui.separator();
            by_name_ui(ui, state, commands);
        }
    });
    if let Some(why) = &shelf.closed {
        ui.add(Label::new(why).wrap().selectable(true));
    }
    folder_ui(ui, shelf);
    ui.separator();
    let height = (screen.y - ABOVE).clamp(LEAST_HEIGHT, HEIGHT);
    // Titles stand over their columns, which leave room for the bar at the right.
    ui.scope(|ui| {
        ui.set_width(ui.available_width() - f32::from(theme::AROUND_WIDE_CONTENTS.right));
        head_ui(ui, state, commands);
    });
    ScrollArea::vertical()
        .auto_shrink(false)
        .min_scrolled_height(height)
        .max_height(height)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = theme::SPACE_XS;
            let listed = listed(state, shelf);
            if listed.iter().all(|(_, items)| items.is_empty()) {
                ui.weak("No model has these words.");
            }
            for (title, items) in listed {
                if items.is_empty() {
                    continue;
                }
                if !title.is_empty() {
                    ui.add_space(theme::SPACE_S);
                    ui.strong(title);
                }
                for item in &items {
                    ui.push_id(item.name, |ui| item_ui(ui, state, shelf, item, commands));
                }
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

fn search_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut text = state.downloads.search.clone();
    let edit = TextEdit::singleline(&mut text)
        .hint_text("Search: name, family, licence …")
        .desired_width(BOX)
        .background_color(theme::tokens(ui).panel);
    let edit = ui.add(edit);
    edit.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Search models"));
    if text != state.downloads.search {
        commands.push(Command::Download(DownloadCommand::Search(text)));
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
                .desired_width(BOX)
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
        let mut held: Vec<(&str, u64)> = shelf
            .models
            .iter()
            .filter_map(|model| Some((model.held.as_ref()?.repository.as_str(), model.bytes)))
            .collect();
        held.sort_unstable();
        held.dedup();
        let all = held.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let words = format!(
            "{} repositories, {} in {folder}, which Python's programs share",
            held.len(),
            bytes(all)
        );
        ui.add(Label::new(RichText::new(words).weak()).truncate().selectable(true))
            .on_hover_text(folder);
    }
}

/// The titles of the columns, which sort.
fn head_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let sort = state.downloads.sort;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        for (column, width) in columns(ui.available_width()) {
            let sorted = sort.by == Some(column);
            let mark = match (sorted, sort.descending) {
                (true, false) => " ▴",
                (true, true) => " ▾",
                _ => "",
            };
            let title = RichText::new(format!("{}{mark}", column.title()));
            let layout = match column.is_number() {
                true => Layout::right_to_left(Align::Center),
                false => Layout::left_to_right(Align::Center),
            };
            let size = vec2(width, theme::ROW_HEIGHT);
            let button = ui.allocate_ui_with_layout(size, layout, |ui| {
                ui.set_min_size(size);
                ui.add(Button::selectable(sorted, title).truncate())
            });
            let button = button.inner;
            let name = format!("Sort models by {}", column.title().to_lowercase());
            button.widget_info(|| WidgetInfo::selected(Role::Button, true, sorted, &name));
            if button.on_hover_text(column.hint()).clicked() {
                commands.push(Command::Download(DownloadCommand::Sort(sort.clicked(column))));
            }
        }
    });
}

/// What is listed: by chapter, or as one where a column sorts.
fn listed<'a>(state: &'a State, shelf: &'a LocalModels) -> Vec<(&'static str, Vec<Item<'a>>)> {
    let mut chapters = chapters(state, shelf);
    for (_, items) in &mut chapters {
        items.retain(|item| is_found(state, item));
    }
    let Some(column) = state.downloads.sort.by else {
        return chapters;
    };
    let mut all: Vec<Item<'a>> = chapters.into_iter().flat_map(|(_, items)| items).collect();
    // What is not known stands last in both directions.
    all.sort_by(|a, b| {
        let order = compare(state, column, a, b);
        match state.downloads.sort.descending && !is_unknown(state, column, a) && !is_unknown(state, column, b) {
            true => order.reverse(),
            false => order,
        }
    });
    vec![("", all)]
}

fn is_unknown(state: &State, column: ModelColumn, item: &Item<'_>) -> bool {
    item.text(column, state.downloads.download(item.name)) == UNKNOWN
}

fn compare(state: &State, column: ModelColumn, a: &Item<'_>, b: &Item<'_>) -> Ordering {
    let unknown = |item: &Item<'_>| is_unknown(state, column, item);
    let text = |item: &Item<'_>| item.text(column, None).to_lowercase();
    let parameters = |item: &Item<'_>| item.card.and_then(|card| card.parameters);
    let size = |item: &Item<'_>| item.size(state.downloads.download(item.name));
    // What takes most of the disk first, and what is nowhere last.
    let here = |item: &Item<'_>| Reverse(item.stock.map_or((0, false), |stock| (stock.bytes, stock.here)));
    let ordered = match column {
        ModelColumn::Parameters => parameters(a).cmp(&parameters(b)),
        ModelColumn::Size => size(a).cmp(&size(b)),
        ModelColumn::Here => here(a).cmp(&here(b)),
        ModelColumn::Name | ModelColumn::Family | ModelColumn::Licence | ModelColumn::Gated => text(a).cmp(&text(b)),
    };
    unknown(a).cmp(&unknown(b)).then(ordered)
}

/// Whether a row has every word that is searched.
fn is_found(state: &State, item: &Item<'_>) -> bool {
    let mut said = format!("{} {}", item.title, item.about);
    for column in ModelColumn::ALL {
        said.push(' ');
        said += &item.text(column, None);
    }
    let said = said.to_lowercase();
    let mut words = state.downloads.search.split_whitespace();
    words.all(|word| said.contains(&word.to_lowercase()))
}

/// Everything, by chapter.
fn chapters<'a>(state: &'a State, shelf: &'a LocalModels) -> Vec<(&'static str, Vec<Item<'a>>)> {
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
        card: None,
    });
    let zoo = known_checkpoints().map(|entry| Item::known(entry, shelf.find(entry.key)));
    let nets = CONTROL_NETS.iter().map(|net| Item {
        name: net.source,
        title: net.title,
        about: net.source.to_owned(),
        kind: ModelKind::ControlNet,
        stock: shelf.find(net.source),
        card: None,
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
        card: None,
    });
    vec![
        ("By name", by_name.collect()),
        ("Models", zoo.collect()),
        ("ControlNets", nets.collect()),
        ("Also on this machine", others.collect()),
    ]
}
