//! The toolbar, the settings of a run, and the box for paths.

use std::path::PathBuf;

use egui::{
    Button, ComboBox, DragValue, ProgressBar, Rangef, RichText, Slider, TextEdit, Ui, WidgetInfo, Window,
    accesskit::Role, vec2,
};

use super::{
    Command, Notice, State,
    state::{Display, PathBox, PathPurpose},
};
use crate::{
    engine::{PictureSource, Slot},
    extract::{framing::WorkingSize, pass::VaeMode},
    paint::{ColourMap, Interpolation},
    weights::{ZOO, embedded::SAMPLES},
};

/// Width of the left side at the start, in points.
pub const SIDE_WIDTH: f32 = 300.0;
/// How narrow and wide it can be made.
pub const SIDE_RANGE: Rangef = Rangef { min: 220.0, max: 560.0 };
/// The most noises averaged that the window offers.
const MAX_ENSEMBLE: usize = 64;
/// The longest short side that the window offers.
const MAX_SIDE: usize = 2048;

/// Model, pictures, saving and drawing.
pub fn toolbar_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        model_ui(ui, state, commands);
        ui.separator();
        for slot in Slot::ALL {
            picture_menu_ui(ui, state, slot, commands);
        }
        if ui
            .button("Swap")
            .on_hover_text("Picture B becomes A and A becomes B")
            .clicked()
        {
            commands.push(Command::SwapPictures);
        }
        ui.separator();
        save_menu_ui(ui, state, commands);
        ui.separator();
        display_ui(ui, state, commands);
    });
    if let Some(error) = &state.model.error {
        error_ui(ui, error, Notice::Model, commands);
    }
}

fn model_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let shown = state
        .model
        .info
        .as_ref()
        .map_or(state.model.wanted.as_str(), |info| info.name.as_str());
    let combo = ComboBox::from_label("Model")
        .selected_text(short(shown))
        .show_ui(ui, |ui| {
            for entry in ZOO {
                if ui
                    .selectable_label(shown == entry.key, entry.key)
                    .on_hover_text(entry.title)
                    .clicked()
                {
                    commands.push(Command::LoadModel(entry.key.to_owned()));
                }
            }
            ui.separator();
            if ui.button("Open a folder…").clicked() {
                commands.push(Command::AskPath(PathPurpose::Model));
            }
            if ui
                .button("Type a path…")
                .on_hover_text("A folder of the hub's layout, or a file of ADM's")
                .clicked()
            {
                commands.push(type_path(PathPurpose::Model));
            }
        });
    combo
        .response
        .on_hover_text(state.model.info.as_ref().map_or("", |info| info.weights.as_str()));
    if let Some(done) = state.model.loading {
        ui.add(ProgressBar::new(done).desired_width(90.0).text("reading"));
        if ui
            .button("Cancel")
            .on_hover_text("Keep the model that is there")
            .clicked()
        {
            commands.push(Command::Cancel);
        }
    }
}

/// The end of a long path: what tells it from others.
fn short(name: &str) -> String {
    const SHOWN: usize = 28;
    let count = name.chars().count();
    if count <= SHOWN {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(count - SHOWN).collect::<String>())
}

fn type_path(purpose: PathPurpose) -> Command {
    Command::PathBox(PathBox {
        purpose: Some(purpose),
        text: String::new(),
    })
}

fn picture_menu_ui(ui: &mut Ui, state: &State, slot: Slot, commands: &mut Vec<Command>) {
    let name = state
        .slot(slot)
        .picture
        .as_ref()
        .map_or("none".to_owned(), |(source, _)| short(&source.name()));
    let open = |source| Command::OpenPicture(slot, source);
    ui.menu_button(format!("{}: {name}", slot.name()), |ui| {
        if ui.button("Open…").clicked() {
            commands.push(Command::AskPath(PathPurpose::Picture(slot)));
        }
        if ui.button("Type a path…").clicked() {
            commands.push(type_path(PathPurpose::Picture(slot)));
        }
        ui.menu_button("Samples", |ui| {
            egui::ScrollArea::vertical().show(ui, |ui| {
                for sample in SAMPLES {
                    let mut button = ui.button(sample.name);
                    if sample.name.starts_with("photo") {
                        button = button.on_hover_text("A photograph: outside of the embedded model's training");
                    }
                    if button.clicked() {
                        commands.push(open(PictureSource::Sample(sample.name.to_owned())));
                        ui.close();
                    }
                }
            });
        });
        let closable = state.slot(slot).picture.is_some();
        if ui.add_enabled(closable, Button::new("Close")).clicked() {
            commands.push(Command::ClosePicture(slot));
        }
    })
    .response
    .on_hover_text(format!("Picture {}: open, or drop a file on its pane", slot.name()));
}

