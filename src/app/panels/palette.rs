//! The command palette: anything that can be done or set, any layer, sample, model and recent file, by the words that
//! people type for it.

use egui::{
    Align2, Area, Button, Frame, Id, Key, Modifiers, Order, Response, RichText, ScrollArea, TextEdit, Ui, WidgetInfo,
    accesskit::Role, vec2,
};

use super::palette_choices::{Choice, choices};
use crate::app::{
    state::root::State,
    update::{action::Action, command::Command},
};

/// Width of the palette, and its distance from the top, in points.
const WIDTH: f32 = 560.0;
const TOP: f32 = 60.0;

/// The palette, while it is open.
pub fn palette_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(typed) = &state.overlays.palette else { return };
    let mut text = typed.clone();
    let context = ui.ctx().clone();
    let id = Id::unique("palette");
    // The place that the arrows have gone to; none before they have: then the first that can be done.
    let mut chosen = context.data(|data| data.get_temp::<usize>(id));
    let (down, up, enter, escape) = context.input_mut(|input| {
        let mut pressed = |key| input.count_and_consume_key(Modifiers::NONE, key);
        (
            pressed(Key::ArrowDown),
            pressed(Key::ArrowUp),
            pressed(Key::Enter) > 0,
            pressed(Key::Escape) > 0,
        )
    });
    let mut found = Vec::new();
    let mut done = None;
    let mut outside = false;
    let area = Area::new(id)
        .anchor(Align2::CENTER_TOP, vec2(0.0, TOP))
        .order(Order::Foreground)
        .show(&context, |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                ui.set_width(WIDTH.min(ui.ctx().content_rect().width() - TOP));
                let edit = TextEdit::singleline(&mut text)
                    .hint_text("Type what to do or set, a layer, a sample, a model")
                    .desired_width(f32::INFINITY);
                let response = ui.add(edit);
                response.widget_info(|| WidgetInfo::labeled(Role::SearchInput, true, "Command palette"));
                if !response.has_focus() {
                    // Asked for again, it would forget that arrows are its own.
                    response.request_focus();
                }
                // Text and Enter of one frame belong together: what is chosen is of what was typed by then.
                found = choices(ui.ctx(), state, &text);
                if text != *typed {
                    chosen = None;
                }
                let first = found.iter().position(|choice| choice.can).unwrap_or(0);
                let place = (chosen.unwrap_or(first) + down).saturating_sub(up);
                let place = place.min(found.len().saturating_sub(1));
                if down + up > 0 {
                    chosen = Some(place);
                }
                done = enter.then_some(place);
                let height = (ui.ctx().content_rect().height() - 3.0 * TOP).max(TOP);
                ScrollArea::vertical().max_height(height).show(ui, |ui| {
                    let clicked = entries_ui(ui, &found, place, down + up > 0);
                    done = clicked.or(done);
                });
            });
        });
    let pressed = context.input(|input| {
        let pressed = input.pointer.any_pressed();
        pressed.then(|| input.pointer.interact_pos()).flatten()
    });
    if let Some(pos) = pressed {
        outside = !area.response.rect.contains(pos);
    }
    if text != *typed {
        commands.push(Command::PaletteText(text));
    }
    context.data_mut(|data| match chosen {
        Some(place) => {
            data.insert_temp(id, place);
        }
        None => data.remove::<usize>(id),
    });
    let nothing_found = found.is_empty();
    let choice = done.and_then(|place| found.into_iter().nth(place));
    // What cannot be done now stays there to be read.
    let choice = choice.filter(|choice| choice.can);
    if choice.is_some() || (enter && nothing_found) || escape || outside {
        context.data_mut(|data| data.remove::<usize>(id));
        commands.push(Command::Act(Action::Palette));
    }
    if let Some(choice) = choice {
        commands.push(Command::Chosen(choice.remembered));
        commands.push(choice.command);
    }
}

/// The entries; gives the one that was clicked.
fn entries_ui(ui: &mut Ui, found: &[Choice], place: usize, moved: bool) -> Option<usize> {
    if found.is_empty() {
        ui.weak("Nothing has all of these words.");
    }
    let mut clicked = None;
    for (index, choice) in found.iter().enumerate() {
        let response = entry_ui(ui, choice, index == place);
        if index == place && moved {
            response.scroll_to_me(None);
        }
        if response.clicked() {
            clicked = Some(index);
        }
    }
    clicked
}

/// The name, the other name that was typed, whether it was chosen lately; at the right the place and the key.
fn entry_ui(ui: &mut Ui, choice: &Choice, chosen: bool) -> Response {
    let beside = match (choice.alias, choice.is_recent) {
        (Some(alias), _) => alias,
        (None, true) => "recent",
        (None, false) => "",
    };
    let beside = RichText::new(beside).weak();
    let button = Button::selectable(chosen, (choice.name.as_str(), beside))
        .shortcut_text(format!("{}  {}", choice.place, choice.key))
        .min_size(vec2(ui.available_width(), 0.0));
    let response = ui.add_enabled(choice.can, button);
    let mut label = format!("{}, {} {}", choice.name, choice.place, choice.key);
    label.truncate(label.trim_end().len());
    label += if choice.is_recent { ", recent" } else { "" };
    response.widget_info(|| WidgetInfo::selected(Role::Button, choice.can, chosen, &label));
    response
        .on_hover_text(&choice.hint)
        .on_disabled_hover_text(format!("{}  Not now: there is nothing to do it with.", choice.hint))
}
