//! Where a map lies among the pixels of the screen. Its place is a pair of rectangles: `rect` in points, and `uv`, the
//! part of the map that fills it.

use std::ops::Range;

use egui::{Rect, emath::GuiRounding as _};

use crate::render::{MapPart, placement::Placement};

impl From<Rect> for MapPart {
    fn from(uv: Rect) -> Self {
        Self {
            min: uv.min.into(),
            max: uv.max.into(),
        }
    }
}

/// A map in `rect` (points), rounded to the nearest physical pixels. `None` where there is nothing to draw.
pub(super) fn placement_on_screen(rect: Rect, uv: Rect, pixels_per_point: f32) -> Option<Placement> {
    let rect_px = rect.round_to_pixels(pixels_per_point) * pixels_per_point;
    Placement::new(rect_px.min.round().into(), rect_px.max.round().into(), uv.into())
}

/// The pixels that show the map and lie in `clip` (points): columns and rows from first to one past the last.
pub(super) fn visible_px(placement: &Placement, clip: Rect, pixels_per_point: f32) -> [Range<i32>; 2] {
    let clip_px = clip * pixels_per_point;
    let (clip_min, clip_max): ([f32; 2], [f32; 2]) = (clip_px.min.into(), clip_px.max.into());
    [0, 1].map(|axis| {
        // Where the map's own edges 0 and 1 lie, in pixels.
        let edge = |uv: f32| placement.min_px[axis] + (uv - placement.uv_min[axis]) / placement.uv_per_px[axis];
        let (near, far) = (edge(0.0).min(edge(1.0)), edge(0.0).max(edge(1.0)));
        let first = near.max(placement.min_px[axis]).max(clip_min[axis]).floor();
        let last = far.min(placement.max_px[axis]).min(clip_max[axis]).ceil();
        first as i32..last as i32
    })
}
