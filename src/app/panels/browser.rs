//! The window in which a path is typed or found, where the desktop has no dialog for it.

use egui::{
    Align, Align2, Button, FontId, Id, Key, Label, Layout, Modifiers, RichText, Role, ScrollArea, Sense, TextEdit, Ui,
    WidgetInfo, Window,
    text::{CCursor, CCursorRange},
    text_edit::TextEditState,
    vec2,
};

use crate::{
    app::{
        state::{
            browser::{Entry, MOST_LISTED, into_folder, recent_folders},
            path_box::{PathBox, PathPurpose, Wanted},
            root::State,
            shown::shown_path,
        },
        theme,
        update::command::{BrowseCommand, Command},
    },
    files::names,
    words::visible,
};

/// Width of the window and height of the list, in points, where there is room, and what stays beside them.
const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 340.0;
const BESIDE: f32 = 60.0;
const ABOVE: f32 = 260.0;
/// The least height of the list, in points.
const LEAST_HEIGHT: f32 = 100.0;
/// Rows that page up and page down walk.
const PAGE: isize = 10;

/// The box for paths, if one is asked for.
pub fn browser_ui(ui: &Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(purpose) = state.path_box.purpose else { return };
    let mut open = true;
    Window::new(purpose.title())
        .open(&mut open)
        .collapsible(false)
        .resizable(false)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .show(ui.ctx(), |ui| {
            let screen = ui.ctx().content_rect().size();
            ui.set_width(WIDTH.min(screen.x - BESIDE).max(0.0));
            match &state.browser.overwrites {
                Some(path) => {
                    let words = format!("{} is there already. Write over it?", shown_path(path));
                    ui.add(Label::new(words).wrap().selectable(true));
                    ui.horizontal(|ui| {
                        if ui.button("Write over it").clicked() {
                            commands.push(Command::Browse(BrowseCommand::Overwrite));
                        }
                        if ui.button("Another name").clicked() {
                            commands.push(Command::Browse(BrowseCommand::KeepFile));
                        }
                    });
                }
                None => {
                    let height = (screen.y - ABOVE).clamp(LEAST_HEIGHT, HEIGHT);
                    places_ui(ui, state, purpose, commands);
                    list_ui(ui, state, purpose, height, commands);
                    typed_ui(ui, state, purpose, commands);
                }
            }
        });
    if !open || ui.input(|input| input.key_pressed(Key::Escape)) {
        commands.push(match (open, &state.browser.overwrites) {
            (true, Some(_)) => Command::Browse(BrowseCommand::KeepFile),
            _ => Command::PathBox(PathBox::default()),
        });
    }
}

/// Types a text in the place of what is typed.
fn typed(purpose: PathPurpose, text: String) -> Command {
    Command::PathBox(PathBox {
        purpose: Some(purpose),
        text,
    })
}

/// Which folder is listed, and ways to others.
fn places_ui(ui: &mut Ui, state: &State, purpose: PathPurpose, commands: &mut Vec<Command>) {
    let browser = &state.browser;
    let (folder, _) = browser.place(&state.path_box.text);
    ui.horizontal_wrapped(|ui| {
        let above = browser.above(&state.path_box.text);
        if ui.add_enabled(above.is_some(), Button::new("Up")).clicked() {
            commands.extend(above.map(|text| typed(purpose, text)));
        }
        if let Some(home) = std::env::home_dir()
            && ui.button("Home").clicked()
        {
            commands.push(typed(purpose, into_folder(&home)));
        }
        let recent = recent_folders(&state.preferences, purpose);
        ui.add_enabled_ui(!recent.is_empty(), |ui| {
            ui.menu_button("Recent folders", |ui| {
                for folder in &recent {
                    if ui.button(shown_path(folder)).clicked() {
                        commands.push(typed(purpose, into_folder(folder)));
                        ui.close();
                    }
                }
            });
        });
        let mut hidden = browser.hidden;
        if ui.checkbox(&mut hidden, "Hidden").changed() {
            commands.push(Command::Browse(BrowseCommand::Hidden(hidden)));
        }
        let mut all = browser.all_files;
        let chooses = !matches!(purpose.wanted(), Wanted::Folder);
        if chooses && ui.checkbox(&mut all, "All files").changed() {
            commands.push(Command::Browse(BrowseCommand::AllFiles(all)));
        }
    });
    ui.add(Label::new(RichText::new(shown_path(&folder)).strong()).truncate());
}

