//! The cells of a map one by one: their numbers, the lines between them, an outline of one. Only cells in sight are
//! visited, however large the map is.

use std::ops::Range;

use egui::{
    Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Vec2,
    emath::{GuiRounding as _, RectTransform},
    pos2, remap_clamp, vec2,
};

use super::contrast::readable_on;
use crate::{
    geometry::Grid,
    render::{ScoreMap, ScoreStyle, short_score_text},
};

/// The narrowest cell that has room for its number, in points.
const NUMBER_LEAST_WIDTH: f32 = 36.0;
/// The lowest such cell, in points.
const NUMBER_LEAST_HEIGHT: f32 = 16.0;
/// More numbers in sight than this are a texture, not something to read.
const MOST_NUMBERS: usize = 400;
/// The smallest and the largest letters of numbers, in points.
const NUMBER_SIZES: [f32; 2] = [10.0, 14.0];
/// The size of letters as a share of the width of the cell.
const NUMBER_SIZE_SHARE: f32 = 0.25;
/// Width of a character as a share of the size of letters, in egui's monospaced font and with some air.
const CHARACTER_WIDTH_SHARE: f32 = 0.68;
/// How far below a number its shadow lies, in points: it keeps the number readable on the picture that shines through.
const SHADOW_OFFSET: Vec2 = vec2(0.75, 0.75);
const SHADOW_OPACITY: f32 = 0.6;
/// The smallest cell that has lines around it, and the one where they have their full colour, in points.
const LINE_LEAST_SIDE: f32 = 4.0;
const LINE_FULL_SIDE: f32 = 12.0;
/// How much of their colour they have at the smallest.
const LINE_LEAST_OPACITY: f32 = 0.5;

/// The cells of a map on the screen, and which of them are in sight.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Rows in sight.
    pub rows: Range<usize>,
    /// Columns in sight.
    pub columns: Range<usize>,
    /// Width and height of a cell, in points.
    pub size_points: Vec2,
    screen_from_cells: RectTransform,
}

impl Cells {
    /// The cells of the part `uv` of a map in `rect` (points), as far as they lie in what the painter draws on; `None`
    /// where none does.
    pub fn new(painter: &Painter, rect: Rect, uv: Rect, grid: Grid) -> Option<Self> {
        let rect = rect.round_to_pixels(painter.pixels_per_point());
        Self::in_sight(rect, uv, grid, painter.clip_rect())
    }

    fn in_sight(rect: Rect, uv: Rect, grid: Grid, clip: Rect) -> Option<Self> {
        let lengths = vec2(grid.width as f32, grid.height as f32);
        let shown = Rect::from_min_max(
            (uv.min.to_vec2() * lengths).to_pos2(),
            (uv.max.to_vec2() * lengths).to_pos2(),
        );
        let visible = rect.intersect(clip);
        if !(shown.is_positive() && visible.is_positive() && shown.is_finite() && rect.is_finite()) {
            return None;
        }
        let screen_from_cells = RectTransform::from_to(shown, rect);
        let in_sight = screen_from_cells.inverse().transform_rect(visible);
        let range = |from: f32, to: f32, length: usize| {
            // A conversion from float ends at 0.
            (from.floor() as usize).min(length)..(to.ceil() as usize).min(length)
        };
        let cells = Self {
            rows: range(in_sight.top(), in_sight.bottom(), grid.height),
            columns: range(in_sight.left(), in_sight.right(), grid.width),
            size_points: screen_from_cells.scale(),
            screen_from_cells,
        };
        (!cells.rows.is_empty() && !cells.columns.is_empty()).then_some(cells)
    }

