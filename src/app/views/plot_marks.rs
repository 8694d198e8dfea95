//! Marks of the groups of a plot: each group has a colour and a shape that no other has, here and in the legend beside the
//! plot.

use egui::{
    Align2, Color32, FontId, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Theme, Ui, WidgetInfo, pos2, vec2,
};
use egui_plot::MarkerShape;

use crate::app::theme;

/// Radius of a mark in a legend, in points.
const RADIUS: f32 = 5.0;
/// Width of the place of a mark in a legend, in points.
const MARK_WIDTH: f32 = 18.0;
/// Height of a line of a legend, in points.
const LINE_HEIGHT: f32 = 20.0;
/// How much of its colour a mark keeps that is switched off.
const OFF: f32 = 0.3;
/// The width of a legend, and the least width of a plot beside one, in points.
const LEGEND_WIDTH: f32 = 168.0;
const LEAST_PLOT: f32 = 220.0;
/// Every shape, those that are told apart best first.
const SHAPES: [MarkerShape; 9] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::Up,
    MarkerShape::Diamond,
    MarkerShape::Down,
    MarkerShape::Cross,
    MarkerShape::Plus,
    MarkerShape::Left,
    MarkerShape::Right,
];
/// Colours of marks: those of pins, the last of which is that of text.
const COLOURS: usize = theme::PINS.len();
/// How much of a colour is left on a bright surface, where the bright ones would be lost.
const DARKENED: f32 = 0.72;

/// A colour and a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The colour.
    pub colour: Color32,
    /// The shape.
    pub shape: MarkerShape,
}

/// The mark of a group, counted from 0: as the numbers of colours and of shapes have no common divisor, the first 72
/// groups have each its own.
pub fn mark(tokens: &theme::Tokens, number: usize) -> Mark {
    let place = number % COLOURS;
    let own = theme::PINS[place].colour;
    let colour = match (
        place + 1 == COLOURS,
        std::ptr::eq(tokens, theme::Tokens::of(Theme::Light)),
    ) {
        (true, _) => tokens.text_strong,
        (false, true) => own.lerp_to_gamma(Color32::BLACK, 1.0 - DARKENED),
        (false, false) => own,
    };
    let shape = SHAPES[number % SHAPES.len()];
    Mark { colour, shape }
}

/// Draws a mark.
fn paint(painter: &Painter, at: Pos2, mark: Mark) {
    let stroke = Stroke::new(theme::STROKE_MARK, mark.colour);
    let point = |x: f32, y: f32| at + RADIUS * vec2(x, y);
    let filled = |points: Vec<Pos2>| Shape::convex_polygon(points, mark.colour, Stroke::NONE);
    let shapes = match mark.shape {
        MarkerShape::Circle => vec![Shape::circle_filled(at, RADIUS, mark.colour)],
        MarkerShape::Square => vec![filled(vec![
            point(-0.8, -0.8),
            point(0.8, -0.8),
            point(0.8, 0.8),
            point(-0.8, 0.8),
        ])],
        MarkerShape::Diamond => vec![filled(vec![
            point(0.0, -1.0),
            point(1.0, 0.0),
            point(0.0, 1.0),
            point(-1.0, 0.0),
        ])],
        MarkerShape::Up => vec![filled(vec![point(0.0, -1.0), point(0.9, 0.7), point(-0.9, 0.7)])],
        MarkerShape::Down => vec![filled(vec![point(0.0, 1.0), point(-0.9, -0.7), point(0.9, -0.7)])],
        MarkerShape::Left => vec![filled(vec![point(-1.0, 0.0), point(0.7, -0.9), point(0.7, 0.9)])],
        MarkerShape::Right => vec![filled(vec![point(1.0, 0.0), point(-0.7, 0.9), point(-0.7, -0.9)])],
        MarkerShape::Plus => vec![
            Shape::line_segment([point(-1.0, 0.0), point(1.0, 0.0)], stroke),
            Shape::line_segment([point(0.0, -1.0), point(0.0, 1.0)], stroke),
        ],
        MarkerShape::Cross | MarkerShape::Asterisk => vec![
            Shape::line_segment([point(-0.8, -0.8), point(0.8, 0.8)], stroke),
            Shape::line_segment([point(-0.8, 0.8), point(0.8, -0.8)], stroke),
        ],
    };
    painter.extend(shapes);
}

/// The places of a plot and of its legend, which covers nothing: at its right, where there is room for both.
pub fn beside_legend(ui: &mut Ui) -> [Rect; 2] {
    let whole = ui.available_rect_before_wrap();
    let legend = LEGEND_WIDTH.min((whole.width() - LEAST_PLOT).max(0.0));
    let split = whole.right() - legend;
    [
        whole.with_max_x(split - theme::SPACE_S),
        whole.with_min_x(split).intersect(whole),
    ]
}

/// A line of a legend; whether it was clicked. What is off is dimmed.
pub fn legend_line_ui(ui: &mut Ui, mark: Mark, name: &str, on: bool, hint: &str) -> bool {
    let size = vec2(ui.available_width(), LINE_HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), on, format!("{name} in the plot")));
    let tokens = theme::tokens(ui);
    if response.hovered() || response.has_focus() {
        ui.painter()
            .rect_filled(rect, theme::RADIUS_SMALL, tokens.button_hovered);
    }
    let strength = if on { 1.0 } else { OFF };
    let shown = Mark {
        colour: mark.colour.gamma_multiply(strength),
        ..mark
    };
    let centre = pos2(rect.left() + MARK_WIDTH / 2.0, rect.center().y);
    paint(ui.painter(), centre, shown);
    let text = if on { tokens.text } else { tokens.text_weak };
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    painter.text(
        pos2(rect.left() + MARK_WIDTH, rect.center().y),
        Align2::LEFT_CENTER,
        name,
        FontId::proportional(theme::FONT_SMALL),
        text,
    );
    response.on_hover_text(format!("{name}\n{hint}")).clicked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Kind;

    #[test]
    fn no_two_groups_have_one_mark() {
        // More than there are kinds of activations, or activations that can be marked.
        for theme in [Theme::Dark, Theme::Light] {
            let tokens = theme::Tokens::of(theme);
            let marks: Vec<Mark> = (0..COLOURS * SHAPES.len()).map(|number| mark(tokens, number)).collect();
            assert!(marks.len() > Kind::ALL.len());
            for (place, one) in marks.iter().enumerate() {
                assert!(!marks[..place].contains(one), "{theme:?} {place}");
            }
        }
    }
}
