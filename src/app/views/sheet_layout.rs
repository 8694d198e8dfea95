//! Where the thumbnails of a survey lie.

use std::sync::Arc;

use egui::{Rect, Vec2, pos2, vec2};

use crate::{activation::Stage, survey::Measurement};

/// Points between thumbnails.
pub const GAP: f32 = 6.0;
/// Points between the two halves of a sheet that is laid out as the network runs.
const MIDDLE: f32 = 44.0;
/// Points for the name of a band.
pub const BAND_TITLE: f32 = 20.0;

/// A sheet that is laid out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// The place of each thumbnail shown: its place among the findings, and its cell with its words.
    pub cells: Vec<(usize, Rect)>,
    /// Bands of one grid each, where the sheet is laid out as the network runs.
    pub bands: Vec<Band>,
    /// Points from top to bottom.
    pub height: f32,
}

/// What runs on one grid: the down stage on the left, the up stage on the right.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// What it is called.
    pub title: String,
    /// Its upper edge.
    pub top: f32,
    /// Between its halves from y to y: what goes from the down stage to the up stage, past everything below.
    pub skip: Option<[f32; 3]>,
}

/// Row by row.
pub fn flow(shown: &[usize], width: f32, cell: Vec2) -> Layout {
    let mut layout = Layout::default();
    let height = put(&mut layout.cells, shown, [0.0, GAP], width, cell);
    layout.height = height + GAP;
    layout
}

/// Fills rows from a place on; gives the lower edge.
fn put(cells: &mut Vec<(usize, Rect)>, shown: &[usize], [left, top]: [f32; 2], width: f32, cell: Vec2) -> f32 {
    let columns = (((width + GAP) / (cell.x + GAP)) as usize).max(1);
    for (place, index) in shown.iter().enumerate() {
        let (row, column) = (place / columns, place % columns);
        let x = left + column as f32 * (cell.x + GAP);
        let y = top + row as f32 * (cell.y + GAP);
        cells.push((*index, Rect::from_min_size(pos2(x, y), cell)));
    }
    top + shown.len().div_ceil(columns) as f32 * (cell.y + GAP)
}

/// As the network runs: down on the left, up on the right, what runs on one grid side by side, the middle at the bottom.
pub fn as_it_runs(findings: &[Arc<Measurement>], shown: &[usize], width: f32, cell: Vec2) -> Layout {
    let positions = |index: usize| match findings[index].shape {
        crate::activation::Shape::Features { grid, .. } => grid.positions(),
        crate::activation::Shape::Attention { queries, .. } => queries,
    };
    let mut grids: Vec<usize> = shown.iter().map(|index| positions(*index)).collect();
    grids.sort_unstable_by(|a, b| b.cmp(a));
    grids.dedup();
    // A stage alone has the whole width.
    let any = |stages: &[Stage]| {
        let mut stages_shown = shown.iter().map(|index| findings[*index].facts.stage);
        stages_shown.any(|stage| stages.contains(&stage))
    };
    let both = any(&[Stage::Input, Stage::Down]) && any(&[Stage::Up, Stage::Output]);
    let half = match both {
        true => ((width - MIDDLE) / 2.0).max(cell.x),
        false => width,
    };
    let mut layout = Layout::default();
    let mut top = 0.0;
    let of = |grid: usize, stages: &[Stage]| -> Vec<usize> {
        let fits = |index: &&usize| positions(**index) == grid && stages.contains(&findings[**index].facts.stage);
        shown.iter().filter(fits).copied().collect()
    };
    for grid in &grids {
        let down = of(*grid, &[Stage::Input, Stage::Down]);
        let up = of(*grid, &[Stage::Up, Stage::Output]);
        let stack = of(*grid, &[Stage::Stack]);
        if down.is_empty() && up.is_empty() && stack.is_empty() {
            continue;
        }
        let begin = top + BAND_TITLE;
        let of_up = if both { half + MIDDLE } else { 0.0 };
        let left = put(&mut layout.cells, &down, [0.0, begin], half, cell);
        let right = put(&mut layout.cells, &up, [of_up, begin], half, cell);
        // A plain stack of blocks has no halves.
        let sides = if down.is_empty() && up.is_empty() {
            begin
        } else {
            left.max(right)
        };
        let all = put(&mut layout.cells, &stack, [0.0, sides], width, cell);
        let joined = stack.is_empty() && !(down.is_empty() || up.is_empty());
        layout.bands.push(Band {
            title: format!("{grid} positions"),
            top,
            skip: joined.then_some([half + GAP, half + MIDDLE - GAP, begin + cell.x / 2.0]),
        });
        top = all + GAP;
    }
    let middle: Vec<usize> = shown
        .iter()
        .filter(|index| findings[**index].facts.stage == Stage::Mid)
        .copied()
        .collect();
    if !middle.is_empty() {
        layout.bands.push(Band {
            title: "Middle".to_owned(),
            top,
            skip: None,
        });
        top = put(&mut layout.cells, &middle, [0.0, top + BAND_TITLE], width, cell) + GAP;
    }
    layout.height = top;
    layout
}

/// The size of a cell: a square for the thumbnail, and two lines.
pub fn cell_size(side: f32, line: f32) -> Vec2 {
    vec2(side, side + 2.0 * line)
}
