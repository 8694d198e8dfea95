//! An offer, made once, on a screen whose pixels are so small that nothing can be read: a larger interface.

use egui::{Align2, Area, Frame, Id, Order, Ui, vec2};

use crate::app::{state::root::State, update::command::Command};

/// Pixels across from which a screen is taken for a dense one, if the system does not scale what is on it.
const DENSE: f32 = 3200.0;
/// What is offered.
const ZOOMS: [(&str, f32); 2] = [("150 %", 1.5), ("200 %", 2.0)];
/// Distance from the upper edge of the window, in points.
const BELOW_EDGE: f32 = 80.0;

/// Offers a larger interface, until that is answered.
pub fn dense_screen_ui(ui: &Ui, state: &State, commands: &mut Vec<Command>) {
    if state.preferences.dense_screen_asked || state.preferences.zoom != 1.0 || state.timeless || !is_dense(ui) {
        return;
    }
    Area::new(Id::unique("dense screen"))
        .anchor(Align2::CENTER_TOP, vec2(0.0, BELOW_EDGE))
        .order(Order::Foreground)
        .show(ui.ctx(), |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.label("This screen is dense. Make everything larger?");
                    for (name, zoom) in ZOOMS {
                        if ui.button(name).clicked() {
                            commands.push(Command::InterfaceSize(zoom));
                        }
                    }
                    if ui.button("Leave").clicked() {
                        commands.push(Command::InterfaceSize(state.preferences.zoom));
                    }
                });
            });
        });
}

/// Whether the screen, or the window itself, has very many pixels, and the system scales nothing.
fn is_dense(ui: &Ui) -> bool {
    let scale = ui.ctx().pixels_per_point();
    let (native, monitor) = ui.input(|input| {
        let viewport = input.viewport();
        (viewport.native_pixels_per_point, viewport.monitor_size)
    });
    let window = ui.ctx().content_rect().width();
    let widest = monitor.map_or(window, |monitor| monitor.x.max(window));
    native.is_none_or(|native| native == 1.0) && scale == 1.0 && widest * scale >= DENSE
}
