//! Shows what a diffusion model sees: runs its denoiser on a picture, takes out any inner activation, and analyses it.
//!
//! A model is opened by name, its activations have ids, and a feature map is what the analyses take:
//!
//! ```
//! use featscope::prelude::*;
//!
//! # let folder = tempfile::tempdir().map_err(|error| Error::failed(error.to_string()))?;
//! # std::env::set_current_dir(&folder).map_err(|error| Error::failed(error.to_string()))?;
//! let mut model = Model::open("demo")?; // a short name, a folder, a file or OWNER/NAME in the hub's cache
//! let features = model.extract("sample:photo-cat").at(100).select(["b11"]).run()?;
//! let map = features.map("b11")?; // (C, h, w)
//! let basis = pca::fit(&[map], &PcaOptions::default())?;
//! basis.project(map)?.to_rgb().save("pca.png")?;
//! # assert!(std::path::Path::new("pca.png").exists());
//! # Ok::<(), featscope::Error>(())
//! ```
//!
//! `examples/` has more. The features `window`, `cli` and `hub` are on by default; this needs none of them.
//!
//! Data goes one way: file → image → latent → denoiser → activation → analysis → picture. `ARCHITECTURE.md` has one
//! sentence per folder.

#![cfg_attr(
    not(all(feature = "window", feature = "cli", feature = "hub")),
    allow(
        dead_code,
        unused_imports,
        reason = "some of what is private serves only the window, the command line or downloads"
    )
)]

pub mod activation;
pub mod analysis;
pub mod api;
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
pub mod page;
pub mod recommend;
pub mod render;
pub mod sources;
pub mod survey;
pub mod weights;
pub mod words;

pub use api::{Extraction, Features, Model};
pub use error::{Error, Result};

/// What most programs that use the library need.
pub mod prelude {
    pub use crate::{
        activation::{Catalogue, FeatureMap, Id},
        analysis::{
            pca::{self, PcaBasis, PcaOptions},
            similarity,
        },
        api::{Extraction, Features, Model},
        components::schedule::Timestep,
        device::{DeviceChoice, Precision},
        error::{Error, Result},
        extract::settings::RunSettings,
        geometry::{Grid, Size, framing::WorkingSize},
    };
}
