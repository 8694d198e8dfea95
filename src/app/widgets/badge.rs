//! The one look of what is behind: a dot and a word, on panes, lists and in the status line.

use egui::{Color32, FontId, Pos2, Rect, Stroke, StrokeKind, Ui, vec2};

use crate::app::{
    state::currency::Currency,
    theme::{self, tokens},
};

/// Radius of the dot, in points.
const DOT_RADIUS: f32 = 4.0;
/// Between the edge of a badge, its dot and its word, in points.
const PADDING: f32 = 5.0;
/// How much of what is behind a badge is covered.
const COVER: f32 = 0.92;

/// The colour of a state.
pub fn currency_colour(ui: &Ui, currency: &Currency) -> Color32 {
    let tokens = tokens(ui);
    match currency {
        Currency::Empty => tokens.text_weak,
        Currency::Current => tokens.success,
        Currency::Running => tokens.accent,
        Currency::Outdated(_) => tokens.warning,
        Currency::Failed => tokens.error,
    }
}

/// A badge whose upper right corner is at a place.
pub fn badge(ui: &Ui, corner: Pos2, currency: &Currency) {
    let (tokens, colour) = (tokens(ui), currency_colour(ui, currency));
    let font = FontId::proportional(theme::FONT_SMALL);
    let word = ui
        .painter()
        .layout_no_wrap(currency.word().to_owned(), font, tokens.text);
    let size = vec2(
        3.0 * PADDING + 2.0 * DOT_RADIUS + word.size().x,
        word.size().y + PADDING,
    );
    let rect = Rect::from_min_size(corner - vec2(size.x, 0.0), size);
    let border = Stroke::new(theme::STROKE_HAIR, colour);
    let painter = ui.painter();
    painter.rect(
        rect,
        theme::RADIUS,
        tokens.raised.gamma_multiply(COVER),
        border,
        StrokeKind::Inside,
    );
    let dot = rect.left_center() + vec2(PADDING + DOT_RADIUS, 0.0);
    painter.circle_filled(dot, DOT_RADIUS, colour);
    let at = dot + vec2(DOT_RADIUS + PADDING, -word.size().y / 2.0);
    painter.galley(at, word, tokens.text);
}

/// A dot and its words in a line; what it is in full is its tooltip.
pub fn currency_ui(ui: &mut Ui, currency: &Currency, words: &str) -> egui::Response {
    let colour = currency_colour(ui, currency);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = PADDING;
        let side = 2.0 * DOT_RADIUS;
        let (rect, _) = ui.allocate_exact_size(vec2(side, side), egui::Sense::hover());
        ui.painter().circle_filled(rect.center(), DOT_RADIUS, colour);
        ui.add(egui::Label::new(words).truncate())
    })
    .inner
}
