//! What a pass runs with, and the pass itself.

use egui::{Button, DragValue, Rangef, RichText, Slider, SliderClamping, Ui};

use super::{adapters::conditions_ui, devices::devices_ui};
use crate::{
    app::{
        document::limits::{MAX_ENSEMBLE, MAX_SIDE, t_decimals, t_set_by_hand},
        state::{reveal::Control, root::State},
        update::{action::Action, command::Command},
        widgets::{reveal, section_ui, work_errors_ui},
    },
    engine::{ModelInfo, RunSettings},
    extract::{inversion::Inversion, request::MixtureRan, settings::LatentMode},
    geometry::framing::WorkingSize,
    model::classes::Classes,
    model::guidance::Guidance,
};

/// Width of the left side at the start, in points, and how narrow and wide it can be made.
pub const WIDTH: f32 = 250.0;
pub const WIDTHS: Rangef = Rangef { min: 180.0, max: 560.0 };
/// The share of the left side's height that settings take at most.
pub const MOST_OF_SIDE: f32 = 0.6;
/// Points beside the slider of t that its number and label need.
const BESIDE_SLIDER: f32 = 100.0;
/// The narrowest useful slider, in points.
const LEAST_SLIDER: f32 = 60.0;

/// Prompt, t, noise and size.
pub fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    devices_ui(ui, state, commands);
    let Some(info) = &state.model.info else {
        ui.weak(if state.model.loading.is_some() {
            "The model is being read."
        } else {
            "No model is loaded: choose one above."
        });
        return;
    };
    section_ui(ui, "Run settings", |ui| {
        let mut settings = state.document.settings.clone();
        if info.reads_prompt {
            conditions_ui(ui, state, &mut settings, commands);
        }
        if let Some(classes) = &info.classes {
            class_ui(ui, classes, &mut settings.class);
        }
        if info.is_denoiser() {
            t_ui(ui, state, info, &mut settings);
            if info.shifts_t || settings.nominal_t || info.reads_guidance {
                ui.horizontal_wrapped(|ui| flow_ui(ui, info, &mut settings));
            }
            noise_ui(ui, &mut settings);
        }
        let (side, multiple) = (state.working_side(), info.size_rule.multiple());
        ui.horizontal_wrapped(|ui| size_ui(ui, &mut settings.size, side, multiple));
        if info.is_denoiser() {
            ui.horizontal_wrapped(|ui| latent_ui(ui, info, &mut settings));
        }
        if settings != state.document.settings {
            commands.push(Command::Settings(settings));
        }
    });
}

/// The class that the network is told.
fn class_ui(ui: &mut Ui, classes: &Classes, class: &mut Option<u32>) {
    ui.horizontal_wrapped(|ui| {
        let mut tells = class.is_some();
        let checked = ui
            .checkbox(&mut tells, "class")
            .on_hover_text("Off: the network is told no class. On: it is told the one of this number");
        reveal(ui, Control::Class, &checked);
        if checked.changed() {
            *class = tells.then_some(0);
        }
        let Some(number) = class else { return };
        let drag = DragValue::new(number)
            .range(0..=classes.count().saturating_sub(1))
            .clamp_existing_to_range(false);
        ui.add(drag).labelled_by(checked.id);
        if let Some(name) = classes.name(*number) {
            ui.weak(name);
        }
    });
}

fn t_ui(ui: &mut Ui, state: &State, info: &ModelInfo, settings: &mut RunSettings) {
    let last = info.mixtures.len().saturating_sub(1) as f64;
    let keys = [Action::EarlierTimestep, Action::LaterTimestep].map(|action| action.key_text(ui.ctx()));
    let runs_as_asked = !settings.nominal_t && settings.compat.is_none();
    let what = if runs_as_asked {
        "The timestep that runs"
    } else {
        "The nominal timestep: another one may run"
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - BESIDE_SLIDER).max(LEAST_SLIDER);
        let mut t = settings.t.value();
        let slider = Slider::new(&mut t, 0.0..=last)
            .max_decimals(t_decimals(info.flows))
            // What a file says is shown as it is.
            .clamping(SliderClamping::Edits)
            .text("t");
        let slider = ui
            .add(slider)
            .on_hover_text(format!("{what}  ({} and {})", keys[0], keys[1]));
        reveal(ui, Control::Timestep, &slider);
        if let (true, Some(t)) = (slider.changed(), t_set_by_hand(t, info.flows)) {
            settings.t = t;
        }
    });
    let running = match runs_as_asked {
        true => info
            .mixture(settings.t)
            .map(|mixture| MixtureRan::new(settings.t, mixture)),
        // The size that runs decides: it is known of what ran.
        false => ran_with(state, settings),
    };
    match running {
        Some(ran) => {
            ui.weak(noise_text(&ran, info.flows)).on_hover_text(noise_hint(&ran));
        }
        None => {
            ui.weak("Which t and how much noise that is, is known when it has run.");
        }
    }
}

/// What ran with these settings, if it is what is shown.
fn ran_with(state: &State, settings: &RunSettings) -> Option<MixtureRan> {
    let captures = state.open_slots().filter_map(|slot| state.slot(slot).capture.as_ref());
    let mut captures = captures.filter(|capture| capture.settings == *settings);
    captures.next()?.ran.mixture
}