fn list_ui(ui: &mut Ui, state: &State, purpose: PathPurpose, height: f32, commands: &mut Vec<Command>) {
    let browser = &state.browser;
    let text = &state.path_box.text;
    let shown = browser.shown(purpose, text);
    let row = theme::ROW_HEIGHT;
    ui.spacing_mut().item_spacing.y = theme::SPACE_XS;
    let pitch = row + ui.spacing().item_spacing.y;
    let mut area = ScrollArea::vertical()
        .id_salt("entries")
        .auto_shrink(false)
        .min_scrolled_height(height)
        .max_height(height);
    if let Some(cursor) = browser.cursor.filter(|_| keys_move(ui)) {
        // The cursor stays in the middle.
        area = area.vertical_scroll_offset((cursor as f32 * pitch - height / 2.0).max(0.0));
    }
    area.show_rows(ui, row, shown.len().max(1), |ui, range| {
        if shown.is_empty() {
            ui.weak(nothing_text(state, purpose));
        }
        for (index, entry) in shown.iter().enumerate().take(range.end).skip(range.start) {
            if entry_ui(ui, entry, browser.cursor == Some(index), row) {
                commands.push(open(state, purpose, entry));
            }
        }
    });
    if browser.listing.as_ref().is_some_and(|listing| listing.is_cut) {
        let words = format!("The folder is huge: the first {MOST_LISTED} entries are listed, any other can be typed.");
        ui.colored_label(theme::tokens(ui).warning, words);
    }
}

fn keys_move(ui: &Ui) -> bool {
    let keys = [Key::ArrowDown, Key::ArrowUp, Key::PageDown, Key::PageUp];
    ui.input(|input| keys.iter().any(|key| input.key_pressed(*key)))
}

/// Why nothing is listed.
fn nothing_text(state: &State, purpose: PathPurpose) -> String {
    let browser = &state.browser;
    let (folder, beginning) = browser.place(&state.path_box.text);
    match browser.listing.as_ref().filter(|listing| listing.folder == folder) {
        None => "reading …".to_owned(),
        Some(listing) => match &listing.problem {
            Some(problem) => format!("This folder cannot be read: {}", visible(problem)),
            None if !beginning.is_empty() => "Nothing here begins so.".to_owned(),
            None if purpose.wanted() == Wanted::Folder => "No folders are in it.".to_owned(),
            None => "Nothing suitable is in it.".to_owned(),
        },
    }
}

/// An entry; whether it is to be opened.
fn entry_ui(ui: &mut Ui, entry: &Entry, under_cursor: bool, height: f32) -> bool {
    let tokens = theme::tokens(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let name = names::shown(&entry.name);
    let end = if entry.is_folder { "/" } else { "" };
    let name = format!("{}{end}", visible(&name));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, under_cursor, &name));
    let behind = match () {
        () if under_cursor => Some(tokens.selection),
        () if response.hovered() => Some(tokens.button_hovered),
        () => None,
    };
    if let Some(colour) = behind {
        ui.painter().rect_filled(rect, theme::RADIUS_SMALL, colour);
    }
    let colour = if entry.is_folder {
        tokens.text_strong
    } else {
        tokens.text
    };
    let at = rect.left_center() + vec2(theme::SPACE_S, 0.0);
    let font = FontId::proportional(theme::FONT_BODY);
    ui.painter().text(at, Align2::LEFT_CENTER, name, font, colour);
    response.clicked()
}

