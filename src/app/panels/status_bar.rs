//! The status bar: values under the pointer, matches, provenance.

use egui::{Align, Label, Layout, RichText, TextStyle, Ui, vec2};

use crate::{
    app::{
        state::{
            readout::{best_text, readout},
            root::State,
            shown::file_name,
        },
        update::command::Command,
    },
    extract::inversion::Inversion,
};

/// What is under the pointer, what is most similar to it, and what ran: always three lines, so that nothing jumps.
pub fn status_ui(ui: &mut Ui, state: &State, _commands: &mut Vec<Command>) {
    match readout(state) {
        Some(words) => {
            line_ui(ui, RichText::new(words).monospace());
            line_ui(ui, RichText::new(best_text(state)).monospace());
        }
        None => {
            let first = if state.open_slots().next().is_some() {
                "Point at a picture: what is similar lights up."
            } else {
                "Drop a picture on a pane, or open one above."
            };
            line_ui(ui, RichText::new(first).weak());
            line_ui(
                ui,
                RichText::new("Click to fix the point, Esc to follow the pointer again. ? shows all keys, Ctrl+P finds anything by name.").weak(),
            );
        }
    }
    line_ui(ui, RichText::new(provenance_text(state)).weak());
}

/// One line, as much of it as there is room for; as high for every kind of letters.
fn line_ui(ui: &mut Ui, words: RichText) {
    let size = vec2(ui.available_width(), ui.text_style_height(&TextStyle::Body));
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        ui.add(Label::new(words).truncate());
    });
}

/// Which model file, t, seed, format and device made what is shown, and how long it took.
fn provenance_text(state: &State) -> String {
    let focused = state.slot(state.focused_slot()).capture.as_ref();
    let any = || state.open_slots().find_map(|slot| state.slot(slot).capture.as_ref());
    let Some(capture) = focused.or_else(any) else {
        return state
            .model
            .info
            .as_ref()
            .map_or(String::new(), |info| format!("{} ({})", info.name, info.weights));
    };
    const MIB: f64 = (1 << 20) as f64;
    let (ran, settings) = (&capture.ran, &capture.settings);
    let model = state.model.info.as_ref().map_or("", |info| info.name.as_str());
    let head = state.head_text().map_or(String::new(), |head| format!(" ({head})"));
    let layer = state.layer().map_or(String::new(), |id| format!("{id}{head}"));
    let took = if state.timeless {
        String::new()
    } else {
        format!("  {:.2} s", ran.seconds)
    };
    let mut added = String::new();
    if settings.inversion == Inversion::Ddim {
        added += "  DDIM inversion, no random noise";
    }
    for lora in &ran.adapters.loras {
        added += &format!("  {}: {}", file_name(&lora.file), lora.describe());
    }
    for control in &ran.adapters.controls {
        added += &format!(
            "  ControlNet {} × {}",
            file_name(&control.net),
            f64::from(control.scale)
        );
    }
    for embedding in ran.adapters.embeddings.iter().filter(|embedding| embedding.in_prompt) {
        added += &format!("  embedding {} ({})", file_name(&embedding.file), embedding.token);
    }
    for note in &ran.notes {
        added += &format!("  {note}");
    }
    let noised = ran.mixture.map_or(String::new(), |mixture| {
        format!(
            "  t {} ran, noise {:.1} %  seed {}  mean of {}",
            mixture.t_ran,
            100.0 * mixture.noise_fraction,
            settings.seed,
            settings.ensemble
        )
    });
    format!(
        "{layer}  of {model} ({}){noised}  {} px  {} on {}{added}{took}  {:.0} MiB kept",
        ran.weights,
        capture.framing.working,
        ran.dtype,
        ran.device,
        capture.kept_bytes as f64 / MIB,
    )
}
