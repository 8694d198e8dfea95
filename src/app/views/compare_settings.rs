//! What is compared and how it is shown: the inspector of a comparison.

use egui::{Button, ComboBox, DragValue, ScrollArea, Slider, Ui};

use crate::{
    activation::Id,
    app::{
        document::{
            compare::{CompareChoice, CompareMode, CompareSide, PassChoice},
            limits::{t_decimals, t_set_by_hand},
            pane::PaneKind,
        },
        export::styles::difference_style,
        state::{
            compare_questions::{kept_of, layer_of, pass_text},
            root::State,
        },
        update::{action::Action, command::Command},
        widgets::{BINS, Histogram, action_button_ui, bins, histogram_ui, name_combo, row_ui},
    },
    engine::ImageSlot,
};

/// Names of the sides.
pub const NAMES: [&str; 2] = ["A", "B"];

/// The sides, and what is shown of them.
pub fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.compare.clone();
    modes_ui(ui, &mut choice);
    for (name, side) in NAMES.iter().zip(&mut choice.sides) {
        side_ui(ui, state, name, side);
    }
    run_ui(ui, state, &choice, commands);
    ui.horizontal_wrapped(|ui| {
        for action in [
            Action::HoldSide,
            Action::SetCompareSide,
            Action::SwapSides,
            Action::SavePane(PaneKind::Compare),
        ] {
            action_button_ui(ui, state, action, commands);
        }
    });
    difference_ui(ui, state);
    if choice != state.document.compare {
        commands.push(Command::Compare(choice));
    }
}

/// How often each difference occurs.
fn difference_ui(ui: &mut Ui, state: &State) {
    let Some(view) = &state.compare.view else { return };
    let style = difference_style(view);
    let values = &view.difference.values;
    let histogram = Histogram {
        name: view.difference.measure.name(),
        counts: &bins(values, style.range, BINS),
        extent: style.range,
        map: style.map,
        gamma: style.gamma,
        range: None,
        threshold: None,
    };
    ui.weak(view.difference.measure.name());
    // Nothing of it can be moved.
    let _ = histogram_ui(ui, &histogram);
}

/// What is shown of both sides.
fn modes_ui(ui: &mut Ui, choice: &mut CompareChoice) {
    ui.horizontal_wrapped(|ui| {
        for (mode, name, hint) in [
            (
                CompareMode::Side,
                "side by side",
                "A, B, and how much they differ at each position",
            ),
            (
                CompareMode::Wipe,
                "wipe",
                "The colours of A left of a line that can be dragged, those of B right of it",
            ),
            (
                CompareMode::Difference,
                "difference",
                "How much A and B differ at each position",
            ),
        ] {
            ui.radio_value(&mut choice.mode, mode, name).on_hover_text(hint);
        }
    });
    if choice.mode == CompareMode::Wipe {
        row_ui(ui, "divider", |ui| {
            let slider = Slider::new(&mut choice.divider, 0.0..=1.0).show_value(false);
            ui.add(slider).on_hover_text("Where A ends and B begins");
        });
    }
}

fn side_ui(ui: &mut Ui, state: &State, name: &str, side: &mut CompareSide) {
    ui.strong(name);
    row_ui(ui, "pass", |ui| {
        let now = |slot: ImageSlot| format!("{} as it is shown", slot.name());
        let text = match (&side.pass, kept_of(state, side)) {
            (PassChoice::Shown(slot), _) => now(*slot),
            (PassChoice::Kept(_), Some(kept)) => pass_text(state, kept),
            (PassChoice::Kept(gone), None) => {
                format!("{} t {} seed {}", gone.slot.name(), gone.settings.t, gone.settings.seed)
            }
        };
        let combo = ComboBox::from_id_salt(("pass of", name))
            .width(ui.available_width())
            .truncate()
            .selected_text(text.as_str())
            .show_ui(ui, |ui| {
                for slot in state.open_slots() {
                    ui.selectable_value(&mut side.pass, PassChoice::Shown(slot), now(slot));
                }
                ui.separator();
                for kept in state.passes.iter().rev() {
                    let pass = PassChoice::Kept(Box::new(kept.reference()));
                    let text = pass_text(state, kept);
                    ui.selectable_value(&mut side.pass, pass, text);
                }
            });
        name_combo(&combo.response, &format!("Pass of {name}"), &text);
    });
    row_ui(ui, "activation", |ui| layer_ui(ui, state, name, side));
}

fn layer_ui(ui: &mut Ui, state: &State, name: &str, side: &mut CompareSide) {
    let text = |layer: Option<Id>| match layer {
        Some(id) => id.to_string(),
        None => "current layer".to_owned(),
    };
    let chosen = text(side.layer);
    let combo = ComboBox::from_id_salt(("layer of", name))
        .width(ui.available_width())
        .truncate()
        .selected_text(chosen.as_str())
        .show_ui(ui, |ui| {
            ui.selectable_value(&mut side.layer, None, text(None));
            ui.separator();
            let features = kept_of(state, side).map_or(&[][..], |kept| &kept.features);
            let row_height = ui.spacing().interact_size.y;
            let all: Vec<Id> = features.to_vec();
            ScrollArea::vertical().show_rows(ui, row_height, all.len(), |ui, rows| {
                for id in all.get(rows).unwrap_or_default() {
                    ui.selectable_value(&mut side.layer, Some(*id), id.to_string());
                }
            });
        });
    name_combo(&combo.response, &format!("Activation of {name}"), &chosen);
}

/// Another timestep or seed as B.
fn run_ui(ui: &mut Ui, state: &State, choice: &CompareChoice, commands: &mut Vec<Command>) {
    let Some(info) = state.model.info.as_ref().filter(|info| info.is_denoiser()) else {
        return;
    };
    let settings = &state.document.settings;
    let (mut t, mut seed) = state.compare.typed.unwrap_or((settings.t, settings.seed));
    ui.weak("run as B");
    ui.horizontal_wrapped(|ui| {
        let last = info.mixtures.len().saturating_sub(1) as f64;
        let mut number = t.value();
        let drag = DragValue::new(&mut number)
            .prefix("t ")
            .range(0.0..=last)
            .clamp_existing_to_range(false)
            .max_decimals(t_decimals(info.flows));
        let drag = ui.add(drag).on_hover_text("Timestep of a pass for B");
        if let (true, Some(typed)) = (drag.changed(), t_set_by_hand(number, info.flows)) {
            t = typed;
        }
        ui.add(DragValue::new(&mut seed).prefix("seed "))
            .on_hover_text("Seed of the noise of a pass for B");
        if (t, seed) != state.compare.typed.unwrap_or((settings.t, settings.seed)) {
            commands.push(Command::CompareTyped(t, seed));
        }
        let layer = layer_of(state, &choice.sides[0]).filter(|id| !id.is_map());
        let can = layer.is_some() && state.compare.asked.is_none();
        let button = ui.add_enabled(can, Button::new("Run as B"));
        let hint = "Runs A's picture with this timestep and seed, keeps its maps and shows them as B";
        if button.on_hover_text(hint).on_disabled_hover_text(hint).clicked() {
            commands.push(Command::RunAsB);
        }
    });
}
