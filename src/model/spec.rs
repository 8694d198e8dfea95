//! A model as its configuration describes it: what it can show, at which sizes and timesteps, before any weight is read.

use std::{path::PathBuf, sync::Arc};

use super::{
    adapters::Adapters, classes::Classes, compat::GdfKind, denoiser::Denoiser, encoder::Encoder, extent::LoadExtent,
};
use crate::{
    activation::{Catalogue, Progress},
    components::schedule::{Mixture, Schedule, Timestep},
    device::Compute,
    error::{Error, Result},
    files::names,
    geometry::{Size, framing::SizeRule},
};

/// A network with its weights on a device.
#[non_exhaustive]
pub enum Network {
    /// It is run at a timestep, over a picture that was mixed with noise.
    Denoiser(Box<dyn Denoiser>),
    /// It is run once, over the picture.
    Encoder(Box<dyn Encoder>),
}

/// A configured network without weights.
pub trait Architecture: Send + Sync {
    /// Which working sizes it takes.
    fn size_rule(&self) -> SizeRule;

    /// (channels, rows, columns) of what noise is mixed with, at a working size; of an encoder, of the picture.
    fn latent_shape(&self, working: Size) -> [usize; 3];

    /// The same of the autoencoder's posterior, where its latent is changed before noise is mixed with it.
    fn posterior_shape(&self, working: Size) -> [usize; 3] {
        self.latent_shape(working)
    }

    /// Every activation in execution order, at a working size and for a prompt of `tokens` tokens.
    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue;

    /// Tokens of a prompt that fits into one run of the text encoder; none where no prompt is read.
    fn prompt_tokens(&self) -> Option<usize>;

    /// The classes that it can be told; none where it reads none.
    fn classes(&self) -> Option<&Classes> {
        None
    }

    /// Whether an autoencoder makes a latent of the picture; without one noise is mixed with the pixels themselves.
    fn has_autoencoder(&self) -> bool {
        true
    }

    /// Cost of encoding one picture, in the unit of [`Cost`](crate::activation::Cost): nothing where there is no
    /// autoencoder, or none is here.
    fn encode_cost(&self, picture: Size) -> f64 {
        let _ = picture;
        0.0
    }

    /// The model's kind in generic-diffusion-feature; none where that program does not run it.
    fn gdf_kind(&self) -> Option<GdfKind> {
        None
    }

    /// The timestep that runs for a nominal one at a working size, through the shift of the model's schedule; none for schedules
    /// without one, and where it depends on more.
    fn shifted(&self, nominal: Timestep, working: Size) -> Option<Timestep> {
        let _ = (nominal, working);
        None
    }

    /// Whether a guidance scale changes anything.
    fn reads_guidance(&self) -> bool {
        false
    }

    /// Whether LoRAs, ControlNets and embeddings can be put on it.
    fn takes_adapters(&self) -> bool {
        false
    }

    /// Refuses LoRAs, ControlNets and embeddings that can be seen not to fit before any weight is read.
    ///
    /// # Errors
    ///
    /// Where they do not fit.
    fn check_adapters(&self, name: &str, adapters: &Adapters) -> Result<()> {
        match adapters.acting().is_empty() {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "{name} takes neither LoRA, ControlNet nor embedding: these are for Stable Diffusion"
            ))),
        }
    }

    /// Whether the weights are on this machine.
    fn is_here(&self) -> bool;

    /// Reads the weights as far as `extent`; a wrong or broken tensor is named before anything runs.
    ///
    /// # Errors
    ///
    /// Where weights are not here, broken, or not those of the configuration.
    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network>;

    /// The names of its input and its timestep among the intermediates of a pass.
    fn input_names(&self) -> [&'static str; 2] {
        ["mid.unet_in", "mid.unet_timestep"]
    }

    /// The name of its prediction among the intermediates of a pass.
    fn output_name(&self) -> &'static str {
        "mid.unet_out"
    }
}

/// A model as its configuration describes it.
#[derive(Clone)]
pub struct ModelSpec {
    /// How the user named it: a short name, a folder or a file; bytes that are no UTF-8 are marked.
    pub name: String,
    /// Key of its family.
    pub family: &'static str,
    /// The folder or file it is read from; none for the embedded model and for one that is not on this machine.
    pub path: Option<PathBuf>,
    /// How much picture and how much noise a timestep means.
    pub schedule: Schedule,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// The timestep that runs when the user gives none.
    pub default_t: Timestep,
    /// Whether noise is mixed with the picture; CleanDIFT's networks are given the picture as it is, and t.
    pub adds_noise: bool,
    /// Peculiarities, for people and for provenance.
    pub notes: Vec<String>,
    /// How to get its weights, where they are not on this machine.
    pub how_to_get: Option<String>,
    /// The network.
    pub network: Arc<dyn Architecture>,
}

