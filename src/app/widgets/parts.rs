//! Small parts of an inspector: sections, rows, key caps, swatches, and what an empty place says.

use std::{fmt::Debug, hash::Hash};

use egui::{
    Align, CollapsingHeader, Color32, FontId, Layout, Response, RichText, Role, Sense, Shape, Stroke, StrokeKind,
    TextStyle, Ui, WidgetInfo, epaint::CircleShape, vec2,
};

use super::{
    contrast::readable_on,
    glyph::{Glyph, paint_glyph},
};
use crate::app::theme::{self, tokens};

/// The share of a row that its label takes.
const LABEL_SHARE: f32 = 0.36;
/// The narrowest and the widest place for labels, in points.
const LABEL_WIDTHS: [f32; 2] = [64.0, 120.0];
/// Side of a swatch, in points.
const SWATCH_SIDE: f32 = 14.0;
/// Size of the number in a swatch as a share of its side.
const SWATCH_NUMBER_SHARE: f32 = 0.7;
/// How far a key cap is thicker below: what makes it a key, in points.
const KEY_DEPTH: f32 = 1.5;
/// Side of the icon over the words of an empty place, in points.
const EMPTY_GLYPH_SIDE: f32 = 40.0;

/// A titled part of a panel that can be folded. Gives what `add` gave, `None` where it is folded.
pub fn section_ui<R>(ui: &mut Ui, title: &str, add: impl FnOnce(&mut Ui) -> R) -> Option<R> {
    fold_ui(ui, title, title, true, add)
}

/// A titled part of a panel, open or folded until somebody decides otherwise; `id` tells it from others of that title.
pub fn fold_ui<R>(
    ui: &mut Ui,
    title: &str,
    id: impl Hash + Debug,
    open: bool,
    add: impl FnOnce(&mut Ui) -> R,
) -> Option<R> {
    let tokens = tokens(ui);
    let line_y = ui.cursor().top();
    let line = Stroke::new(theme::STROKE_HAIR, tokens.border);
    ui.painter().hline(ui.max_rect().x_range(), line_y, line);
    ui.add_space(theme::SPACE_S);
    let header = CollapsingHeader::new(RichText::new(title).strong());
    let shown = header.id_salt(id).default_open(open).show_unindented(ui, add);
    ui.add_space(theme::SPACE_S);
    shown.body_returned
}

/// A row of an inspector: what is set on the left, what sets it on the right, in columns that all rows share.
pub fn row_ui<R>(ui: &mut Ui, label: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    let [narrowest, widest] = LABEL_WIDTHS;
    let label_width = (LABEL_SHARE * ui.available_width()).clamp(narrowest, widest);
    ui.horizontal(|ui| {
        let size = vec2(label_width, ui.spacing().interact_size.y);
        let layout = Layout::left_to_right(Align::Center);
        ui.allocate_ui_with_layout(size, layout, |ui| {
            ui.set_min_size(size);
            ui.add(egui::Label::new(RichText::new(label).color(tokens(ui).text_weak)).truncate());
        });
        add(ui)
    })
    .inner
}

/// A number with its name on the left, which is its accessible name, too.
pub fn number_ui(ui: &mut Ui, label: &str, add: impl FnOnce(&mut Ui) -> Response) -> Response {
    let response = row_ui(ui, label, add);
    let id = response.id;
    ui.ctx().accesskit_node_builder(id, |node| node.set_label(label));
    response
}

/// What few need, folded under one word; `of` tells several in one panel apart.
pub fn advanced_ui(ui: &mut Ui, of: &str, add: impl FnOnce(&mut Ui)) {
    CollapsingHeader::new("Advanced")
        .id_salt(("advanced", of))
        .show_unindented(ui, add);
}

/// A shortcut as keys to be pressed together, such as `Ctrl+Shift+S`.
pub fn key_cap_ui(ui: &mut Ui, shortcut: &str) -> Response {
    let row = ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::SPACE_XS;
        for key in keys(shortcut) {
            one_key_ui(ui, key);
        }
    });
    let response = row.response;
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, shortcut));
    response
}

/// The keys of a shortcut; the plus key is the one after a plus.
fn keys(shortcut: &str) -> impl Iterator<Item = &str> {
    let (before, last) = match shortcut.strip_suffix('+') {
        Some(before) => (before.strip_suffix('+').unwrap_or(before), Some("+")),
        None => (shortcut, None),
    };
    before.split('+').filter(|key| !key.is_empty()).chain(last)
}

fn one_key_ui(ui: &mut Ui, key: &str) {
    let tokens = tokens(ui);
    let font = TextStyle::Small.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(key.to_owned(), font, tokens.text);
    let side = text.size().y + theme::SPACE_S;
    let size = vec2((text.size().x + 2.0 * theme::SPACE_S).max(side), side + KEY_DEPTH);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let face = rect.with_max_y(rect.bottom() - KEY_DEPTH);
    let border = Stroke::new(theme::STROKE_HAIR, tokens.border);
    ui.painter().rect_filled(rect, theme::RADIUS, tokens.border);
    ui.painter()
        .rect(face, theme::RADIUS, tokens.button, border, StrokeKind::Inside);
    ui.painter()
        .galley(face.center() - text.size() / 2.0, text, tokens.text);
}

/// The colour and the number of a pinned point. Gives a response that can be clicked.
pub fn swatch_ui(ui: &mut Ui, colour: Color32, number: usize, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(SWATCH_SIDE, SWATCH_SIDE), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    let edge = if response.hovered() || response.has_focus() {
        tokens(ui).text_strong
    } else {
        tokens(ui).border
    };
    ui.painter().add(Shape::Circle(CircleShape {
        center: rect.center(),
        radius: SWATCH_SIDE / 2.0,
        fill: colour,
        stroke: Stroke::new(theme::STROKE_HAIR, edge),
    }));
    ui.painter().text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        number,
        FontId::proportional(SWATCH_NUMBER_SHARE * SWATCH_SIDE),
        readable_on(colour),
    );
    response.on_hover_text(name)
}

/// What a place says that has nothing to show: an icon, what it is for, and what to do.
pub fn empty_ui(ui: &mut Ui, glyph: Glyph, title: &str, hint: &str) {
    let tokens = tokens(ui);
    let text_height = ui.text_style_height(&TextStyle::Body) + ui.text_style_height(&TextStyle::Small);
    let height = EMPTY_GLYPH_SIDE + 2.0 * theme::SPACE_M + text_height;
    ui.vertical_centered(|ui| {
        ui.add_space(((ui.available_height() - height) / 2.0).max(0.0));
        let (rect, _) = ui.allocate_exact_size(vec2(EMPTY_GLYPH_SIDE, EMPTY_GLYPH_SIDE), Sense::hover());
        paint_glyph(ui.painter(), rect, glyph, tokens.text_weak);
        ui.add_space(theme::SPACE_S);
        ui.label(RichText::new(title).color(tokens.text));
        ui.label(RichText::new(hint).small().color(tokens.text_weak));
    });
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn shortcuts_are_taken_apart() {
        for (shortcut, expected) in [
            ("F1", ["F1"].as_slice()),
            ("Ctrl+Shift+S", &["Ctrl", "Shift", "S"]),
            ("Ctrl++", &["Ctrl", "+"]),
            ("+", &["+"]),
            ("", &[]),
        ] {
            assert_eq!(keys(shortcut).collect::<Vec<_>>(), expected, "{shortcut}");
        }
    }
}
