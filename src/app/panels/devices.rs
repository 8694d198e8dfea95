//! Where the model computes, and in what: to choose where there is a choice.

use egui::{ComboBox, Label, RichText, Ui};

use crate::{
    app::{
        state::{reveal::Control, root::State},
        update::command::Command,
        widgets::reveal,
    },
    device::{DeviceChoice, Devices, Precision},
};

/// The device and its number format, and what is to be known of them. Nothing where there is only the processor.
pub fn devices_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(devices) = state.devices.as_ref().filter(|devices| is_a_choice(devices)) else {
        return;
    };
    let (device, precision) = (state.preferences.device, state.preferences.precision);
    ui.horizontal_wrapped(|ui| {
        let mut chosen = device;
        let combo = ComboBox::from_label("Device")
            .selected_text(device.to_string())
            .show_ui(ui, |ui| {
                ui.selectable_value(
                    &mut chosen,
                    DeviceChoice::Auto,
                    "auto: the first GPU that passes its check",
                );
                for found in &devices.found {
                    ui.selectable_value(&mut chosen, found.choice, found.describe());
                }
            });
        reveal(ui, Control::Device, &combo.response);
        if combo.response.clicked() {
            // How much memory is free changes.
            commands.push(Command::LookForDevices);
        }
        combo
            .response
            .on_hover_text("Where the model computes. Another device reads the model again");
        let mut format = precision;
        if device != DeviceChoice::Cpu && devices.gpus().next().is_some() {
            let combo = ComboBox::from_label("Format")
                .selected_text(precision.name())
                .show_ui(ui, |ui| {
                    for precision in Precision::ALL {
                        ui.selectable_value(&mut format, precision, precision.name());
                    }
                });
            reveal(ui, Control::Format, &combo.response);
            combo.response.on_hover_text(
                "What a GPU computes in. Half formats take half the memory; norms and softmax stay in f32",
            );
        }
        if (chosen, format) != (device, precision) {
            commands.push(Command::Device(chosen, format));
        }
    });
    if let Some(info) = &state.model.info {
        ui.weak(format!("computes on {} in {}", info.device, info.dtype));
        for note in &info.notes {
            ui.add(Label::new(RichText::new(note).weak()).truncate());
        }
    }
    if let Some(trouble) = &devices.trouble {
        // Its whole text is long; what does not fit is shown where the pointer rests on it.
        let text = RichText::new(format!("No GPU: {trouble}")).weak();
        ui.add(Label::new(text).truncate());
    }
}

/// Whether there is anything to choose or to say.
fn is_a_choice(devices: &Devices) -> bool {
    devices.gpus().next().is_some() || devices.trouble.is_some()
}
