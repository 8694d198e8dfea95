//! Which position of one map corresponds to a vector or to the positions of another map.
//!
//! Two methods. Grid: a cell against the cells of the target ([`cosine_to_all`], then [`arg_max`]). DIFT: features are
//! enlarged bilinearly to image resolution, and only then normalised and compared; interpolating the cosines is not the
//! same. Pixels of the original picture are the caller's business.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    matrix::{View, product},
    sample::Axis,
    similarity::{Peak, arg_max, check_query, cosine_to_all, dot, dot_wide, interpolated_vector, inverse_norm},
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    geometry::Grid,
};

/// Rows of the all-pairs matrix held at once by each thread.
const PAIR_ROWS: usize = 128;

/// The method of a correspondence, named in every export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Cell against cells.
    #[default]
    Grid,
    /// Features enlarged to image resolution, then normalised and compared.
    Dift,
}

impl Method {
    /// Key in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Dift => "dift",
        }
    }
}

/// The vector of the enlarged features at pixel (y, x) of a picture of `height` x `width`: (C). Pixel centres are placed
/// as PyTorch's bilinear `interpolate` with `align_corners=False` does.
///
/// # Errors
///
/// Where the pixel is outside of the picture.
pub fn dift_query(map: &FeatureMap, y: usize, x: usize, height: usize, width: usize) -> Result<Vec<f32>> {
    if y >= height || x >= width {
        return Err(Error::usage(format!(
            "pixel ({y}, {x}) is outside a picture of {height} rows and {width} columns"
        )));
    }
    let place = |index: usize, cells: usize, samples: usize| {
        let axis = Axis::stretched(index, cells, samples);
        axis.low as f64 + axis.share
    };
    interpolated_vector(
        map,
        place(y, map.grid().height, height),
        place(x, map.grid().width, width),
    )
}

/// Cosine of `query` (C) with the features of `map` enlarged to `out_height` x `out_width`, row-major.
///
/// Prepares the map anew; for several queries on one map keep a [`DiftTarget`].
///
/// # Errors
///
/// Where the query has another number of channels than the map.
pub fn dift_heat(query: &[f32], map: &FeatureMap, out_height: usize, out_width: usize) -> Result<Vec<f32>> {
    DiftTarget::new(map).heat(query, out_height, out_width)
}

/// Scores stretched to 0 … 1 as DIFT shows them: (x − min)/(max − min); all 0 where they are constant.
pub fn heat01(heat: &[f32]) -> Vec<f32> {
    let (low, high) = heat.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| {
        (low.min(x), high.max(x))
    });
    heat.iter()
        .map(|&x| if high > low { (x - low) / (high - low) } else { 0.0 })
        .collect()
}

/// A map prepared for DIFT's comparison.
///
/// The enlarged features are never formed. An enlarged vector is a weighted sum of four neighbours, so its product with
/// the query is the same sum of four products, and its squared length follows from the products of the four with each
/// other: five numbers per position, whatever the size of the picture.
pub struct DiftTarget<'a> {
    map: &'a FeatureMap,
    /// Products of each position with itself and its neighbours; 0 beyond the border.
    products: Vec<NeighbourProducts>,
}

/// Products of the vector at (r, c) and of its neighbours.
#[derive(Clone, Copy, Default)]
struct NeighbourProducts {
    /// f(r, c) · f(r, c).
    own: f64,
    /// f(r, c) · f(r, c+1).
    right: f64,
    /// f(r, c) · f(r+1, c).
    below: f64,
    /// f(r, c) · f(r+1, c+1) + f(r, c+1) · f(r+1, c): they always have the same weight.
    diagonals: f64,
}

impl<'a> DiftTarget<'a> {
    /// Computes the products of neighbours: five dot products per position.
    pub fn new(map: &'a FeatureMap) -> Self {
        let grid = map.grid();
        let vector = |row: usize, column: usize| map.vector(grid.index(row, column));
        let mut products = vec![NeighbourProducts::default(); grid.positions()];
        for (position, entry) in products.iter_mut().enumerate() {
            let (row, column) = grid.row_column(position);
            let (has_below, has_right) = (row + 1 < grid.height, column + 1 < grid.width);
            let here = vector(row, column);
            entry.own = dot_wide(here, here);
            if has_right {
                entry.right = dot_wide(here, vector(row, column + 1));
            }
            if has_below {
                entry.below = dot_wide(here, vector(row + 1, column));
            }
            if has_right && has_below {
                entry.diagonals = dot_wide(here, vector(row + 1, column + 1))
                    + dot_wide(vector(row, column + 1), vector(row + 1, column));
            }
        }
        Self { map, products }
    }

