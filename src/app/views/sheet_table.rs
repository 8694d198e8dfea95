//! The survey as a table: a row for each activation, a column for each figure. Rows and columns in sight alone are painted;
//! titles and names stay where the rest is scrolled.

use egui::{
    Align, Align2, FontId, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2,
    text::{LayoutJob, TextFormat, TextWrapping},
    vec2,
};

use super::sheet_figures::{answer, cell_name, figure_text, shape_text};
use crate::{
    app::{
        document::sheet::SheetSettings,
        state::survey::SurveyState,
        theme,
        update::{command::Command, view::ViewContext},
    },
    survey::Column,
};

/// Height of a row and of the titles, in points.
const ROW: f32 = 30.0;
const TITLES: f32 = 40.0;
/// Widths of thumbnail and name, of the shape, and of a figure, in points.
const NAME: f32 = 260.0;
const SHAPE: f32 = 110.0;
const FIGURE: f32 = 86.0;
/// The most of a pane that names take, as a share of its width.
const MOST_OF_NAMES: f32 = 0.45;

/// The table; gives the place among the findings of the row under the pointer.
pub fn table_ui(
    ui: &mut Ui,
    settings: &SheetSettings,
    survey: &SurveyState,
    shown: &[usize],
    context: &mut ViewContext<'_>,
) -> Option<usize> {
    let has = |column: &Column| survey.findings.iter().any(|finding| column.value(finding).is_some());
    let columns: Vec<Column> = Column::ALL.iter().copied().filter(has).collect();
    let names = NAME.min(MOST_OF_NAMES * ui.available_width());
    let mut hovered = None;
    let area = ScrollArea::both().id_salt("table").auto_shrink(false);
    area.content_margin(theme::AROUND_WIDE_CONTENTS)
        .show_viewport(ui, |ui, viewport| {
            let width = names + SHAPE + columns.len() as f32 * FIGURE;
            ui.set_width(width.max(ui.available_width()));
            ui.set_height(TITLES + shown.len() as f32 * ROW);
            let table = Table {
                origin: ui.max_rect().min,
                clip: ui.clip_rect(),
                names,
                columns: &columns,
            };
            // Rows are painted below the titles, which stay at the upper edge.
            let first = (viewport.top() / ROW).floor().max(0.0) as usize;
            let last = first + ((viewport.height() - TITLES) / ROW).ceil().max(0.0) as usize + 1;
            for (row, index) in shown.iter().enumerate().take(last).skip(first) {
                if table.row_ui(ui, row, *index, settings, survey, context) {
                    hovered = Some(*index);
                }
            }
            let mut sorted = settings.clone();
            table.titles_ui(ui, &mut sorted);
            if sorted != *settings {
                context.commands.push(Command::Sheet(Box::new(sorted)));
            }
        });
    hovered
}

/// Where the parts of the table are.
struct Table<'a> {
    /// The upper left corner of everything, where it is scrolled to.
    origin: egui::Pos2,
    /// What is in sight.
    clip: Rect,
    /// Width of the names.
    names: f32,
    /// The figures.
    columns: &'a [Column],
}

