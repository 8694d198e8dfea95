//! The settings of a pass: what was asked, and what runs for it with one model.

use std::{borrow::Cow, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    finite::NonFinite,
    inversion::Inversion,
    pass::{check_settings, draw},
};
use crate::{
    components::schedule::{Mixture, Timestep},
    error::{Error, Result},
    geometry::{Size, framing::WorkingSize},
    io::{array::Array, saved::SavedActivations},
    model::{adapters::Adapters, classes::ClassTold, compat::Compat, guidance::Guidance, spec::ModelSpec},
};

/// Which latent of a picture is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatentMode {
    /// The posterior's mean: the same map every time.
    #[default]
    Mean,
    /// Mean + standard deviation · noise, as the papers do.
    Sample,
}

/// Everything besides model and pictures that a pass depends on; an image encoder reads the size alone ([`SettingsRead`]). The command line, the window, workspaces, requests with
/// their records and the key of the cache of maps hold this; an option of passes is a field here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// One prompt for all pictures, where the model reads one.
    pub prompt: String,
    /// The class that the network is told, where it reads one; none: no class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// The timestep that runs; with `compat` the one that is asked of that program, with `nominal_t` before the schedule's shift.
    pub t: Timestep,
    /// Whether `t` goes through the shift of the model's own schedule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nominal_t: bool,
    /// The guidance scale that distilled models are told.
    #[serde(default, skip_serializing_if = "Guidance::is_default")]
    pub guidance: Guidance,
    /// Seed of PyTorch's CPU generator: diffusion noise first, the autoencoder's next.
    pub seed: u64,
    /// Noises per picture whose features are averaged.
    pub ensemble: usize,
    /// Which latent is used.
    #[serde(rename = "vae")]
    pub latent: LatentMode,
    /// The working size; none: the short side the model was made for.
    pub size: Option<WorkingSize>,
    /// How the latent at `t` is made.
    pub inversion: Inversion,
    /// A program whose numbers are to be reproduced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
    /// LoRAs, ControlNets and embeddings. A change of them reads no model again.
    pub adapters: Adapters,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            class: None,
            t: Timestep::default(),
            nominal_t: false,
            guidance: Guidance::default(),
            seed: 0,
            ensemble: 1,
            latent: LatentMode::default(),
            size: None,
            inversion: Inversion::default(),
            compat: None,
            adapters: Adapters::default(),
        }
    }
}

impl RunSettings {
    /// The same settings without LoRAs and ControlNets that do not act.
    pub fn acting(&self) -> Self {
        Self {
            adapters: self.adapters.acting(),
            ..self.clone()
        }
    }

    /// Whether a pass with these settings gives the same numbers as one with others.
    pub fn same_pass(&self, other: &Self) -> bool {
        self.acting() == other.acting()
    }

    /// The working size that `spec` runs at.
    ///
    /// # Errors
    ///
    /// Where `compat` names a program that takes no such size.
    pub fn working_size(&self, spec: &ModelSpec) -> Result<WorkingSize> {
        match self.compat {
            Some(compat) => compat.size(spec, self.size),
            None => Ok(self.size.unwrap_or(WorkingSize::ShortSide(spec.native_side))),
        }
    }

    /// The timestep that `spec` runs at, at a working size: shifts depend on it.
    ///
    /// # Errors
    ///
    /// Where `compat` names a program that does not run this model, or takes no such timestep, and where `nominal_t` is asked of
    /// a model without a shift.
    pub fn running_t(&self, spec: &ModelSpec, working: Size) -> Result<Timestep> {
        match (self.compat, self.nominal_t) {
            (Some(compat), _) => compat.t(spec, self.t, working),
            (None, true) => spec.shifted(self.t, working),
            (None, false) => Ok(self.t),
        }
    }
}

/// Which settings change the features of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SettingsRead {
    /// The prompt, and the embeddings it can name.
    pub prompt: bool,
    /// The class.
    pub class: bool,
    /// Timestep, noise, latent and inversion: what a denoiser is asked at.
    pub diffusion: bool,
    /// LoRAs and ControlNets.
    pub adapters: bool,
    /// The guidance scale.
    pub guidance: bool,
}

impl SettingsRead {
    /// Every one.
    pub const ALL: Self = Self {
        prompt: true,
        class: true,
        diffusion: true,
        adapters: true,
        guidance: true,
    };

    /// What an image encoder reads: the size alone.
    pub const SIZE: Self = Self {
        prompt: false,
        class: false,
        diffusion: false,
        adapters: false,
        guidance: false,
    };

    /// What a model reads.
    pub fn by(spec: &ModelSpec) -> Self {
        match spec.is_encoder() {
            true => Self::SIZE,
            false => Self {
                class: spec.classes().is_some(),
                guidance: spec.reads_guidance(),
                ..Self::ALL
            },
        }
    }

    /// The settings with everything that is not read as it is by default, and without adapters that do not act: the same for
    /// passes that give the same numbers.
    pub fn of(self, settings: &RunSettings) -> RunSettings {
        let unread = RunSettings {
            size: settings.size,
            ..RunSettings::default()
        };
        let mut read = settings.acting();
        if !self.prompt {
            read.prompt = unread.prompt;
            read.adapters.embeddings.clear();
        }
        if !self.class {
            read.class = unread.class;
        }
        if !self.adapters {
            read.adapters.loras.clear();
            read.adapters.controls.clear();
        }
        if !self.guidance {
            read.guidance = unread.guidance;
        }
        match self.diffusion {
            true => read,
            false => RunSettings {
                prompt: read.prompt,
                class: read.class,
                adapters: read.adapters,
                guidance: read.guidance,
                ..unread
            },
        }
    }
}

