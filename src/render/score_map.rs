//! A map of scores, how it is to look, and its pixels computed on the CPU: the reference of the shader, the texture
//! path and the export.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use image::{Rgba, RgbaImage};
use serde::{Deserialize, Serialize};

use super::{
    colour_map::{ColourMap, Scale},
    placement::{MapPart, Placement},
};
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// Scores on a grid. Copies share the numbers and the identity, so that a renderer sees what it already holds.
#[derive(Debug, Clone)]
pub struct ScoreMap {
    version: u64,
    grid: Grid,
    scores: Arc<[f32]>,
    /// Whether every cell has a score.
    finite: bool,
    /// The lowest and the highest score.
    extent: Option<[f32; 2]>,
}

impl ScoreMap {
    /// From scores in row-major order. A score that is not finite is not drawn.
    ///
    /// # Errors
    ///
    /// Where there are more or fewer scores than positions, or none.
    pub fn new(grid: Grid, scores: impl Into<Arc<[f32]>>) -> Result<Self> {
        static NEXT_VERSION: AtomicU64 = AtomicU64::new(0);
        let scores = scores.into();
        if scores.is_empty() || scores.len() != grid.positions() {
            return Err(Error::failed(format!(
                "a score map of {} x {} positions needs as many scores, found {}",
                grid.height,
                grid.width,
                scores.len()
            )));
        }
        let finite = scores.iter().filter(|score| score.is_finite());
        let extent = finite.clone().fold(None, |extent, &score| {
            let [low, high] = extent.unwrap_or([score, score]);
            Some([low.min(score), high.max(score)])
        });
        Ok(Self {
            version: NEXT_VERSION.fetch_add(1, Ordering::Relaxed),
            grid,
            finite: finite.count() == scores.len(),
            scores,
            extent,
        })
    }

    /// Rows and columns.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The scores, row-major.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The lowest and the highest finite score; `None` where there is none.
    pub fn extent(&self) -> Option<[f32; 2]> {
        self.extent
    }

    /// The score shown at a place (u, v) of the map, (0, 0) its upper left and (1, 1) its lower right corner; `None`
    /// outside it and where the score of the cell is not finite.
    ///
    /// Scores are thought to lie in the middles of their cells. Between them, neighbours that are not finite give
    /// their share to the others, so that exactly the cells without a score stay empty.
    pub fn score_at(&self, uv: impl Into<[f32; 2]>, interpolation: Interpolation) -> Option<f32> {
        let [u, v] = uv.into();
        if !((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v)) {
            return None;
        }
        let (x, y) = (u * self.grid.width as f32, v * self.grid.height as f32);
        let nearest = self.cell(x.floor(), y.floor());
        if !nearest.is_finite() || interpolation == Interpolation::Nearest {
            return nearest.is_finite().then_some(nearest);
        }
        let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
        let (right_share, bottom_share) = (x - 0.5 - left, y - 0.5 - top);
        let neighbours = [
            (left, top, (1.0 - right_share) * (1.0 - bottom_share)),
            (left + 1.0, top, right_share * (1.0 - bottom_share)),
            (left, top + 1.0, (1.0 - right_share) * bottom_share),
            (left + 1.0, top + 1.0, right_share * bottom_share),
        ];
        let (sum, weight) = neighbours.into_iter().fold((0.0, 0.0), |(sum, total), (x, y, share)| {
            let score = self.cell(x, y);
            if score.is_finite() {
                (sum + share * score, total + share)
            } else {
                (sum, total)
            }
        });
        Some(sum / weight)
    }

    /// The score of a cell; cells beyond an edge repeat the edge.
    fn cell(&self, column: f32, row: f32) -> f32 {
        // A conversion from float ends at 0.
        let (column, row) = (
            (column as usize).min(self.grid.width - 1),
            (row as usize).min(self.grid.height - 1),
        );
        self.scores[self.grid.index(row, column)]
    }

    /// Equal for copies of one map, different for all others.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// What is shown between the middles of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Each cell is one flat square.
    #[default]
    Nearest,
    /// Scores, not colours, run straight from middle to middle.
    Bilinear,
}

/// How a score map is to look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreStyle {
    /// The colours.
    pub map: ColourMap,
    /// The scores of the first and of the last colour.
    pub range: [f32; 2],
    /// Exponent of the share of the range, > 0: below 1 spreads low scores, above 1 high ones.
    pub gamma: f32,
    /// 0 (what is underneath) to 1 (scores only).
    pub opacity: f32,
    /// Between cells.
    pub interpolation: Interpolation,
}

