//! Thumbnails on the graphics card: all on one texture, so that a sheet is drawn in one go. They are coloured a few at a
//! time, so that no frame waits for a sheet of hundreds.

use std::time::{Duration, Instant};

use egui::{ColorImage, Context, Rect, TextureHandle, TextureId, TextureOptions, pos2, vec2};

use crate::analysis::{colour::Picture, figures::THUMBNAIL_SIDE};

/// Thumbnails in a row of the texture.
const IN_A_ROW: usize = 32;
/// How long thumbnails are coloured in a frame.
const BUDGET: Duration = Duration::from_millis(2);

/// What the thumbnails are made of and how: with another key all are made anew, those of before stay until then.
pub trait AtlasKey: PartialEq + Clone {
    /// Whether thumbnails made under another key show the same activations.
    fn same_places(&self, other: &Self) -> bool;
}

/// A texture of thumbnails.
pub struct Atlas<K> {
    name: &'static str,
    texture: Option<TextureHandle>,
    rows: usize,
    key: Option<K>,
    /// (columns, rows) of each thumbnail that is there.
    sizes: Vec<[usize; 2]>,
    /// The next one to be made.
    next: usize,
}

impl<K: AtlasKey> Atlas<K> {
    /// With nothing on it.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            texture: None,
            rows: 0,
            key: None,
            sizes: Vec::new(),
            next: 0,
        }
    }

    /// Goes on with colouring the first `there` thumbnails, of `most` in the end, as long as a frame allows.
    pub fn update(&mut self, context: &Context, key: &K, [there, most]: [usize; 2], make: impl Fn(usize) -> Picture) {
        if self.key.as_ref() != Some(key) {
            let same = self.key.as_ref().is_some_and(|before| before.same_places(key));
            if !same {
                self.sizes.clear();
            }
            self.next = 0;
            self.key = Some(key.clone());
        }
        if there == 0 {
            return;
        }
        let rows = most.max(there).div_ceil(IN_A_ROW);
        if self.texture.is_none() || rows > self.rows {
            let size = [IN_A_ROW * THUMBNAIL_SIDE, rows * THUMBNAIL_SIDE];
            let empty = ColorImage::filled(size, egui::Color32::TRANSPARENT);
            // One pixel per cell: cells have edges.
            self.texture = Some(context.load_texture(self.name, empty, TextureOptions::NEAREST));
            self.rows = rows;
            self.sizes.clear();
            self.next = 0;
        }
        let Some(texture) = &mut self.texture else { return };
        let started = Instant::now();
        while self.next < there && started.elapsed() < BUDGET {
            let picture = make(self.next);
            let size = [picture.width.min(THUMBNAIL_SIDE), picture.height.min(THUMBNAIL_SIDE)];
            let place = [self.next % IN_A_ROW, self.next / IN_A_ROW].map(|cell| cell * THUMBNAIL_SIDE);
            let image = ColorImage::from_rgb([picture.width, picture.height], &picture.rgb);
            if [picture.width, picture.height] == size {
                texture.set_partial(place, image, TextureOptions::NEAREST);
            }
            match self.sizes.get_mut(self.next) {
                Some(known) => *known = size,
                None => self.sizes.push(size),
            }
            self.next += 1;
        }
        if self.next < there {
            context.request_repaint();
        }
    }

    /// Where a thumbnail is on the texture, and its cells (columns, rows).
    pub fn place(&self, index: usize) -> Option<(TextureId, Rect, [usize; 2])> {
        let size = *self.sizes.get(index)?;
        let texture = self.texture.as_ref()?;
        let whole = vec2((IN_A_ROW * THUMBNAIL_SIDE) as f32, (self.rows * THUMBNAIL_SIDE) as f32);
        let [x, y] = [index % IN_A_ROW, index / IN_A_ROW].map(|cell| (cell * THUMBNAIL_SIDE) as f32);
        let uv = Rect::from_min_size(
            pos2(x / whole.x, y / whole.y),
            vec2(size[0] as f32 / whole.x, size[1] as f32 / whole.y),
        );
        Some((texture.id(), uv, size))
    }

    /// Draws a thumbnail into a square, its shape kept; nothing where it is not there yet.
    pub fn paint(&self, painter: &egui::Painter, index: usize, square: Rect) {
        if let Some((texture, uv, [width, height])) = self.place(index) {
            let longer = width.max(height).max(1) as f32;
            let size = vec2(width as f32, height as f32) * (square.width() / longer);
            let rect = Rect::from_center_size(square.center(), size);
            painter.image(texture, rect, uv, egui::Color32::WHITE);
        }
    }
}
