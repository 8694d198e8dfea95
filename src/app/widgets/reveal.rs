//! Controls that were asked for by name.

use egui::{Align, Response, Ui};

use crate::app::state::reveal::{self, Control};

/// Gives a control the keyboard and brings it into sight, if it was asked for. A line beside each control.
pub fn reveal(ui: &Ui, control: Control, response: &Response) {
    if reveal::wanted(ui.ctx()) == Some(control) {
        response.request_focus();
        response.scroll_to_me(Some(Align::Center));
        reveal::is_met(ui.ctx());
    }
}
