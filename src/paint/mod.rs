//! Score maps and pictures on the screen. In: scores (h, w), RGB bytes and a style. Out: pixels, drawn by a wgpu
//! callback, or by a texture where there is no wgpu, or written to a file; all three from the same colour tables.
//! Called by the panes of the window and by the command line's export.
//!
//! A place on the screen is a pair of rectangles: `rect` in points, and `uv`, the part of the map that fills it, with
//! (0, 0) the upper left and (1, 1) the lower right corner of the map. What lies outside (0, 0)..(1, 1) is not drawn.

mod cells;
mod colour_bar;
mod colour_map;
mod contrast;
mod coolwarm;
mod gpu;
mod lettering;
mod loupe;
mod number;
mod picture;
mod placement;
mod score_map;
mod scores;
mod tables;

pub use cells::{Cells, cell_grid, cell_numbers, cell_outline};
pub use colour_bar::{colour_bar, colour_bar_ui};
pub use colour_map::ColourMap;
pub use contrast::{contrast, luminance, readable_on};
pub use lettering::{Canvas, Lettering};
pub use loupe::{Loupe, LoupeScores};
pub use number::score_text;
pub use picture::{DisplayPicture, PictureTexture};
pub use score_map::{Interpolation, ScoreMap, ScoreStyle, render_scores};
pub use scores::{Held, ScorePainter, paint_scores};
