//! The status bar: values under the pointer, matches, provenance.

use egui::{Align, Label, Layout, RichText, TextStyle, Ui, vec2};

use crate::{
    app::{
        document::places::representative,
        state::{root::State, shown::file_name, slots::PointAt},
        update::command::Command,
    },
    engine::ChannelQuery,
    extract::inversion::Inversion,
};

/// What is under the pointer, what is most similar to it, and what ran: always three lines, so that nothing jumps.
pub fn status_ui(ui: &mut Ui, state: &State, _commands: &mut Vec<Command>) {
    let pinned = state.query_at().and_then(|(slot, at)| {
        Some(PointAt {
            slot,
            at: representative(&at)?,
        })
    });
    match state.hover.or(pinned) {
        Some(point) => {
            line_ui(ui, RichText::new(point_text(state, point)).monospace());
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

/// Pixel, cell, and the cosine with the query.
fn point_text(state: &State, point: PointAt) -> String {
    let [x, y] = point.at.map(|x| x.round() + 0.0);
    let mut text = format!("{} pixel ({x}, {y})", point.slot.name());
    let Some((row, column)) = state.cell_at(point) else {
        if state.shown_grid(point.slot).is_some() {
            text += "  outside of what the model sees";
        }
        return text;
    };
    text += &format!("  cell ({row}, {column})");
    if let Some(numbers) = state.not_finite(point.slot) {
        text += &format!("  not finite: {numbers}");
        return text;
    }
    let score = state
        .scores_of(point.slot)
        .filter(|_| !state.heat_is_stale())
        .and_then(|target| target.scores.get(target.grid.index(row, column)));
    if let Some(score) = score {
        let attention = state.current_heat().is_some_and(|heat| heat.attention);
        let head = state.head_text().filter(|_| attention);
        text += &match head {
            Some(head) => format!("  attention ({head}) {score:.4}"),
            None => format!("  {} {score:.4}", if attention { "attention" } else { "cosine" }),
        };
    }
    let channel = state
        .answers
        .of::<ChannelQuery>()
        .filter(|channel| Some(channel.query.id) == state.layer())
        .and_then(|channel| {
            let (_, grid, values) = channel.maps.iter().find(|(slot, ..)| *slot == point.slot)?;
            let value = values.get(grid.index(row, column))?;
            Some((channel.query.channel, value))
        });
    if let Some((channel, value)) = channel {
        text += &format!("  channel {channel} {value:.4}");
    }
    text
}

/// The best matches of every heat map that is shown.
fn best_text(state: &State) -> String {
    let shown = state.open_slots().filter_map(|slot| state.heat_on(slot));
    let targets = shown.map(|target| {
        let best = target
            .best
            .iter()
            .map(|found| format!("({}, {}) {:.3}", found.cell.0, found.cell.1, found.score));
        format!(
            "best in {}: {}",
            target.slot.name(),
            best.collect::<Vec<_>>().join("  ")
        )
    });
    targets.collect::<Vec<_>>().join("   ")
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
