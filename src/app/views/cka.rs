//! The CKA matrix: activations, timesteps or models compared with each other.

use std::{collections::HashMap, path::Path, sync::Arc};

use egui::{
    Align2, Color32, FontId, Galley, Id, Label, Painter, ProgressBar, Rect, RichText, ScrollArea, Sense, Stroke,
    StrokeKind, Ui, UiBuilder, Vec2,
    epaint::TextShape,
    pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};
use egui_tiles::TileId;

use super::{
    cka_settings::settings_ui,
    controls::{inside_ui, progress_ui, provenance_ui},
    matrix::matrix_at,
    sheet_figures::short_name,
};
use crate::{
    activation::{self, Stage},
    app::{
        document::{
            choices::CkaBetween,
            compare::{CompareChoice, CompareSide, PassChoice},
            pane::{Pane, PaneKind},
        },
        export::{
            captions::matrix_caption,
            content::Content,
            styles::{matrix_style, range_up_to},
            tables::matrix_content,
        },
        gpu::textures::Textures,
        state::{comparing::Matrix, root::State},
        theme,
        update::{
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::{cell_numbers, colour_bar_ui},
    },
    engine::{CkaItem, ComparisonKind},
    error::Result,
};

/// A matrix is painted at least so large, in points.
const LEAST_SIDE: f32 = 120.0;
/// Height that is left for the colours below a matrix, in points.
const BELOW: f32 = 34.0;
/// Cells are at most so large, in points.
const LARGEST_CELL: f32 = 72.0;
/// The longest name of a row or a column, in points; longer ones are cut.
const LONGEST_NAME: f32 = 170.0;
/// Height of a name, in points: where cells are lower, only some have theirs.
const NAME_HEIGHT: f32 = 15.0;
/// Between names and cells, where brackets hold the stages, in points.
const BRACKET: f32 = 10.0;
/// Room for the names of the stages at the right and below, in points.
const STAGE_NAMES: [f32; 2] = [58.0, 20.0];
/// Width of the bar of colours, in points.
const LEAST_BAR: f32 = 160.0;
/// All of a map.
const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// Activations, timesteps or models compared with each other.
pub struct CkaPane;

impl PaneView for CkaPane {
    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| cka_ui(ui, tile, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        matrix_content(state, path)
    }
}

/// The whole pane.
fn cka_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    progress_ui(ui, state, ComparisonKind::Cka, context.commands);
    let Some(matrix) = &state.comparing.matrix else { return };
    let count = matrix.names[0].len();
    if matrix.done.is_none() && matrix.rows_done < count {
        let share = matrix.rows_done as f32 / count.max(1) as f32;
        ui.add(ProgressBar::new(share).text(format!("{} of {count} rows", matrix.rows_done)));
    }
    provenance_ui(ui, &matrix_caption(state, matrix));
    // The value under the pointer has a line of its own, whether there is one or not.
    let value = ui
        .allocate_exact_size(vec2(ui.available_width(), NAME_HEIGHT), Sense::hover())
        .0;
    let Some(scores) = &matrix.scores else { return };
    let area = ScrollArea::both().id_salt(tile).auto_shrink(false);
    let at = area
        .content_margin(theme::AROUND_WIDE_CONTENTS)
        .show(ui, |ui| {
            let style = matrix_style(state.document.display.map, range_up_to(scores, 1.0));
            let frame = Frame::new(ui, matrix, state);
            let (whole, _) = ui.allocate_exact_size(frame.size(), Sense::hover());
            let cells = frame.cells(whole);
            let id = Id::unique(("cka", tile));
            let painter = &context.textures.painter;
            let (response, at) = matrix_at(ui, "Cells of the CKA matrix", id, scores, &style, cells, painter);
            cell_numbers(ui.painter(), cells, WHOLE, scores, &style);
            frame.paint(ui, cells, at);
            let size = vec2(cells.width().max(LEAST_BAR), BELOW - theme::SPACE_S);
            let bar = Rect::from_min_size(pos2(cells.left(), whole.bottom() + theme::SPACE_S), size);
            let builder = UiBuilder::new().max_rect(bar).id_salt("bar");
            ui.scope_builder(builder, |ui| colour_bar_ui(ui, &style));
            if let (Some([row, column]), true) = (at, response.clicked()) {
                look_at(matrix, row, column, state, context.commands);
            }
            at
        })
        .inner;
    let tokens = theme::tokens(ui);
    let (words, colour) = match at {
        Some([row, column]) => (cell_text(matrix, row, column), tokens.text_strong),
        None => (
            "Rows go down, columns to the right, both in the order of the network. Click a cell to look at both."
                .to_owned(),
            tokens.text_weak,
        ),
    };
    let label = Label::new(RichText::new(words).color(colour)).truncate();
    ui.scope_builder(UiBuilder::new().max_rect(value).id_salt("value"), |ui| ui.add(label));
}

