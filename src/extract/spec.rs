//! A model as its configuration describes it: what it can show, at which sizes and timesteps, before any weight is read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{adapters::Adapters, control, framing::SizeRule, image::Size};
use crate::{
    activation::{Catalogue, Grid},
    error::{Error, Result},
    model::{
        adm::{self, AdmConfig},
        lora::LoraFile,
        schedule::Schedule,
        text::CONTEXT_LENGTH,
        unet::{self, UnetConfig},
        vae::VaeConfig,
    },
    weights::{Store, ZOO, ZooEntry, ZooKind, hub_folder, read_json, zoo_entry},
};

/// Pixels per position of the latent of every Stable Diffusion, along a side.
const LATENT_STRIDE: usize = 8;
const ADM_DEFAULT_T: u32 = 90;
const LATENT_DEFAULT_T: u32 = 50;

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
    /// How the user named it: a zoo key, a folder or a file.
    pub name: String,
    /// The folder or file it is read from; none for the embedded model and for one that is not on this machine.
    pub path: Option<PathBuf>,
    /// How much picture and how much noise a timestep means.
    pub schedule: Schedule,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// The timestep that runs when the user gives none.
    pub default_t: u32,
    pub(super) network: NetworkSpec,
}

/// The configuration of the networks.
#[derive(Clone)]
pub(super) enum NetworkSpec {
    StableDiffusion {
        unet: UnetConfig,
        /// None where the model is not on this machine.
        vae: Option<VaeConfig>,
    },
    Adm {
        config: AdmConfig,
        /// None where the model is not on this machine.
        store: Option<Store>,
    },
}

impl ModelSpec {
    /// Finds a model by zoo key, folder or file and reads its configuration.
    pub fn find(name: &str) -> Result<Self> {
        if let Some(entry) = zoo_entry(name) {
            return Self::from_zoo(entry);
        }
        let path = Path::new(name);
        if path.is_dir() {
            if path.join("unet").join("config.json").is_file() {
                return Self::from_hub_folder(name, path);
            }
            if let Some(config) = adm::config_alone(path)? {
                return Ok(Self::from_adm(name, Some(path), config, None));
            }
            if path.join("config.json").is_file()
                || path.join("model.pt").is_file()
                || path.join("model.safetensors").is_file()
            {
                let (config, store) = adm::open(path)?;
                return Ok(Self::from_adm(name, Some(path), config, Some(store)));
            }
            return Err(Error::failed(format!(
                "{} is no model this program knows: a folder of the hub's layout has unet/config.json, a folder of ADM's \
                 has config.json and model.safetensors or model.pt",
                path.display()
            )));
        }
        if path.is_file() {
            let (config, store) = adm::open(path)?;
            return Ok(Self::from_adm(name, Some(path), config, Some(store)));
        }
        let keys: Vec<&str> = ZOO.iter().map(|entry| entry.key).collect();
        let nearest = keys.iter().min_by_key(|key| strsim::damerau_levenshtein(key, name));
        Err(Error::failed(format!(
            "there is no model \"{name}\": it is neither a folder, nor a file, nor one of {}; did you mean \"{}\"?",
            keys.join(", "),
            nearest.unwrap_or(&"demo")
        )))
    }

    fn from_zoo(entry: &ZooEntry) -> Result<Self> {
        let spec = match entry.kind {
            ZooKind::Embedded => {
                let (config, store) = adm::open_demo()?;
                Self::from_adm(entry.key, None, config, Some(store))
            }
            ZooKind::StableDiffusion { unet_config } => match hub_folder(entry.source) {
                Some(folder) => Self::from_hub_folder(entry.key, &folder)?,
                None => Self {
                    name: entry.key.to_owned(),
                    path: None,
                    schedule: Schedule::stable_diffusion(),
                    native_side: entry.side,
                    default_t: entry.default_t,
                    network: NetworkSpec::StableDiffusion {
                        unet: UnetConfig::from_json(&embedded_json(entry.key, unet_config)?)?,
                        vae: None,
                    },
                },
            },
            ZooKind::Adm { config } => {
                let config = AdmConfig::from_json(&embedded_json(entry.key, config)?)?;
                Self::from_adm(entry.key, None, config, None)
            }
        };
        Ok(Self {
            native_side: entry.side,
            default_t: entry.default_t,
            ..spec
        })
    }

    fn from_hub_folder(name: &str, folder: &Path) -> Result<Self> {
        let json = |file: &str| {
            let path = folder.join(file);
            read_json(&path).map(|json| (json, path))
        };
        let (unet, unet_path) = json("unet/config.json")?;
        let unet = UnetConfig::from_json(&unet).map_err(|error| error.context(unet_path.display()))?;
        let (vae, vae_path) = json("vae/config.json")?;
        let vae = VaeConfig::from_json(&vae).map_err(|error| error.context(vae_path.display()))?;
        if vae.stride() != LATENT_STRIDE || vae.latent_channels != unet.in_channels {
            return Err(Error::failed(format!(
                "{}: the autoencoder gives {} channels at 1/{} of the size, the U-Net takes {} at 1/{LATENT_STRIDE}",
                folder.display(),
                vae.latent_channels,
                vae.stride(),
                unet.in_channels
            )));
        }
        let (scheduler, scheduler_path) = json("scheduler/scheduler_config.json")?;
        let schedule = Schedule::from_json(&scheduler).map_err(|error| error.context(scheduler_path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            path: Some(folder.to_owned()),
            schedule,
            native_side: unet.sample_size * LATENT_STRIDE,
            default_t: LATENT_DEFAULT_T,
            network: NetworkSpec::StableDiffusion { unet, vae: Some(vae) },
        })
    }

    fn from_adm(name: &str, path: Option<&Path>, config: AdmConfig, store: Option<Store>) -> Self {
        let schedule = config.schedule();
        Self {
            name: name.to_owned(),
            path: path.map(Path::to_owned),
            default_t: ADM_DEFAULT_T.min(schedule.steps().saturating_sub(1) as u32),
            schedule,
            native_side: config.image_size,
            network: NetworkSpec::Adm { config, store },
        }
    }

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

    /// Where the weights come from, for provenance.
    pub fn weights_label(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "embedded".to_owned(), |path| path.display().to_string())
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
                Ok(())
            }
            NetworkSpec::Adm { .. } if acting.is_empty() => Ok(()),
            NetworkSpec::Adm { .. } => Err(Error::usage(format!(
                "{} takes neither LoRA nor ControlNet: both are for Stable Diffusion",
                self.name
            ))),
        }
    }

    /// Whether the weights are on this machine.
    pub fn is_here(&self) -> bool {
        match &self.network {
            NetworkSpec::StableDiffusion { vae, .. } => vae.is_some(),
            NetworkSpec::Adm { store, .. } => store.is_some(),
        }
    }

    /// (channels, rows, columns) of what the noise is mixed with, at a working size.
    pub fn noised_shape(&self, working: Size) -> [usize; 3] {
        match &self.network {
            NetworkSpec::StableDiffusion { unet, .. } => [
                unet.in_channels,
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
            NetworkSpec::StableDiffusion { unet, .. } => unet::catalogue(unet, grid, tokens),
            NetworkSpec::Adm { config, .. } => adm::catalogue(config, grid),
        }
    }

    /// The catalogue for a prompt that fits into one run of the text encoder.
    pub fn plain_catalogue(&self, working: Size) -> Catalogue {
        self.catalogue(working, CONTEXT_LENGTH)
    }
}

fn embedded_json(key: &str, text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| Error::failed(format!("the configuration of {key} is broken: {error}")))
}
