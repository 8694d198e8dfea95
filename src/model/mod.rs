//! What all families share, as types: checkpoints, architectures, denoisers, what is put on them and what they are told. It knows
//! no family, neither windows nor threads.

pub mod adapters;
pub mod compat;
pub mod control;
pub mod denoiser;
pub mod extent;
pub mod family;
pub mod spec;
pub mod tokens;

pub use extent::LoadExtent;