impl ModelSpec {
    /// Which working sizes it takes.
    pub fn size_rule(&self) -> SizeRule {
        self.network.size_rule()
    }

    /// Cost of encoding one picture, in the unit of [`Cost`](crate::activation::Cost): nothing where there is no
    /// autoencoder, or none is here.
    pub fn encode_cost(&self, picture: Size) -> f64 {
        self.network.encode_cost(picture)
    }

    /// Where the weights come from, for provenance.
    pub fn weights_label(&self) -> String {
        self.path.as_ref().map_or_else(|| "embedded".to_owned(), names::text)
    }

    /// The shares of picture and noise at timestep `t`.
    ///
    /// # Errors
    ///
    /// Where `t` is none of the schedule's; the error names its range.
    pub fn mixture(&self, t: Timestep) -> Result<Mixture> {
        let mixture = self.schedule.mixture(t)?;
        Ok(if self.adds_noise { mixture } else { Mixture::CLEAN })
    }

    /// The model's kind in generic-diffusion-feature; none where that program does not run it.
    pub(crate) fn gdf_kind(&self) -> Option<GdfKind> {
        self.network.gdf_kind()
    }

    /// Whether it is an image encoder: one forward pass, without noise, timestep, prompt and latent.
    pub fn is_encoder(&self) -> bool {
        self.schedule == Schedule::Noiseless
    }

    /// Whether a prompt changes anything.
    pub fn reads_prompt(&self) -> bool {
        self.network.prompt_tokens().is_some()
    }

    /// Whether a guidance scale changes anything.
    pub fn reads_guidance(&self) -> bool {
        self.network.reads_guidance()
    }

    /// The timestep that runs for a nominal one at a working size, through the shift of the model's schedule.
    ///
    /// # Errors
    ///
    /// Where the schedule has no shift, and where `nominal` is above 1000.
    pub fn shifted(&self, nominal: Timestep, working: Size) -> Result<Timestep> {
        let none = || {
            Error::usage(format!(
                "--nominal-t: the timesteps of {} go through no shift that the size alone tells; give the timestep that runs, --t \
                 {nominal}",
                self.name
            ))
        };
        // Beyond the schedule there is nothing to shift.
        self.schedule.mixture(nominal)?;
        self.network.shifted(nominal, working).ok_or_else(none)
    }

    /// Whether a nominal timestep is another than the one that runs.
    pub fn shifts(&self, working: Size) -> bool {
        let middle = Timestep::of(500);
        self.network.shifted(middle, working).is_some_and(|t| t != middle)
    }

    /// The classes that it can be told; none where it reads none.
    pub fn classes(&self) -> Option<&Classes> {
        self.network.classes()
    }

    /// Whether an autoencoder makes a latent of the picture.
    pub fn has_autoencoder(&self) -> bool {
        self.network.has_autoencoder()
    }

    /// Refuses LoRAs, ControlNets and embeddings that can be seen not to fit before any weight is read.
    ///
    /// # Errors
    ///
    /// Where they do not fit.
    pub fn check_adapters(&self, adapters: &Adapters) -> Result<()> {
        self.network.check_adapters(&self.name, adapters)
    }

    /// Whether the weights are on this machine.
    pub fn is_here(&self) -> bool {
        self.network.is_here()
    }

    /// (channels, rows, columns) of what the noise is mixed with, at a working size.
    pub(crate) fn noised_shape(&self, working: Size) -> [usize; 3] {
        self.network.latent_shape(working)
    }

    /// The same of the autoencoder's posterior, from which latents are sampled.
    pub(crate) fn posterior_shape(&self, working: Size) -> [usize; 3] {
        self.network.posterior_shape(working)
    }

    /// Every activation in execution order, with its shape at a working size and for a prompt of `tokens` tokens.
    pub fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        self.network.catalogue(working, tokens)
    }

    /// The catalogue for a prompt that fits into one run of the text encoder.
    pub fn plain_catalogue(&self, working: Size) -> Catalogue {
        self.catalogue(working, self.network.prompt_tokens().unwrap_or_default())
    }

    /// The same model with a note, if there is one.
    pub(crate) fn noting(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }
}
