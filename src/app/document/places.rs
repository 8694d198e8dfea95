//! Points and regions of pictures.

use crate::engine::QueryAt;

/// The point that stands for a point or region, where one is needed.
pub fn representative(at: &QueryAt) -> Option<[f64; 2]> {
    match at {
        QueryAt::Point(at) => Some(*at),
        QueryAt::Region { path, .. } => path.first().copied(),
        QueryAt::Word(_) => None,
    }
}

/// A point or region with its first point elsewhere.
pub fn moved_to(at: &QueryAt, there: [f64; 2]) -> QueryAt {
    match at {
        QueryAt::Point(_) | QueryAt::Word(_) => QueryAt::Point(there),
        QueryAt::Region { path, radius } => {
            let from = path.first().copied().unwrap_or(there);
            QueryAt::Region {
                path: path
                    .iter()
                    .map(|[x, y]| [x + there[0] - from[0], y + there[1] - from[1]])
                    .collect(),
                radius: *radius,
            }
        }
    }
}
