//! Icons, drawn with lines: the fonts have few, and of many styles.

use egui::{Color32, Painter, Pos2, Rect, Response, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

use crate::app::theme::{self, tokens};

/// Icons are drawn in a square of so many units.
const UNITS: f32 = 16.0;
/// Width of their lines, in units.
const LINE_UNITS: f32 = 1.4;
/// Side of an icon on a button, in points.
const SIDE: f32 = 16.0;

/// What an icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Glyph {
    /// A folder: open a file.
    Open,
    /// An arrow into a tray: save a file.
    Save,
    /// Two arrows in opposite directions: exchange two things.
    Swap,
    /// A cross: take away.
    Close,
    /// A pin: keep a point.
    Pin,
    /// An eye: show or hide.
    Eye,
    /// Corners of a frame: fit into view.
    Fit,
    /// A magnifying glass: search, or look closer.
    Search,
    /// Squares: lines between cells.
    Cells,
    /// A triangle: run.
    Run,
    /// A square: stop.
    Stop,
    /// Sheets on each other: layers.
    Layers,
    /// Links of a chain: move together.
    Link,
    /// Two sheets: copy.
    Copy,
    /// An arrow back: undo.
    Undo,
    /// An arrow forth: redo.
    Redo,
    /// A cross with equal arms: add.
    Add,
    /// A picture with a hill and a sun.
    Picture,
    /// Two halves: one beside the other.
    Split,
    /// Three lines: menu.
    Menu,
    /// Three sliders: settings.
    Sliders,
    /// A triangle with a line and a dot: something deserves a second look.
    Warning,
    /// A frame with a thick upper edge: all of the window.
    Maximise,
    /// A question mark: what helps.
    Help,
    /// A frame with its left part filled: the left side.
    LeftSide,
    /// A frame with its right part filled: the right side.
    RightSide,
}

