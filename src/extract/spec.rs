//! A model as its configuration describes it: what it can show, at which sizes and timesteps, before any weight is read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    adapted::{add_to_tokenizer, open_embeddings},
    compat::GdfKind,
    control,
    parts::Files,
};
use crate::{
    activation::{Catalogue, Entry, Shape},
    components::{
        schedule::{Mixture, Schedule, Timestep},
        text::{CONTEXT_LENGTH, TextPart},
    },
    error::{Error, Result},
    families::{
        adm::{self, AdmConfig},
        stable_diffusion::{
            lora::LoraFile,
            unet::{self, UnetConfig},
        },
    },
    files::names,
    geometry::{Grid, Size, framing::SizeRule},
    model::adapters::{Adapters, EmbeddingUse},
    weights::Store,
};

/// Pixels per position of the latent of every Stable Diffusion, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Channels of a picture.
const COLOURS: usize = 3;

/// What kind of network a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A U-Net on latents, with text.
    StableDiffusion,
    /// A U-Net on pixels, without text.
    Adm,
}

/// A model as its configuration describes it.
#[derive(Clone)]
pub struct ModelSpec {
    /// How the user named it: a zoo key, a folder or a file, as [`names::text`] writes it.
    pub name: String,
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
    /// What is special about it, for people and for provenance.
    pub notes: Vec<String>,
    pub(super) network: NetworkSpec,
}

/// The configuration of the networks.
#[derive(Clone)]
pub(super) enum NetworkSpec {
    StableDiffusion {
        unet: UnetConfig,
        /// None where the model is not on this machine.
        files: Option<Box<Files>>,
    },
    Adm {
        config: AdmConfig,
        /// None where the model is not on this machine.
        store: Option<Store>,
    },
}

impl ModelSpec {
    /// What kind of network it is.
    pub fn family(&self) -> Family {
        match self.network {
            NetworkSpec::StableDiffusion { .. } => Family::StableDiffusion,
            NetworkSpec::Adm { .. } => Family::Adm,
        }
    }

    /// Which working sizes it takes.
    pub fn size_rule(&self) -> SizeRule {
        match &self.network {
            NetworkSpec::StableDiffusion { .. } => SizeRule::Latent {
                multiple: LATENT_STRIDE,
            },
            NetworkSpec::Adm { config, .. } => SizeRule::Adm {
                multiple: config.size_multiple(),
            },
        }
    }

    /// What encoding one picture takes, in the unit of [`Cost`](crate::activation::Cost): nothing where there is no
    /// autoencoder, or none is here.
    pub fn encode_cost(&self, picture: Size) -> f64 {
        match &self.network {
            NetworkSpec::StableDiffusion { files: Some(files), .. } => {
                files.vae.encode_cost(picture.width * picture.height)
            }
            _ => 0.0,
        }
    }

    /// Where the weights come from, for provenance.
    pub fn weights_label(&self) -> String {
        self.path.as_ref().map_or_else(|| "embedded".to_owned(), names::text)
    }

    /// The shares of picture and noise at timestep `t`, or an error that names the schedule's range.
    pub fn mixture(&self, t: Timestep) -> Result<Mixture> {
        let mixture = self.schedule.mixture(t)?;
        Ok(if self.adds_noise { mixture } else { Mixture::CLEAN })
    }

    /// The files of a Stable Diffusion that is on this machine.
    pub(super) fn files(&self) -> Result<&Files> {
        match &self.network {
            NetworkSpec::StableDiffusion { files: Some(files), .. } => Ok(files),
            _ => Err(Error::failed(format!(
                "{} has no autoencoder on this machine",
                self.name
            ))),
        }
    }

    /// What generic-diffusion-feature would take it for; none for what it does not run.
    pub fn gdf_kind(&self) -> Option<GdfKind> {
        match &self.network {
            NetworkSpec::StableDiffusion { unet, .. } if unet.added.is_some() => Some(GdfKind::Sdxl),
            NetworkSpec::StableDiffusion { unet, .. } if unet.use_linear_projection => Some(GdfKind::Sd2),
            NetworkSpec::StableDiffusion { .. } => Some(GdfKind::Sd1),
            NetworkSpec::Adm { .. } => None,
        }
    }

    /// Whether a prompt changes anything.
    pub fn reads_prompt(&self) -> bool {
        self.family() == Family::StableDiffusion
    }

    /// Refuses LoRAs and ControlNets that can be seen not to fit before any weight is read.
    pub fn check_adapters(&self, adapters: &Adapters) -> Result<()> {
        let acting = adapters.acting();
        match &self.network {
            NetworkSpec::StableDiffusion { unet, .. } => {
                for lora in &acting.loras {
                    LoraFile::open(&lora.file)?;
                }
                for used in &acting.controls {
                    control::read_config(&used.net, unet)?;
                }
                self.check_embeddings(&acting.embeddings, unet)
            }
            NetworkSpec::Adm { .. } if acting.is_empty() => Ok(()),
            NetworkSpec::Adm { .. } => Err(Error::usage(format!(
                "{} takes neither LoRA, ControlNet nor embedding: these are for Stable Diffusion",
                self.name
            ))),
        }
    }

    /// Refuses embeddings that the text encoders of this model cannot read, or whose tokens they have already.
    fn check_embeddings(&self, embeddings: &[EmbeddingUse], unet: &UnetConfig) -> Result<()> {
        let opened = open_embeddings(embeddings, unet)?;
        // A model that is not on this machine is refused when it is read.
        let Some(files) = self.files().ok().filter(|_| !opened.is_empty()) else {
            return Ok(());
        };
        let mut tokenizer = files.parts.tokenizer(TextPart::First)?;
        for (used, embedding) in &opened {
            add_to_tokenizer(std::iter::once(embedding), TextPart::First, &mut tokenizer)
                .map_err(|error| error.context(used.file.display()))?;
        }
        Ok(())
    }

    /// Whether the weights are on this machine.
    pub fn is_here(&self) -> bool {
        match &self.network {
            NetworkSpec::StableDiffusion { unet, files } => {
                files.as_ref().is_some_and(|files| files.parts.are_here(unet))
            }
            NetworkSpec::Adm { store, .. } => store.is_some(),
        }
    }

    /// (channels, rows, columns) of what the noise is mixed with, at a working size.
    pub fn noised_shape(&self, working: Size) -> [usize; 3] {
        match &self.network {
            NetworkSpec::StableDiffusion { unet, .. } => [
                unet.latent_channels(),
                working.height / LATENT_STRIDE,
                working.width / LATENT_STRIDE,
            ],
            NetworkSpec::Adm { .. } => [adm::COLOURS, working.height, working.width],
        }
    }

    /// Every activation in execution order, with its shape at a working size and for a prompt of `tokens` tokens.
    pub fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.noised_shape(working);
        let grid = Grid::new(height, width);
        match &self.network {
            NetworkSpec::StableDiffusion { unet, .. } => {
                let mut list = unet::catalogue(unet, grid, tokens);
                // The picture after one step needs noise to take away.
                if self.adds_noise {
                    let grid = Grid::new(working.height, working.width);
                    let channels = COLOURS;
                    list.push_derived(Entry::decoded(Shape::Features { channels, grid }));
                }
                list
            }
            NetworkSpec::Adm { config, .. } => adm::catalogue(config, grid),
        }
    }

    /// The catalogue for a prompt that fits into one run of the text encoder.
    pub fn plain_catalogue(&self, working: Size) -> Catalogue {
        self.catalogue(working, CONTEXT_LENGTH)
    }
}
