//! Which cells of a grid a point or a brush covers.

use super::message::QueryAt;
use crate::{activation::Grid, error::Error, extract::framing::Framing};

/// (row, column) of the cells compared, row by row; none where the model does not see that part of the picture.
pub fn cells_at(at: &QueryAt, framing: &Framing, grid: Grid) -> Option<Vec<(usize, usize)>> {
    let under = |point: [f64; 2]| framing.cell_from_original(point, grid).map(|cell| vec![cell]);
    match at {
        QueryAt::Point(point) => under(*point),
        QueryAt::Region { path, radius } => {
            let covered: Vec<_> = (0..grid.positions())
                .map(|position| grid.row_column(position))
                .filter(|cell| distance_to_path(framing.original_from_cell(*cell, grid), path) <= *radius)
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
        _ => Error::usage("this part of the picture is not seen by the model: the square in the middle is"),
    }
}

/// Distance of a point from points joined by straight lines; infinite from none.
fn distance_to_path(point: [f64; 2], path: &[[f64; 2]]) -> f64 {
    let alone = path.iter().map(|end| distance(point, *end));
    let between = path.windows(2).map(|line| distance_to_line(point, line[0], line[1]));
    alone.chain(between).fold(f64::INFINITY, f64::min)
}

/// Distance of a point from the line between two points.
fn distance_to_line([x, y]: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    if square <= 0.0 {
        return distance([x, y], from);
    }
    let share = (((x - from[0]) * along[0] + (y - from[1]) * along[1]) / square).clamp(0.0, 1.0);
    distance([x, y], [from[0] + share * along[0], from[1] + share * along[1]])
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}