/// A part of an icon, in units from the upper left corner.
enum Part {
    Line(&'static [(f32, f32)]),
    Loop(&'static [(f32, f32)]),
    Filled(&'static [(f32, f32)]),
    Circle(f32, f32, f32),
    Dot(f32, f32, f32),
}

impl Glyph {
    /// Every icon.
    pub const ALL: [Self; 26] = [
        Self::Open,
        Self::Save,
        Self::Swap,
        Self::Close,
        Self::Pin,
        Self::Eye,
        Self::Fit,
        Self::Search,
        Self::Cells,
        Self::Run,
        Self::Stop,
        Self::Layers,
        Self::Link,
        Self::Copy,
        Self::Undo,
        Self::Redo,
        Self::Add,
        Self::Picture,
        Self::Split,
        Self::Menu,
        Self::Sliders,
        Self::Warning,
        Self::Maximise,
        Self::Help,
        Self::LeftSide,
        Self::RightSide,
    ];

    #[rustfmt::skip]
    fn parts(self) -> &'static [Part] {
        use Part::{Circle, Dot, Filled, Line, Loop};
        match self {
            Self::Open => &[Loop(&[(2.0, 13.0), (2.0, 3.5), (6.0, 3.5), (7.5, 5.5), (14.0, 5.5), (14.0, 13.0)])],
            Self::Save => &[
                Line(&[(8.0, 2.0), (8.0, 10.0)]),
                Line(&[(4.8, 6.9), (8.0, 10.1), (11.2, 6.9)]),
                Line(&[(2.5, 10.5), (2.5, 13.5), (13.5, 13.5), (13.5, 10.5)]),
            ],
            Self::Swap => &[
                Line(&[(2.0, 5.0), (13.0, 5.0)]),
                Line(&[(10.3, 2.2), (13.2, 5.0), (10.3, 7.8)]),
                Line(&[(14.0, 11.0), (3.0, 11.0)]),
                Line(&[(5.7, 8.2), (2.8, 11.0), (5.7, 13.8)]),
            ],
            Self::Close => &[Line(&[(4.0, 4.0), (12.0, 12.0)]), Line(&[(12.0, 4.0), (4.0, 12.0)])],
            Self::Pin => &[
                Circle(8.0, 6.0, 3.8),
                Dot(8.0, 6.0, 1.3),
                Line(&[(8.0, 9.8), (8.0, 14.5)]),
            ],
            Self::Eye => &[
                Loop(&[
                    (1.2, 8.0), (3.2, 5.6), (5.6, 4.1), (8.0, 3.6), (10.4, 4.1), (12.8, 5.6),
                    (14.8, 8.0), (12.8, 10.4), (10.4, 11.9), (8.0, 12.4), (5.6, 11.9), (3.2, 10.4),
                ]),
                Circle(8.0, 8.0, 2.2),
            ],
            Self::Fit => &[
                Line(&[(2.5, 6.0), (2.5, 2.5), (6.0, 2.5)]),
                Line(&[(10.0, 2.5), (13.5, 2.5), (13.5, 6.0)]),
                Line(&[(13.5, 10.0), (13.5, 13.5), (10.0, 13.5)]),
                Line(&[(6.0, 13.5), (2.5, 13.5), (2.5, 10.0)]),
            ],
            Self::Search => &[Circle(6.8, 6.8, 4.3), Line(&[(10.0, 10.0), (14.0, 14.0)])],
            Self::Cells => &[
                Loop(&[(2.5, 2.5), (13.5, 2.5), (13.5, 13.5), (2.5, 13.5)]),
                Line(&[(2.5, 6.2), (13.5, 6.2)]),
                Line(&[(2.5, 9.8), (13.5, 9.8)]),
                Line(&[(6.2, 2.5), (6.2, 13.5)]),
                Line(&[(9.8, 2.5), (9.8, 13.5)]),
            ],
            Self::Run => &[Filled(&[(4.5, 2.8), (13.0, 8.0), (4.5, 13.2)])],
            Self::Stop => &[Filled(&[(4.0, 4.0), (12.0, 4.0), (12.0, 12.0), (4.0, 12.0)])],
            Self::Layers => &[
                Loop(&[(8.0, 2.2), (14.3, 5.6), (8.0, 9.0), (1.7, 5.6)]),
                Line(&[(1.7, 8.3), (8.0, 11.7), (14.3, 8.3)]),
                Line(&[(1.7, 11.0), (8.0, 14.4), (14.3, 11.0)]),
            ],
            Self::Link => &[
                Line(&[(6.6, 5.0), (4.5, 5.0), (2.7, 6.0), (1.9, 8.0), (2.7, 10.0), (4.5, 11.0), (6.6, 11.0)]),
                Line(&[(9.4, 5.0), (11.5, 5.0), (13.3, 6.0), (14.1, 8.0), (13.3, 10.0), (11.5, 11.0), (9.4, 11.0)]),
                Line(&[(5.4, 8.0), (10.6, 8.0)]),
            ],
            Self::Copy => &[
                Loop(&[(5.5, 5.5), (13.5, 5.5), (13.5, 13.5), (5.5, 13.5)]),
                Line(&[(10.5, 2.5), (2.5, 2.5), (2.5, 10.5)]),
            ],
            Self::Undo => &[
                Line(&[(5.8, 2.6), (2.4, 6.0), (5.8, 9.4)]),
                Line(&[(2.6, 6.0), (9.6, 6.0), (12.2, 7.0), (13.4, 9.4), (12.4, 11.9), (9.6, 13.0), (6.0, 13.0)]),
            ],
            Self::Redo => &[
                Line(&[(10.2, 2.6), (13.6, 6.0), (10.2, 9.4)]),
                Line(&[(13.4, 6.0), (6.4, 6.0), (3.8, 7.0), (2.6, 9.4), (3.6, 11.9), (6.4, 13.0), (10.0, 13.0)]),
            ],
            Self::Add => &[Line(&[(8.0, 3.0), (8.0, 13.0)]), Line(&[(3.0, 8.0), (13.0, 8.0)])],
            Self::Picture => &[
                Loop(&[(2.0, 3.0), (14.0, 3.0), (14.0, 13.0), (2.0, 13.0)]),
                Line(&[(2.2, 11.6), (6.2, 7.4), (9.2, 10.4), (10.9, 8.8), (13.8, 11.6)]),
                Dot(10.8, 6.0, 1.2),
            ],
            Self::Split => &[
                Loop(&[(2.0, 3.0), (14.0, 3.0), (14.0, 13.0), (2.0, 13.0)]),
                Line(&[(8.0, 3.0), (8.0, 13.0)]),
            ],
            Self::Menu => &[
                Line(&[(2.5, 4.0), (13.5, 4.0)]),
                Line(&[(2.5, 8.0), (13.5, 8.0)]),
                Line(&[(2.5, 12.0), (13.5, 12.0)]),
            ],
            Self::Sliders => &[
                Line(&[(2.0, 4.0), (14.0, 4.0)]),
                Line(&[(2.0, 8.0), (14.0, 8.0)]),
                Line(&[(2.0, 12.0), (14.0, 12.0)]),
                Dot(10.5, 4.0, 2.0),
                Dot(5.0, 8.0, 2.0),
                Dot(9.0, 12.0, 2.0),
            ],
            Self::Warning => &[
                Loop(&[(8.0, 2.2), (14.6, 13.6), (1.4, 13.6)]),
                Line(&[(8.0, 6.4), (8.0, 9.8)]),
                Dot(8.0, 11.7, 0.9),
            ],
            Self::Maximise => &[
                Loop(&[(2.5, 3.0), (13.5, 3.0), (13.5, 13.0), (2.5, 13.0)]),
                Filled(&[(2.5, 3.0), (13.5, 3.0), (13.5, 5.6), (2.5, 5.6)]),
            ],
            Self::Help => &[
                Line(&[(5.0, 5.4), (5.6, 3.8), (7.0, 2.8), (9.0, 2.8), (10.4, 3.8), (10.9, 5.4), (10.2, 7.0), (8.6, 8.2), (8.0, 9.4), (8.0, 10.6)]),
                Dot(8.0, 13.2, 1.0),
            ],
            Self::LeftSide => &[
                Loop(&[(2.0, 3.0), (14.0, 3.0), (14.0, 13.0), (2.0, 13.0)]),
                Filled(&[(2.0, 3.0), (6.5, 3.0), (6.5, 13.0), (2.0, 13.0)]),
            ],
            Self::RightSide => &[
                Loop(&[(2.0, 3.0), (14.0, 3.0), (14.0, 13.0), (2.0, 13.0)]),
                Filled(&[(9.5, 3.0), (14.0, 3.0), (14.0, 13.0), (9.5, 13.0)]),
            ],
        }
    }
}

/// Draws an icon into the middle of `rect` (points), as large as fits.
pub fn paint_glyph(painter: &Painter, rect: Rect, glyph: Glyph, colour: Color32) {
    let scale = rect.size().min_elem() / UNITS;
    let corner = rect.center() - vec2(UNITS, UNITS) * scale / 2.0;
    let at = |&(x, y): &(f32, f32)| -> Pos2 { corner + vec2(x, y) * scale };
    let line = Stroke::new(LINE_UNITS * scale, colour);
    painter.extend(glyph.parts().iter().map(|part| match part {
        Part::Line(points) => Shape::line(points.iter().map(at).collect(), line),
        Part::Loop(points) => Shape::closed_line(points.iter().map(at).collect(), line),
        Part::Filled(points) => Shape::convex_polygon(points.iter().map(at).collect(), colour, Stroke::NONE),
        Part::Circle(x, y, radius) => Shape::circle_stroke(at(&(*x, *y)), radius * scale, line),
        Part::Dot(x, y, radius) => Shape::circle_filled(at(&(*x, *y)), radius * scale, colour),
    }));
}

/// A button with an icon. `name` is what the tooltip and a screen reader say.
pub fn glyph_button_ui(ui: &mut Ui, glyph: Glyph, name: &str) -> Response {
    let response = square_ui(ui, glyph, false);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    response.on_hover_text(name).on_disabled_hover_text(name)
}

/// A button with an icon that stays down while something is on.
pub fn glyph_toggle_ui(ui: &mut Ui, glyph: Glyph, on: &mut bool, name: &str) -> Response {
    let mut response = square_ui(ui, glyph, *on);
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), *on, name));
    response.on_hover_text(name).on_disabled_hover_text(name)
}

