//! What a pass runs with, and the pass itself.

use egui::{
    Button, DragValue, Label, Rangef, RichText, Slider, SliderClamping, Ui, WidgetInfo, WidgetText, accesskit::Role,
    vec2,
};

use super::{adapters::conditions_ui, devices::devices_ui};
use crate::{
    app::{
        document::limits::{MAX_ENSEMBLE, MAX_SIDE, t_decimals, t_set_by_hand},
        state::root::State,
        update::{action::Action, command::Command},
        widgets::{advanced_ui, number_ui, row_ui, section_ui},
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
/// Width of the timestep's slider, in points.
const TIMESTEP_SLIDER: f32 = 110.0;
/// Width of the button that runs, in points.
const RUN_WIDTH: f32 = 96.0;

/// What the model is told and what is put on it, and what a pass runs with.
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
    let mut settings = state.document.settings.clone();
    if info.reads_prompt || info.classes.is_some() {
        section_ui(ui, "Conditioning", |ui| {
            if info.reads_prompt {
                conditions_ui(ui, state, &mut settings, commands);
            }
            if let Some(classes) = &info.classes {
                class_ui(ui, classes, &mut settings.class);
            }
        });
    }
    section_ui(ui, "Run", |ui| {
        if info.is_denoiser() {
            noise_ui(ui, state, info, &mut settings);
        }
        let (side, multiple) = (state.working_side(), info.size_rule.multiple());
        row_ui(ui, "Size", |ui| size_ui(ui, &mut settings.size, side, multiple));
        if info.is_denoiser() {
            advanced_ui(ui, "run", |ui| {
                ui.horizontal_wrapped(|ui| flow_ui(ui, info, &mut settings));
                ui.horizontal_wrapped(|ui| latent_ui(ui, info, &mut settings));
            });
        }
    });
    if settings != state.document.settings {
        commands.push(Command::Settings(settings));
    }
}

/// The class that the network is told.
fn class_ui(ui: &mut Ui, classes: &Classes, class: &mut Option<u32>) {
    ui.horizontal_wrapped(|ui| {
        let mut tells = class.is_some();
        let checked = ui
            .checkbox(&mut tells, "class")
            .on_hover_text("Off: the network is told no class. On: it is told the one of this number");
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

/// The timestep, for models that have one.
pub fn timestep_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(info) = state.model.info.as_ref().filter(|info| info.is_denoiser()) else {
        return;
    };
    let settings = &state.document.settings;
    let last = info.mixtures.len().saturating_sub(1) as f64;
    let keys = [Action::EarlierTimestep, Action::LaterTimestep].map(|action| action.key_text(ui.ctx()));
    let what = if runs_as_asked(settings) {
        "The timestep that runs"
    } else {
        "The nominal timestep: another one may run"
    };
    let name = ui.label("timestep");
    let mut t = settings.t.value();
    ui.spacing_mut().slider_width = TIMESTEP_SLIDER;
    let slider = Slider::new(&mut t, 0.0..=last)
        .max_decimals(t_decimals(info.flows))
        // What a file says is shown as it is.
        .clamping(SliderClamping::Edits);
    let slider = ui.add(slider).labelled_by(name.id).on_hover_text(format!(
        "{what}  ({} and {})\n{}",
        keys[0],
        keys[1],
        mixture_text(state, info)
    ));
    if let (true, Some(t)) = (slider.changed(), t_set_by_hand(t, info.flows)) {
        commands.push(Command::Settings(RunSettings { t, ..settings.clone() }));
    }
}

/// Whether the timestep that is set is the one that runs.
fn runs_as_asked(settings: &RunSettings) -> bool {
    !settings.nominal_t && settings.compat.is_none()
}

/// How much noise the timestep that is set means.
fn running(state: &State, info: &ModelInfo) -> Option<MixtureRan> {
    let settings = &state.document.settings;
    if runs_as_asked(settings) {
        let mixture = info.mixture(settings.t)?;
        return Some(MixtureRan::new(settings.t, mixture));
    }
    // The size that runs decides: it is known of what ran.
    ran_with(state, settings)
}

fn mixture_text(state: &State, info: &ModelInfo) -> String {
    match running(state, info) {
        Some(ran) => noise_text(&ran, info.flows),
        None => "Which t and how much noise that is, is known when it has run.".to_owned(),
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

/// How much noise is added, which, and how often.
fn noise_ui(ui: &mut Ui, state: &State, info: &ModelInfo, settings: &mut RunSettings) {
    let noise = ui.add(Label::new(RichText::new(mixture_text(state, info)).weak()).truncate());
    if let Some(ran) = running(state, info) {
        noise.on_hover_text(noise_hint(&ran));
    }
    number_ui(ui, "Seed", |ui| {
        ui.add(DragValue::new(&mut settings.seed).speed(0.1))
            .on_hover_text("The numbers of PyTorch's CPU generator")
    });
    number_ui(ui, "Ensemble size", |ui| {
        let ensemble = DragValue::new(&mut settings.ensemble)
            .range(1..=MAX_ENSEMBLE)
            .speed(0.1);
        ui.add(ensemble).on_hover_text("Noises whose features are averaged")
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
        if let (true, Ok(told)) = (dragged.changed(), Guidance::try_from(scale)) {
            settings.guidance = told;
        }
    }
}

fn size_ui(ui: &mut Ui, size: &mut Option<WorkingSize>, side: usize, multiple: usize) {
    let mut square = matches!(size, Some(WorkingSize::Exact { .. }));
    let mut side = side;
    let drag = DragValue::new(&mut side)
        .suffix(" px")
        .range(multiple..=MAX_SIDE)
        .clamp_existing_to_range(false)
        .speed(multiple as f64 / 8.0);
    let changed = ui.add(drag).on_hover_text(format!(
        "Short side of the picture the model sees; a multiple of {multiple}"
    ));
    changed.widget_info(|| WidgetInfo {
        label: Some("Size".to_owned()),
        ..WidgetInfo::drag_value(true, side as f64)
    });
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
    ui.checkbox(&mut inverts, "DDIM inversion").on_hover_text(
        "Off: the picture mixed with random noise. On: the picture carried to t by the model's own predictions, which \
         takes t / 10 passes before the one that is looked at",
    );
    settings.inversion = if inverts { Inversion::Ddim } else { Inversion::None };
}

/// The run itself: always in sight, and always in the same place.
pub fn run_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    if state.model.info.is_none() {
        return;
    }
    if state.run.running.is_some() {
        let tooltip = Action::Cancel.tooltip(ui.ctx());
        if ui.add(sized("Cancel")).on_hover_text(tooltip).clicked() {
            commands.push(Command::Act(Action::Cancel));
        }
        return;
    }
    let wanted = state.needs_run();
    let waits = wanted && !state.run_is_cheap();
    let key = Action::Run.key_text(ui.ctx());
    let text = match state.expected_secs() {
        Some(seconds) if waits => format!("Run  {key}  ~{seconds:.0} s"),
        _ => format!("Run  {key}"),
    };
    let text = RichText::new(text);
    let text = if wanted { text.strong() } else { text };
    let tooltip = match waits {
        true => "What is set takes a while: it starts when you ask".to_owned(),
        false => Action::Run.tooltip(ui.ctx()),
    };
    let button = ui.add_enabled(wanted, sized(text)).on_hover_text(&tooltip);
    button.widget_info(|| WidgetInfo::labeled(Role::Button, wanted, "Run"));
    if button.on_disabled_hover_text(&tooltip).clicked() {
        commands.push(Command::Act(Action::Run));
    }
}

/// A button that is as wide whatever it says.
fn sized<'a>(text: impl Into<WidgetText>) -> Button<'a> {
    Button::new(text.into()).min_size(vec2(RUN_WIDTH, 0.0))
}
