//! What is on the graphics card: textures of pictures, colours, scores and thumbnails.

pub mod atlas;
pub mod textures;
pub mod thumbnails;
