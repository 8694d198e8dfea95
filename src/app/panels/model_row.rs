//! A row of the table of models, and below it what there is to say of the model.

use egui::{
    Align, Align2, Color32, FontId, Frame, Label, Layout, Rect, RichText, Role, Sense, Ui, UiBuilder, WidgetInfo, pos2,
    vec2,
};

use super::model_orders::{named_button_ui, order_ui, removal_ui};
use crate::{
    app::{
        state::{
            downloads::{Download, DownloadStage, ModelColumn},
            path_box::PathPurpose,
            root::State,
            shown::shown_path,
        },
        theme,
        update::command::{Command, DownloadCommand},
    },
    families::{
        cards::{Card, UNKNOWN, card},
        inventory::{HeldFiles, LocalModel, LocalModels, ModelKind},
        known::{known_checkpoint, known_family},
    },
    model::family::{KnownCheckpoint, KnownFiles},
    weights::hub::{RemovalScope, bytes},
};

/// Height of a row, in points.
const ROW: f32 = 26.0;
/// Width of what can be done with a model, in points, and the least of its name.
const BUTTON: f32 = 116.0;
const LEAST_NAME: f32 = 130.0;
/// A table narrower than this, in points, shows family and licence in the details alone.
const WIDE: f32 = 980.0;

/// What is said of something that can be had.
pub struct Item<'a> {
    /// Its short name, or `OWNER/NAME`.
    pub name: &'a str,
    /// What it is, in a few words.
    pub title: &'a str,
    /// Where it comes from, and what it is made for.
    pub about: String,
    /// A model, or a ControlNet.
    pub kind: ModelKind,
    /// None for what was asked for by name and is not downloaded.
    pub stock: Option<&'a LocalModel>,
    /// What is known of it without asking.
    pub card: Option<Card>,
}

impl<'a> Item<'a> {
    /// A model with a short name.
    pub fn known(entry: &'static KnownCheckpoint, stock: Option<&'a LocalModel>) -> Self {
        Self {
            name: entry.key,
            title: entry.title,
            about: format!("{}, {} px", entry.source, entry.side),
            kind: ModelKind::Model,
            stock,
            card: Some(card(entry.key)),
        }
    }

    /// Its family, as provenance calls it.
    pub fn family(&self) -> &'a str {
        match (self.kind, self.stock.and_then(|stock| stock.family.as_deref())) {
            (ModelKind::ControlNet, _) => "controlnet",
            (ModelKind::Model, Some(family)) => family,
            (ModelKind::Model, None) => known_family(self.name).unwrap_or(UNKNOWN),
        }
    }

    /// Bytes of a download of it, where the hub has said so or they are known without asking.
    pub fn size(&self, order: Option<&Download>) -> Option<u64> {
        match order.map(|order| &order.stage) {
            Some(DownloadStage::Offered { offers, chosen }) => offers.get(*chosen).map(|offer| offer.bytes_total()),
            Some(DownloadStage::Arriving(arriving)) => Some(arriving.progress.bytes_total),
            _ => self.card.and_then(|card| card.download),
        }
    }

    /// What a column says of it.
    pub fn text(&self, column: ModelColumn, order: Option<&Download>) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
        match column {
            ModelColumn::Name => self.name.to_owned(),
            ModelColumn::Family => self.family().to_owned(),
            ModelColumn::Parameters => or_dash(self.card.map(|card| card.parameters_text())),
            ModelColumn::Size => or_dash(self.size(order).map(bytes)),
            ModelColumn::Licence => or_dash(self.card.and_then(|card| card.licence).map(str::to_owned)),
            ModelColumn::Gated => match self.card.filter(|card| card.licence.is_some()) {
                Some(card) if card.is_gated => "gated".to_owned(),
                Some(_) => "open".to_owned(),
                None => UNKNOWN.to_owned(),
            },
            ModelColumn::Here => whereabouts(self.stock),
        }
    }
}

/// Whether something is here, and how much of it.
fn whereabouts(stock: Option<&LocalModel>) -> String {
    match stock {
        Some(stock) if stock.here && stock.bytes == 0 => "inside the program".to_owned(),
        Some(stock) if stock.here => format!("downloaded, {}", bytes(stock.bytes)),
        Some(stock) if stock.is_incomplete() => format!("incomplete, {}", bytes(stock.bytes)),
        _ => "not downloaded".to_owned(),
    }
}

