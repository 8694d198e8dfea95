//! All keys on one sheet, in as many columns as the window has room for.

use egui::{Align, Label, Layout, Response, RichText, ScrollArea, Ui, vec2};

use crate::app::{
    theme,
    update::action::{Action, Menu, shortcut_text},
    widgets::key_cap_ui,
};

/// What the pointer does.
const MOUSE: [(&str, &str); 10] = [
    ("point at a picture", "shows what is similar"),
    ("click", "pins a point, or moves the pin"),
    ("Shift click", "pins one more point"),
    ("drag a pin", "moves it"),
    ("drag elsewhere", "moves the picture"),
    ("Ctrl drag", "marks a region to compare"),
    ("wheel", "zooms about the pointer"),
    ("double click", "shows the whole picture"),
    ("drag a tab", "moves or splits panes"),
    ("right-click a tab", "changes the pane's kind"),
];
/// Columns, and the narrowest useful one, in points.
const COLUMNS: std::ops::RangeInclusive<usize> = 1..=4;
const LEAST_COLUMN: f32 = 270.0;
const WIDEST_COLUMN: f32 = 340.0;
/// Space between columns, in points.
const GAP: f32 = 24.0;
/// What the frame of the window and its distance from the edges take of the width and the height, in points.
const AROUND: [f32; 2] = [64.0, 90.0];
/// The share of a row that the name of an action takes, and that a gesture takes.
const NAME_SHARE: f32 = 0.6;
const GESTURE_SHARE: f32 = 0.4;
/// The height of a row, in points.
const ROW: f32 = 19.0;
/// Rows that the title of a chapter takes: its own and the space above it.
const TITLE_ROWS: f32 = 1.5;

/// A line of the sheet.
enum Line {
    Title(&'static str),
    Keys(Action),
    Mouse(&'static str, &'static str),
}

impl Line {
    fn rows(&self) -> f32 {
        match self {
            Self::Title(_) => TITLE_ROWS,
            _ => 1.0,
        }
    }
}

/// Every key with its action, by menu, and what the pointer does.
pub fn key_sheet_ui(ui: &mut Ui) {
    let room = ui.ctx().content_rect().size() - vec2(AROUND[0], AROUND[1]);
    let lines = lines();
    let fitting = ((room.x + GAP) / (LEAST_COLUMN + GAP)) as usize;
    let count = fitting.clamp(*COLUMNS.start(), *COLUMNS.end());
    let width = ((room.x + GAP) / count as f32 - GAP).min(WIDEST_COLUMN);
    let height = room.y.max(ROW);
    // A window begins less high than the sheet: it is not what limits it.
    let area = ScrollArea::vertical().max_height(height).min_scrolled_height(height);
    area.show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing = vec2(GAP, 0.0);
            for column in columns(&lines, count) {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    for line in column {
                        line_ui(ui, line, width);
                    }
                });
            }
        });
    });
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for menu in Menu::ALL {
        let with_keys = Action::of_menu(menu).filter(|action| !action.entry().shortcuts.is_empty());
        let mut with_keys = with_keys.peekable();
        if with_keys.peek().is_some() {
            lines.push(Line::Title(menu.title()));
            lines.extend(with_keys.map(Line::Keys));
        }
    }
    lines.push(Line::Title("Pointer"));
    lines.extend(MOUSE.map(|(gesture, effect)| Line::Mouse(gesture, effect)));
    lines
}

/// Columns of about the same height; none ends with a title.
fn columns(lines: &[Line], count: usize) -> Vec<&[Line]> {
    let rows: f32 = lines.iter().map(Line::rows).sum();
    let mut columns = Vec::new();
    let mut rest = lines;
    for left in (1..=count).rev() {
        let wanted = rest.iter().map(Line::rows).sum::<f32>().min(rows) / left as f32;
        let mut taken = 0.0;
        let fit = rest.iter().take_while(|line| {
            let fits = taken < wanted;
            taken += line.rows();
            fits
        });
        let mut end = fit.count();
        while end > 1 && left > 1 && matches!(rest.get(end - 1), Some(Line::Title(_))) {
            end -= 1;
        }
        let (column, after) = rest.split_at(end);
        columns.push(column);
        rest = after;
    }
    columns
}

fn line_ui(ui: &mut Ui, line: &Line, width: f32) {
    match line {
        Line::Title(title) => {
            ui.allocate_ui_with_layout(vec2(width, TITLE_ROWS * ROW), Layout::left_to_right(Align::Max), |ui| {
                ui.set_min_size(vec2(width, TITLE_ROWS * ROW));
                ui.strong(*title);
            });
        }
        Line::Keys(action) => {
            let response = row_ui(ui, [width, NAME_SHARE], action.name(), |ui| {
                for shortcut in action.entry().shortcuts {
                    key_cap_ui(ui, &shortcut_text(ui.ctx(), shortcut));
                }
            });
            response.on_hover_text(action.entry().hint);
        }
        Line::Mouse(gesture, effect) => {
            row_ui(ui, [width, GESTURE_SHARE], gesture, |ui| {
                ui.add(Label::new(RichText::new(*effect).weak()).truncate());
            });
        }
    }
}

/// What is called or done at the left, in a share of the width; the keys, or what comes of it, beside it.
fn row_ui(ui: &mut Ui, [width, share]: [f32; 2], left: &str, right: impl FnOnce(&mut Ui)) -> Response {
    let size = vec2(width, ROW);
    let row = ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        ui.spacing_mut().item_spacing.x = theme::SPACE_S;
        let place = vec2(share * width, ROW);
        ui.allocate_ui_with_layout(place, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_size(place);
            ui.add(Label::new(left).truncate());
        });
        right(ui);
    });
    row.response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_every_line_in_order_and_are_alike_in_height() {
        let lines = lines();
        for count in COLUMNS {
            let columns = columns(&lines, count);
            assert_eq!(columns.iter().map(|column| column.len()).sum::<usize>(), lines.len());
            let rows: Vec<f32> = columns
                .iter()
                .map(|column| column.iter().map(Line::rows).sum())
                .collect();
            let most = rows.iter().copied().fold(0.0, f32::max);
            let mean = rows.iter().sum::<f32>() / count as f32;
            assert!(most <= mean + 2.0 * TITLE_ROWS, "{rows:?}");
            let titles_last = columns
                .iter()
                .filter(|column| matches!(column.last(), Some(Line::Title(_))));
            assert_eq!(titles_last.count(), 0);
        }
    }
}
