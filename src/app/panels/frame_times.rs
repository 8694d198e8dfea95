//! How long the interface took for its last frames, as a graph.

use std::time::Duration;

use egui::Ui;

use crate::app::state::frame_times::{FELT, FrameTimes, KEPT};

/// Height of the graph, in points.
const GRAPH_HEIGHT: f32 = 60.0;

/// Figures and a bar per frame.
pub fn frame_times_ui(ui: &mut Ui, times: &FrameTimes) {
    let millis = |time: Duration| 1000.0 * time.as_secs_f64();
    ui.label(format!(
        "{} frames, {} over {} ms",
        times.count(),
        times.slow,
        FELT.as_millis()
    ));
    ui.label(format!(
        "last {KEPT}: median {:.2} ms, 99 % under {:.2} ms, longest {:.2} ms",
        millis(times.quantile(0.5)),
        millis(times.quantile(0.99)),
        millis(times.quantile(1.0)),
    ));
    let width = KEPT as f32;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, GRAPH_HEIGHT), egui::Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Times of the last frames"));
    let tokens = crate::app::theme::tokens(ui);
    ui.painter().rect_filled(rect, 0.0, tokens.inset);
    for (index, time) in times.last().enumerate() {
        let share = (time.as_secs_f32() / (2.0 * FELT.as_secs_f32())).min(1.0);
        let colour = if time > FELT { tokens.error } else { tokens.accent };
        let x = rect.left() + index as f32 + 0.5;
        let top = egui::pos2(x, rect.bottom() - share * rect.height());
        let stroke = egui::Stroke::new(1.0, colour);
        ui.painter().line_segment([egui::pos2(x, rect.bottom()), top], stroke);
    }
    let felt = rect.center().y;
    let stroke = egui::Stroke::new(1.0, tokens.border);
    ui.painter().hline(rect.x_range(), felt, stroke);
}