/// "t 195.5   σ 0.1955   noise 19.6 %": the same axis for every model in the last of them.
fn noise_text(ran: &MixtureRan, flows: bool) -> String {
    let name = if flows { "σ" } else { "√(1−ā)" };
    format!(
        "t {}   {name} {:.4}   noise {:.1} %",
        ran.t_ran,
        ran.noise,
        100.0 * ran.noise_fraction
    )
}

/// What the share of noise is.
fn noise_hint(ran: &MixtureRan) -> String {
    format!(
        "The network sees picture × {:.3} + noise × {:.3}. The percentage is the second factor's share of both: 0 % is the picture \
         alone, 100 % noise alone. It means the same in every model, which timesteps do not.",
        ran.signal, ran.noise
    )
}

fn noise_ui(ui: &mut Ui, settings: &mut RunSettings) {
    ui.horizontal_wrapped(|ui| {
        let seed = ui
            .add(DragValue::new(&mut settings.seed).prefix("seed ").speed(0.1))
            .on_hover_text("The numbers of PyTorch's CPU generator");
        reveal(ui, Control::Seed, &seed);
        let ensemble = DragValue::new(&mut settings.ensemble)
            .prefix("mean of ")
            .range(1..=MAX_ENSEMBLE)
            .speed(0.1);
        let ensemble = ui.add(ensemble).on_hover_text("Noises whose features are averaged");
        reveal(ui, Control::Ensemble, &ensemble);
    });
}

/// What flow models alone read.
fn flow_ui(ui: &mut Ui, info: &ModelInfo, settings: &mut RunSettings) {
    if info.shifts_t || settings.nominal_t {
        ui.checkbox(&mut settings.nominal_t, "nominal t").on_hover_text(
            "Off: t is what runs, 1000 times the share of noise. On: t goes through the shift of the model's own schedule, which \
             depends on the size",
        );
    }
    if info.reads_guidance {
        const MOST: f64 = 10.0;
        let mut scale = f64::from(settings.guidance);
        let drag = DragValue::new(&mut scale)
            .prefix("guidance ")
            .range(0.0..=MOST)
            .clamp_existing_to_range(false)
            .speed(0.05);
        let dragged = ui
            .add(drag)
            .on_hover_text("The guidance scale that the model is told; 1 is none");
        reveal(ui, Control::Guidance, &dragged);
        if let (true, Ok(told)) = (dragged.changed(), Guidance::try_from(scale)) {
            settings.guidance = told;
        }
    }
}

fn size_ui(ui: &mut Ui, size: &mut Option<WorkingSize>, side: usize, multiple: usize) {
    let mut square = matches!(size, Some(WorkingSize::Exact { .. }));
    let mut side = side;
    let drag = DragValue::new(&mut side)
        .prefix("size ")
        .suffix(" px")
        .range(multiple..=MAX_SIDE)
        .clamp_existing_to_range(false)
        .speed(multiple as f64 / 8.0);
    let changed = ui.add(drag).on_hover_text(format!(
        "Short side of the picture the model sees; a multiple of {multiple}"
    ));
    reveal(ui, Control::Size, &changed);
    let checked = ui
        .checkbox(&mut square, "square")
        .on_hover_text("A square, as in the papers; without it the aspect ratio is kept");
    // What a file says stays as it is until somebody changes it.
    if !(changed.changed() || checked.changed()) {
        return;
    }
    let side = (side + multiple / 2) / multiple * multiple;
    *size = Some(match square {
        true => WorkingSize::Exact {
            width: side,
            height: side,
        },
        false => WorkingSize::ShortSide(side),
    });
}

/// Where the latent that is looked at comes from.
fn latent_ui(ui: &mut Ui, info: &ModelInfo, settings: &mut RunSettings) {
    if info.has_autoencoder {
        let mut sample = settings.latent == LatentMode::Sample;
        ui.checkbox(&mut sample, "sample the latent")
            .on_hover_text("Off: the posterior's mean, the same map every time. On: a sample of it, as the papers do");
        settings.latent = if sample { LatentMode::Sample } else { LatentMode::Mean };
    }
    let mut inverts = settings.inversion == Inversion::Ddim;
    let checked = ui.checkbox(&mut inverts, "DDIM inversion").on_hover_text(
        "Off: the picture mixed with random noise. On: the picture carried to t by the model's own predictions, which \
         takes t / 10 passes before the one that is looked at",
    );
    reveal(ui, Control::Inversion, &checked);
    settings.inversion = if inverts { Inversion::Ddim } else { Inversion::None };
}

/// The run itself: always in sight.
pub fn run_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    if state.model.info.is_none() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if state.run.running.is_some() {
            let tooltip = Action::Cancel.tooltip(ui.ctx());
            if ui.button("Cancel").on_hover_text(tooltip).clicked() {
                commands.push(Command::Act(Action::Cancel));
            }
            ui.weak("running");
            return;
        }
        let wanted = state.needs_run();
        let text = RichText::new("Run");
        let text = if wanted { text.strong() } else { text };
        let tooltip = Action::Run.tooltip(ui.ctx());
        let button = ui.add_enabled(wanted, Button::new(text)).on_hover_text(&tooltip);
        if button.on_disabled_hover_text(&tooltip).clicked() {
            commands.push(Command::Act(Action::Run));
        }
        let waits = wanted && !state.run_is_cheap();
        match state.expected_secs() {
            Some(seconds) if waits => ui.weak(format!("about {seconds:.0} s")),
            _ if waits => ui.weak("this takes a while: it starts when you ask"),
            _ => ui.weak(if wanted { "" } else { "up to date" }),
        };
    });
    work_errors_ui(ui, state, commands);
}
