//! How long the interface takes for a frame.

use std::{collections::VecDeque, time::Duration};

use egui::Ui;

/// Frames that are looked back on.
const KEPT: usize = 240;
/// Work on the interface's thread that nobody feels.
const FELT: Duration = Duration::from_millis(8);
/// Height of the graph, in points.
const GRAPH_HEIGHT: f32 = 60.0;

/// Times of the last frames: what the interface itself computed, without drawing on the device.
#[derive(Debug, Default)]
pub struct FrameTimes {
    last: VecDeque<Duration>,
    frames: u64,
    slow: u64,
}

impl FrameTimes {
    /// Notes a frame.
    pub fn add(&mut self, took: Duration) {
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(took);
        self.frames += 1;
        self.slow += u64::from(took > FELT);
    }

    /// The last frames, oldest first.
    pub fn last(&self) -> impl Iterator<Item = Duration> + '_ {
        self.last.iter().copied()
    }

    /// Frames since the start.
    pub fn count(&self) -> u64 {
        self.frames
    }

    /// The time that a share of the last frames stays under.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted: Vec<Duration> = self.last().collect();
        sorted.sort_unstable();
        let place = share * sorted.len().saturating_sub(1) as f64;
        sorted.get(place.round() as usize).copied().unwrap_or_default()
    }
}

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
    let tokens = super::theme::tokens(ui);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_last_frames() {
        let mut times = FrameTimes::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.quantile(1.0), Duration::from_millis(100));
        assert_eq!(times.quantile(0.5), Duration::from_millis(51));
        assert_eq!((times.count(), times.slow), (100, 92));
    }
}
