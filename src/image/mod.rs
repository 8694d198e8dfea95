//! File → picture: decoding, orientation, resizing as Pillow does it, edges as OpenCV finds them.

pub mod canny;
pub mod decode;
pub mod picture;
pub mod png_text;
pub mod prepare;
pub mod resize;
pub mod samples;
pub mod source;
