//! The row of pages: what kind of work is done, on which pictures, and what is done most.

use egui::{Button, ScrollArea, Ui, WidgetInfo, accesskit::Role};

use crate::{
    app::{
        document::page::Page,
        state::{
            path_box::PathPurpose,
            root::State,
            shown::{short, shown_path, shown_source},
        },
        theme,
        update::{
            abilities::Abilities,
            action::Action,
            command::{Command, Notice},
        },
        widgets::{Glyph, error_ui, glyph_button_ui, glyph_toggle_ui, type_path, work_errors_ui},
    },
    engine::{ImageSlot, PictureSource},
    image::samples::SAMPLES,
};

/// Pages, pictures, icons, and below them what went wrong.
pub fn pages_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        for page in Page::ALL {
            page_ui(ui, state, page, commands);
        }
        ui.separator();
        for slot in state.open_slots() {
            picture_menu_ui(ui, state, slot, commands);
        }
        if let Some(slot) = state.document.free_slot() {
            picture_menu_ui(ui, state, slot, commands);
        }
        ui.separator();
        ui.spacing_mut().item_spacing.x = theme::SPACE_XS;
        for (action, glyph) in ICONS {
            action_icon_ui(ui, state, action, glyph, commands);
        }
    });
    if let Some(error) = &state.model.error {
        error_ui(ui, error, Notice::Model, commands);
    }
    if let Some(message) = &state.recovered {
        let words = format!(
            "A bug in the worker was caught ({message}). The model may have to be loaded again: choose it above."
        );
        error_ui(ui, &words, Notice::Recovered, commands);
    }
    work_errors_ui(ui, state, commands);
}

/// The tab of a page.
fn page_ui(ui: &mut Ui, state: &State, page: Page, commands: &mut Vec<Command>) {
    let shown = state.document.page == page;
    let tab = ui.add(Button::selectable(shown, page.name()));
    tab.widget_info(|| WidgetInfo::selected(Role::Tab, true, shown, page.name()));
    let action = Action::Page(page);
    if tab.on_hover_text(action.tooltip(ui.ctx())).clicked() {
        commands.push(Command::Act(action));
    }
}

/// Actions that have an icon in the row of pages.
const ICONS: [(Action, Glyph); 10] = [
    (Action::OpenPicture, Glyph::Open),
    (Action::SaveWorkspace, Glyph::Save),
    (Action::Undo, Glyph::Undo),
    (Action::Redo, Glyph::Redo),
    (Action::SwapPictures, Glyph::Swap),
    (Action::Fit, Glyph::Fit),
    (Action::Link, Glyph::Link),
    (Action::Grid, Glyph::Cells),
    (Action::Loupe, Glyph::Search),
    (Action::Overlay, Glyph::Eye),
];

/// An action as an icon, with its name and key in the tooltip.
pub fn action_icon_ui(ui: &mut Ui, state: &State, action: Action, glyph: Glyph, commands: &mut Vec<Command>) {
    ui.add_enabled_ui(state.can(action), |ui| {
        let name = action.name().trim_end_matches('…');
        let response = match state.is_on(action) {
            Some(mut on) => glyph_toggle_ui(ui, glyph, &mut on, name),
            None => glyph_button_ui(ui, glyph, name),
        };
        let tooltip = action.tooltip(ui.ctx());
        let response = response.on_hover_text(&tooltip).on_disabled_hover_text(&tooltip);
        if response.clicked() {
            commands.push(Command::Act(action));
        }
    });
}

/// Pictures up to which the row has their names.
const MOST_NAMED: usize = 2;

/// The pictures inside the program, to open one.
pub fn samples_ui(ui: &mut Ui, slot: ImageSlot, commands: &mut Vec<Command>) {
    ScrollArea::vertical().show(ui, |ui| {
        for sample in SAMPLES {
            let mut button = ui.button(sample.name);
            if sample.name.starts_with("photo") {
                button = button.on_hover_text("A photograph: outside of the embedded model's training");
            }
            if button.clicked() {
                let source = PictureSource::Sample(sample.name.to_owned());
                commands.push(Command::OpenPicture(slot, source));
                ui.close();
            }
        }
    });
}

fn picture_menu_ui(ui: &mut Ui, state: &State, slot: ImageSlot, commands: &mut Vec<Command>) {
    let picture = state.slot(slot).picture.as_ref();
    let title = match picture {
        // Of many there is room for letters; the tabs of their panes have the names.
        Some(_) if state.open_slots().count() > MOST_NAMED => slot.name().to_owned(),
        Some(picture) => format!("{}: {}", slot.name(), short(&picture.source.name())),
        None => format!("+ {}", slot.name()),
    };
    let open = |source| Command::OpenPicture(slot, source);
    let menu = ui.menu_button(title, |ui| {
        if ui.button("Open…").clicked() {
            commands.push(Command::AskPath(PathPurpose::Picture(slot)));
        }
        if ui.button("Type a path…").clicked() {
            commands.push(type_path(PathPurpose::Picture(slot)));
        }
        ui.menu_button("Samples", |ui| samples_ui(ui, slot, commands));
        ui.add_enabled_ui(!state.preferences.pictures.is_empty(), |ui| {
            ui.menu_button("Recent", |ui| {
                for path in &state.preferences.pictures {
                    let source = PictureSource::File(path.clone());
                    let button = ui.button(short(&source.name()));
                    if button.on_hover_text(shown_path(path)).clicked() {
                        commands.push(open(source));
                        ui.close();
                    }
                }
            });
        });
        if ui.add_enabled(picture.is_some(), Button::new("Close")).clicked() {
            commands.push(Command::ClosePicture(slot));
        }
    });
    let hint = match picture {
        Some(picture) => format!(
            "Picture {}, {}: open another, or drop a file on its pane",
            slot.name(),
            shown_source(&picture.source)
        ),
        None => format!("Open one more picture, as {}", slot.name()),
    };
    menu.response.on_hover_text(hint);
}
