//! All thumbnails as one picture with their names.

use super::{Column, Measurement};
use crate::{
    analysis::colour::RgbPicture,
    render::{Canvas, Lettering, score_text},
};

/// Pixels of a thumbnail's longer side on the sheet.
const SIDE: usize = 128;
/// Pixels between thumbnails and around the sheet.
const GAP: usize = 10;
/// Size of the letters, in pixels.
const LETTERS: f32 = 11.0;
/// Pixels of a line of letters.
const LINE: usize = 14;
/// Most thumbnails side by side.
const MOST_COLUMNS: usize = 16;
/// Paper, ink, and ink of what is less important.
const PAPER: [u8; 3] = [250, 250, 250];
const INK: [u8; 3] = [20, 20, 20];
const PALE_INK: [u8; 3] = [110, 110, 110];

/// One thumbnail of a sheet.
pub struct SheetEntry<'a> {
    /// Its measurement.
    pub measurement: &'a Measurement,
    /// Its colours.
    pub picture: RgbPicture,
}

/// A sheet: a title, then every entry with its name and one figure, row by row.
pub fn sheet(title: &[String], entries: &[SheetEntry<'_>], figure: Column) -> Canvas {
    let columns = (1..=MOST_COLUMNS)
        .find(|columns| columns * columns >= entries.len())
        .unwrap_or(MOST_COLUMNS);
    let rows = entries.len().div_ceil(columns);
    let cell = [SIDE + GAP, SIDE + 2 * LINE + GAP];
    let head = GAP + title.len() * LINE + GAP;
    let mut canvas = Canvas::new(GAP + columns * cell[0], head + rows * cell[1], PAPER);
    let mut letters = Lettering::default();
    let room = (canvas.width - 2 * GAP) as f32;
    for (line, text) in title.iter().enumerate() {
        let at = [GAP as f32, (GAP + line * LINE) as f32];
        letters.write(&mut canvas, at, text, LETTERS, INK, room);
    }
    for (index, entry) in entries.iter().enumerate() {
        let (x, y) = (GAP + index % columns * cell[0], head + index / columns * cell[1]);
        let enlarged = fitted(&entry.picture);
        canvas.put([x, y], &enlarged.rgb, enlarged.width, 1);
        let value = figure
            .value(entry.measurement)
            .map_or("–".to_owned(), |value| score_text(value as f32));
        let below = (y + SIDE + 1) as f32;
        letters.write(
            &mut canvas,
            [x as f32, below],
            &entry.measurement.id.to_string(),
            LETTERS,
            INK,
            SIDE as f32,
        );
        let figure = match &entry.measurement.unmeasured {
            Some(why) => why.clone(),
            None => format!("{} {value}", figure.title()),
        };
        let below = below + LINE as f32;
        letters.write(&mut canvas, [x as f32, below], &figure, LETTERS, PALE_INK, SIDE as f32);
    }
    canvas
}

/// Enlarged or reduced so that the longer side is [`SIDE`].
fn fitted(picture: &RgbPicture) -> RgbPicture {
    let width = match picture.height > picture.width {
        true => (SIDE * picture.width / picture.height).max(1),
        false => SIDE,
    };
    picture.resized_nearest(width)
}
