//! A request carried out. In: a picture file, a size, a seed. Out: the working picture with its place in the original,
//! the numbers a model takes, and the noise. `engine` and `cli` call it; it knows neither threads nor windows.

pub mod framing;
pub mod image;
mod jpeg;
pub mod noise;
pub mod resize;
