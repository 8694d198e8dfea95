//! Figures: a picture with what lies over it, drawn at a size of one's own, with title, colour bar and caption around it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    colour_map::ColourMap,
    lettering::{Canvas, Lettering},
    number::score_text,
    placement::MapPart,
    score_map::{ScoreMap, ScoreStyle, render_scores},
};
use crate::{
    error::{Error, Result},
    extract::ram,
    geometry::{Grid, Size, framing::Framing},
    image::{
        picture::Picture,
        png_text::with_text,
        resize::{Filter, resize},
    },
    io::output::{METADATA_KEY, write_png},
};

/// Figures with a longer side than this are refused, in pixels.
const MOST_SIDE: usize = 16_384;
/// Most times that a figure is larger than its picture.
pub const MOST_TIMES: u32 = 16;
/// Size of the letters at scale 1, in pixels, and the share of the width of a figure that they have at least: of a large one
/// they are read where it is shown small.
const LETTERS: f32 = 13.0;
const LETTERS_OF_WIDTH: f32 = 1.0 / 64.0;
/// Of the letters' size: height of a line, of a title's letters, of the colour bar, and the margin.
const LINE: f32 = 1.35;
const TITLE: f32 = 1.4;
const BAR: f32 = 0.9;
const MARGIN: f32 = 0.8;
/// Least width of a figure with words, in letters: narrower ones have paper beside the picture.
const LEAST_LETTERS: f32 = 30.0;
/// Radius of a mark and width of its line, in pixels at scale 1, and the share that is a dark edge around it.
const MARK_RADIUS: f32 = 7.0;
const MARK_LINE: f32 = 2.0;
const MARK_EDGE: f32 = 1.2;
/// Paper, ink, ink of what is less important, and what is outside of what the model sees.
const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [20; 3];
const PALE_INK: [u8; 3] = [85; 3];
const OUTSIDE: [u8; 3] = [40; 3];
const HALO: [u8; 3] = [0; 3];

/// How large a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureSize {
    /// The picture's own pixels, so many times.
    Picture {
        /// How many times.
        times: u32,
    },
    /// The working size of the part that the model sees, so many times.
    Working {
        /// How many times.
        times: u32,
    },
    /// So wide.
    Width {
        /// Pixels across.
        pixels: u32,
    },
}

impl Default for FigureSize {
    fn default() -> Self {
        Self::Picture { times: 1 }
    }
}

impl FigureSize {
    /// Whether a picture could have it at all.
    pub fn is_sound(self) -> bool {
        match self {
            Self::Picture { times } | Self::Working { times } => (1..=MOST_TIMES).contains(&times),
            Self::Width { pixels } => (1..=MOST_SIDE as u32).contains(&pixels),
        }
    }

    /// The size of a figure of a picture of some size.
    ///
    /// # Errors
    ///
    /// Where it would be larger than is drawn; the error says how large.
    pub fn pixels(self, picture: Size, framing: Option<&Framing>) -> Result<Size> {
        let scale = match (self, framing) {
            (Self::Width { pixels }, _) => f64::from(pixels) / picture.width.max(1) as f64,
            (Self::Working { times }, Some(framing)) => {
                let [left, _, right, _] = framing.visible();
                f64::from(times) * framing.working.width as f64 / (right - left)
            }
            // What has not run has no working size.
            (Self::Picture { times } | Self::Working { times }, _) => f64::from(times),
        };
        let size = picture.map(|side| ((side as f64 * scale).round() as usize).max(1));
        match size.width.max(size.height) > MOST_SIDE {
            true => Err(Error::usage(format!(
                "the figure would have {size} pixels, at most {MOST_SIDE} on a side are drawn: choose a smaller size"
            ))),
            false => Ok(size),
        }
    }

    /// How many times larger than at scale 1 letters and marks are.
    fn letter_scale(self) -> f32 {
        match self {
            Self::Picture { times } | Self::Working { times } => times as f32,
            Self::Width { .. } => 1.0,
        }
    }
}

/// The colours of scores, with what they stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// From score to colour.
    pub map: ColourMap,
    /// The scores of the first and the last colour.
    pub range: [f32; 2],
    /// Exponent of the share of the range.
    pub gamma: f32,
    /// What the scores are.
    pub label: String,
}

/// What stands around a figure; nothing of it where it is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Above it.
    pub title: String,
    /// Below it.
    pub bar: Option<Bar>,
    /// Below that: what made it, a paragraph each.
    pub caption: Vec<String>,
}

