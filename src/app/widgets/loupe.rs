//! A part of a pane, enlarged beside the pointer: what lies under it, pixel by pixel.

use egui::{
    Color32, Id, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Vec2,
    emath::{GuiRounding as _, RectTransform},
    vec2,
};

use crate::{
    app::gpu::{
        picture::PictureTexture,
        scores::{ScorePainter, paint_scores},
    },
    render::{ScoreMap, ScoreStyle},
};

/// From the pointer to the nearest corner of the loupe, in points.
const POINTER_GAP: f32 = 18.0;
/// Half the length of the cross at the middle, in points; it leaves the point itself free.
const CROSS_REACH: f32 = 9.0;
const CROSS_HOLE: f32 = 4.0;

/// A square that shows the surroundings of a point enlarged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loupe {
    /// Where it is drawn, in points.
    pub place: Rect,
    /// What it shows: the part of the pane, in points, that would lie under it.
    source: Rect,
}

/// A score map to be drawn in a loupe.
pub struct LoupeScores<'a> {
    /// Names what stays on the device; not that of the pane.
    pub id: Id,
    /// The scores.
    pub map: &'a ScoreMap,
    /// How they look.
    pub style: &'a ScoreStyle,
    /// What draws them.
    pub backend: &'a ScorePainter,
}

impl Loupe {
    /// A loupe of `side` points for the point `focus` of a pane, `magnification` times as large as the pane, inside of
    /// `bounds` and beside the pointer. `None` where there is no room for it.
    pub fn near(focus: Pos2, bounds: Rect, side: f32, magnification: f32) -> Option<Self> {
        let size = Vec2::splat(side);
        let fits = side > 0.0 && magnification > 0.0 && bounds.width() >= side && bounds.height() >= side;
        if !fits || !focus.is_finite() {
            return None;
        }
        // Up and to the right of the pointer, where no hand and no cursor is; on the other side where that is outside.
        let along = |first: f32, second: f32, low: f32, high: f32| {
            let wanted = if (low..=high).contains(&first) { first } else { second };
            wanted.clamp(low, high)
        };
        let left = along(
            focus.x + POINTER_GAP,
            focus.x - POINTER_GAP - side,
            bounds.left(),
            bounds.right() - side,
        );
        let top = along(
            focus.y - POINTER_GAP - side,
            focus.y + POINTER_GAP,
            bounds.top(),
            bounds.bottom() - side,
        );
        Some(Self {
            place: Rect::from_min_size(Pos2::new(left, top), size),
            source: Rect::from_center_size(focus, size / magnification),
        })
    }

    /// The part of a picture that the loupe shows, where the pane shows the part `uv` of it in `rect`.
    pub fn part_of(&self, rect: Rect, uv: Rect) -> Rect {
        RectTransform::from_to(rect, uv).transform_rect(self.source)
    }

    /// Draws the loupe: `fill`, the picture, the scores over it, a cross at the point, the border. Picture and scores
    /// come with the `rect` and `uv` that the pane draws them with.
    pub fn paint(
        &self,
        painter: &Painter,
        fill: Color32,
        border: Stroke,
        picture: Option<(&PictureTexture, Rect, Rect)>,
        scores: Option<(&LoupeScores<'_>, Rect, Rect)>,
    ) {
        let place = self.place.round_to_pixels(painter.pixels_per_point());
        painter.rect_filled(place, 0.0, fill);
        let inside = painter.with_clip_rect(place.intersect(painter.clip_rect()));
        if let Some((texture, rect, uv)) = picture {
            texture.paint(&inside, place, self.part_of(rect, uv), Color32::WHITE);
        }
        if let Some((scores, rect, uv)) = scores {
            let part = self.part_of(rect, uv);
            paint_scores(
                &inside,
                scores.id,
                place,
                part,
                scores.map,
                scores.style,
                scores.backend,
            );
        }
        let arms = [vec2(1.0, 0.0), vec2(0.0, 1.0), vec2(-1.0, 0.0), vec2(0.0, -1.0)];
        for (width, colour) in [(3.0 * border.width, fill), (border.width, border.color)] {
            inside.extend(arms.map(|arm| {
                let ends = [CROSS_HOLE, CROSS_REACH].map(|reach| place.center() + reach * arm);
                Shape::line_segment(ends, Stroke::new(width, colour))
            }));
        }
        painter.rect_stroke(place, 0.0, border, StrokeKind::Outside);
    }
}
