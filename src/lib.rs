//! Shows what a diffusion model sees: runs its denoiser on a picture, takes out any inner activation, and analyses it.
//!
//! Data goes one way: file → image → latent → denoiser → activation → analysis → picture. `ARCHITECTURE.md` has one
//! sentence per folder.

pub mod activation;
pub mod analysis;
#[cfg(feature = "window")]
pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
pub mod components;
pub mod device;
pub mod engine;
pub mod error;
pub mod extract;
pub mod families;
pub mod files;
pub mod geometry;
pub mod image;
pub mod io;
pub mod model;
pub mod nn;
pub mod ops;
pub mod render;
pub mod sources;
pub mod survey;
pub mod weights;
pub mod words;

pub use error::{Error, Result};
