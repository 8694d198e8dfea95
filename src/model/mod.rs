//! Types that all families share: checkpoints, architectures, denoisers and encoders, their adapters and conditioning. It knows
//! no family, neither windows nor threads.

pub mod adapters;
pub mod classes;
pub mod compat;
pub mod control;
pub mod denoiser;
pub mod encoder;
pub mod extent;
pub mod family;
pub mod guidance;
pub mod spec;
pub mod tokens;

pub use extent::LoadExtent;
