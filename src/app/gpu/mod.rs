//! The graphics card: textures of pictures, colours and thumbnails; score maps, drawn by a wgpu callback, or by a texture
//! where there is no wgpu.
//!
//! A place on the screen is a pair of rectangles: `rect` in points, and `uv`, the part of the map that fills it, with
//! (0, 0) the upper left and (1, 1) the lower right corner of the map. What lies outside (0, 0)..(1, 1) is not drawn.

pub mod atlas;
pub mod picture;
mod pipeline;
mod placement;
pub mod scores;
mod texture;
pub mod textures;
pub mod thumbnails;
