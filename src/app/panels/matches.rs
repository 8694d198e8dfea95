//! Pins and their matches, as a list.

use egui::{Button, DragValue, Grid, RichText, ScrollArea, Ui};

use crate::app::{
    document::{limits::MOST_TOLD, root::Pin},
    state::{
        readout::{pixel_text, place_text},
        reveal::Control,
        root::State,
    },
    theme,
    update::{abilities::Abilities, action::Action, command::Command},
    widgets::{action_button_ui, delete_pin_ui, pair_ui, pin_swatch_ui, reveal},
};

/// Height of the list, in points.
const LIST_HEIGHT: f32 = 260.0;

/// Letters of the figures of matches, in points.
const FIGURE_SIZE: f32 = 12.0;

/// Every pin with its matches in every picture.
pub fn matches_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        for action in [
            Action::PairMode,
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
    if let Some(words) = pairing_text(state) {
        ui.label(words);
    } else if state.document.pins.is_empty() {
        ui.weak("Click a picture to fix a point. Shift click fixes one more, Ctrl drag marks a region.");
        return;
    }
    ui.horizontal_wrapped(|ui| {
        for action in [Action::FurtherMatches, Action::PairInOrder] {
            if action != Action::PairInOrder || state.can(action) {
                action_button_ui(ui, state, action, commands);
            }
        }
    });
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

/// What the next click does while pairs are made.
fn pairing_text(state: &State) -> Option<String> {
    match &state.pairing.first {
        Some(first) => Some(format!(
            "Pair {}: click the same place in another picture than {}. Enter takes the best match, Esc lets go.",
            state.document.next_pin_number(),
            first.slot.name()
        )),
        None if state.pairing.on => {
            Some("Pairs: click a place in one picture, then the same place in another.".to_owned())
        }
        None => None,
    }
}

fn pin_ui(ui: &mut Ui, state: &State, pin: &Pin, commands: &mut Vec<Command>) {
    if pin.mate.is_some() {
        pair_ui(ui, state, pin, commands);
        return;
    }
    let selected = state.document.selected_pin == Some(pin.number);
    ui.horizontal_wrapped(|ui| {
        pin_swatch_ui(ui, pin.number);
        let text = format!("{}  {} {}", pin.number, pin.slot.name(), place_text(&pin.at));
        let name = theme::pin_name(pin.number);
        let button = ui.add(Button::selectable(selected, text));
        if button
            .on_hover_text(format!("Pin {} ({name}): show its similarities", pin.number))
            .clicked()
        {
            commands.push(Command::SelectPin((!selected).then_some(pin.number)));
        }
        delete_pin_ui(ui, "pin", pin.number, commands);
    });
    let found = state.matches.iter().flat_map(|matches| &matches.pins);
    let Some(found) = found.into_iter().find(|found| found.pin == pin.number) else {
        ui.weak("Not where the model sees its picture, or not computed yet.");
        return;
    };
    let small = |text: String| RichText::new(text).size(FIGURE_SIZE);
    Grid::new(("matches", pin.number)).num_columns(4).show(ui, |ui| {
        for title in ["", "pixel", "cos", "cycle error"] {
            ui.label(small(title.to_owned()).weak());
        }
        ui.end_row();
        for target in found
            .targets
            .iter()
            .filter(|target| target.slot != pin.slot || found.targets.len() == 1)
        {
            for best in &target.best {
                let [x, y] = best.found.at;
                ui.label(small(target.slot.name().to_owned()));
                ui.label(small(format!("({x:.0}, {y:.0})")));
                ui.label(small(format!("{:.3}", best.found.score)));
                let (mark, hint) = if best.mutual {
                    (" mutual", "The way back leads to the pin's own cell".to_owned())
                } else {
                    ("", format!("The way back leads to {}", pixel_text(best.back)))
                };
                ui.label(small(format!("{:.1} cells{mark}", best.cycle_cells)))
                    .on_hover_text(format!("Distance from where the way back leads to the pin. {hint}"));
                ui.end_row();
            }
        }
    });
}