/// A matrix with names and stages around it.
struct Frame<'a> {
    matrix: &'a Matrix,
    /// Side of a cell, in points.
    cell: f32,
    /// Width of the names of rows and of columns, in points.
    names: [f32; 2],
    /// From which row or column to which each stage goes, of rows and of columns.
    stages: [Vec<(Stage, [usize; 2])>; 2],
}

impl<'a> Frame<'a> {
    /// As large as there is room for.
    fn new(ui: &Ui, matrix: &'a Matrix, state: &State) -> Self {
        let [rows, columns] = [0, 1].map(|side| matrix.names[side].len().max(1) as f32);
        let names = [0, 1].map(|side| {
            let widths = matrix.names[side]
                .iter()
                .map(|name| galley(ui.painter(), name).size().x);
            widths.fold(0.0, f32::max).min(LONGEST_NAME) + theme::SPACE_S
        });
        let around = vec2(
            names[0] + BRACKET + STAGE_NAMES[0],
            names[1] + BRACKET + STAGE_NAMES[1] + BELOW,
        );
        let room = ui.available_size() - around - theme::AROUND_WIDE_CONTENTS.sum();
        let cell = (room.x / columns).min(room.y / rows).min(LARGEST_CELL);
        Self {
            matrix,
            cell: cell.max(LEAST_SIDE / rows.max(columns)),
            names,
            stages: stages(matrix, state),
        }
    }

    /// Everything but the colours below.
    fn size(&self) -> Vec2 {
        let cells = self.cells_size();
        vec2(
            self.names[0] + BRACKET + cells.x + STAGE_NAMES[0],
            self.names[1] + BRACKET + cells.y + STAGE_NAMES[1],
        )
    }

    fn cells_size(&self) -> Vec2 {
        let [rows, columns] = [0, 1].map(|side| self.matrix.names[side].len() as f32);
        self.cell * vec2(columns, rows)
    }

    /// The cells, in the place of everything.
    fn cells(&self, whole: Rect) -> Rect {
        let corner = whole.min + vec2(self.names[0] + BRACKET, self.names[1] + BRACKET);
        Rect::from_min_size(corner, self.cells_size())
    }

    /// Names, stages, and the diagonal; those of the cell under the pointer stand out.
    fn paint(&self, ui: &Ui, cells: Rect, at: Option<[usize; 2]>) {
        let tokens = theme::tokens(ui);
        let painter = ui.painter();
        for (side, names) in self.matrix.names.iter().enumerate() {
            let step = (NAME_HEIGHT / self.cell).ceil().max(1.0) as usize;
            let pointed = at.map(|at| at[side]);
            for (place, name) in names.iter().enumerate() {
                // Where names are thinned, the one under the pointer takes the place of its neighbours.
                let is_pointed = pointed == Some(place);
                let covered = pointed.is_some_and(|pointed| pointed.abs_diff(place) < step);
                if !is_pointed && (!place.is_multiple_of(step) || covered) {
                    continue;
                }
                let colour = if is_pointed {
                    tokens.text_strong
                } else {
                    tokens.text_weak
                };
                let galley = galley(painter, name);
                let middle = (place as f32 + 0.5) * self.cell;
                let half = galley.size().y / 2.0;
                if side == 0 {
                    let left = cells.left() - BRACKET - galley.size().x;
                    painter.galley(pos2(left, cells.top() + middle - half), galley, colour);
                } else {
                    // From the cells upwards.
                    let bottom = pos2(cells.left() + middle - half, cells.top() - BRACKET);
                    let text = TextShape::new(bottom, galley, colour).with_angle(-std::f32::consts::FRAC_PI_2);
                    painter.add(text);
                }
            }
        }
        self.paint_stages(painter, cells, tokens);
        let names_agree = self.matrix.names[0] == self.matrix.names[1];
        if names_agree {
            let stroke = Stroke::new(theme::STROKE_HAIR, tokens.text_strong);
            let hair = theme::STROKE_HAIR;
            for place in 0..self.matrix.names[0].len() {
                let corner = cells.min + self.cell * vec2(place as f32, place as f32);
                let own = Rect::from_min_size(corner, vec2(self.cell, self.cell));
                if own.width() > 4.0 * hair {
                    painter.rect_stroke(own, 0.0, stroke, StrokeKind::Inside);
                }
            }
        }
    }

