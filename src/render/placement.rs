//! Where a map lies among the pixels of a picture or of the screen.

/// A rectangle of a map, in shares of its width and height: (0, 0) is the upper left corner of the map and (1, 1) the
/// lower right one. It may reach beyond them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapPart {
    /// The upper left corner (u, v).
    pub min: [f32; 2],
    /// The lower right corner (u, v).
    pub max: [f32; 2],
}

impl MapPart {
    /// The whole map.
    pub const WHOLE: Self = Self {
        min: [0.0; 2],
        max: [1.0; 2],
    };
}

/// A map on a raster: its rectangle in whole pixels, and the part of the map that fills it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placement {
    /// Upper left corner, pixels.
    pub min_px: [f32; 2],
    /// Lower right corner, pixels.
    pub max_px: [f32; 2],
    /// The place of the map at the upper left corner.
    pub uv_min: [f32; 2],
    /// How far in the map one pixel leads.
    pub uv_per_px: [f32; 2],
}

impl Placement {
    /// `part` of a map between two corners, which are whole pixels. `None` where there is nothing to draw.
    pub(crate) fn new(min_px: [f32; 2], max_px: [f32; 2], part: MapPart) -> Option<Self> {
        let size_px = [0, 1].map(|axis| max_px[axis] - min_px[axis]);
        let corners = [min_px, max_px, part.min, part.max];
        let drawable = size_px.iter().all(|side| *side >= 1.0) && corners.as_flattened().iter().all(|x| x.is_finite());
        drawable.then_some(Self {
            min_px,
            max_px,
            uv_min: part.min,
            uv_per_px: [0, 1].map(|axis| (part.max[axis] - part.min[axis]) / size_px[axis]),
        })
    }

    /// `part` of a map on a picture of its own, (width, height) pixels.
    pub(crate) fn of_image([width, height]: [u32; 2], part: MapPart) -> Option<Self> {
        Self::new([0.0; 2], [width as f32, height as f32], part)
    }

    /// The place (u, v) in the map under the middle of a pixel.
    pub(crate) fn uv_of_pixel(&self, column: i32, row: i32) -> [f32; 2] {
        let along = |axis: usize, pixel: i32| {
            self.uv_min[axis] + (pixel as f32 + 0.5 - self.min_px[axis]) * self.uv_per_px[axis]
        };
        [along(0, column), along(1, row)]
    }
}