    /// Cosine of `query` (C) with every pixel of the enlarged features: (out_height, out_width), row-major. Zero
    /// vectors have cosine 0 with everything.
    ///
    /// # Errors
    ///
    /// Where the query has another number of channels than the map.
    pub fn heat(&self, query: &[f32], out_height: usize, out_width: usize) -> Result<Vec<f32>> {
        check_query(query, self.map)?;
        let grid = self.map.grid();
        let query_scale = f64::from(inverse_norm(query));
        let along: Vec<f64> = self
            .map
            .vectors()
            .chunks_exact(self.map.channels())
            .map(|vector| f64::from(dot(query, vector)) * query_scale)
            .collect();
        let columns = Axis::all(grid.width, out_width);
        let mut heat = Vec::with_capacity(out_height * out_width);
        for row in Axis::all(grid.height, out_height) {
            let line = self.line(row, &along);
            heat.extend(columns.iter().map(|column| {
                let (left, right) = (&line[column.low], &line[column.high]);
                let (near, far) = (1.0 - column.share, column.share);
                let square = near * near * left.own + far * far * right.own + 2.0 * near * far * left.right;
                if square > 0.0 {
                    ((near * left.along + far * right.along) / square.sqrt()) as f32
                } else {
                    0.0
                }
            }));
        }
        Ok(heat)
    }

    /// The products of one line of the enlarged features, still at the columns of the grid.
    fn line(&self, row: Axis, along: &[f64]) -> Vec<LineProducts> {
        let grid = self.map.grid();
        let (near, far) = (1.0 - row.share, row.share);
        (0..grid.width)
            .map(|column| {
                let (top, bottom) = (grid.index(row.low, column), grid.index(row.high, column));
                let (upper, lower) = (&self.products[top], &self.products[bottom]);
                let mixed = |own: f64, other: f64, cross: f64| near * near * own + far * far * other + cross;
                LineProducts {
                    along: near * along[top] + far * along[bottom],
                    own: mixed(upper.own, lower.own, 2.0 * near * far * upper.below),
                    right: mixed(upper.right, lower.right, near * far * upper.diagonals),
                }
            })
            .collect()
    }
}

/// Products of a vector between two rows.
struct LineProducts {
    /// With the query.
    along: f64,
    /// With itself.
    own: f64,
    /// With its right neighbour on the same line.
    right: f64,
}

/// Nearest neighbours between all positions of two maps.
#[derive(Debug, Clone, PartialEq)]
pub struct MutualMatches {
    /// For every position of a: the first most similar position of b and the cosine.
    pub forward: Vec<Peak>,
    /// For every position of b: the first most similar position of a and the cosine.
    pub backward: Vec<Peak>,
    /// For every position of a: whether it is the nearest of its nearest.
    pub mutual: Vec<bool>,
    /// For every position of a: distance between it and the nearest of its nearest, in cells of a; 0 where mutual.
    pub cycle_error: Vec<f32>,
}