/// How a figure is drawn and what goes with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FigurePlan {
    /// How large.
    pub size: FigureSize,
    /// What stands around it.
    pub frame: Frame,
    /// What made it, which the file holds.
    pub record: Value,
}

/// A place that is marked.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// (x, y) in pixels of the picture.
    pub at: [f64; 2],
    /// Whether it is a cross, as a point chosen has it, or a ring, as what was found.
    pub is_cross: bool,
    /// Its colour.
    pub colour: [u8; 3],
    /// Its number, or nothing.
    pub label: String,
}

/// What is drawn, from the bottom to the top.
pub struct Figure<'a> {
    /// Size of the picture in its own pixels.
    pub size: Size,
    /// The picture itself, where it is seen.
    pub picture: Option<&'a Picture>,
    /// The place of the working picture in it.
    pub framing: Option<Framing>,
    /// Colours over the part that the model sees: a grid, and three bytes for each of its cells.
    pub colours: Option<(Grid, &'a [u8])>,
    /// Scores over that part.
    pub scores: Option<(&'a ScoreMap, ScoreStyle)>,
    /// What is marked.
    pub marks: &'a [Mark],
}

impl Figure<'_> {
    /// The figure as a PNG that holds what made it.
    ///
    /// # Errors
    ///
    /// Where it is larger than is drawn, or than there is memory for.
    pub fn png(&self, plan: &FigurePlan) -> Result<Vec<u8>> {
        let drawn = self.drawn(plan.size)?;
        let letters = (LETTERS * plan.size.letter_scale()).max(LETTERS_OF_WIDTH * drawn.width as f32);
        let framed = framed(drawn, &plan.frame, letters);
        let mut png = Vec::new();
        write_png(&mut png, [framed.width, framed.height], &framed.rgb)?;
        Ok(match plan.record.is_null() {
            true => png,
            false => with_text(&png, METADATA_KEY, &plan.record.to_string()),
        })
    }

    /// The picture with what lies over it.
    fn drawn(&self, size: FigureSize) -> Result<Canvas> {
        let wanted = size.pixels(self.size, self.framing.as_ref())?;
        // Picture, colours of the scores, the figure with its frame and its PNG.
        const BYTES_PER_PIXEL: usize = 3 + 4 + 3 * 3;
        ram::check(
            wanted.pixels().saturating_mul(BYTES_PER_PIXEL),
            "this figure",
            "choose a smaller size",
        )?;
        let mut canvas = match self.picture {
            Some(picture) => Canvas {
                width: wanted.width,
                height: wanted.height,
                rgb: resized(picture, wanted)?,
            },
            None => Canvas::new(wanted.width, wanted.height, OUTSIDE),
        };
        if let Some(framing) = &self.framing {
            let part = whole_picture(self.size, framing);
            if let Some((grid, rgb)) = self.colours {
                put_colours(&mut canvas, grid, rgb, part);
            }
            if let Some((scores, style)) = &self.scores {
                let drawn = render_scores(scores, style, part, [wanted.width as u32, wanted.height as u32]);
                let pixels = canvas.rgb.chunks_exact_mut(3).zip(drawn.as_raw().chunks_exact(4));
                for (under, over) in pixels {
                    for (under, level) in under.iter_mut().zip(over) {
                        *under = blend(*under, *level, over[3]);
                    }
                }
            }
        }
        let scale = wanted.width as f64 / self.size.width.max(1) as f64;
        let mut letters = Lettering::default();
        for mark in self.marks {
            put_mark(&mut canvas, &mut letters, mark, scale, size.letter_scale());
        }
        Ok(canvas)
    }
}

fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
    ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
}

/// The whole picture in shares of the part that the model sees: it may reach beyond 0 to 1.
fn whole_picture(size: Size, framing: &Framing) -> MapPart {
    let [left, top, right, bottom] = framing.visible();
    let share = |x: f64, from: f64, to: f64| ((x - from) / (to - from)) as f32;
    let corner = |x: f64, y: f64| [share(x, left, right), share(y, top, bottom)];
    MapPart {
        min: corner(-0.5, -0.5),
        max: corner(size.width as f64 - 0.5, size.height as f64 - 0.5),
    }
}

/// A picture at another size: enlarged its pixels are flat squares, reduced they are averaged.
fn resized(picture: &Picture, size: Size) -> Result<Vec<u8>> {
    if picture.size() == size {
        return Ok(picture.rgb().to_vec());
    }
    if size.width < picture.width() {
        return Ok(resize(picture, size, Filter::Lanczos)?.rgb().to_vec());
    }
    let nearest = |index: usize, pixels: usize, samples: usize| (2 * index + 1) * pixels / (2 * samples);
    let columns: Vec<usize> = (0..size.width)
        .map(|x| nearest(x, picture.width(), size.width))
        .collect();
    let mut rgb = Vec::with_capacity(3 * size.pixels());
    for row in (0..size.height).map(|y| nearest(y, picture.height(), size.height)) {
        for column in &columns {
            let start = 3 * (row * picture.width() + column);
            rgb.extend_from_slice(&picture.rgb()[start..start + 3]);
        }
    }
    Ok(rgb)
}

