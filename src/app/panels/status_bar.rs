//! The status bar: values under the pointer, matches, provenance.

use egui::{Align, Label, Layout, RichText, Ui, vec2};

use crate::{
    app::{
        document::places::representative,
        state::{currency::Currency, root::State, shown::file_name, slots::PointAt},
        update::action::Action,
        widgets::currency_ui,
    },
    engine::ChannelQuery,
    extract::inversion::Inversion,
};

/// The share of the line that says what is shown; the rest says what is under the pointer.
const SHARE_OF_STATE: f32 = 0.56;

/// One line: what is shown, whether it is what is set and how to make it so; and what is under the pointer.
pub fn status_ui(ui: &mut Ui, state: &State) {
    let pinned = state.query_at().and_then(|(slot, at)| {
        Some(PointAt {
            slot,
            at: representative(&at)?,
        })
    });
    let width = ui.available_width();
    let height = ui.spacing().interact_size.y;
    ui.horizontal(|ui| {
        let currency = state.currency();
        let left = vec2(SHARE_OF_STATE * width, height);
        ui.allocate_ui_with_layout(left, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_size(left);
            let words = state_text(state, &currency, &Action::Run.key_text(ui.ctx()));
            let line = currency_ui(ui, &currency, &words);
            line.on_hover_text(provenance_text(state));
        });
        let words = match state.hover.or(pinned) {
            Some(point) => [point_text(state, point), best_text(state)].join("  → "),
            None if state.presentation => Action::Presentation.tooltip(ui.ctx()),
            None if state.open_slots().next().is_some() => "Point at a picture: what is similar lights up".to_owned(),
            None => "Drop a picture here, or open one above".to_owned(),
        };
        let right = vec2(ui.available_width(), height);
        ui.allocate_ui_with_layout(right, Layout::right_to_left(Align::Center), |ui| {
            let words = words.trim_end_matches("  → ");
            let label = Label::new(RichText::new(words).monospace()).truncate();
            ui.add(label).on_hover_text(words);
        });
    });
}

/// `outdated: size changed · Run Enter ~5 s · b11 · t 100 …`
fn state_text(state: &State, currency: &Currency, key: &str) -> String {
    let shown = provenance_text(state);
    match currency {
        Currency::Empty => shown,
        Currency::Outdated(why) => {
            let secs = state
                .expected_secs()
                .map_or(String::new(), |secs| format!(" ~{secs:.0} s"));
            format!("outdated: {why} · Run {key}{secs} · {shown}")
        }
        Currency::Running => match state.run.running.or(state.model.loading) {
            Some(done) => format!("running {:.0} % · {shown}", 100.0 * done),
            None => format!("running · {shown}"),
        },
        Currency::Current | Currency::Failed => format!("{} · {shown}", currency.word()),
    }
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
        format!(" · {:.2} s", ran.seconds)
    };
    let mut added = String::new();
    if settings.inversion == Inversion::Ddim {
        added += " · DDIM inversion, no random noise";
    }
    for lora in &ran.adapters.loras {
        added += &format!(" · {}: {}", file_name(&lora.file), lora.describe());
    }
    for control in &ran.adapters.controls {
        added += &format!(
            " · ControlNet {} × {}",
            file_name(&control.net),
            f64::from(control.scale)
        );
    }
    for embedding in ran.adapters.embeddings.iter().filter(|embedding| embedding.in_prompt) {
        added += &format!(" · embedding {} ({})", file_name(&embedding.file), embedding.token);
    }
    for note in &ran.notes {
        added += &format!(" · {note}");
    }
    let noised = ran.mixture.map_or(String::new(), |mixture| {
        format!(
            " · t {} ran · noise {:.1} % · seed {} · ensemble {}",
            mixture.t_ran,
            100.0 * mixture.noise_fraction,
            settings.seed,
            settings.ensemble
        )
    });
    format!(
        "{layer}{noised} · {} px · {} on {}{added} · {model} ({}){took} · {:.0} MiB kept",
        capture.framing.working,
        ran.dtype,
        ran.device,
        ran.weights,
        capture.kept_bytes as f64 / MIB,
    )
}
