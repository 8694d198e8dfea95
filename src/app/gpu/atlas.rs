//! Thumbnails on the graphics card: many on each of a few textures, so that a sheet is drawn in a few goes. They are coloured
//! a few at a time and a texture is made when its first thumbnail is, so that no frame waits for a sheet of hundreds.

use std::time::{Duration, Instant};

use egui::{ColorImage, Context, Painter, Rect, TextureHandle, TextureId, TextureOptions, pos2, vec2};

use crate::analysis::{colour::RgbPicture, figures::THUMBNAIL_SIDE};

/// Thumbnails in a row of a texture.
const IN_A_ROW: usize = 16;
/// Rows of a texture. To make one of 1024 x 384 pixels and to bring it to the card takes about a millisecond.
const ROWS: usize = 6;
/// Thumbnails on a texture.
const ON_A_PAGE: usize = IN_A_ROW * ROWS;
/// How long thumbnails are coloured in a frame.
const BUDGET: Duration = Duration::from_millis(2);

/// What the thumbnails are made of and how: with another key all are made anew, those of before stay until then.
pub trait AtlasKey: PartialEq + Clone {
    /// Whether thumbnails made under another key show the same activations.
    fn same_places(&self, other: &Self) -> bool;
}

/// Textures of thumbnails.
pub struct Atlas<K> {
    name: &'static str,
    pages: Vec<TextureHandle>,
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
            pages: Vec::new(),
            key: None,
            sizes: Vec::new(),
            next: 0,
        }
    }

    /// Goes on with colouring the first `there` thumbnails as long as a frame allows.
    pub fn update(&mut self, context: &Context, key: &K, there: usize, make: impl Fn(usize) -> RgbPicture) {
        if self.key.as_ref() != Some(key) {
            let same = self.key.as_ref().is_some_and(|before| before.same_places(key));
            if !same {
                self.sizes.clear();
            }
            self.next = 0;
            self.key = Some(key.clone());
        }
        let started = Instant::now();
        while self.next < there && started.elapsed() < BUDGET {
            let (page, on_page) = (self.next / ON_A_PAGE, self.next % ON_A_PAGE);
            if page == self.pages.len() {
                let size = [IN_A_ROW * THUMBNAIL_SIDE, ROWS * THUMBNAIL_SIDE];
                let empty = ColorImage::filled(size, egui::Color32::TRANSPARENT);
                // One pixel per cell: cells have edges.
                self.pages
                    .push(context.load_texture(format!("{} {page}", self.name), empty, TextureOptions::NEAREST));
            }
            let picture = make(self.next);
            let size = [picture.width.min(THUMBNAIL_SIDE), picture.height.min(THUMBNAIL_SIDE)];
            let place = [on_page % IN_A_ROW, on_page / IN_A_ROW].map(|cell| cell * THUMBNAIL_SIDE);
            let image = ColorImage::from_rgb([picture.width, picture.height], &picture.rgb);
            if [picture.width, picture.height] == size {
                self.pages[page].set_partial(place, image, TextureOptions::NEAREST);
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

    /// Where a thumbnail is: its texture, the part of it, and its cells (columns, rows).
    fn place(&self, index: usize) -> Option<(TextureId, Rect, [usize; 2])> {
        let size = *self.sizes.get(index)?;
        let texture = self.pages.get(index / ON_A_PAGE)?;
        let whole = vec2((IN_A_ROW * THUMBNAIL_SIDE) as f32, (ROWS * THUMBNAIL_SIDE) as f32);
        let on_page = index % ON_A_PAGE;
        let [x, y] = [on_page % IN_A_ROW, on_page / IN_A_ROW].map(|cell| (cell * THUMBNAIL_SIDE) as f32);
        let uv = Rect::from_min_size(
            pos2(x / whole.x, y / whole.y),
            vec2(size[0] as f32 / whole.x, size[1] as f32 / whole.y),
        );
        Some((texture.id(), uv, size))
    }

    /// Draws a thumbnail into a square, its shape kept; nothing where it is not there yet.
    pub fn paint(&self, painter: &Painter, index: usize, square: Rect) {
        if let Some((texture, uv, [width, height])) = self.place(index) {
            let longer = width.max(height).max(1) as f32;
            let size = vec2(width as f32, height as f32) * (square.width() / longer);
            let rect = Rect::from_center_size(square.center(), size);
            painter.image(texture, rect, uv, egui::Color32::WHITE);
        }
    }

    /// Draws many, those on one texture after each other: every change of the texture is a call of its own.
    pub fn paint_all(&self, painter: &Painter, mut thumbnails: Vec<(usize, Rect)>) {
        thumbnails.sort_by_key(|(index, _)| index / ON_A_PAGE);
        for (index, square) in thumbnails {
            self.paint(painter, index, square);
        }
    }
}
