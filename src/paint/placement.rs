//! Where a map lies among the pixels of the screen.

use egui::{Pos2, Rect, emath::GuiRounding as _, pos2};

/// A map on the screen: its rectangle in whole physical pixels, and the part of the map that fills it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    /// Upper left corner, physical pixels.
    pub min_px: [f32; 2],
    /// Lower right corner, physical pixels.
    pub max_px: [f32; 2],
    /// The place of the map at the upper left corner.
    pub uv_min: [f32; 2],
    /// How far in the map one pixel leads.
    pub uv_per_px: [f32; 2],
}

impl Placement {
    /// `rect` in points, rounded to the nearest pixels. `None` where there is nothing to draw.
    pub(super) fn new(rect: Rect, uv: Rect, pixels_per_point: f32) -> Option<Self> {
        let rect_px = rect.round_to_pixels(pixels_per_point) * pixels_per_point;
        let placement = Self {
            min_px: [rect_px.min.x.round(), rect_px.min.y.round()],
            max_px: [rect_px.max.x.round(), rect_px.max.y.round()],
            uv_min: [uv.min.x, uv.min.y],
            uv_per_px: [0.0; 2],
        };
        let [width, height] = placement.size_px();
        let drawable = width >= 1.0 && height >= 1.0 && rect_px.is_finite() && uv.is_finite();
        drawable.then_some(Self {
            uv_per_px: [uv.width() / width, uv.height() / height],
            ..placement
        })
    }

    /// The whole map on an image of its own.
    pub(super) fn of_image([width, height]: [usize; 2], uv: Rect) -> Option<Self> {
        Self::new(
            Rect::from_min_max(Pos2::ZERO, pos2(width as f32, height as f32)),
            uv,
            1.0,
        )
    }

    fn size_px(&self) -> [f32; 2] {
        [self.max_px[0] - self.min_px[0], self.max_px[1] - self.min_px[1]]
    }

    /// The place in the map under the middle of a pixel.
    pub(super) fn uv_of_pixel(&self, column: i32, row: i32) -> Pos2 {
        let along = |axis: usize, pixel: i32| {
            self.uv_min[axis] + (pixel as f32 + 0.5 - self.min_px[axis]) * self.uv_per_px[axis]
        };
        pos2(along(0, column), along(1, row))
    }

    /// The pixels that show the map and lie in `clip` (points): columns and rows from first to one past the last.
    pub(super) fn visible_px(&self, clip: Rect, pixels_per_point: f32) -> [std::ops::Range<i32>; 2] {
        let clip_px = clip * pixels_per_point;
        let (clip_min, clip_max) = ([clip_px.min.x, clip_px.min.y], [clip_px.max.x, clip_px.max.y]);
        [0, 1].map(|axis| {
            // Where the map's own edges 0 and 1 lie, in pixels.
            let edge = |uv: f32| self.min_px[axis] + (uv - self.uv_min[axis]) / self.uv_per_px[axis];
            let (near, far) = (edge(0.0).min(edge(1.0)), edge(0.0).max(edge(1.0)));
            let first = near.max(self.min_px[axis]).max(clip_min[axis]).floor();
            let last = far.min(self.max_px[axis]).min(clip_max[axis]).ceil();
            first as i32..last as i32
        })
    }
}
