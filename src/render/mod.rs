//! Scores to colours. In: scores (h, w), RGB bytes and a style. Out: pixels for files; the window draws the same maps
//! from the same colour tables.

pub(crate) mod colour_map;
mod coolwarm;
mod figure;
mod lettering;
mod number;
pub(crate) mod placement;
pub(crate) mod score_map;
mod tables;

pub use colour_map::ColourMap;
pub use figure::{Bar, Figure, FigurePlan, FigureSize, Frame, MOST_TIMES, Mark};
pub use lettering::{Canvas, Lettering};
pub use number::{score_text, short_score_text};
pub use placement::MapPart;
pub use score_map::{Interpolation, ScoreMap, ScoreStyle, render_scores};
