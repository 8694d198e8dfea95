//! Pictures and other RGB images of panes: made smaller off the window's thread, uploaded once, drawn at any zoom.

use std::borrow::Cow;

use egui::{Color32, ColorImage, Context, Painter, Rect, TextureFilter, TextureHandle, TextureOptions};
use egui::{emath::GuiRounding as _, emath::RectTransform, pos2};
use rayon::prelude::*;

use super::texture::ChangingTexture;
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// Bytes of a pixel: red, green, blue.
const CHANNELS: usize = 3;
/// The smallest of the reduced copies has no side above this; a pane is rarely smaller.
const SMALLEST_SIDE_PX: usize = 128;

/// Pixels ready for the screen. Making one can take a second for a large picture and needs no window.
#[derive(Clone)]
pub struct DisplayPicture {
    /// The picture, then copies of half the size each. Graphics hardware looks at four texels for a pixel, so a
    /// picture shown much smaller than it is needs a copy of about the right size.
    levels: Vec<ColorImage>,
}

impl DisplayPicture {
    /// A picture (h, w, 3), no side above `max_side_px`: the device's largest texture, `max_texture_side` of egui's
    /// input. Larger ones are averaged over the area of each new pixel, in gamma space as the screen does it.
    ///
    /// # Errors
    ///
    /// Where there are more or fewer than three bytes for each position, or none.
    pub fn picture(rgb: &[u8], size: Grid, max_side_px: usize) -> Result<Self> {
        let mut level = fit(rgb, size, max_side_px)?;
        let mut levels = vec![level.image()];
        while level.size.height.max(level.size.width) > SMALLEST_SIDE_PX {
            let half = Grid::new(level.size.height.div_ceil(2), level.size.width.div_ceil(2));
            level = level.area_average(half);
            levels.push(level.image());
        }
        Ok(Self { levels })
    }

    /// A map of colours (h, w, 3), one for each position, no side above `max_side_px`.
    ///
    /// # Errors
    ///
    /// Where there are more or fewer than three bytes for each position, or none.
    pub fn map(rgb: &[u8], grid: Grid, max_side_px: usize) -> Result<Self> {
        Ok(Self {
            levels: vec![fit(rgb, grid, max_side_px)?.image()],
        })
    }

    /// Rows and columns of the largest copy.
    pub fn size(&self) -> Grid {
        self.levels.first().map_or(Grid::new(0, 0), |level| {
            let [width, height] = level.size;
            Grid::new(height, width)
        })
    }
}

/// The texture of one pane's picture. Enlarged, its pixels are flat squares.
pub struct PictureTexture {
    name: String,
    minification: TextureFilter,
    levels: Vec<ChangingTexture>,
}

impl PictureTexture {
    /// For pictures: smooth where it is drawn smaller than it is. Empty; `name` is for debugging.
    pub fn of_picture(name: impl Into<String>) -> Self {
        Self::new(name, TextureFilter::Linear)
    }

    /// For maps of colours, whose cells must not mix. Empty; `name` is for debugging.
    pub fn of_map(name: impl Into<String>) -> Self {
        Self::new(name, TextureFilter::Nearest)
    }

    fn new(name: impl Into<String>, minification: TextureFilter) -> Self {
        Self {
            name: name.into(),
            minification,
            levels: Vec::new(),
        }
    }

    /// Shows `picture` from now on. Where the size stays, the memory on the device stays too.
    pub fn set(&mut self, ctx: &Context, picture: DisplayPicture) {
        let options = TextureOptions {
            magnification: TextureFilter::Nearest,
            minification: self.minification,
            ..TextureOptions::NEAREST
        };
        let mut held = std::mem::take(&mut self.levels).into_iter();
        for image in picture.levels {
            self.levels.push(match held.next() {
                Some(mut texture) => {
                    texture.set(ctx, image, options);
                    texture
                }
                None => ChangingTexture::new(ctx, &self.name, image, options),
            });
        }
    }

    /// Forgets the picture and gives its memory back.
    pub fn clear(&mut self) {
        self.levels.clear();
    }

    /// Rows and columns of what is held; `None` when empty.
    pub fn size(&self) -> Option<Grid> {
        let [width, height] = self.levels.first()?.handle().size();
        Some(Grid::new(height, width))
    }

    /// Draws the part `uv` into `rect` (points, rounded to whole pixels); nothing outside (0, 0)..(1, 1), nothing when
    /// empty. `tint` multiplies the colours; white leaves them.
    pub fn paint(&self, painter: &Painter, rect: Rect, uv: Rect, tint: Color32) {
        let pixels_per_point = painter.pixels_per_point();
        let rect = rect.round_to_pixels(pixels_per_point);
        let shown = uv.intersect(Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0)));
        if !rect.is_positive() || !shown.is_positive() {
            return;
        }
        let screen = RectTransform::from_to(uv, rect).transform_rect(shown);
        if let Some(level) = self.level_for(screen * pixels_per_point, shown) {
            painter.image(level.id(), screen, shown, tint);
        }
    }

    /// The smallest copy that still has a texel for each pixel drawn.
    fn level_for(&self, screen_px: Rect, uv: Rect) -> Option<&TextureHandle> {
        let enough = |level: &&TextureHandle| {
            let texels = level.size_vec2() * uv.size();
            texels.x >= screen_px.width() && texels.y >= screen_px.height()
        };
        let mut levels = self.levels.iter().map(ChangingTexture::handle);
        levels.clone().rev().find(enough).or(levels.next())
    }
}

