//! The library in a few calls: [`Model::open`], [`Model::extract`], and the [`Features`] that come of it. Everything else
//! takes and gives the types of the folders below.

mod extraction;
mod features;

use std::path::Path;

pub use self::{extraction::Extraction, features::Features};
use crate::{
    activation::{Catalogue, Progress},
    device::{DeviceChoice, Precision},
    error::Result,
    extract::{job, model::Model as LoadedModel, request::ExtractRequest, settings::RunSettings},
    families::resolve,
    geometry::Size,
    model::spec::ModelSpec,
    sources::open_device,
};

/// What share of the whole work is done, from the share of one part of it.
type ShareOfWork = fn(f32) -> f32;

/// A model. Its configuration is read when it is opened; its weights are read whole when it first runs, and stay until it is
/// dropped.
pub struct Model {
    spec: ModelSpec,
    device: DeviceChoice,
    precision: Precision,
    loaded: Option<LoadedModel>,
}

impl Model {
    /// Finds a model: a short name (`demo` is inside the library), a folder, a file, or `OWNER/NAME` in the hub's cache. It
    /// computes in f32 on the first GPU that this build can use, else on the CPU. Nothing is downloaded.
    ///
    /// # Errors
    ///
    /// Where there is no such model, or it is broken or of no family that this library knows.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self {
            spec: resolve(name)?,
            device: DeviceChoice::default(),
            precision: Precision::default(),
            loaded: None,
        })
    }

    /// The same model on another device, in another number format.
    pub fn on(mut self, device: DeviceChoice, precision: Precision) -> Self {
        (self.device, self.precision) = (device, precision);
        self.loaded = None;
        self
    }

    /// The model by its configuration: its name, the side of the pictures it was made for, its schedule.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Every activation in execution order, with its shape at the size the model was made for.
    pub fn catalogue(&self) -> Catalogue {
        self.spec
            .plain_catalogue(Size::new(self.spec.native_side, self.spec.native_side))
    }

    /// The settings that an extraction begins with: the model's own timestep and size, seed 0.
    pub fn settings(&self) -> RunSettings {
        RunSettings {
            t: self.spec.default_t,
            ..RunSettings::default()
        }
    }

    /// Begins an extraction of a picture, a file or `sample:NAME`: by default of all activations but attention maps, at the
    /// model's own timestep and size, with seed 0.
    pub fn extract(&mut self, picture: impl AsRef<Path>) -> Extraction<'_> {
        let request = ExtractRequest {
            model: self.spec.name.clone(),
            pictures: vec![picture.as_ref().to_owned()],
            settings: self.settings(),
            device: self.device,
            dtype: self.precision,
            ..ExtractRequest::default()
        };
        Extraction::new(self, request)
    }

    /// The model with its weights, and what share of the whole work a share of the rest is: less where they were read now.
    fn loaded(&mut self, progress: &mut Progress<'_>) -> Result<(&mut LoadedModel, ShareOfWork)> {
        let (loaded, after_loading): (_, ShareOfWork) = match self.loaded.take() {
            Some(loaded) => (loaded, |done| done),
            None => {
                let opened = open_device(self.device, self.precision)?;
                (job::load(&self.spec, opened, progress)?, job::after_loading)
            }
        };
        Ok((self.loaded.insert(loaded), after_loading))
    }
}