/// What opening an entry does.
fn open(state: &State, purpose: PathPurpose, entry: &Entry) -> Command {
    let (folder, _) = state.browser.place(&state.path_box.text);
    let path = folder.join(names::path(&entry.name));
    match entry.is_folder {
        true => typed(purpose, into_folder(&path)),
        false => Command::Browse(BrowseCommand::Use(names::text(path))),
    }
}

/// What is typed; keys that move the cursor and complete are taken before the box for text has them.
fn typed_ui(ui: &mut Ui, state: &State, purpose: PathPurpose, commands: &mut Vec<Command>) {
    let browser = &state.browser;
    let before = &state.path_box.text;
    let mut text = before.clone();
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    let steps = [
        (Key::ArrowDown, 1),
        (Key::ArrowUp, -1),
        (Key::PageDown, PAGE),
        (Key::PageUp, -PAGE),
    ];
    for (key, step) in steps {
        let last = browser.shown(purpose, before).len().checked_sub(1);
        if pressed(key)
            && let Some(last) = last
        {
            let cursor = match browser.cursor {
                Some(cursor) => cursor.saturating_add_signed(step).min(last),
                None => 0,
            };
            commands.push(Command::Browse(BrowseCommand::Cursor(Some(cursor))));
        }
    }
    // What was not typed here is typed on behind its end.
    let id = Id::unique("path typed");
    if ui.data(|data| data.get_temp::<String>(id)).as_ref() != Some(before) {
        to_the_end(ui, id, before);
    }
    let completes = pressed(Key::Tab);
    let entered = pressed(Key::Enter);
    let hint = match purpose.wanted() {
        Wanted::Folder => "this folder".to_owned(),
        Wanted::File { .. } => "name or path; Tab completes".to_owned(),
        Wanted::Save { name, .. } => name,
    };
    let response = ui
        .horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button("Cancel").clicked() {
                    commands.push(Command::PathBox(PathBox::default()));
                }
                let used = ui.button("OK").clicked();
                let edit = TextEdit::singleline(&mut text)
                    .id(id)
                    .hint_text(hint)
                    .lock_focus(true)
                    .desired_width(f32::INFINITY);
                (ui.add(edit), used)
            })
            .inner
        })
        .inner;
    let (response, used) = response;
    response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Path"));
    response.request_focus();
    let by_keys = if response.changed() { &text } else { before };
    ui.data_mut(|data| data.insert_temp(id, by_keys.clone()));
    if completes && let Some(completed) = browser.completed(purpose, &text) {
        text = completed;
    }
    let changed = text != *before;
    if changed {
        commands.push(typed(purpose, text.clone()));
    }
    // Text and Enter of one frame belong together; what was completed is looked at first.
    if changed && (completes || !entered) {
        return;
    }
    let entry = browser.chosen(purpose, before).filter(|_| entered && !changed);
    if let Some(entry) = entry {
        commands.push(open(state, purpose, entry));
    } else if used || entered {
        commands.extend(wanted_text(purpose, &text).map(|text| Command::Browse(BrowseCommand::Use(text))));
    }
}

/// The text that is used: where a folder is wanted the one looked at, where a file is written its usual name.
fn wanted_text(purpose: PathPurpose, text: &str) -> Option<String> {
    let text = text.trim();
    let ends_in_folder = text.is_empty() || text.ends_with(std::path::is_separator);
    match purpose.wanted() {
        Wanted::File { .. } if text.is_empty() => None,
        Wanted::Save { name, .. } if ends_in_folder => Some(format!("{text}{name}")),
        _ => Some(text.to_owned()),
    }
}

/// Typing goes on behind what was completed.
fn to_the_end(ui: &Ui, id: Id, text: &str) {
    let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
    let end = CCursor::new(text.chars().count());
    state.cursor.set_char_range(Some(CCursorRange::one(end)));
    state.store(ui.ctx(), id);
}
