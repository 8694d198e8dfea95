//! Scores to colours. In: scores (h, w), RGB bytes and a style. Out: pixels for files; the window draws the same maps
//! from the same colour tables.

mod colour_map;
mod coolwarm;
mod lettering;
mod number;
mod placement;
mod score_map;
mod tables;

pub use colour_map::ColourMap;
pub(crate) use colour_map::{Scale, TABLE_LEN};
pub use lettering::{Canvas, Lettering};
pub use number::score_text;
pub(crate) use number::short_score_text;
pub use placement::MapPart;
pub(crate) use placement::Placement;
pub(crate) use score_map::pixel_colours;
pub use score_map::{Interpolation, ScoreMap, ScoreStyle, render_scores};
