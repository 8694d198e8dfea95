//! A picture at its place on a canvas.

use egui::{Pos2, Rect, emath::RectTransform, pos2, vec2};

use super::canvas_rects::fitting_scale;
use crate::{
    app::document::pane::View,
    geometry::{Size, framing::Framing},
};

/// All of a picture, in shares of its sides.
pub const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// A picture on the screen.
pub struct Placed {
    /// Its own size.
    pub size: Size,
    /// Where all of it would be, in points.
    pub rect: Rect,
}

impl Placed {
    /// Nothing where the canvas has no room.
    pub(in crate::app) fn new(canvas: Rect, size: Size, view: View) -> Option<Self> {
        let scale = fitting_scale(canvas, size) * view.zoom;
        let extent = vec2(size.width as f32, size.height as f32) * scale;
        let middle = vec2(view.centre[0] - 0.5, view.centre[1] - 0.5) * extent;
        let rect = Rect::from_center_size(canvas.center() - middle, extent);
        rect.is_positive().then_some(Self { size, rect })
    }

    /// Pixel coordinates, with pixel centres at whole numbers.
    fn pixels(&self) -> Rect {
        let corner = pos2(-0.5, -0.5);
        Rect::from_min_size(corner, vec2(self.size.width as f32, self.size.height as f32))
    }

    /// A pixel of the picture on the screen.
    pub fn on_screen(&self, [x, y]: [f64; 2]) -> Pos2 {
        RectTransform::from_to(self.pixels(), self.rect).transform_pos(pos2(x as f32, y as f32))
    }

    /// What is shown at a place on the screen, in pixels of the picture.
    pub fn pixel_at(&self, pos: Pos2) -> [f64; 2] {
        let pixel = RectTransform::from_to(self.rect, self.pixels()).transform_pos(pos);
        [f64::from(pixel.x), f64::from(pixel.y)]
    }

    /// The part that the model sees.
    pub(in crate::app) fn seen(&self, framing: &Framing) -> Rect {
        let [left, top, right, bottom] = framing.visible();
        Rect::from_min_max(self.on_screen([left, top]), self.on_screen([right, bottom]))
    }

    pub(in crate::app) fn points_per_pixel(&self) -> f32 {
        self.rect.width() / self.size.width as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas() -> Rect {
        Rect::from_min_size(pos2(100.0, 50.0), vec2(400.0, 300.0))
    }

    #[test]
    fn screen_and_pixels_are_inverse_at_any_zoom() {
        let size = Size::new(64, 48);
        for zoom in [0.5, 1.0, 7.0, 200.0] {
            let view = View {
                centre: [0.3, 0.8],
                zoom,
            };
            let place = Placed::new(canvas(), size, view).expect("there is room");
            let [x, y] = place.pixel_at(place.on_screen([10.25, 20.5]));
            assert!((x - 10.25).abs() < 1e-2 && (y - 20.5).abs() < 1e-2, "{x} {y}");
            // The centre of the view is in the middle of the canvas.
            let middle = place.pixel_at(canvas().center());
            assert!((middle[0] + 0.5 - 0.3 * 64.0).abs() < 1e-2, "{middle:?}");
        }
        let fitted = Placed::new(canvas(), size, View::default()).expect("there is room");
        assert_eq!(fitted.rect, canvas());
        let no_room = Rect::from_min_size(pos2(100.0, 50.0), vec2(400.0, 0.0));
        assert!(Placed::new(no_room, size, View::default()).is_none());
    }
}
