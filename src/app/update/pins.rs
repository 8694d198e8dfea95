//! What is done to pins and pairs by name.

use super::{action::Action, app::App};
use crate::{
    app::{
        document::{
            pairs::{add_pin, drag_to, pair_in_order, split},
            places::representative,
            root::Mark,
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
            Action::PairMode => {
                state.pairing.let_go();
                state.pairing.on = !state.pairing.on;
            }
            Action::CompletePair => {
                state.pairing.accepted = state.second_slot();
                self.complete_accepted_pair();
            }
            Action::PairInOrder => pair_in_order(document),
            Action::SplitPair => {
                if let Some(number) = document.selected_pin {
                    split(document, number);
                }
            }
            Action::AddPin => {
                let size = state.slot(focused).picture.as_ref().map(|picture| picture.size);
                if let Some(Size { width, height }) = size {
                    let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
                    add_pin(&mut state.document, focused, QueryAt::Point(middle));
                }
            }
            Action::NextPin => {
                let numbers: Vec<u32> = document.pins.iter().map(|pin| pin.number).collect();
                let current = numbers.iter().position(|number| Some(*number) == document.selected_pin);
                let next = current.map_or(0, |index| (index + 1) % numbers.len());
                let next = numbers.get(next).map(|number| Mark {
                    number: *number,
                    mate: false,
                });
                document.select(next);
            }
            // One thing after the other: the half of a pair, the selection, the mode.
            Action::Unpin if state.pairing.let_go() => {}
            Action::Unpin if document.active_pin().is_some() => document.select(None),
            Action::Unpin => state.pairing.on = false,
            Action::DeletePin => {
                if let Some(number) = document.selected_pin {
                    document.delete_pins(|pin| pin.number == number);
                }
            }
            Action::ClearPins => {
                state.pairing.let_go();
                document.delete_pins(|_| true);
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

    /// Moves the selected mark by cells.
    fn step_pin(&mut self, [columns, rows]: [isize; 2]) {
        let state = &self.state;
        let Some((mark, slot, at)) = state.document.active_mark() else {
            return;
        };
        let moved = || {
            let at = representative(at)?;
            let grid = state.shown_grid(slot)?;
            let framing = state.slot(slot).capture.as_ref()?.framing;
            let (row, column) = state.cell_at(PointAt { slot, at })?;
            let row = row.saturating_add_signed(rows).min(grid.height - 1);
            let column = column.saturating_add_signed(columns).min(grid.width - 1);
            Some(framing.original_from_cell((row, column), grid))
        };
        if let Some(there) = moved() {
            drag_to(&mut self.state.document, mark, there);
        }
    }
}