/// Lays the colours of cells over a part of a canvas, each cell as one flat rectangle.
fn put_colours(canvas: &mut Canvas, grid: Grid, rgb: &[u8], part: MapPart) {
    let cell = |index: usize, pixels: usize, axis: usize, cells: usize| {
        let share = (index as f32 + 0.5) / pixels as f32;
        let place = part.min[axis] + share * (part.max[axis] - part.min[axis]);
        (0.0..1.0)
            .contains(&place)
            .then(|| ((place * cells as f32) as usize).min(cells - 1))
    };
    let columns: Vec<Option<usize>> = (0..canvas.width)
        .map(|x| cell(x, canvas.width, 0, grid.width))
        .collect();
    for y in 0..canvas.height {
        let Some(row) = cell(y, canvas.height, 1, grid.height) else {
            continue;
        };
        let line = &mut canvas.rgb[3 * y * canvas.width..3 * (y + 1) * canvas.width];
        for (pixel, column) in line.chunks_exact_mut(3).zip(&columns) {
            let start = column.map(|column| 3 * grid.index(row, column));
            if let Some(colour) = start.and_then(|start| rgb.get(start..start + 3)) {
                pixel.copy_from_slice(colour);
            }
        }
    }
}

/// A mark over a dark edge, with its number beside it.
fn put_mark(canvas: &mut Canvas, letters: &mut Lettering, mark: &Mark, scale: f64, size: f32) {
    // Pixels have their middles at whole numbers.
    let [x, y] = mark.at.map(|at| ((at + 0.5) * scale) as f32);
    let (radius, line) = (MARK_RADIUS * size, MARK_LINE * size);
    let reach = radius + line + MARK_EDGE * size;
    let [left, right, top, bottom] = [x - reach, x + reach, y - reach, y + reach];
    let inside = |at: f32, most: usize| (at.max(0.0) as usize).min(most);
    for (half_width, colour) in [(line / 2.0 + MARK_EDGE * size, HALO), (line / 2.0, mark.colour)] {
        for row in inside(top, canvas.height)..inside(bottom + 1.0, canvas.height) {
            for column in inside(left, canvas.width)..inside(right + 1.0, canvas.width) {
                let [dx, dy] = [column as f32 + 0.5 - x, row as f32 + 0.5 - y].map(f32::abs);
                let distance = match mark.is_cross {
                    true => {
                        let along = |across: f32, along: f32| across.max(along - radius);
                        along(dx, dy).min(along(dy, dx))
                    }
                    false => (dx.hypot(dy) - radius).abs(),
                };
                let share = (half_width + 0.5 - distance).clamp(0.0, 1.0);
                if share > 0.0 {
                    canvas.mix(column as f32, row as f32, colour, share);
                }
            }
        }
    }
    if !mark.label.is_empty() {
        let letter = LETTERS * size;
        let width = letters.width(&mark.label, letter);
        let corner = [x + radius, y - radius - LINE * letter].map(|at| at.max(0.0));
        canvas.fill(
            corner.map(|at| at as usize),
            [width + 0.4 * letter, LINE * letter].map(|side| side as usize),
            &HALO,
        );
        let [left, top] = corner;
        letters.write(
            canvas,
            [left + 0.2 * letter, top],
            &mark.label,
            letter,
            mark.colour,
            f32::INFINITY,
        );
    }
}