fn save_menu_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.menu_button("Save", |ui| {
        for slot in Slot::ALL {
            let ready = state.is_captured(slot);
            let name = slot.name();
            for (text, purpose, ready) in [
                (format!("PCA of {name} as PNG…"), PathPurpose::SavePca(slot), ready),
                (
                    format!("Heat map on {name} as PNG…"),
                    PathPurpose::SaveHeat(slot),
                    state.heat_on(slot).is_some(),
                ),
                (
                    format!("Map of {name} as .npy or .safetensors…"),
                    PathPurpose::SaveMap(slot),
                    ready,
                ),
            ] {
                if ui.add_enabled(ready, Button::new(text)).clicked() {
                    commands.push(Command::AskPath(purpose));
                }
            }
        }
    });
}

fn display_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut display: Display = state.display.clone();
    let style = &mut display.style;
    ComboBox::from_label("Colours")
        .selected_text(style.map.name())
        .width(80.0)
        .show_ui(ui, |ui| {
            for map in ColourMap::ALL {
                ui.selectable_value(&mut style.map, map, map.name());
            }
        });
    // A slider takes whatever room is left of its line; with a size of its own it goes to the next one.
    let size = vec2(ui.spacing().slider_width, ui.spacing().interact_size.y);
    let label = ui.label("Opacity");
    ui.add_sized(size, Slider::new(&mut style.opacity, 0.0..=1.0).show_value(false))
        .labelled_by(label.id)
        .on_hover_text("Opacity of the heat map over its picture");
    let mut smooth = style.interpolation == Interpolation::Bilinear;
    ui.checkbox(&mut smooth, "smooth")
        .on_hover_text("Interpolate scores between cells");
    style.interpolation = if smooth {
        Interpolation::Bilinear
    } else {
        Interpolation::Nearest
    };
    let mut fixed = display.fixed_range.is_some();
    ui.checkbox(&mut fixed, "range")
        .on_hover_text("Fix the range of scores; without it each map's lowest to highest");
    if fixed {
        let mut range = display.fixed_range.unwrap_or([0.0, 1.0]);
        for (bound, name) in range.iter_mut().zip(["lowest score", "highest score"]) {
            ui.add(DragValue::new(bound).speed(0.01).range(-1.0..=1.0).max_decimals(2))
                .on_hover_text(name);
        }
        display.style.range = range;
        display.fixed_range = Some(range);
    } else {
        display.fixed_range = None;
    }
    ui.checkbox(&mut display.joint, "A + B")
        .on_hover_text("One PCA basis for both pictures: the same colour means the same. Without it, one basis each");
    ui.checkbox(&mut display.on_source, "on both")
        .on_hover_text("The heat map also over the picture the point is in");
    if display != state.display {
        commands.push(Command::Display(display));
    }
}

/// What a pass runs with, and the pass itself.
pub fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(info) = &state.model.info else {
        ui.weak("No model is loaded.");
        return;
    };
    let mut settings = state.settings.clone();
    if info.reads_prompt {
        let label = ui.label("Prompt");
        let edit = TextEdit::multiline(&mut settings.prompt)
            .hint_text("a photo of a cat")
            .desired_rows(2)
            .desired_width(f32::INFINITY);
        ui.add(edit).labelled_by(label.id);
    }
    let last = info.mixtures.len().saturating_sub(1) as u32;
    ui.horizontal(|ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 110.0).max(60.0);
        ui.add(Slider::new(&mut settings.t, 0..=last).text("t"))
            .on_hover_text("The timestep that runs");
    });
    if let Some([signal, noise]) = info.mixtures.get(settings.t as usize) {
        let fraction = 100.0 * noise / (signal + noise);
        ui.weak(format!(
            "noise {fraction:.1} %  (picture × {signal:.3} + noise × {noise:.3})"
        ));
    }
    ui.horizontal(|ui| {
        ui.add(DragValue::new(&mut settings.seed).prefix("seed ").speed(0.1))
            .on_hover_text("The numbers of PyTorch's CPU generator");
        ui.add(
            DragValue::new(&mut settings.ensemble)
                .prefix("mean of ")
                .range(1..=MAX_ENSEMBLE)
                .speed(0.1),
        )
        .on_hover_text("Noises whose features are averaged");
    });
    ui.horizontal(|ui| size_ui(ui, &mut settings.size, state.working_side(), info.size_rule.multiple()));
    if info.reads_prompt {
        let mut sample = settings.vae == VaeMode::Sample;
        ui.checkbox(&mut sample, "sample the latent")
            .on_hover_text("Off: the posterior's mean, the same map every time. On: a sample of it, as the papers do");
        settings.vae = if sample { VaeMode::Sample } else { VaeMode::Mean };
    }
    if settings != state.settings {
        commands.push(Command::Settings(settings));
    }
    run_ui(ui, state, commands);
}

