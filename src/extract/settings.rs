//! What one pass is asked for, besides its pictures.

use serde::{Deserialize, Serialize};

use super::{
    finite::NonFinite,
    inversion::Inversion,
    pass::{check_settings, draw},
};
use crate::{
    components::schedule::Timestep,
    error::Result,
    geometry::Size,
    io::array::Array,
    model::{adapters::Adapters, compat::Compat, spec::ModelSpec},
};

/// Which latent of a picture is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LatentMode {
    /// The posterior's mean: the same map every time.
    #[default]
    Mean,
    /// Mean + standard deviation · noise, as the papers do.
    Sample,
}

/// Where the noise comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Seed of PyTorch's CPU generator: diffusion noise first, the autoencoder's next.
    pub seed: u64,
    /// Tensors that replace what the seed would give.
    pub given: Option<GivenNoise>,
}

/// Noise from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenNoise {
    /// (B·K, C, h, w), row b·K + k for member k of picture b.
    pub noise: Array,
    /// The autoencoder's noise, (B·K, C, h, w); where it is missing the seed gives it.
    pub vae_noise: Option<Array>,
}

/// What one pass is asked for, besides its pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct PassSettings {
    /// The timestep that runs.
    pub t: Timestep,
    /// The prompt of all pictures.
    pub prompt: String,
    /// Where the noise comes from.
    pub noise: Noise,
    /// Which latent is used.
    pub vae: LatentMode,
    /// Noises per picture whose features are averaged.
    pub ensemble: usize,
    /// Where the latent that is looked at comes from.
    pub inversion: Inversion,
    /// A program whose numbers are wanted.
    pub compat: Option<Compat>,
    /// LoRAs and ControlNets.
    pub adapters: Adapters,
    /// How tensors are handed over.
    pub recording: Recording,
    /// What is done about numbers that are not finite.
    pub non_finite: NonFinite,
}

/// How the tensors of a pass are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// In batches of rows as large as is quick; attention maps with all their heads.
    #[default]
    InBatches,
    /// All rows of an activation at once; attention maps as the mean over their heads, (B·K, 1, queries, keys).
    Whole,
}

impl PassSettings {
    /// The settings of one of several pictures that runs alone.
    pub(super) fn of_picture(&self, index: usize) -> Self {
        let mut settings = self.clone();
        if let Some(given) = &mut settings.noise.given {
            let rows = index * self.ensemble..(index + 1) * self.ensemble;
            given.noise = given.noise.rows_in(rows.clone());
            given.vae_noise = given.vae_noise.take().map(|noise| noise.rows_in(rows));
        }
        settings
    }

    /// The settings of one of `pictures` that ran together: alone, with the noise that it had among them.
    pub(super) fn of_picture_among(
        &self,
        spec: &ModelSpec,
        working: Size,
        pictures: usize,
        index: usize,
    ) -> Result<Self> {
        let shape = check_settings(spec, working, pictures, self)?;
        let (noise, vae_noise) = draw(&self.noise, shape, self.vae_mode(spec))?;
        let mut all = self.clone();
        all.noise.given = Some(GivenNoise { noise, vae_noise });
        Ok(all.of_picture(index))
    }

    /// Which latent a model uses: one without an autoencoder has no other.
    pub(super) fn vae_mode(&self, spec: &ModelSpec) -> LatentMode {
        match spec.reads_prompt() {
            true => self.vae,
            false => LatentMode::Mean,
        }
    }
}