/// Matches all positions of `a` with all of `b` by cosine. Memory beside the result: one copy of each map and a few
/// rows of the all-pairs matrix per thread.
///
/// # Errors
///
/// Where the maps differ in their number of channels.
pub fn mutual_nearest(a: &FeatureMap, b: &FeatureMap) -> Result<MutualMatches> {
    if a.channels() != b.channels() {
        return Err(Error::usage(format!(
            "maps of {} and {} channels cannot be matched: take the same activation of both pictures",
            a.channels(),
            b.channels()
        )));
    }
    let channels = a.channels();
    let b_units = unit_vectors(b);
    let b_count = b.grid().positions();
    let a_units = unit_vectors(a);
    let (forward, backward) = a_units
        .par_chunks(PAIR_ROWS * channels)
        .enumerate()
        .map(|(block, rows)| {
            let count = rows.len() / channels;
            let mut cosines = vec![0.0_f32; count * b_count];
            product(
                View::new(rows, count, channels),
                View::new(&b_units, b_count, channels).transposed(),
                &mut cosines,
                b_count,
            );
            let forward: Vec<Peak> = cosines.chunks_exact(b_count).map(first_highest).collect();
            let backward = column_peaks(&cosines, b_count, block * PAIR_ROWS);
            (forward, backward)
        })
        .reduce(Default::default, |left, right| {
            let mut forward = left.0;
            forward.extend(right.0);
            (forward, higher_of_each(left.1, right.1))
        });
    let grid = a.grid();
    let cycle_error: Vec<f32> = forward
        .iter()
        .enumerate()
        .map(|(position, there)| cell_distance(grid, position, backward[there.position].position))
        .collect();
    let mutual = forward
        .iter()
        .enumerate()
        .map(|(position, there)| backward[there.position].position == position)
        .collect();
    Ok(MutualMatches {
        forward,
        backward,
        mutual,
        cycle_error,
    })
}

/// All vectors divided by their lengths.
fn unit_vectors(map: &FeatureMap) -> Vec<f32> {
    map.vectors()
        .chunks_exact(map.channels())
        .zip(map.inverse_norms())
        .flat_map(|(vector, &scale)| vector.iter().map(move |x| x * scale))
        .collect()
}

/// Start of a search for the highest: below every cosine, so that a row without a number matches position 0.
const NOTHING_YET: f32 = f32::NEG_INFINITY;

fn first_highest(scores: &[f32]) -> Peak {
    arg_max(scores).unwrap_or(Peak {
        position: 0,
        score: NOTHING_YET,
    })
}

/// The highest of every column of a block of rows, and its row counted from `first_row`.
fn column_peaks(cosines: &[f32], columns: usize, first_row: usize) -> Vec<Peak> {
    let mut scores = vec![NOTHING_YET; columns];
    let mut rows = vec![0_u32; columns];
    for (row, line) in (0_u32..).zip(cosines.chunks_exact(columns)) {
        // Two plain arrays and a selection: this loop sees every pair and has to vectorise.
        for ((best, at), &score) in scores.iter_mut().zip(&mut rows).zip(line) {
            let higher = score > *best;
            *best = if higher { score } else { *best };
            *at = if higher { row } else { *at };
        }
    }
    scores
        .into_iter()
        .zip(rows)
        .map(|(score, row)| Peak {
            position: if score > NOTHING_YET {
                first_row + row as usize
            } else {
                0
            },
            score,
        })
        .collect()
}

/// Position by position the higher of two; `left`, the earlier rows, wins among equals.
fn higher_of_each(mut left: Vec<Peak>, right: Vec<Peak>) -> Vec<Peak> {
    if left.is_empty() {
        return right;
    }
    for (best, &other) in left.iter_mut().zip(&right) {
        if other.score > best.score {
            *best = other;
        }
    }
    left
}

/// Where one gets from a match on the way back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WayBack {
    /// The first position of the source that is most similar to the match, row-major.
    pub position: usize,
    /// Distance from there to the nearest position one came from, in cells; 0 where the match is mutual.
    pub cycle_error: f32,
}

/// The way from a `vector` (C) of the target back to `source`, having come from the positions `from`. `None` where no
/// position of the source has a cosine with it.
///
/// # Errors
///
/// Where the vector has another number of channels than the map.
pub fn way_back(vector: &[f32], source: &FeatureMap, from: &[usize]) -> Result<Option<WayBack>> {
    let nearest = arg_max(&cosine_to_all(vector, source)?);
    Ok(nearest.map(|peak| WayBack {
        position: peak.position,
        cycle_error: from
            .iter()
            .map(|&own| cell_distance(source.grid(), own, peak.position))
            .fold(f32::INFINITY, f32::min),
    }))
}

fn cell_distance(grid: Grid, a: usize, b: usize) -> f32 {
    let ((row_a, column_a), (row_b, column_b)) = (grid.row_column(a), grid.row_column(b));
    (row_a.abs_diff(row_b) as f32).hypot(column_a.abs_diff(column_b) as f32)
}