/// Noise from a file, in place of the seed's.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenNoise {
    /// (B·K, C, h, w), row b·K + k for member k of picture b.
    pub noise: Array,
    /// The autoencoder's noise, (B·K, C, h, w) of its posterior; where it is missing the seed gives it.
    pub vae_noise: Option<Array>,
}

impl GivenNoise {
    /// Reads `in.noise` and, where it is there, `in.vae_noise` of a saved output.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, holds no `in.noise`, or numbers that are not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let file = SavedActivations::open(path)?;
        let finite = |name: &str, array: Array| match array.data.iter().all(|x| x.is_finite()) {
            true => Ok(array),
            false => Err(Error::failed(format!(
                "{name} of the noise file {} holds NaN or infinite numbers",
                path.display()
            ))),
        };
        let load = |name: &str| file.find(name)?.map(|array| finite(name, array)).transpose();
        let noise = load("in.noise")?.ok_or_else(|| {
            Error::failed(format!(
                "the noise file {} holds no tensor in.noise; it holds {}",
                path.display(),
                file.listing()
            ))
        })?;
        Ok(Self {
            noise,
            vae_noise: load("in.vae_noise")?,
        })
    }
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

/// Settings of a pass with one model: what was asked, and the timestep that runs for it.
#[derive(Debug, Clone, PartialEq)]
pub struct PassSettings {
    /// What was asked.
    pub run: RunSettings,
    /// The timestep that runs: `run.t`, unless `run.compat` or `run.nominal_t` makes another of it.
    pub t: Timestep,
    /// The shares of picture and noise at `t`.
    pub mixture: Mixture,
    /// The class that the network is told; none where it reads none.
    pub class: Option<ClassTold>,
    /// Noise in place of the seed's.
    pub noise: Option<GivenNoise>,
    /// How tensors are handed over.
    pub recording: Recording,
    /// What is done about numbers that are not finite.
    pub non_finite: NonFinite,
}

impl PassSettings {
    /// The settings of a pass with `spec` at its native size, with the noise of the seed.
    ///
    /// # Errors
    ///
    /// Where the model's schedule has no such timestep or the model no such class, or `compat` excludes it or the embeddings.
    pub fn new(spec: &ModelSpec, run: RunSettings) -> Result<Self> {
        let native = Size::new(spec.native_side, spec.native_side);
        if spec.is_encoder() {
            if let Some(compat) = run.compat {
                // It runs none: the error says so.
                compat.t(spec, run.t, native)?;
            }
            return Ok(Self {
                run: SettingsRead::by(spec).of(&run),
                t: Timestep::default(),
                mixture: Mixture::CLEAN,
                class: None,
                noise: None,
                recording: Recording::default(),
                non_finite: NonFinite::default(),
            });
        }
        let t = run.running_t(spec, native)?;
        let mixture = spec.mixture(t)?;
        let told = spec.classes().map(|classes| classes.told(run.class, &spec.name));
        let class = told.transpose()?;
        if run.compat.is_some() && !run.adapters.acting().embeddings.is_empty() {
            return Err(Error::usage(
                "--compat gdf: generic-diffusion-feature reads no embeddings; leave --embedding or --compat out",
            ));
        }
        Ok(Self {
            run,
            t,
            mixture,
            class,
            noise: None,
            recording: Recording::default(),
            non_finite: NonFinite::default(),
        })
    }

    /// The same settings at a working size: which timestep runs for a nominal one depends on it.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn at(&self, spec: &ModelSpec, working: Size) -> Result<Cow<'_, Self>> {
        let t = self.run.running_t(spec, working)?;
        if t == self.t {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(Self {
            t,
            mixture: spec.mixture(t)?,
            ..self.clone()
        }))
    }

    /// The settings of one of several pictures that runs alone.
    pub(super) fn of_picture(&self, index: usize) -> Self {
        let mut settings = self.clone();
        if let Some(given) = &mut settings.noise {
            let rows = index * self.run.ensemble..(index + 1) * self.run.ensemble;
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
        if spec.is_encoder() {
            return Ok(self.of_picture(index));
        }
        let shapes = check_settings(spec, working, pictures, self)?;
        let (noise, vae_noise) = draw(self, shapes, self.latent_mode(spec))?;
        let mut all = self.clone();
        all.noise = Some(GivenNoise { noise, vae_noise });
        Ok(all.of_picture(index))
    }

    /// Which latent a model uses: one without an autoencoder has no other.
    pub(super) fn latent_mode(&self, spec: &ModelSpec) -> LatentMode {
        match spec.has_autoencoder() {
            true => self.run.latent,
            false => LatentMode::Mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_read_tell_no_passes_apart() {
        let asked = RunSettings {
            prompt: "a cat".to_owned(),
            class: Some(207),
            t: 51.into(),
            seed: 7,
            ensemble: 2,
            guidance: Guidance::try_from(3.5).expect("a scale"),
            size: Some(WorkingSize::ShortSide(224)),
            ..RunSettings::default()
        };
        assert_eq!(SettingsRead::ALL.of(&asked), asked);
        let encoder = SettingsRead::SIZE;
        let read = encoder.of(&asked);
        assert_eq!(read.size, asked.size);
        let other_t = RunSettings {
            t: 261.into(),
            prompt: String::new(),
            class: None,
            ..asked.clone()
        };
        assert_eq!(encoder.of(&other_t), read);
        let with_text = SettingsRead {
            prompt: true,
            ..encoder
        };
        assert_ne!(with_text.of(&other_t), with_text.of(&asked));
        let with_class = SettingsRead { class: true, ..encoder };
        assert_ne!(with_class.of(&other_t), with_class.of(&asked));
    }
}
