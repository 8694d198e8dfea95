//! Letters in pictures that are written to files: the fonts of the window, without a window.

use std::sync::Arc;

use epaint::{
    Color32, ColorImage,
    text::{FontDefinitions, FontId, Fonts, Galley, TextOptions},
};

/// An 8-bit picture that is drawn on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// (height, width, 3): red, green, blue.
    pub rgb: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self {
            width,
            height,
            rgb: colour.repeat(width * height),
        }
    }

    /// Copies an 8-bit RGB picture of `width` pixels per row to (x, y), each pixel as a square of `scale`. What lies
    /// outside is left out.
    pub fn put(&mut self, [x, y]: [usize; 2], rgb: &[u8], width: usize, scale: usize) {
        for (row, line) in rgb.chunks_exact((3 * width).max(1)).enumerate() {
            for (column, colour) in line.chunks_exact(3).enumerate() {
                self.fill([x + column * scale, y + row * scale], [scale, scale], colour);
            }
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: &[u8]) {
        for row in y..(y + height).min(self.height) {
            for column in x..(x + width).min(self.width) {
                let start = 3 * (row * self.width + column);
                self.rgb[start..start + 3].copy_from_slice(colour);
            }
        }
    }

    /// Mixes a colour into a pixel.
    pub(super) fn mix(&mut self, x: f32, y: f32, colour: [u8; 3], share: f32) {
        if x < 0.0 || y < 0.0 || x >= self.width as f32 || y >= self.height as f32 {
            return;
        }
        let start = 3 * (y as usize * self.width + x as usize);
        for (under, over) in self.rgb[start..start + 3].iter_mut().zip(colour) {
            *under = (f32::from(*under) + share * (f32::from(over) - f32::from(*under))).round() as u8;
        }
    }
}

/// Writes on pictures.
pub struct Lettering {
    fonts: Fonts,
}

impl Default for Lettering {
    fn default() -> Self {
        Self {
            fonts: Fonts::new(TextOptions::default(), FontDefinitions::default()),
        }
    }
}

impl Lettering {
    fn galley(&mut self, text: &str, size: f32) -> Arc<Galley> {
        let font = FontId::proportional(size);
        let mut fonts = self.fonts.with_pixels_per_point(1.0);
        fonts.layout_no_wrap(text.to_owned(), font, Color32::WHITE)
    }

    /// Pixels that a line of text is wide.
    pub fn width(&mut self, text: &str, size: f32) -> f32 {
        self.galley(text, size).size().x
    }

    /// A text as lines that fit into `room` pixels, broken between words, and within words that are too long; none of an empty
    /// text.
    pub fn lines(&mut self, text: &str, size: f32, room: f32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let longer = lines.last().map(|line| format!("{line} {word}"));
            match (longer.filter(|line| self.width(line, size) <= room), lines.last_mut()) {
                (Some(longer), Some(last)) => *last = longer,
                _ => lines.extend(self.parts(word, size, room)),
            }
        }
        lines
    }

    /// A word as pieces that fit.
    fn parts(&mut self, word: &str, size: f32, room: f32) -> Vec<String> {
        let mut parts = vec![String::new()];
        for letter in word.chars() {
            let Some(last) = parts.last_mut() else { break };
            last.push(letter);
            if last.chars().count() > 1 && self.width(last, size) > room {
                last.pop();
                parts.push(letter.to_string());
            }
        }
        parts
    }

    /// Writes a line with its upper left corner at (x, y), cut off at `room` pixels.
    pub fn write(&mut self, on: &mut Canvas, [x, y]: [f32; 2], text: &str, size: f32, colour: [u8; 3], room: f32) {
        let text = self.shortened(text, size, room);
        let galley = self.galley(&text, size);
        let atlas: ColorImage = self.fonts.image();
        for row in &galley.rows {
            for glyph in &row.row.glyphs {
                let uv = glyph.uv_rect;
                let left = (x + row.pos.x + glyph.pos.x + uv.offset.x).round();
                let top = (y + row.pos.y + glyph.pos.y + uv.offset.y).round();
                for v in uv.min[1]..uv.max[1] {
                    for u in uv.min[0]..uv.max[0] {
                        let coverage = atlas[(usize::from(u), usize::from(v))].a();
                        let (column, row) = (f32::from(u - uv.min[0]), f32::from(v - uv.min[1]));
                        on.mix(
                            left + column,
                            top + row,
                            colour,
                            f32::from(coverage) / f32::from(u8::MAX),
                        );
                    }
                }
            }
        }
    }

    /// The beginning of a text that fits, with an ellipsis where something is left out.
    fn shortened(&mut self, text: &str, size: f32, room: f32) -> String {
        if self.width(text, size) <= room {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        let with = |count: usize| letters.iter().take(count).chain(&['…']).collect::<String>();
        let fitting = (0..letters.len())
            .rev()
            .find(|count| self.width(&with(*count), size) <= room);
        fitting.map_or(String::new(), with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_dark_on_light_and_stay_in_their_room() {
        let mut canvas = Canvas::new(200, 24, [255; 3]);
        let mut letters = Lettering::default();
        letters.write(
            &mut canvas,
            [2.0, 2.0],
            "up-level1-repeat0-vit-block0-self-q",
            14.0,
            [0; 3],
            90.0,
        );
        let dark = |columns: std::ops::Range<usize>| {
            let pixels = (0..24).flat_map(|row| columns.clone().map(move |column| row * 200 + column));
            pixels.filter(|pixel| canvas.rgb[3 * pixel] < 100).count()
        };
        assert!(dark(0..94) > 50, "{}", dark(0..94));
        assert_eq!(dark(96..200), 0);
        assert!(letters.width("ab", 14.0) > letters.width("a", 14.0));
    }

    #[test]
    fn lines_are_broken_where_there_is_no_room() {
        let mut letters = Lettering::default();
        let text = "model demo · layer up-level1-repeat0-vit-block0-self-q-and-so-on · t 100";
        let lines = letters.lines(text, 13.0, 120.0);
        assert!(lines.len() > 3, "{lines:?}");
        assert!(lines.iter().all(|line| letters.width(line, 13.0) <= 120.0), "{lines:?}");
        let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(without_blanks(&lines.concat()), without_blanks(text));
        assert_eq!(letters.lines(text, 13.0, 2000.0), [text]);
        assert!(letters.lines("", 13.0, 100.0).is_empty());
    }

    #[test]
    fn pictures_are_enlarged_and_cut_off_at_the_edge() {
        let mut canvas = Canvas::new(4, 3, [9; 3]);
        canvas.put([1, 1], &[1, 2, 3, 4, 5, 6], 2, 2);
        let row = |row: usize| canvas.rgb[row * 12..(row + 1) * 12].to_vec();
        assert_eq!(row(0), [9; 12]);
        assert_eq!(row(1), [9, 9, 9, 1, 2, 3, 1, 2, 3, 4, 5, 6]);
        assert_eq!(row(2), row(1));
        letters_outside(&mut canvas);
    }

    fn letters_outside(canvas: &mut Canvas) {
        let before = canvas.clone();
        Lettering::default().write(canvas, [50.0, 50.0], "far away", 14.0, [0; 3], 100.0);
        assert_eq!(*canvas, before);
    }
}
