//! What a CKA matrix compares: its inspector.

use egui::{ComboBox, Ui};

use super::controls::{advanced_ui, form_ui, grids_ui, times_ui};
use crate::app::{
    document::{
        choices::{CkaBetween, CkaRows, LayerChoice},
        limits::ROW_CHOICES,
        pane::PaneKind,
    },
    state::root::State,
    update::{action::Action, command::Command},
    widgets::{action_button_ui, name_combo, row_ui},
};

/// Everything that can be chosen.
pub fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.cka.clone();
    ui.horizontal_wrapped(|ui| {
        for (between, name, hint) in [
            (CkaBetween::Layers, "layers", "Activations with each other"),
            (
                CkaBetween::Times,
                "timesteps",
                "The layer worked with at several timesteps",
            ),
            (
                CkaBetween::Models,
                "models",
                "Activations of this model with those of the one loaded before it",
            ),
        ] {
            ui.radio_value(&mut choice.between, between, name).on_hover_text(hint);
        }
    });
    if choice.between == CkaBetween::Times {
        times_ui(ui, "Timesteps of the matrix", &mut choice.times, state.last_t());
    } else {
        layers_ui(ui, &mut choice.layers);
    }
    rows_ui(ui, state, &mut choice.rows);
    advanced_ui(ui, |ui| {
        form_ui(ui, &mut choice.form);
        if choice.rows != CkaRows::Pictures {
            grids_ui(ui, &mut choice.grids);
            row_ui(ui, "positions", |ui| {
                let text = |most: usize| format!("at most {most}");
                let chosen = ComboBox::from_id_salt("most rows")
                    .selected_text(text(choice.most_rows))
                    .show_ui(ui, |ui| {
                        for most in ROW_CHOICES {
                            ui.selectable_value(&mut choice.most_rows, most, text(most));
                        }
                    });
                name_combo(&chosen.response, "Most positions", &choice.most_rows.to_string());
            });
        }
    });
    action_button_ui(ui, state, Action::SavePane(PaneKind::Cka), commands);
    if choice != state.document.cka {
        commands.push(Command::Cka(choice));
    }
}

fn layers_ui(ui: &mut Ui, layers: &mut LayerChoice) {
    let name = |layers: LayerChoice| match layers {
        LayerChoice::BlockOutputs => "block outputs",
        LayerChoice::Features => "all features",
        LayerChoice::Found => "found by the search",
    };
    row_ui(ui, "activations", |ui| {
        let chosen = ComboBox::from_id_salt("layers compared")
            .selected_text(name(*layers))
            .show_ui(ui, |ui| {
                for other in [LayerChoice::BlockOutputs, LayerChoice::Features, LayerChoice::Found] {
                    ui.selectable_value(layers, other, name(other));
                }
            });
        name_combo(&chosen.response, "Activations compared", name(*layers));
    });
}

fn rows_ui(ui: &mut Ui, state: &State, rows: &mut CkaRows) {
    let name = |rows: CkaRows| match rows {
        CkaRows::Positions => format!("positions of {}", state.focused_slot().name()),
        CkaRows::AllPositions => "positions of all pictures".to_owned(),
        CkaRows::Pictures => "pictures (pooled)".to_owned(),
    };
    row_ui(ui, "over", |ui| {
        let chosen = ComboBox::from_id_salt("rows compared")
            .selected_text(name(*rows))
            .show_ui(ui, |ui| {
                for other in [CkaRows::Positions, CkaRows::AllPositions, CkaRows::Pictures] {
                    ui.selectable_value(rows, other, name(other));
                }
            });
        name_combo(&chosen.response, "Compared over", &name(*rows));
    });
}