/// The columns that there is room for, and their widths.
pub fn columns(width: f32) -> Vec<(ModelColumn, f32)> {
    let fixed = |column| match column {
        ModelColumn::Name => None,
        ModelColumn::Family | ModelColumn::Licence if width < WIDE => None,
        ModelColumn::Family => Some(124.0),
        ModelColumn::Parameters => Some(92.0),
        ModelColumn::Size => Some(88.0),
        ModelColumn::Licence => Some(210.0),
        ModelColumn::Gated => Some(60.0),
        ModelColumn::Here => Some(156.0),
    };
    let fixed: Vec<_> = ModelColumn::ALL
        .iter()
        .filter_map(|column| Some((*column, fixed(*column)?)))
        .collect();
    let taken: f32 = fixed.iter().map(|(_, width)| width).sum::<f32>() + BUTTON;
    let name = (ModelColumn::Name, (width - taken).max(LEAST_NAME));
    [name].into_iter().chain(fixed).collect()
}

/// A row, and what is said below it.
pub fn item_ui(ui: &mut Ui, state: &State, shelf: &LocalModels, item: &Item<'_>, commands: &mut Vec<Command>) {
    let shop = &state.downloads;
    let order = shop.download(item.name);
    let selected = shop.selected.as_deref() == Some(item.name);
    let rect = row_ui(ui, state, shelf, item, order, selected, commands);
    let awaited = shop.awaited.as_deref() == Some(item.name);
    let asked = shop.removing.as_ref().filter(|asked| asked.name == item.name);
    let incomplete = item.stock.filter(|stock| stock.is_incomplete());
    if selected || awaited || order.is_some() || asked.is_some() || incomplete.is_some() {
        Frame::group(ui.style()).show(ui, |ui| {
            ui.set_width(ui.available_width());
            if selected {
                about_ui(ui, item);
            }
            if awaited {
                let words = "Chosen, and not downloaded: it is read as soon as it is.";
                ui.colored_label(theme::tokens(ui).warning, words);
            }
            if let (Some(stock), None) = (incomplete, order) {
                incomplete_ui(ui, stock, item.size(order));
            }
            if let Some(order) = order {
                order_ui(ui, shelf, order, commands);
            }
            match (asked, item.stock) {
                (Some(asked), Some(stock)) => removal_ui(ui, state, shelf, stock, asked, commands),
                (_, Some(stock)) if order.is_none() && (selected || incomplete.is_some()) => {
                    delete_ui(ui, stock, commands);
                }
                _ => {}
            }
        });
    }
    if shop.sought.as_deref() == Some(item.name) {
        ui.scroll_to_rect(rect, Some(Align::Center));
        commands.push(Command::Download(DownloadCommand::Seen));
    }
}

fn row_ui(
    ui: &mut Ui,
    state: &State,
    shelf: &LocalModels,
    item: &Item<'_>,
    order: Option<&Download>,
    selected: bool,
    commands: &mut Vec<Command>,
) -> Rect {
    let tokens = theme::tokens(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let told = [
        ModelColumn::Family,
        ModelColumn::Parameters,
        ModelColumn::Size,
        ModelColumn::Licence,
        ModelColumn::Gated,
    ];
    let told: Vec<String> = told
        .iter()
        .map(|column| (column, item.text(*column, order)))
        .filter(|(column, text)| text != UNKNOWN || **column == ModelColumn::Family)
        .map(|(column, text)| match column {
            ModelColumn::Gated => text,
            _ => format!("{} {text}", column.title().to_lowercase()),
        })
        .collect();
    let here = whereabouts(item.stock);
    let name = format!(
        "{}, {}, {}; {}: {here}",
        item.name,
        item.title,
        item.about,
        told.join(", ")
    );
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, &name));
    let behind = match () {
        () if selected => Some(tokens.selection),
        () if response.hovered() || response.has_focus() => Some(tokens.button_hovered),
        () => None,
    };
    if let Some(colour) = behind {
        ui.painter().rect_filled(rect, theme::RADIUS_SMALL, colour);
    }
    let mut left = rect.left();
    for (column, width) in columns(rect.width()) {
        let cell = Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
        left += width;
        let colour = match column {
            ModelColumn::Name => tokens.text_strong,
            ModelColumn::Here if item.stock.is_some_and(LocalModel::is_incomplete) => tokens.warning,
            ModelColumn::Here if item.stock.is_some_and(|stock| stock.here) => tokens.success,
            ModelColumn::Gated if item.card.is_some_and(|card| card.is_gated) => tokens.warning,
            _ if selected => tokens.text_strong,
            _ => tokens.text,
        };
        cell_ui(ui, cell, &item.text(column, order), column.is_number(), colour);
    }
    let place = Rect::from_min_max(pos2(rect.right() - BUTTON, rect.top()), rect.max);
    let layout = Layout::right_to_left(Align::Center);
    // What is below goes on under the row, wherever a button ends.
    let mut right = ui.new_child(UiBuilder::new().max_rect(place).layout(layout));
    button_ui(&mut right, state, shelf, item, order, commands);
    if response.clicked() {
        let now = (!selected).then(|| item.name.to_owned());
        commands.push(Command::Download(DownloadCommand::Select(now)));
    }
    let licence = item
        .card
        .map_or_else(String::new, |card| format!("\nlicence {}", card.licence_text()));
    response.on_hover_text(format!(
        "{}\n{}{licence}\n{here}. Click for more.",
        item.title, item.about
    ));
    rect
}

