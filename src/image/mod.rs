//! File → picture: decoding, orientation, resizing as Pillow does it, edges as OpenCV finds them.

pub mod canny;
pub(crate) mod decode;
pub mod picture;
pub(crate) mod png_text;
pub mod prepare;
pub mod resize;
pub mod samples;
pub mod source;