impl Default for ScoreStyle {
    fn default() -> Self {
        Self {
            map: ColourMap::default(),
            range: [0.0, 1.0],
            gamma: 1.0,
            opacity: 1.0,
            interpolation: Interpolation::default(),
        }
    }
}

/// A part of a map as an image of (width, height) pixels for a file: opacity in alpha, not multiplied into the
/// colours; pixels outside the map and without a score are transparent.
///
/// With the whole map and its own width and height, a pixel is a score.
pub fn render_scores(map: &ScoreMap, style: &ScoreStyle, part: impl Into<MapPart>, size_px: [u32; 2]) -> RgbaImage {
    let [width, height] = size_px;
    let alpha = (style.opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
    let Some(placement) = Placement::of_image(size_px, part.into()) else {
        return RgbaImage::new(width, height);
    };
    let block = [0..width as i32, 0..height as i32];
    let opaque = |[red, green, blue]: [u8; 3]| Rgba([red, green, blue, alpha]);
    let colours = pixel_colours(map, style, &placement, block, Rgba([0; 4]), opaque);
    let mut image = RgbaImage::new(width, height);
    for (pixel, colour) in image.pixels_mut().zip(colours) {
        *pixel = colour;
    }
    image
}

/// The colours of a block of pixels (columns, rows), row by row: `colour` of those of the table, `empty` where nothing
/// is to be drawn.
///
/// On the calling thread alone: the interface's thread must not wait for a pool that a model computes on.
pub(crate) fn pixel_colours<T: Copy>(
    map: &ScoreMap,
    style: &ScoreStyle,
    placement: &Placement,
    [columns, rows]: [Range<i32>; 2],
    empty: T,
    colour: impl Fn([u8; 3]) -> T,
) -> Vec<T> {
    let scale = Scale::new(style.range, style.gamma);
    let table = style.map.table().map(colour);
    let coloured = |score: f32| {
        if score.is_nan() {
            empty
        } else {
            table[scale.index(score)]
        }
    };
    // Cells without a score need a look at each neighbour of each pixel.
    if map.finite {
        let mut blend = Blend::new(map, style.interpolation, placement, columns);
        let mut colours = Vec::with_capacity(rows.len() * blend.width);
        for row in rows {
            let end = colours.len() + blend.width;
            if blend.begin_line(map, placement, row) {
                colours.resize(colours.len() + blend.before, empty);
                colours.extend(blend.scores().map(|score| table[scale.index(score)]));
            }
            colours.resize(end, empty);
        }
        return colours;
    }
    rows.flat_map(|row| {
        columns.clone().map(move |column| {
            let score = map.score_at(placement.uv_of_pixel(column, row), style.interpolation);
            score.unwrap_or(f32::NAN)
        })
    })
    .map(coloured)
    .collect()
}

/// Two neighbouring cells along an axis, and the share of the second.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

/// What every line of a block of pixels needs of its columns, the same for all lines, and the cells of one line.
struct Blend {
    interpolation: Interpolation,
    first_column: i32,
    /// Pixels of a line.
    width: usize,
    /// Those before the first one inside of the map.
    before: usize,
    /// The cells around each pixel inside of the map.
    columns: Vec<Between>,
    /// The scores of a row of cells, between two rows where the line is.
    cells: Vec<f32>,
}

impl Blend {
    fn new(map: &ScoreMap, interpolation: Interpolation, placement: &Placement, columns: Range<i32>) -> Self {
        let along = |column| between(placement.uv_of_pixel(column, 0)[0], map.grid.width, interpolation);
        Self {
            interpolation,
            first_column: columns.start,
            width: columns.len(),
            before: columns.clone().take_while(|column| along(*column).is_none()).count(),
            columns: columns.filter_map(along).collect(),
            cells: Vec::with_capacity(map.grid.width),
        }
    }

    /// Goes to a line of pixels; whether it lies inside of the map.
    fn begin_line(&mut self, map: &ScoreMap, placement: &Placement, row: i32) -> bool {
        let v = placement.uv_of_pixel(self.first_column, row)[1];
        let Some(Between { low, high, share }) = between(v, map.grid.height, self.interpolation) else {
            return false;
        };
        let cells = |row: usize| {
            let start = map.grid.index(row, 0);
            &map.scores[start..start + map.grid.width]
        };
        self.cells.clear();
        let pairs = cells(low).iter().zip(cells(high));
        self.cells
            .extend(pairs.map(|(upper, lower)| (1.0 - share) * upper + share * lower));
        true
    }

    /// The scores of the pixels of the line that lie inside of the map.
    fn scores(&self) -> impl Iterator<Item = f32> + '_ {
        self.columns
            .iter()
            .map(|Between { low, high, share }| (1.0 - share) * self.cells[*low] + share * self.cells[*high])
    }
}

