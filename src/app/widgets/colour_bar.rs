//! The colours of a style beside their scores.

use egui::{Align2, Color32, FontId, Mesh, Painter, Rect, Response, Role, Sense, Shape, TextStyle, Ui, WidgetInfo};
use egui::{emath::GuiRounding as _, pos2, vec2};

use crate::render::{ColourMap, ScoreStyle, colour_map::TABLE_LEN, score_text};

/// The height of the bar as a share of the height of its numbers.
const BAR_HEIGHT_SHARE: f32 = 0.75;
/// Between the bar and its numbers, points.
const GAP_POINTS: f32 = 2.0;

/// Fills `rect` (points) with the colours of a map, the lowest score on the left, or at the bottom of a rectangle that
/// is taller than wide. Each place has the colour of its share of the range, bent by `gamma`.
pub fn colour_bar(painter: &Painter, rect: Rect, map: ColourMap, gamma: f32) {
    let rect = rect.round_to_pixels(painter.pixels_per_point());
    // A colour begins where its share of the range, bent, reaches its place in the table.
    let begin = |index: usize| (index as f32 / TABLE_LEN as f32).powf(1.0 / gamma);
    let mut mesh = Mesh::default();
    for (index, &[red, green, blue]) in map.table().iter().enumerate() {
        let (from, to) = (begin(index), begin(index + 1));
        let band = if rect.height() > rect.width() {
            Rect::from_min_max(
                pos2(rect.left(), rect.bottom() - to * rect.height()),
                pos2(rect.right(), rect.bottom() - from * rect.height()),
            )
        } else {
            Rect::from_min_max(
                pos2(rect.left() + from * rect.width(), rect.top()),
                pos2(rect.left() + to * rect.width(), rect.bottom()),
            )
        };
        mesh.add_colored_rect(band, Color32::from_rgb(red, green, blue));
    }
    painter.add(Shape::mesh(mesh));
}

/// A bar as wide as there is room, with the scores of its ends below and the score under the pointer as a tooltip.
pub fn colour_bar_ui(ui: &mut Ui, style: &ScoreStyle) -> Response {
    let text_height = ui.text_style_height(&TextStyle::Small);
    let bar_height = BAR_HEIGHT_SHARE * text_height;
    let size = vec2(ui.available_width(), bar_height + GAP_POINTS + text_height);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let [low, high] = style.range;
    let label = format!("{} from {} to {}", style.map.name(), score_text(low), score_text(high));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));

    let bar = rect.with_max_y(rect.top() + bar_height);
    colour_bar(ui.painter(), bar, style.map, style.gamma);
    let font: FontId = TextStyle::Small.resolve(ui.style());
    let colour = ui.visuals().weak_text_color();
    for (corner, align, score) in [
        (rect.left_bottom(), Align2::LEFT_BOTTOM, low),
        (rect.right_bottom(), Align2::RIGHT_BOTTOM, high),
    ] {
        ui.painter()
            .text(corner, align, score_text(score), font.clone(), colour);
    }
    match response.hover_pos() {
        Some(pointer) => {
            let share = (pointer.x - bar.left()) / bar.width();
            response.on_hover_text_at_pointer(score_text(low + share * (high - low)))
        }
        None => response,
    }
}