impl Table<'_> {
    /// What is in sight of the figures, or of the names, of everything below the titles or of these.
    fn part(&self, names: bool, titles: bool) -> Rect {
        let (edge, below) = (self.clip.left() + self.names, self.clip.top() + TITLES);
        let across = if names {
            self.clip.with_max_x(edge)
        } else {
            self.clip.with_min_x(edge)
        };
        if titles {
            across.with_max_y(below)
        } else {
            across.with_min_y(below)
        }
    }

    /// The left edge of a figure.
    fn left(&self, place: usize) -> f32 {
        self.origin.x + self.names + SHAPE + place as f32 * FIGURE
    }

    /// One activation; whether the pointer is over it.
    fn row_ui(
        &self,
        ui: &Ui,
        row: usize,
        index: usize,
        settings: &SheetSettings,
        survey: &SurveyState,
        context: &mut ViewContext<'_>,
    ) -> bool {
        let Some(finding) = survey.findings.get(index) else {
            return false;
        };
        let tokens = theme::tokens(ui);
        let top = self.origin.y + TITLES + row as f32 * ROW;
        let rect = Rect::from_min_max(pos2(self.clip.left(), top), pos2(self.clip.right(), top + ROW));
        let below = self.clip.with_min_y(self.clip.top() + TITLES);
        let seen = rect.intersect(below);
        if !seen.is_positive() {
            return false;
        }
        let response = ui.interact(seen, ui.scope_id().with(("row", finding.order)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, cell_name(finding)));
        let painter = ui.painter().with_clip_rect(below);
        if context.state.document.layer == Some(finding.id) {
            painter.rect_filled(rect, 0.0, tokens.selection);
        } else if response.hovered() || context.state.peek == Some(finding.id) {
            painter.rect_filled(rect, 0.0, tokens.button_hovered);
        } else if row % 2 == 1 {
            painter.rect_filled(rect, 0.0, ui.visuals().faint_bg_color);
        }
        let font = FontId::proportional(theme::FONT_SMALL);
        let names = ui.painter().with_clip_rect(self.part(true, false));
        let square = Rect::from_min_size(
            rect.min + vec2(theme::SPACE_S, theme::SPACE_XS),
            vec2(ROW, ROW) - vec2(theme::SPACE_S, theme::SPACE_S),
        );
        context.textures.sheet.paint(&names, index, square);
        let at = pos2(square.right() + theme::SPACE_S, rect.center().y);
        let colour = match (&finding.unmeasured, settings.marked.contains(&finding.id)) {
            (Some(_), _) => tokens.error,
            (None, true) => tokens.text_strong,
            (None, false) => tokens.text,
        };
        let name = finding.id.to_string();
        names.text(at, Align2::LEFT_CENTER, name, font.clone(), colour);
        let figures = ui.painter().with_clip_rect(self.part(false, false));
        let at = pos2(self.origin.x + self.names + theme::SPACE_S, rect.center().y);
        figures.text(
            at,
            Align2::LEFT_CENTER,
            shape_text(finding),
            font.clone(),
            tokens.text_weak,
        );
        for (place, column) in self.columns.iter().enumerate() {
            let right = self.left(place) + FIGURE - theme::SPACE_M;
            if right < self.clip.left() || self.left(place) > self.clip.right() {
                continue;
            }
            let text = figure_text(*column, finding);
            figures.text(
                pos2(right, rect.center().y),
                Align2::RIGHT_CENTER,
                text,
                font.clone(),
                tokens.text,
            );
        }
        answer(ui, &response, settings, finding, context);
        response.hovered()
    }

    /// Titles that sort; a second click turns the order around.
    fn titles_ui(&self, ui: &Ui, settings: &mut SheetSettings) {
        let tokens = theme::tokens(ui);
        let all = self.clip.with_max_y(self.clip.top() + TITLES);
        ui.painter().rect_filled(all, 0.0, tokens.raised);
        let middle = self.clip.top() + TITLES / 2.0;
        let font = FontId::proportional(theme::FONT_SMALL);
        let figures = self.part(false, true);
        let painter = ui.painter().with_clip_rect(figures);
        let shape = pos2(self.origin.x + self.names + theme::SPACE_S, middle);
        painter.text(shape, Align2::LEFT_CENTER, "Shape", font.clone(), tokens.text_weak);
        for (place, column) in self.columns.iter().enumerate() {
            let rect = Rect::from_min_size(pos2(self.left(place), self.clip.top()), vec2(FIGURE, TITLES));
            let seen = rect.intersect(figures);
            if !seen.is_positive() {
                continue;
            }
            let sorted = settings.sort == Some(*column);
            let response = ui.interact(seen, ui.scope_id().with(("title", *column)), Sense::click());
            let name = format!("Sort by {}", column.title());
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, sorted, &name));
            if response.hovered() || response.has_focus() {
                painter.rect_filled(rect, 0.0, tokens.button_hovered);
            }
            let mark = match (sorted, settings.descending) {
                (true, true) => " ↓",
                (true, false) => " ↑",
                _ => "",
            };
            let colour = if sorted { tokens.text_strong } else { tokens.text };
            let mut job = LayoutJob::default();
            let title = format!("{}{mark}", column.title());
            job.append(&title, 0.0, TextFormat::simple(font.clone(), colour));
            job.halign = Align::RIGHT;
            job.wrap = TextWrapping {
                max_width: FIGURE - theme::SPACE_M,
                max_rows: 2,
                ..TextWrapping::default()
            };
            let galley = painter.layout_job(job);
            let at = pos2(rect.right() - theme::SPACE_M, middle - galley.size().y / 2.0);
            painter.galley(at, galley, colour);
            let hint = format!("{}\nIn files: {}", column.about(), column.key());
            if response.on_hover_text(hint).clicked() {
                settings.descending = sorted && !settings.descending;
                settings.sort = Some(*column);
            }
        }
        let corner = self.part(true, true);
        let painter = ui.painter().with_clip_rect(corner);
        painter.text(
            pos2(corner.left() + ROW + theme::SPACE_S, middle),
            Align2::LEFT_CENTER,
            "Activation",
            font,
            tokens.text_weak,
        );
    }
}