/// A figure on paper with its title, colour bar and caption, in letters of some size in pixels.
fn framed(figure: Canvas, frame: &Frame, letters: f32) -> Canvas {
    if *frame == Frame::default() {
        return figure;
    }
    let margin = (MARGIN * letters).ceil();
    let line = (LINE * letters).ceil();
    let room = (figure.width as f32).max(LEAST_LETTERS * letters).ceil();
    let mut writer = Lettering::default();
    let title = writer.lines(&frame.title, TITLE * letters, room);
    let caption: Vec<String> = frame
        .caption
        .iter()
        .flat_map(|paragraph| writer.lines(paragraph, letters, room))
        .collect();
    let title_height = title.len() as f32 * (TITLE * line).ceil();
    let bar_height = if frame.bar.is_some() {
        (BAR * letters).ceil() + line + margin
    } else {
        0.0
    };
    let caption_height = caption.len() as f32 * line;
    let gap = |height: f32| if height > 0.0 { margin } else { 0.0 };
    let height = 2.0 * margin
        + title_height
        + gap(title_height)
        + figure.height as f32
        + gap(bar_height)
        + bar_height
        + gap(caption_height)
        + caption_height;
    let mut canvas = Canvas::new((room + 2.0 * margin) as usize, height as usize, PAPER);
    let mut y = margin;
    for text in &title {
        writer.write(&mut canvas, [margin, y], text, TITLE * letters, INK, room);
        y += (TITLE * line).ceil();
    }
    y += gap(title_height);
    canvas.put([margin as usize, y as usize], &figure.rgb, figure.width, 1);
    y += figure.height as f32;
    if let Some(bar) = &frame.bar {
        y += margin;
        put_bar(&mut canvas, &mut writer, bar, [margin, y, room], letters);
        y += bar_height;
    }
    y += gap(caption_height);
    for text in &caption {
        writer.write(&mut canvas, [margin, y], text, letters, PALE_INK, room);
        y += line;
    }
    canvas
}

