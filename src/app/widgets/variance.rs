//! How much of a map's variance each principal component explains.

use egui::{Rect, Role, Sense, TextStyle, Ui, WidgetInfo, pos2, vec2};

use crate::app::theme::{self, CHANNELS, tokens};

/// Height of the highest bar, in points.
const HEIGHT: f32 = 40.0;
/// The widest that a bar with its gap becomes, in points.
const MOST_PITCH: f32 = 18.0;
/// The share of its place that a bar fills.
const BAR_SHARE: f32 = 0.75;
/// The lowest bar: a component that explains next to nothing is still there to be pointed at, in points.
const LEAST_HEIGHT: f32 = 1.0;
/// What the three components shown are shown in.
const CHANNEL_NAMES: [&str; CHANNELS.len()] = ["red", "green", "blue"];

/// A bar for each share of the variance (0 to 1), the highest first as PCA gives them. Those at the indices `shown` have
/// the colour of the channel they are shown in. Gives the component that was clicked.
pub fn variance_bars_ui(ui: &mut Ui, explained: &[f64], shown: [usize; CHANNELS.len()]) -> Option<usize> {
    let text_height = ui.text_style_height(&TextStyle::Small);
    let size = vec2(ui.available_width(), HEIGHT + theme::SPACE_XS + text_height);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, ui.is_enabled(), summary(explained)));
    let highest = explained
        .iter()
        .copied()
        .filter(|share| share.is_finite())
        .fold(0.0, f64::max);
    if explained.is_empty() || rect.width() <= 0.0 || highest <= 0.0 {
        return None;
    }
    let pitch = (rect.width() / explained.len() as f32).min(MOST_PITCH);
    let under_pointer = response.hover_pos().and_then(|pointer| {
        let index = ((pointer.x - rect.left()) / pitch) as usize;
        (index < explained.len()).then_some(index)
    });
    let tokens = tokens(ui);
    let base = rect.top() + HEIGHT;
    for (index, share) in explained.iter().enumerate() {
        let channel = shown.iter().position(|component| *component == index);
        let colour = match channel {
            Some(channel) => CHANNELS[channel],
            None if under_pointer == Some(index) => tokens.text,
            None => tokens.bar_outside,
        };
        // A share that is no number has the height of nothing.
        let height = (share.max(0.0) / highest) as f32 * HEIGHT;
        let left = rect.left() + index as f32 * pitch;
        let bar = Rect::from_min_max(
            pos2(left, base - height.max(LEAST_HEIGHT)),
            pos2(left + BAR_SHARE * pitch, base),
        );
        ui.painter()
            .rect_filled(bar, theme::RADIUS_SMALL.min((BAR_SHARE * pitch / 2.0) as u8), colour);
    }
    caption_ui(ui, rect, explained, shown);
    let clicked = response.clicked().then_some(under_pointer).flatten();
    if let Some(index) = under_pointer {
        response.on_hover_text_at_pointer(tooltip(explained, index, shown));
    }
    clicked
}

/// What the shown components explain together.
fn caption_ui(ui: &Ui, rect: Rect, explained: &[f64], shown: [usize; CHANNELS.len()]) {
    let together: f64 = shown.iter().filter_map(|index| explained.get(*index)).sum();
    let font = TextStyle::Small.resolve(ui.style());
    ui.painter().with_clip_rect(rect.intersect(ui.clip_rect())).text(
        rect.left_bottom(),
        egui::Align2::LEFT_BOTTOM,
        format!("{} of the variance in the three shown", percent(together)),
        font,
        tokens(ui).text_weak,
    );
}

fn tooltip(explained: &[f64], index: usize, shown: [usize; CHANNELS.len()]) -> String {
    let up_to_here: f64 = explained.iter().take(index + 1).sum();
    let share = explained.get(index).copied().unwrap_or_default();
    let mut text = format!(
        "Component {}: {} of the variance, {} with those before it",
        index + 1,
        percent(share),
        percent(up_to_here)
    );
    if let Some(channel) = shown.iter().position(|component| *component == index) {
        text += &format!(". Shown in {}", CHANNEL_NAMES[channel]);
    }
    text
}

fn summary(explained: &[f64]) -> String {
    /// More would be read out for a long time.
    const READ_OUT: usize = 6;
    let shares: Vec<String> = explained.iter().take(READ_OUT).map(|share| percent(*share)).collect();
    format!("Explained variance: {}", shares.join(", "))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