/// A text in its column: numbers at the right end.
fn cell_ui(ui: &Ui, cell: Rect, text: &str, is_number: bool, colour: Color32) {
    let inner = cell.shrink2(vec2(theme::SPACE_S, 0.0));
    let (at, anchor) = match is_number {
        true => (inner.right_center() - vec2(theme::SPACE_M, 0.0), Align2::RIGHT_CENTER),
        false => (inner.left_center(), Align2::LEFT_CENTER),
    };
    let painter = ui.painter().with_clip_rect(inner.intersect(ui.clip_rect()));
    painter.text(at, anchor, text, FontId::proportional(theme::FONT_BODY), colour);
}

/// All that is known of a model.
fn about_ui(ui: &mut Ui, item: &Item<'_>) {
    ui.add(Label::new(RichText::new(item.title).strong()).wrap());
    let mut about = format!("{}; family {}", item.about, item.family());
    if let Some(card) = item.card {
        about += &format!("; licence {}", card.licence_text());
    }
    ui.add(Label::new(about).wrap().selectable(true));
    if let Some(held) = item.stock.and_then(|stock| stock.held.as_ref()) {
        let words = format!("In {}", shown_path(&held.folder));
        ui.add(Label::new(RichText::new(words).weak()).wrap().selectable(true));
    }
}

/// What of a download that broke off is here.
fn incomplete_ui(ui: &mut Ui, stock: &LocalModel, size: Option<u64>) {
    let Some(held) = &stock.held else { return };
    let words = incomplete_text(held, stock.bytes, size);
    ui.add(Label::new(RichText::new(words).color(theme::tokens(ui).warning)).wrap());
}

fn incomplete_text(held: &HeldFiles, here: u64, size: Option<u64>) -> String {
    let all = held.files + held.gone + held.begun;
    let of = size.map_or_else(String::new, |size| format!(" of {}", bytes(size)));
    let mut words = format!("The download is not complete: {} of {all} files", held.files);
    if held.begun > 0 {
        words += &format!(" and the beginning of {}", held.begun);
    }
    if held.gone > 0 {
        words += &format!(", {} whose contents are gone", held.gone);
    }
    format!("{words}, {}{of}. Resume or delete it.", bytes(here))
}

/// What can be deleted.
fn delete_ui(ui: &mut Ui, stock: &LocalModel, commands: &mut Vec<Command>) {
    let Some(held) = &stock.held else { return };
    let ask = |scope| Command::Download(DownloadCommand::AskRemoval(stock.name.clone(), scope));
    ui.horizontal(|ui| {
        if named_button_ui(ui, "Delete…", &stock.name, true) {
            commands.push(ask(RemovalScope::Whole));
        }
        let begun = stock.here && held.begun > 0;
        let words = format!("Delete {} that were begun of", bytes(held.bytes_begun));
        if begun && named_button_ui(ui, words, &stock.name, true) {
            commands.push(ask(RemovalScope::Begun));
        }
    });
}

/// What can be done with a model.
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
            let words = match item.stock.is_some_and(LocalModel::is_incomplete) {
                true => "Resume…",
                false => "Download…",
            };
            named_button_ui(ui, words, name, true).then(ask)
        }
    };
    commands.extend(command);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_broke_off_is_counted_in_files_and_bytes() {
        let held = HeldFiles {
            repository: "a/b".to_owned(),
            folder: "cache".into(),
            files: 2,
            gone: 0,
            begun: 1,
            bytes_begun: 100,
        };
        let words = incomplete_text(&held, 1 << 30, Some(3 << 30));
        assert_eq!(
            words,
            "The download is not complete: 2 of 3 files and the beginning of 1, 1.0 GiB of 3.0 GiB. Resume or delete it."
        );
        let words = incomplete_text(
            &HeldFiles {
                gone: 1,
                begun: 0,
                ..held
            },
            0,
            None,
        );
        assert!(
            words.contains("2 of 3 files, 1 whose contents are gone, 0 bytes."),
            "{words}"
        );
    }

    #[test]
    fn columns_fill_the_table_and_the_name_is_never_lost() {
        for width in [1100.0, 990.0, 660.0] {
            let columns = columns(width);
            let all = columns.iter().map(|(_, width)| width).sum::<f32>() + BUTTON;
            assert_eq!(all, width);
            assert_eq!(columns[0].0, ModelColumn::Name);
            assert_eq!(columns.len() == ModelColumn::ALL.len(), width >= WIDE);
        }
        assert_eq!(columns(100.0)[0].1, LEAST_NAME);
    }
}
