//! What of a picture a query is about, and the cells of a grid that it covers.

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    geometry::{Grid, framing::Framing},
};

/// What of a picture is compared, in its own pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryAt {
    /// The cell under (x, y).
    Point([f64; 2]),
    /// The mean of the unit vectors of all cells whose centre is within `radius` of a path, or of the cell under its
    /// first point where there is none: no long vector outvotes the others. Of attention, the mean of their rows.
    Region {
        /// Points (x, y) of the brush, joined by straight lines.
        path: Vec<[f64; 2]>,
        /// Radius of the brush.
        radius: f64,
    },
    /// A token of the prompt, by its place: where an attention map to text looks for it.
    Word(usize),
}

/// (row, column) of the cells compared, row by row; none where the model does not see that part of the picture.
pub fn cells_at(at: &QueryAt, framing: &Framing, grid: Grid) -> Option<Vec<(usize, usize)>> {
    let under = |point: [f64; 2]| framing.cell_from_original(point, grid).map(|cell| vec![cell]);
    match at {
        QueryAt::Word(_) => None,
        QueryAt::Point(point) => under(*point),
        QueryAt::Region { path, radius } => {
            let covered: Vec<_> = (0..grid.positions())
                .map(|position| grid.row_column(position))
                .filter(|cell| is_near(framing.original_from_cell(*cell, grid), path, *radius))
                .collect();
            if covered.is_empty() {
                under(*path.first()?)
            } else {
                Some(covered)
            }
        }
    }
}

/// What [`cells_at`] finds, as row-major positions.
pub fn positions_of(cells: &[(usize, usize)], grid: Grid) -> Vec<usize> {
    cells.iter().map(|&(row, column)| grid.index(row, column)).collect()
}

/// Why there are no cells.
pub fn unseen(at: &QueryAt) -> Error {
    match at {
        QueryAt::Region { path, .. } if path.is_empty() => {
            Error::usage("a region needs at least one point: draw it on the picture")
        }
        QueryAt::Word(_) => Error::usage("only attention maps to text (cross-map) know words: choose one of these"),
        _ => Error::usage("this part of the picture is not seen by the model: the square in the middle is"),
    }
}

/// Whether a point is within `radius` of points joined by straight lines.
fn is_near(point: [f64; 2], path: &[[f64; 2]], radius: f64) -> bool {
    let near =
        |from: [f64; 2], to: [f64; 2]| squared_distance(point, nearest_on_line(point, from, to)) <= radius * radius;
    radius >= 0.0
        && match path {
            [alone] => near(*alone, *alone),
            _ => path.windows(2).any(|line| near(line[0], line[1])),
        }
}

/// The point nearest to another on the line between two.
fn nearest_on_line([x, y]: [f64; 2], from: [f64; 2], to: [f64; 2]) -> [f64; 2] {
    let [along_x, along_y] = [to[0] - from[0], to[1] - from[1]];
    let square = along_x * along_x + along_y * along_y;
    if square <= 0.0 {
        return from;
    }
    let share = (((x - from[0]) * along_x + (y - from[1]) * along_y) / square).clamp(0.0, 1.0);
    [from[0] + share * along_x, from[1] + share * along_y]
}

fn squared_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    x * x + y * y
}