/// The cells around a place along an axis of `count` cells, whose ends repeat; none outside of the map.
fn between(place: f32, count: usize, interpolation: Interpolation) -> Option<Between> {
    if !(0.0..1.0).contains(&place) {
        return None;
    }
    let place = place * count as f32;
    // A conversion from float ends at 0.
    let cell = |index: f32| (index as usize).min(count - 1);
    if interpolation == Interpolation::Nearest {
        let (low, high) = (cell(place), cell(place));
        return Some(Between { low, high, share: 0.0 });
    }
    let first = (place - 0.5).floor();
    Some(Between {
        low: cell(first),
        high: cell(first + 1.0),
        share: place - 0.5 - first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(height: usize, width: usize, scores: &[f32]) -> ScoreMap {
        ScoreMap::new(Grid::new(height, width), scores).expect("as many scores as positions")
    }

    #[test]
    fn a_map_needs_a_score_for_each_position() {
        assert!(ScoreMap::new(Grid::new(2, 2), vec![0.0; 3]).is_err());
        assert!(ScoreMap::new(Grid::new(0, 2), Vec::new()).is_err());
    }

    #[test]
    fn scores_between_cells() {
        let ramp = map(1, 2, &[0.0, 1.0]);
        let at = |x, interpolation| ramp.score_at([x, 0.5], interpolation);
        assert_eq!(at(0.49, Interpolation::Nearest), Some(0.0));
        assert_eq!(at(0.51, Interpolation::Nearest), Some(1.0));
        assert_eq!(at(0.5, Interpolation::Bilinear), Some(0.5));
        assert_eq!(at(0.125, Interpolation::Bilinear), Some(0.0), "edges repeat");
        assert_eq!(at(1.0, Interpolation::Bilinear), None);
        assert_eq!(at(-0.01, Interpolation::Nearest), None);
    }

    #[test]
    fn exactly_the_cells_without_a_score_stay_empty() {
        let holed = map(1, 3, &[2.0, f32::NAN, 4.0]);
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            assert_eq!(holed.score_at([0.3, 0.5], interpolation), Some(2.0));
            assert_eq!(holed.score_at([0.4, 0.5], interpolation), None);
            assert_eq!(holed.score_at([0.7, 0.5], interpolation), Some(4.0));
        }
        assert_eq!(holed.extent(), Some([2.0, 4.0]));
        assert_eq!(map(1, 1, &[f32::NAN]).extent(), None);
    }

    #[test]
    fn lines_have_the_scores_of_single_places() {
        let ramp = map(3, 4, &[0.0, 1.0, 5.0, 2.0, 3.0, -2.0, 0.5, 0.25, 9.0, 4.0, -7.0, 6.0]);
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            let part = MapPart {
                min: [-0.1, 0.05],
                max: [1.2, 0.9],
            };
            let placement = Placement::of_image([53, 37], part);
            let placement = placement.expect("there is something to draw");
            let style = ScoreStyle {
                range: [-7.0, 9.0],
                interpolation,
                ..ScoreStyle::default()
            };
            let colours = pixel_colours(&ramp, &style, &placement, [0..53, 0..37], None, Some);
            for (index, colour) in colours.into_iter().enumerate() {
                let uv = placement.uv_of_pixel((index % 53) as i32, (index / 53) as i32);
                let score = ramp.score_at(uv, interpolation);
                let expected = score.and_then(|score| style.map.colour(score, style.range, style.gamma));
                let near = |a: u8, b: u8| a.abs_diff(b) <= 2;
                match (colour, expected) {
                    (Some(a), Some(b)) => assert!(a.into_iter().zip(b).all(|(a, b)| near(a, b)), "{a:?} {b:?}"),
                    (a, b) => assert_eq!(a, b),
                }
            }
        }
    }

    #[test]
    fn an_image_of_the_maps_size_has_a_pixel_for_each_score() {
        let image = render_scores(
            &map(2, 2, &[0.0, 1.0, f32::NAN, 0.5]),
            &ScoreStyle {
                map: ColourMap::Grey,
                opacity: 0.4,
                ..ScoreStyle::default()
            },
            MapPart::WHOLE,
            [2, 2],
        );
        let pixels: Vec<_> = image.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(
            pixels,
            [[0, 0, 0, 102], [255, 255, 255, 102], [0; 4], [128, 128, 128, 102]]
        );
    }
}