fn size_ui(ui: &mut Ui, size: &mut WorkingSize, side: usize, multiple: usize) {
    let mut square = matches!(size, WorkingSize::Exact { .. });
    let mut side = side;
    let drag = DragValue::new(&mut side)
        .prefix("size ")
        .suffix(" px")
        .range(multiple..=MAX_SIDE)
        .speed(multiple as f64 / 8.0);
    ui.add(drag).on_hover_text(format!(
        "Short side of the picture the model sees; a multiple of {multiple}"
    ));
    ui.checkbox(&mut square, "square")
        .on_hover_text("A square, as in the papers; without it the aspect ratio is kept");
    let side = (side + multiple / 2) / multiple * multiple;
    *size = if square {
        WorkingSize::Exact {
            width: side,
            height: side,
        }
    } else {
        WorkingSize::ShortSide(side)
    };
}

fn run_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        if let Some(done) = state.run.running {
            if ui.button("Cancel").clicked() {
                commands.push(Command::Cancel);
            }
            ui.add(ProgressBar::new(done).show_percentage());
            return;
        }
        let wanted = state.needs_run();
        let text = if wanted {
            RichText::new("Run").strong()
        } else {
            RichText::new("Run")
        };
        let button = ui.add_enabled(wanted, Button::new(text)).on_hover_text("Enter");
        if button.clicked() {
            commands.push(Command::Run);
        }
        let waits = wanted && !state.run_is_cheap();
        match state.expected_secs() {
            Some(seconds) if waits => ui.weak(format!("about {seconds:.0} s")),
            _ if waits => ui.weak("this takes a while: it starts when you ask"),
            _ => ui.weak(if wanted { "" } else { "up to date" }),
        };
    });
    if let Some(error) = &state.run.error {
        error_ui(ui, error, Notice::Run, commands);
    }
}

/// An error, where it belongs, until it is taken away.
pub fn error_ui(ui: &mut Ui, error: &str, notice: Notice, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        dismiss_ui(ui, notice, commands);
        ui.colored_label(ui.visuals().error_fg_color, error);
    });
}

/// Takes a message away.
pub fn dismiss_ui(ui: &mut Ui, notice: Notice, commands: &mut Vec<Command>) {
    let button = ui.small_button("×").on_hover_text("Dismiss");
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Dismiss"));
    if button.clicked() {
        commands.push(Command::Dismiss(notice));
    }
}

/// The box in which a path is typed, where the desktop has no dialog.
pub fn path_box_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(purpose) = state.path_box.purpose else { return };
    let mut text = state.path_box.text.clone();
    let mut open = true;
    let mut used = false;
    Window::new(purpose.title())
        .open(&mut open)
        .collapsible(false)
        .resizable(false)
        .show(ui.ctx(), |ui| {
            let response = ui.add(
                TextEdit::singleline(&mut text)
                    .hint_text("/path/to/file")
                    .desired_width(420.0),
            );
            response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Path"));
            response.request_focus();
            let entered = ui.input(|input| input.key_pressed(egui::Key::Enter));
            used = ui.button("OK").clicked() || entered;
        });
    let path = text.trim();
    if used && !path.is_empty() {
        commands.push(Command::UsePath(purpose, PathBuf::from(path)));
    } else if !open || ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        commands.push(Command::PathBox(PathBox::default()));
    } else if text != state.path_box.text {
        commands.push(Command::PathBox(PathBox {
            purpose: Some(purpose),
            text,
        }));
    }
}