    /// How many cells are in sight.
    pub fn count(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Where a cell lies on the screen, in points.
    pub fn rect(&self, row: usize, column: usize) -> Rect {
        Rect::from_min_max(self.corner(row, column), self.corner(row + 1, column + 1))
    }

    /// The upper left corner of a cell on the screen.
    fn corner(&self, row: usize, column: usize) -> Pos2 {
        self.screen_from_cells.transform_pos(pos2(column as f32, row as f32))
    }
}

/// Writes the score of each cell in sight into it, black or white, whichever is easier to read on the cell's colour.
/// Nothing where cells are too small or too many.
pub fn cell_numbers(painter: &Painter, rect: Rect, uv: Rect, map: &ScoreMap, style: &ScoreStyle) {
    let Some(cells) = Cells::new(painter, rect, uv, map.grid()) else {
        return;
    };
    let Vec2 { x: width, y: height } = cells.size_points;
    if width < NUMBER_LEAST_WIDTH || height < NUMBER_LEAST_HEIGHT || cells.count() > MOST_NUMBERS {
        return;
    }
    // The number of a cell that is cut off is cut off with it.
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let [smallest, largest] = NUMBER_SIZES;
    let font = FontId::monospace((NUMBER_SIZE_SHARE * width).clamp(smallest, largest));
    let most_characters = (width / (CHARACTER_WIDTH_SHARE * font.size)) as usize;
    for row in cells.rows.clone() {
        for column in cells.columns.clone() {
            let score = map.scores()[map.grid().index(row, column)];
            let colour = style.map.colour(score, style.range, style.gamma);
            let (Some([red, green, blue]), Some(text)) = (colour, short_score_text(score, most_characters)) else {
                continue;
            };
            let background = Color32::from_rgb(red, green, blue);
            let middle = cells.rect(row, column).center();
            let ink = readable_on(background);
            if style.opacity < 1.0 {
                let shadow = readable_on(ink).gamma_multiply(SHADOW_OPACITY);
                painter.text(
                    middle + SHADOW_OFFSET,
                    Align2::CENTER_CENTER,
                    &text,
                    font.clone(),
                    shadow,
                );
            }
            painter.text(middle, Align2::CENTER_CENTER, &text, font.clone(), ink);
        }
    }
}

/// Draws lines between the cells in sight, fainter where cells are small; nothing where they are too small for lines.
pub fn cell_grid(painter: &Painter, rect: Rect, uv: Rect, grid: Grid, stroke: Stroke) {
    let Some(cells) = Cells::new(painter, rect, uv, grid) else {
        return;
    };
    let side = cells.size_points.min_elem();
    if side < LINE_LEAST_SIDE {
        return;
    }
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let opacity = remap_clamp(side, LINE_LEAST_SIDE..=LINE_FULL_SIDE, LINE_LEAST_OPACITY..=1.0);
    let stroke = Stroke::new(stroke.width, stroke.color.gamma_multiply(opacity));
    let area = Rect::from_min_max(
        cells.corner(cells.rows.start, cells.columns.start),
        cells.corner(cells.rows.end, cells.columns.end),
    );
    let pixels_per_point = painter.pixels_per_point();
    let sharp = |at: f32| at.round_to_pixel_center(pixels_per_point);
    let vertical = (cells.columns.start..=cells.columns.end)
        .map(|column| Shape::vline(sharp(cells.corner(0, column).x), area.y_range(), stroke));
    let horizontal = (cells.rows.start..=cells.rows.end)
        .map(|row| Shape::hline(area.x_range(), sharp(cells.corner(row, 0).y), stroke));
    painter.extend(vertical.chain(horizontal));
}

/// Draws a frame around the cell (row, column).
pub fn cell_outline(
    painter: &Painter,
    rect: Rect,
    uv: Rect,
    grid: Grid,
    (row, column): (usize, usize),
    stroke: impl Into<Stroke>,
) {
    let cells = Cells::new(painter, rect, uv, grid);
    if let Some(cells) = cells.filter(|_| row < grid.height && column < grid.width) {
        let frame = cells.rect(row, column).round_to_pixels(painter.pixels_per_point());
        painter.rect_stroke(frame, 0.0, stroke, StrokeKind::Outside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Rect = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));

    fn place(left: f32, top: f32, width: f32, height: f32) -> Rect {
        Rect::from_min_size(pos2(left, top), vec2(width, height))
    }

    #[test]
    fn all_cells_are_in_sight_of_a_whole_map() {
        let rect = place(10.0, 20.0, 80.0, 60.0);
        let cells = Cells::in_sight(rect, WHOLE, Grid::new(3, 4), Rect::EVERYTHING);
        let Some(cells) = cells else { panic!("cells in sight") };
        assert_eq!((cells.rows.clone(), cells.columns.clone()), (0..3, 0..4));
        assert_eq!(cells.size_points, vec2(20.0, 20.0));
        assert_eq!(cells.rect(1, 2), place(50.0, 40.0, 20.0, 20.0));
    }

    #[test]
    fn only_what_is_in_sight_of_a_zoomed_map_is_visited() {
        let (rect, grid) = (place(0.0, 0.0, 100.0, 100.0), Grid::new(1000, 1000));
        let uv = Rect::from_min_max(pos2(0.5, 0.25), pos2(0.502, 0.252));
        let Some(cells) = Cells::in_sight(rect, uv, grid, Rect::EVERYTHING) else {
            panic!("cells in sight")
        };
        assert!(cells.count() <= 9, "{cells:?}");
        assert!(cells.rows.contains(&250) && cells.columns.contains(&500), "{cells:?}");

        let clip = place(0.0, 0.0, 100.0, 10.0);
        let clipped = Cells::in_sight(rect, WHOLE, Grid::new(10, 10), clip);
        assert_eq!(clipped.map(|cells| cells.rows), Some(0..1));
    }

    #[test]
    fn a_map_out_of_sight_has_no_cells() {
        let (rect, grid) = (place(0.0, 0.0, 100.0, 100.0), Grid::new(4, 4));
        for (rect, uv, clip) in [
            (rect, WHOLE, place(200.0, 0.0, 10.0, 10.0)),
            (rect, place(1.5, 0.0, 1.0, 1.0), Rect::EVERYTHING),
            (rect, place(-2.0, 0.0, 1.0, 1.0), Rect::EVERYTHING),
            (place(0.0, 0.0, 0.0, 10.0), WHOLE, Rect::EVERYTHING),
            (rect, Rect::NAN, Rect::EVERYTHING),
        ] {
            assert_eq!(Cells::in_sight(rect, uv, grid, clip), None);
        }
        assert_eq!(Cells::in_sight(rect, WHOLE, Grid::new(0, 4), Rect::EVERYTHING), None);
    }
}
