//! Pixels and positions: sizes of pictures, grids of feature maps, and the way from one to the other and back.

pub mod framing;
mod grid;
mod pixel_range;
mod size;

pub use grid::Grid;
pub use pixel_range::PixelRange;
pub use size::Size;
