//! The CKA matrix: activations, timesteps or models compared with each other.

use std::path::Path;

use egui::{ComboBox, Id, ProgressBar, ScrollArea, Ui, vec2};
use egui_tiles::TileId;

use super::{
    controls::{form_ui, grids_ui, inside_ui, progress_ui, times_ui},
    matrix::matrix_ui,
};
use crate::{
    app::{
        document::{
            choices::{CkaBetween, CkaRows, LayerChoice},
            compare::{CompareChoice, CompareSide, PassChoice},
            limits::ROW_CHOICES,
            pane::{Pane, PaneKind},
        },
        export::{
            captions::matrix_caption,
            content::Content,
            styles::{matrix_style, range_up_to},
            tables::matrix_content,
        },
        state::{comparing::Matrix, root::State},
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::{action_button_ui, colour_bar_ui, name_combo},
    },
    engine::{CkaItem, ComparisonKind},
    error::Result,
};

/// A matrix is painted at least so large, in points.
const LEAST_SIDE: f32 = 120.0;
/// Height that is left for what is below a matrix, in points.
const BELOW: f32 = 64.0;
/// Cells are at most so large, in points.
const LARGEST_CELL: f32 = 64.0;

/// Activations, timesteps or models compared with each other.
pub struct CkaPane;

impl PaneView for CkaPane {
    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| cka_ui(ui, tile, context));
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        matrix_content(state, path)
    }
}

/// The whole pane.
fn cka_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    choices_ui(ui, state, context.commands);
    progress_ui(ui, state, ComparisonKind::Cka, context.commands);
    let Some(matrix) = &state.comparing.matrix else { return };
    let count = matrix.names[0].len();
    if matrix.done.is_none() && matrix.rows_done < count {
        let share = matrix.rows_done as f32 / count.max(1) as f32;
        ui.add(ProgressBar::new(share).text(format!("{} of {count} rows", matrix.rows_done)));
    }
    ui.weak(matrix_caption(state, matrix));
    let Some(scores) = &matrix.scores else { return };
    let room = ui.available_size() - theme::AROUND_WIDE_CONTENTS.sum() - vec2(0.0, BELOW);
    let [rows, columns] = [&matrix.names[0], &matrix.names[1]].map(|names| names.len() as f32);
    let cell = (room.x / columns).min(room.y / rows).min(LARGEST_CELL);
    let cell = cell.max(LEAST_SIDE / rows.max(columns));
    let area = ScrollArea::both().id_salt(tile).auto_shrink(false);
    area.content_margin(theme::AROUND_WIDE_CONTENTS).show(ui, |ui| {
        let style = matrix_style(state.document.display.map, range_up_to(scores, 1.0));
        let id = Id::unique(("cka", tile));
        let size = vec2(cell * columns, cell * rows);
        let painter = &context.textures.painter;
        let (response, at) = matrix_ui(ui, "Cells of the CKA matrix", id, scores, &style, size, painter);
        ui.horizontal(|ui| {
            ui.set_max_width(size.x.max(LEAST_SIDE));
            colour_bar_ui(ui, &style);
        });
        let Some([row, column]) = at else {
            ui.weak(
                "Rows go down, columns to the right, both in the order of the network. Click a cell to look at both.",
            );
            return;
        };
        let text = cell_text(matrix, row, column);
        ui.label(&text);
        if response.on_hover_text_at_pointer(text).clicked() {
            look_at(matrix, row, column, state, context.commands);
        }
    });
}

fn choices_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
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
        ui.separator();
        if choice.between == CkaBetween::Times {
            times_ui(ui, "Timesteps of the matrix", &mut choice.times, state.last_t());
        } else {
            layers_ui(ui, &mut choice.layers);
        }
        rows_ui(ui, state, &mut choice.rows);
        if choice.rows != CkaRows::Pictures {
            let chosen = ComboBox::from_id_salt("most rows")
                .selected_text(format!("at most {} positions", choice.most_rows))
                .show_ui(ui, |ui| {
                    for most in ROW_CHOICES {
                        ui.selectable_value(&mut choice.most_rows, most, format!("at most {most} positions"));
                    }
                });
            name_combo(&chosen.response, "Most positions", &choice.most_rows.to_string());
            grids_ui(ui, &mut choice.grids);
        }
        ui.separator();
        form_ui(ui, &mut choice.form);
        action_button_ui(ui, state, Action::SavePane(PaneKind::Cka), commands);
    });
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
    let chosen = ComboBox::from_id_salt("layers compared")
        .selected_text(name(*layers))
        .show_ui(ui, |ui| {
            for other in [LayerChoice::BlockOutputs, LayerChoice::Features, LayerChoice::Found] {
                ui.selectable_value(layers, other, name(other));
            }
        });
    name_combo(&chosen.response, "Activations compared", name(*layers));
}