/// The colours from the lowest to the highest score, with both below and what they are between them.
fn put_bar(canvas: &mut Canvas, writer: &mut Lettering, bar: &Bar, [x, y, width]: [f32; 3], letters: f32) {
    let height = (BAR * letters).ceil() as usize;
    for column in 0..width as usize {
        let share = (column as f32 + 0.5) / width;
        if let Some(colour) = bar.map.colour(share, [0.0, 1.0], bar.gamma) {
            canvas.fill([x as usize + column, y as usize], [1, height], &colour);
        }
    }
    let below = y + height as f32 + letters * (LINE - 1.0) / 2.0;
    let [low, high] = bar.range.map(score_text);
    let [low_width, high_width] = [&low, &high].map(|text| writer.width(text, letters));
    writer.write(canvas, [x, below], &low, letters, INK, width);
    writer.write(canvas, [x + width - high_width, below], &high, letters, INK, width);
    let middle = (width - writer.width(&bar.label, letters)).max(0.0) / 2.0;
    let between = width - low_width - high_width - 2.0 * letters;
    if between > 0.0 {
        let left = middle.max(low_width + letters);
        writer.write(canvas, [x + left, below], &bar.label, letters, PALE_INK, between);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn picture(size: Size) -> Result<Picture> {
        Picture::from_rgb(size, (0..3 * size.pixels()).map(|index| (index % 251) as u8).collect())
    }

    fn figure<'a>(picture: &'a Picture, framing: Framing) -> Figure<'a> {
        Figure {
            size: picture.size(),
            picture: Some(picture),
            framing: Some(framing),
            colours: None,
            scores: None,
            marks: &[],
        }
    }

    #[test]
    fn sizes_are_those_of_the_picture_of_the_model_or_as_asked() -> TestResult {
        let original = Size::new(640, 480);
        let framing = Framing::whole(original, Size::new(96, 64));
        for (size, expected) in [
            (FigureSize::Picture { times: 1 }, original),
            (FigureSize::Picture { times: 4 }, Size::new(2560, 1920)),
            // The working picture is stretched: the figure is as wide, with the picture's proportions.
            (FigureSize::Working { times: 2 }, Size::new(192, 144)),
            (FigureSize::Width { pixels: 320 }, Size::new(320, 240)),
        ] {
            assert_eq!(size.pixels(original, Some(&framing))?, expected, "{size:?}");
            assert!(size.is_sound());
        }
        let too_large = FigureSize::Picture { times: MOST_TIMES }.pixels(Size::new(4000, 10), None);
        assert!(too_large.expect_err("too large").to_string().contains("64000x160"));
        assert!(!FigureSize::Picture { times: 0 }.is_sound() && !FigureSize::Width { pixels: 0 }.is_sound());
        Ok(())
    }

    #[test]
    fn a_bare_figure_is_the_picture_and_holds_what_made_it() -> TestResult {
        let picture = picture(Size::new(20, 10))?;
        let plan = FigurePlan {
            record: serde_json::json!({ "t_ran": 100 }),
            ..FigurePlan::default()
        };
        let framing = Framing::whole(picture.size(), Size::new(8, 8));
        let png = figure(&picture, framing).png(&plan)?;
        assert_eq!(Picture::decode(&png, [0; 3], "the figure")?.rgb(), picture.rgb());
        assert!(String::from_utf8_lossy(&png).contains("{\"t_ran\":100}"));
        Ok(())
    }

    #[test]
    fn colours_lie_on_the_part_that_the_model_sees_at_every_scale() -> TestResult {
        let size = Size::new(40, 20);
        let picture = Picture::from_rgb(size, vec![200; 3 * size.pixels()])?;
        // A square from the middle.
        let framing = Framing {
            original: size,
            scaled: Size::new(16, 8),
            offset_x: 4,
            offset_y: 0,
            working: Size::new(8, 8),
        };
        let rgb = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9];
        let figure = Figure {
            colours: Some((Grid::new(2, 2), &rgb)),
            ..figure(&picture, framing)
        };
        for times in [1, 3] {
            let drawn = figure.drawn(FigureSize::Picture { times })?;
            let at = |x: usize, y: usize| {
                let start = 3 * (y * times as usize * drawn.width + x * times as usize);
                drawn.rgb[start..start + 3].to_vec()
            };
            assert_eq!([drawn.width, drawn.height], [40 * times as usize, 20 * times as usize]);
            assert_eq!([at(2, 2), at(12, 2)], [[200; 3], [255, 0, 0]]);
            assert_eq!(
                [at(25, 2), at(12, 15), at(25, 15)],
                [[0, 255, 0], [0, 0, 255], [9, 9, 9]]
            );
            assert_eq!(at(35, 15), [200; 3]);
        }
        Ok(())
    }

    #[test]
    fn words_are_around_the_figure_and_large_enough() -> TestResult {
        let picture = picture(Size::new(64, 64))?;
        let framing = Framing::whole(picture.size(), Size::new(8, 8));
        let scores = ScoreMap::new(Grid::new(1, 2), vec![0.25, 0.75])?;
        let style = ScoreStyle {
            range: [0.25, 0.75],
            opacity: 1.0,
            ..ScoreStyle::default()
        };
        let of = Figure {
            scores: Some((&scores, style)),
            ..figure(&picture, framing)
        };
        let frame = Frame {
            title: "Ears".to_owned(),
            bar: Some(Bar {
                map: ColourMap::Viridis,
                range: [0.25, 0.75],
                gamma: 1.0,
                label: "cosine".to_owned(),
            }),
            caption: vec!["model demo · layer b11 · t 100 · seed 0 · ensemble 1 · size 64 x 64 · dtype f32".to_owned()],
        };
        let bare = of.drawn(FigureSize::default())?;
        let framed = framed(bare.clone(), &frame, LETTERS);
        const { assert!(LETTERS >= 12.0) };
        // A narrow picture has paper beside it, and the caption goes over several lines.
        assert!(framed.width as f32 >= LEAST_LETTERS * LETTERS && framed.height > bare.height + 6 * LETTERS as usize);
        let dark = framed
            .rgb
            .chunks_exact(3)
            .filter(|pixel| pixel.iter().all(|level| *level < 90))
            .count();
        assert!(dark > 300, "{dark} pixels of letters");
        for colour in ColourMap::Viridis.table().iter().step_by(85) {
            assert!(
                framed.rgb.chunks_exact(3).any(|pixel| pixel == colour),
                "{colour:?} in the bar"
            );
        }
        Ok(())
    }

    #[test]
    fn marks_are_where_they_are_at_every_scale() -> TestResult {
        let size = Size::new(60, 60);
        let picture = Picture::from_rgb(size, vec![128; 3 * size.pixels()])?;
        let mark = |is_cross| Mark {
            at: [30.0, 30.0],
            is_cross,
            colour: [255, 0, 0],
            label: "1".to_owned(),
        };
        for (times, is_cross) in [(1, true), (2, true), (2, false)] {
            let marks = [mark(is_cross)];
            let figure = Figure {
                marks: &marks,
                ..figure(&picture, Framing::whole(size, size))
            };
            let drawn = figure.drawn(FigureSize::Picture { times })?;
            let middle = 30 * times as usize + times as usize / 2;
            let start = 3 * (middle * drawn.width + middle);
            let colour = &drawn.rgb[start..start + 3];
            assert_eq!(colour == [255, 0, 0], is_cross, "{colour:?}");
            let red = drawn.rgb.chunks_exact(3).filter(|pixel| **pixel == [255, 0, 0]).count();
            assert!(red > 20 * times as usize, "{red}");
        }
        // One at the edge is cut off there.
        let marks = [Mark {
            at: [0.0, 59.0],
            ..mark(false)
        }];
        let figure = Figure {
            marks: &marks,
            ..figure(&picture, Framing::whole(size, size))
        };
        assert_eq!(figure.drawn(FigureSize::default())?.width, 60);
        Ok(())
    }
}
