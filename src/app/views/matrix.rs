//! A matrix of figures as coloured cells.

use egui::{Id, Rect, Response, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2};

use crate::{
    app::{
        gpu::scores::{ScorePainter, paint_scores},
        theme,
    },
    render::{ScoreMap, ScoreStyle},
};

/// All of a map.
const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// The cells, and which of them (row, column) is under the pointer.
pub fn matrix_ui(
    ui: &mut Ui,
    name: &str,
    id: Id,
    scores: &ScoreMap,
    style: &ScoreStyle,
    size: Vec2,
    painter: &ScorePainter,
) -> (Response, Option<[usize; 2]>) {
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    matrix_at(ui, name, id, scores, style, rect, painter)
}

/// The cells in a place that is there already.
pub fn matrix_at(
    ui: &Ui,
    name: &str,
    id: Id,
    scores: &ScoreMap,
    style: &ScoreStyle,
    rect: Rect,
    painter: &ScorePainter,
) -> (Response, Option<[usize; 2]>) {
    let response = ui.interact(rect, id.with("cells"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let tokens = theme::tokens(ui);
    ui.painter().rect_filled(rect, 0.0, tokens.inset);
    paint_scores(ui.painter(), id, rect, WHOLE, scores, style, painter);
    let grid = scores.grid();
    let cell = Vec2::new(rect.width() / grid.width as f32, rect.height() / grid.height as f32);
    let under = response.hover_pos().or(response.interact_pointer_pos());
    let at = under.filter(|pos| rect.contains(*pos)).map(|pos| {
        let share = (pos - rect.min) / cell;
        [
            (share.y as usize).min(grid.height - 1),
            (share.x as usize).min(grid.width - 1),
        ]
    });
    if let Some([row, column]) = at {
        let corner = rect.min + Vec2::new(column as f32, row as f32) * cell;
        let stroke = Stroke::new(theme::STROKE_MARK, tokens.text_strong);
        let outline = Rect::from_min_size(corner, cell);
        ui.painter()
            .rect_stroke(outline, 0.0, stroke, egui::StrokeKind::Outside);
    }
    (response, at)
}