fn rows_ui(ui: &mut Ui, state: &State, rows: &mut CkaRows) {
    let name = |rows: CkaRows| match rows {
        CkaRows::Positions => format!("over positions of {}", state.focused_slot().name()),
        CkaRows::AllPositions => "over positions of all pictures".to_owned(),
        CkaRows::Pictures => "over pictures (pooled)".to_owned(),
    };
    let chosen = ComboBox::from_id_salt("rows compared")
        .selected_text(name(*rows))
        .show_ui(ui, |ui| {
            for other in [CkaRows::Positions, CkaRows::AllPositions, CkaRows::Pictures] {
                ui.selectable_value(rows, other, name(other));
            }
        });
    name_combo(&chosen.response, "Compared over", &name(*rows));
}

fn cell_text(matrix: &Matrix, row: usize, column: usize) -> String {
    let name = |side: usize, index: usize| matrix.names[side].get(index).map_or("", String::as_str);
    let value = matrix
        .value(row, column)
        .map_or_else(|| "not defined".to_owned(), |value| format!("{value:.4}"));
    let columns = matrix.query.columns.as_ref().unwrap_or(&matrix.query.rows);
    let of_cell = [matrix.query.rows.get(row), columns.get(column)];
    let not_finite = matrix.done.iter().flat_map(|done| &done.not_finite);
    let why = not_finite
        .filter(|found| {
            let is_of = |item: &&CkaItem| item.id == found.id && item.passes.contains(&found.pass);
            of_cell.iter().flatten().any(is_of)
        })
        .map(|found| format!(", {} is not finite: {}", found.id, found.numbers))
        .next();
    format!(
        "{} · {}: {value}{}",
        name(0, row),
        name(1, column),
        why.unwrap_or_default()
    )
}

/// Shows both: layers as what is looked at and what was looked at before, which a key holds; timesteps and models side by side
/// in the pane that compares.
fn look_at(matrix: &Matrix, row: usize, column: usize, state: &State, commands: &mut Vec<Command>) {
    let columns = matrix.query.columns.as_ref().unwrap_or(&matrix.query.rows);
    let (Some(of_row), Some(of_column)) = (matrix.query.rows.get(row), columns.get(column)) else {
        return;
    };
    match matrix.between {
        CkaBetween::Layers => {
            commands.push(Command::SelectLayer(of_column.id));
            commands.push(Command::SelectLayer(of_row.id));
            return;
        }
        CkaBetween::Models => commands.push(Command::SelectLayer(of_row.id)),
        CkaBetween::Times => {
            let ran = matrix.ran[0].iter().find(|ran| of_row.passes.contains(&ran.pass));
            if let Some(t) = ran.and_then(|ran| ran.ran.t_ran()) {
                let mut settings = state.document.settings.clone();
                settings.t = t;
                commands.push(Command::Settings(settings));
            }
        }
    }
    if let (Some(a), Some(b)) = (side_of(state, of_row), side_of(state, of_column)) {
        commands.push(Command::Compare(CompareChoice {
            sides: [a, b],
            ..state.document.compare.clone()
        }));
        if !state.compares() {
            let pane = Pane::new(PaneKind::Compare, state.focused_slot());
            commands.push(Command::AddPane(pane));
        }
    }
}

/// A row or column as a side of a comparison: of the picture worked with, where it is among them.
fn side_of(state: &State, of: &CkaItem) -> Option<CompareSide> {
    let kept = || of.passes.iter().filter_map(|pass| state.passes.get(*pass));
    let of_focused = kept().find(|kept| kept.slot == state.focused_slot());
    let kept = of_focused.or_else(|| kept().next())?;
    Some(CompareSide {
        pass: PassChoice::Kept(Box::new(kept.reference())),
        layer: Some(of.id),
    })
}