    /// A bracket with its name for every stage, and lines between them.
    fn paint_stages(&self, painter: &Painter, cells: Rect, tokens: &theme::Tokens) {
        let bracket = Stroke::new(theme::STROKE_MARK, tokens.text_weak);
        let line = Stroke::new(theme::STROKE_HAIR, tokens.halo);
        let font = FontId::proportional(theme::FONT_SMALL);
        for (side, stages) in self.stages.iter().enumerate() {
            for (number, (stage, [from, to])) in stages.iter().enumerate() {
                let [from, to] = [*from, *to].map(|place| place as f32 * self.cell);
                let inset = theme::SPACE_XS;
                let name = |at, align: Align2| painter.text(at, align, stage.name(), font.clone(), tokens.text_weak);
                if side == 0 {
                    let (top, bottom) = (cells.top() + from, cells.top() + to);
                    for x in [cells.left() - BRACKET / 2.0, cells.right() + BRACKET / 2.0] {
                        painter.vline(x, top + inset..=bottom - inset, bracket);
                    }
                    if number > 0 {
                        painter.hline(cells.x_range(), top, line);
                    }
                    if to - from >= NAME_HEIGHT {
                        let at = pos2(cells.right() + BRACKET, (top + bottom) / 2.0);
                        name(at, Align2::LEFT_CENTER);
                    }
                } else {
                    let (left, right) = (cells.left() + from, cells.left() + to);
                    for y in [cells.top() - BRACKET / 2.0, cells.bottom() + BRACKET / 2.0] {
                        painter.hline(left + inset..=right - inset, y, bracket);
                    }
                    if number > 0 {
                        painter.vline(left, cells.y_range(), line);
                    }
                    let width = painter
                        .layout_no_wrap(stage.name().to_owned(), font.clone(), tokens.text_weak)
                        .size()
                        .x;
                    if to - from >= width {
                        let at = pos2((left + right) / 2.0, cells.bottom() + BRACKET);
                        name(at, Align2::CENTER_TOP);
                    }
                }
            }
        }
    }
}

/// A name as it stands beside the matrix.
fn galley(painter: &Painter, name: &str) -> Arc<Galley> {
    // The colour comes where it is painted.
    let colour = Color32::PLACEHOLDER;
    let font = FontId::proportional(theme::FONT_SMALL);
    let mut job = LayoutJob::simple_singleline(short_name(name), font, colour);
    job.wrap = TextWrapping::truncate_at_width(LONGEST_NAME);
    painter.layout_job(job)
}

/// Where the stages of the network begin and end among rows and columns that are activations of the loaded model.
fn stages(matrix: &Matrix, state: &State) -> [Vec<(Stage, [usize; 2])>; 2] {
    if matrix.between == CkaBetween::Times {
        return Default::default();
    }
    let layers = state.layers().iter();
    let stage_of: HashMap<activation::Id, Stage> = layers.map(|layer| (layer.id, layer.facts.stage)).collect();
    let columns = matrix.query.columns.as_ref().unwrap_or(&matrix.query.rows);
    let other_model = matrix.between == CkaBetween::Models;
    [(&matrix.query.rows, true), (columns, !other_model)].map(|(items, known)| {
        let mut spans: Vec<(Stage, [usize; 2])> = Vec::new();
        for (place, item) in items.iter().enumerate().filter(|_| known) {
            let Some(stage) = stage_of.get(&item.id) else { continue };
            match spans.last_mut() {
                Some((last, [_, to])) if last == stage && *to == place => *to = place + 1,
                _ => spans.push((*stage, [place, place + 1])),
            }
        }
        spans
    })
}

/// A row, a column, and how alike both are.
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