/// An RGB image (h, w, 3).
struct Rgb<'a> {
    size: Grid,
    bytes: Cow<'a, [u8]>,
}

/// The image itself, or an average of it that fits.
fn fit(rgb: &[u8], size: Grid, max_side_px: usize) -> Result<Rgb<'_>> {
    if rgb.is_empty() || rgb.len() != size.positions() * CHANNELS {
        return Err(Error::failed(format!(
            "a picture of {} x {} pixels needs {} bytes, found {}",
            size.width,
            size.height,
            size.positions() * CHANNELS,
            rgb.len()
        )));
    }
    let picture = Rgb {
        size,
        bytes: Cow::Borrowed(rgb),
    };
    let side = size.height.max(size.width);
    if side <= max_side_px {
        return Ok(picture);
    }
    let reduced = |length: usize| (length * max_side_px).div_ceil(side).max(1);
    Ok(picture.area_average(Grid::new(reduced(size.height), reduced(size.width))))
}

impl Rgb<'_> {
    fn image(&self) -> ColorImage {
        ColorImage::from_rgb([self.size.width, self.size.height], &self.bytes)
    }

    /// Each pixel of the smaller image is the average over the area it covers here.
    fn area_average(&self, size: Grid) -> Rgb<'static> {
        let columns = spans(self.size.width, size.width);
        let rows = spans(self.size.height, size.height);
        let row_bytes = self.size.width * CHANNELS;
        let mut bytes = vec![0; size.positions() * CHANNELS];
        bytes
            .par_chunks_exact_mut(size.width * CHANNELS)
            .zip(&rows)
            .for_each_init(
                || vec![0.0f32; row_bytes],
                |sums, (out, span)| {
                    sums.fill(0.0);
                    let covered = self.bytes.chunks_exact(row_bytes).skip(span.first);
                    for (row, weight) in covered.zip(&span.weights) {
                        for (sum, &value) in sums.iter_mut().zip(row) {
                            *sum += weight * f32::from(value);
                        }
                    }
                    for (pixel, span) in out.chunks_exact_mut(CHANNELS).zip(&columns) {
                        let mut mean = [0.0; CHANNELS];
                        let covered = sums.chunks_exact(CHANNELS).skip(span.first);
                        for (sum, weight) in covered.zip(&span.weights) {
                            for (mean, sum) in mean.iter_mut().zip(sum) {
                                *mean += weight * sum;
                            }
                        }
                        for (value, mean) in pixel.iter_mut().zip(mean) {
                            *value = mean.round() as u8;
                        }
                    }
                },
            );
        Rgb {
            size,
            bytes: Cow::Owned(bytes),
        }
    }
}

/// The pixels that a new pixel covers along one side, and what share of it each fills.
struct Span {
    first: usize,
    weights: Vec<f32>,
}

/// The spans of `to` new pixels over `from` old ones.
fn spans(from: usize, to: usize) -> Vec<Span> {
    let step = from as f64 / to as f64;
    (0..to)
        .map(|index| {
            let (begin, end) = (index as f64 * step, (index + 1) as f64 * step);
            let first = begin as usize;
            let last = (end.ceil() as usize).min(from);
            let weights = (first..last)
                .map(|pixel| {
                    let covered = end.min((pixel + 1) as f64) - begin.max(pixel as f64);
                    (covered / step) as f32
                })
                .collect();
            Span { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red(image: &ColorImage) -> Vec<u8> {
        image.pixels.iter().map(|pixel| pixel.r()).collect()
    }

    fn grey(levels: &[u8]) -> Vec<u8> {
        levels.iter().flat_map(|&level| [level; CHANNELS]).collect()
    }

    #[test]
    fn a_picture_that_fits_is_untouched() -> Result<()> {
        let picture = DisplayPicture::picture(&[1, 2, 3, 4, 5, 6], Grid::new(1, 2), 2)?;
        assert_eq!(
            picture.levels[0].pixels,
            [Color32::from_rgb(1, 2, 3), Color32::from_rgb(4, 5, 6)]
        );
        Ok(())
    }

    #[test]
    fn a_larger_one_is_averaged_by_area() -> Result<()> {
        let picture = DisplayPicture::map(&grey(&[0, 30, 90]), Grid::new(1, 3), 2)?;
        // Each new pixel covers one old pixel and half of the middle one.
        assert_eq!(red(&picture.levels[0]), [10, 70]);
        assert_eq!(picture.size(), Grid::new(1, 2));
        Ok(())
    }

    #[test]
    fn averages_keep_a_flat_picture_flat() -> Result<()> {
        let size = Grid::new(701, 997);
        let picture = DisplayPicture::picture(&grey(&vec![77; size.positions()]), size, 300)?;
        assert_eq!(picture.size(), Grid::new(211, 300));
        assert_eq!(picture.levels.len(), 3, "300, 150, 75");
        assert!(
            picture
                .levels
                .iter()
                .all(|level| red(level).iter().all(|&value| value == 77))
        );
        Ok(())
    }

    #[test]
    fn bytes_must_fit_the_size() {
        assert!(DisplayPicture::picture(&[0; 5], Grid::new(1, 2), 8).is_err());
        assert!(DisplayPicture::map(&[], Grid::new(0, 0), 8).is_err());
    }
}