fn square_ui(ui: &mut Ui, glyph: Glyph, on: bool) -> Response {
    let side = ui.spacing().interact_size.y;
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::click());
    if !ui.is_rect_visible(rect) {
        return response;
    }
    let tokens = tokens(ui);
    let visuals = ui.style().interact(&response);
    let resting = !(response.hovered() || response.has_focus() || response.is_pointer_button_down_on());
    // At rest an icon has no frame: a bar of frames is noise.
    let (fill, border, ink) = match (on, resting) {
        (true, _) => (tokens.selection, visuals.bg_stroke, tokens.text_strong),
        (false, true) => (Color32::TRANSPARENT, Stroke::NONE, visuals.text_color()),
        (false, false) => (visuals.weak_bg_fill, visuals.bg_stroke, visuals.text_color()),
    };
    ui.painter().rect(rect, theme::RADIUS, fill, border, StrokeKind::Inside);
    let middle = Rect::from_center_size(rect.center(), vec2(SIDE, SIDE));
    paint_glyph(ui.painter(), middle, glyph, ink);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icons_stay_in_their_square() {
        let inside = |&(x, y): &(f32, f32)| (0.0..=UNITS).contains(&x) && (0.0..=UNITS).contains(&y);
        for glyph in Glyph::ALL {
            for part in glyph.parts() {
                let fits = match part {
                    Part::Line(points) | Part::Loop(points) | Part::Filled(points) => points.iter().all(inside),
                    Part::Circle(x, y, radius) | Part::Dot(x, y, radius) => {
                        inside(&(x - radius, y - radius)) && inside(&(x + radius, y + radius))
                    }
                };
                assert!(fits, "{glyph:?}");
            }
        }
    }
}
