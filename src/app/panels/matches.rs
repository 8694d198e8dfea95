//! Pins and their matches, as a list.

use egui::{Button, DragValue, Grid, RichText, ScrollArea, Ui};

use crate::app::{
    document::{limits::MOST_TOLD, root::Pin},
    export::captions::query_text,
    state::{reveal::Control, root::State},
    theme,
    update::{action::Action, command::Command},
    widgets::{action_button_ui, reveal},
};

/// Height of the list, in points.
const LIST_HEIGHT: f32 = 260.0;

/// Every pin with its matches in every picture.
pub fn matches_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        for action in [
            Action::AddPin,
            Action::ClearPins,
            Action::CopyMatches,
            Action::SaveMatches,
        ] {
            action_button_ui(ui, state, action, commands);
        }
        let mut count = state.document.top_k;
        let drag = DragValue::new(&mut count).prefix("best ").range(1..=MOST_TOLD);
        let drag = ui
            .add(drag)
            .on_hover_text("How many matches of each pin in each picture");
        reveal(ui, Control::Matches, &drag);
        if count != state.document.top_k {
            commands.push(Command::TopK(count));
        }
    });
    if state.document.pins.is_empty() {
        ui.weak("Click a picture to fix a point. Shift click fixes one more, Ctrl drag marks a region.");
        return;
    }
    ScrollArea::vertical()
        .id_salt("pins")
        .max_height(LIST_HEIGHT)
        .auto_shrink([false, true])
        .show(ui, |ui| {
            for pin in &state.document.pins {
                pin_ui(ui, state, pin, commands);
            }
        });
}

fn pin_ui(ui: &mut Ui, state: &State, pin: &Pin, commands: &mut Vec<Command>) {
    let tokens = theme::tokens(ui);
    let selected = state.document.selected_pin == Some(pin.number);
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(theme::SPACE_L), egui::Sense::hover());
        ui.painter()
            .circle_filled(rect.center(), theme::SPACE_S, tokens.pin(pin.number));
        let text = format!("{}  {} {}", pin.number, pin.slot.name(), query_text(&pin.at));
        let name = theme::pin_name(pin.number);
        let button = ui.add(Button::selectable(selected, text));
        if button
            .on_hover_text(format!("Pin {} ({name}): show its similarities", pin.number))
            .clicked()
        {
            commands.push(Command::SelectPin((!selected).then_some(pin.number)));
        }
        let delete = ui.small_button("×").on_hover_text("Delete this pin");
        delete.widget_info(|| {
            let label = format!("Delete pin {}", pin.number);
            egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, label)
        });
        if delete.clicked() {
            commands.push(Command::DeletePin(pin.number));
        }
    });
    let found = state.matches.iter().flat_map(|matches| &matches.pins);
    let Some(found) = found.into_iter().find(|found| found.pin == pin.number) else {
        ui.weak("Not where the model sees its picture, or not computed yet.");
        return;
    };
    Grid::new(("matches", pin.number)).num_columns(5).show(ui, |ui| {
        for target in found
            .targets
            .iter()
            .filter(|target| target.slot != pin.slot || found.targets.len() == 1)
        {
            for best in &target.best {
                let [x, y] = best.found.at;
                let small = |text: String| RichText::new(text).size(theme::FONT_SMALL);
                ui.label(small(target.slot.name().to_owned()));
                ui.label(small(format!("({x:.0}, {y:.0})")));
                ui.label(small(format!("{:.3}", best.found.score)));
                let (mark, hint) = if best.mutual {
                    ("mutual", "The way back leads to the pin's own cell".to_owned())
                } else {
                    let [back_x, back_y] = best.back;
                    ("", format!("The way back leads to ({back_x:.0}, {back_y:.0})"))
                };
                ui.label(small(mark.to_owned())).on_hover_text(&hint);
                ui.label(small(format!("cycle {:.1}", best.cycle_cells)))
                    .on_hover_text(format!("Distance from there to the pin, in cells. {hint}"));
                ui.end_row();
            }
        }
    });
}
