//! What is done to pins.

use super::{action::Action, app::App};
use crate::{
    app::{
        document::{
            places::{moved_to, representative},
            root::{Document, Pin},
        },
        state::slots::PointAt,
    },
    engine::QueryAt,
    geometry::Size,
};

impl App {
    pub(in crate::app) fn act_on_pins(&mut self, action: Action) {
        let focused = self.state.focused_slot();
        let state = &mut self.state;
        let document = &mut state.document;
        match action {
            Action::Brush => state.brush = !state.brush,
            Action::AddPin => {
                let size = state.slot(focused).picture.as_ref().map(|picture| picture.size);
                if let Some(Size { width, height }) = size {
                    let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
                    let document = &mut state.document;
                    let number = document.next_pin_number();
                    let at = QueryAt::Point(middle);
                    document.pins.push(Pin {
                        number,
                        slot: focused,
                        at,
                    });
                    document.selected_pin = Some(number);
                }
            }
            Action::NextPin => {
                let numbers: Vec<u32> = document.pins.iter().map(|pin| pin.number).collect();
                let current = numbers.iter().position(|number| Some(*number) == document.selected_pin);
                let next = current.map_or(0, |index| (index + 1) % numbers.len());
                document.selected_pin = numbers.get(next).copied();
            }
            Action::Unpin => document.selected_pin = None,
            Action::DeletePin => {
                if let Some(number) = document.selected_pin {
                    delete_pin(document, number);
                }
            }
            Action::ClearPins => {
                document.pins.clear();
                document.selected_pin = None;
            }
            Action::PinLeft => self.step_pin([-1, 0]),
            Action::PinRight => self.step_pin([1, 0]),
            Action::PinUp if document.active_pin().is_none() => self.step_layer(-1),
            Action::PinDown if document.active_pin().is_none() => self.step_layer(1),
            Action::PinUp => self.step_pin([0, -1]),
            Action::PinDown => self.step_pin([0, 1]),
            _ => {}
        }
    }

    /// Moves the selected pin by cells.
    fn step_pin(&mut self, [columns, rows]: [isize; 2]) {
        let state = &self.state;
        let Some(pin) = state.document.active_pin() else { return };
        let slot = pin.slot;
        let moved = || {
            let at = representative(&pin.at)?;
            let grid = state.shown_grid(slot)?;
            let framing = state.slot(slot).capture.as_ref()?.framing;
            let (row, column) = state.cell_at(PointAt { slot, at })?;
            let row = row.saturating_add_signed(rows).min(grid.height - 1);
            let column = column.saturating_add_signed(columns).min(grid.width - 1);
            let there = framing.original_from_cell((row, column), grid);
            Some(moved_to(&pin.at, there))
        };
        if let Some(at) = moved() {
            let moved = Pin { at, ..pin.clone() };
            if let Some(pin) = self
                .state
                .document
                .pins
                .iter_mut()
                .find(|pin| pin.number == moved.number)
            {
                *pin = moved;
            }
        }
    }
}

pub(in crate::app) fn delete_pin(document: &mut Document, number: u32) {
    document.delete_pins(|pin| pin.number == number);
}
