//! An extraction, option by option.

use std::path::Path;

use super::{Features, Model};
use crate::{
    components::schedule::Timestep,
    error::Result,
    extract::{
        job::{self, Planned},
        ram,
        request::ExtractRequest,
        select::Select,
        settings::RunSettings,
    },
    geometry::framing::WorkingSize,
};

/// An extraction that is being described; [`run`](Self::run) and [`write`](Self::write) carry it out.
#[must_use = "nothing runs before `run` or `write`"]
pub struct Extraction<'m> {
    model: &'m mut Model,
    request: ExtractRequest,
    progress: Box<dyn FnMut(f32) -> Result<()> + 'm>,
}

impl<'m> Extraction<'m> {
    pub(super) fn new(model: &'m mut Model, request: ExtractRequest) -> Self {
        Self {
            model,
            request,
            progress: Box::new(|_| Ok(())),
        }
    }

    /// One more picture.
    pub fn and(mut self, picture: impl AsRef<Path>) -> Self {
        self.request.pictures.push(picture.as_ref().to_owned());
        self
    }

    /// The timestep that runs.
    pub fn at(mut self, t: impl Into<Timestep>) -> Self {
        self.request.settings.t = t.into();
        self
    }

    /// The prompt of all pictures, for models that read one.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.request.settings.prompt = prompt.into();
        self
    }

    /// Seed of the noise: the numbers of PyTorch's CPU generator.
    pub fn seed(mut self, seed: u64) -> Self {
        self.request.settings.seed = seed;
        self
    }

    /// How many noises the features are averaged over.
    pub fn ensemble(mut self, members: usize) -> Self {
        self.request.settings.ensemble = members;
        self
    }

    /// The working size.
    pub fn size(mut self, size: WorkingSize) -> Self {
        self.request.settings.size = Some(size);
        self
    }

    /// Everything that a pass depends on besides model and pictures, in place of what was set before: adapters, inversion
    /// and the like have no call of their own. [`Model::settings`] are those to begin with.
    pub fn settings(mut self, settings: RunSettings) -> Self {
        self.request.settings = settings;
        self
    }

    /// The activations to record, by id.
    pub fn select<I: AsRef<str>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        let ids = ids.into_iter().map(|id| id.as_ref().to_owned());
        self.request.select = Select::Ids(ids.collect());
        self
    }

    /// Receives how far the work is, from 0 to 1; an error from it, such as
    /// [`Error::Cancelled`](crate::Error::Cancelled), ends the work.
    pub fn progress(mut self, progress: impl FnMut(f32) -> Result<()> + 'm) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Runs, and keeps the features in memory. Pictures of one working size run as one batch, others one by one.
    ///
    /// # Errors
    ///
    /// Where an id, the timestep or the size is not one of the model's; where a picture or the weights cannot be read;
    /// where an activation is not finite, the device fails, or `progress` ends the work.
    pub fn run(self) -> Result<Features> {
        let Self {
            model,
            request,
            mut progress,
        } = self;
        let planned = job::plan(model.spec.clone(), &request)?;
        let parts = match planned.has_one_size() {
            true => vec![planned],
            false => planned.split(),
        };
        // All of them are kept.
        ram::check(
            parts
                .iter()
                .map(Planned::estimated_bytes)
                .fold(0, usize::saturating_add),
            "the activations asked for",
            "ask for fewer, for a smaller size, or write them into files",
        )?;
        let (loaded, after_loading) = model.loaded(&mut *progress)?;
        let total = parts.len() as f32;
        let mut runs = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let request = ExtractRequest {
                pictures: part.pictures.iter().map(|(path, _)| path.clone()).collect(),
                ..request.clone()
            };
            let mut progress = |done: f32| progress(after_loading((index as f32 + done) / total));
            runs.push(part.run(&request, loaded, &mut progress)?);
        }
        Ok(Features::new(runs))
    }

    /// Runs, and writes the features with their record: into a file where the name is that of a format for features, such as
    /// `maps.safetensors`, else into a folder of `.npy` files.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and where `out` cannot be written.
    pub fn write(self, out: impl AsRef<Path>) -> Result<()> {
        let Self {
            model,
            request,
            mut progress,
        } = self;
        let planned = job::plan(model.spec.clone(), &request)?;
        planned.check_output(&request, out.as_ref())?;
        let (loaded, after_loading) = model.loaded(&mut *progress)?;
        let mut progress = |done: f32, _: Option<[usize; 2]>| progress(after_loading(done));
        planned.write(&request, loaded, out.as_ref(), &mut progress).map(drop)
    }
}
