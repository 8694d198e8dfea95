//! A model as its configuration describes it: what it can show, at which sizes and timesteps, before any weight is read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    adapted::{add_to_tokenizer, open_embeddings},
    adapters::{Adapters, EmbeddingUse},
    compat::GdfKind,
    control,
    framing::SizeRule,
    image::Size,
    parts::{Files, Parts, Source},
    picture,
};
use crate::{
    activation::{Catalogue, Grid, Id, Shape},
    error::{Error, Result},
    files::names,
    model::{
        adm::{self, AdmConfig},
        lora::LoraFile,
        original::{self, Original},
        schedule::{Mixture, Schedule},
        text::{CONTEXT_LENGTH, TextPart},
        unet::{self, UnetConfig},
        vae::VaeConfig,
    },
    weights::{
        Store, ZOO, ZooEntry, ZooKind,
        hub::{Hub, Repo},
        hub_file, hub_folder, read_json, variant_notes, zoo_entry,
    },
    words::did_you_mean,
};

/// Pixels per position of the latent of every Stable Diffusion, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// What stands between a model and the file with another U-Net for it.
const DROP_IN: char = '+';
/// How the names of CleanDIFT's files begin.
const CLEANDIFT: &str = "cleandift";
/// Channels of a picture.
const COLOURS: usize = 3;
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
    /// How the user named it: a zoo key, a folder or a file, as [`names::text`] writes it.
    pub name: String,
    /// The folder or file it is read from; none for the embedded model and for one that is not on this machine.
    pub path: Option<PathBuf>,
    /// How much picture and how much noise a timestep means.
    pub schedule: Schedule,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// The timestep that runs when the user gives none.
    pub default_t: u32,
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
        files: Option<Files>,
    },
    Adm {
        config: AdmConfig,
        /// None where the model is not on this machine.
        store: Option<Store>,
    },
}

impl ModelSpec {
    /// Finds a model by zoo key, folder, file or its name on the hub and reads its configuration; `MODEL+FILE` is a model
    /// with the U-Net of another file. Nothing is downloaded.
    pub fn find(name: &str) -> Result<Self> {
        if let Some(entry) = zoo_entry(name) {
            return Self::from_zoo(entry);
        }
        let path = &*names::path(name);
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
            picture::refuse_as_model(path)?;
            let store = Store::open(path)?;
            if original::recognises(&store) {
                return Self::from_file(name, path, store);
            }
            let (config, store) = adm::open(path)?;
            return Ok(Self::from_adm(name, Some(path), config, Some(store)));
        }
        if let Some((base, file)) = name.rsplit_once(DROP_IN) {
            let file = names::path(file);
            if file.is_file() {
                return Self::find(base)?.with_unet(name, &file);
            }
        }
        if name.contains('/') && Repo::new(name).is_ok() {
            return Self::from_hub(name);
        }
        let keys: Vec<&str> = ZOO.iter().map(|entry| entry.key).collect();
        Err(Error::failed(format!(
            "there is no model \"{name}\": it is neither a folder, nor a file, nor one of {}{}",
            keys.join(", "),
            did_you_mean(name, keys.iter().copied())
        )))
    }

    /// `OWNER/NAME` in the hub's cache.
    fn from_hub(name: &str) -> Result<Self> {
        let folder = hub_folder(name).ok_or_else(|| not_downloaded(name))?;
        if !folder.join("unet").join("config.json").is_file() {
            return Err(Error::failed(format!(
                "{name} is in the hub's cache, but is no model of Stable Diffusion: it has no unet/config.json; a ControlNet \
                 is put beside a model, as in --control {name}=canny"
            )));
        }
        Self::from_hub_folder(name, &folder)
    }

    fn from_zoo(entry: &ZooEntry) -> Result<Self> {
        let spec = match entry.kind {
            ZooKind::Embedded => {
                let (config, store) = adm::open_demo()?;
                Self::from_adm(entry.key, None, config, Some(store))
            }
            ZooKind::StableDiffusion { unet_config } => match hub_folder(entry.source) {
                Some(folder) => Self::from_hub_folder(entry.key, &folder)?,
                None => Self::from_unet_config(entry, unet_config)?,
            },
            ZooKind::DropIn {
                bases,
                file,
                unet_config,
            } => {
                let mut folders = bases.iter().filter_map(|key| hub_folder(zoo_entry(key)?.source));
                match (folders.next(), hub_file(entry.source, file)) {
                    (Some(folder), Some(file)) => {
                        Self::from_hub_folder(entry.key, &folder)?.with_unet(entry.key, &file)?
                    }
                    _ => Self {
                        adds_noise: false,
                        ..Self::from_unet_config(entry, unet_config)?
                    },
                }
            }
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

    /// A model that is not on this machine: enough to list its activations.
    fn from_unet_config(entry: &ZooEntry, unet_config: &str) -> Result<Self> {
        Ok(Self {
            name: entry.key.to_owned(),
            path: None,
            schedule: Schedule::stable_diffusion(),
            native_side: entry.side,
            default_t: entry.default_t,
            adds_noise: true,
            notes: Vec::new(),
            network: NetworkSpec::StableDiffusion {
                unet: UnetConfig::from_json(&embedded_json(entry.key, unet_config)?)?,
                files: None,
            },
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
        check_latent(&unet, &vae).map_err(|error| error.context(folder.display()))?;
        let (scheduler, scheduler_path) = json("scheduler/scheduler_config.json")?;
        let schedule = Schedule::from_json(&scheduler).map_err(|error| error.context(scheduler_path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            path: Some(folder.to_owned()),
            schedule,
            native_side: unet.sample_size * LATENT_STRIDE,
            default_t: LATENT_DEFAULT_T,
            adds_noise: true,
            notes: [inpainting_note(&unet), variant_notes(folder)].concat(),
            network: NetworkSpec::StableDiffusion {
                unet,
                files: Some(Files {
                    vae,
                    parts: Parts {
                        source: Source::Folder(folder.to_owned()),
                        drop_in: None,
                    },
                }),
            },
        })
    }

    fn from_file(name: &str, path: &Path, store: Store) -> Result<Self> {
        let original = Original::open(path, store)?;
        check_latent(&original.unet, &original.vae).map_err(|error| error.context(path.display()))?;
        let unet = original.unet.clone();
        let mut notes = original.notes.clone();
        notes.extend(inpainting_note(&unet));
        Ok(Self {
            name: name.to_owned(),
            path: Some(path.to_owned()),
            schedule: original.schedule.clone(),
            native_side: original.native_side,
            default_t: LATENT_DEFAULT_T,
            adds_noise: true,
            notes,
            network: NetworkSpec::StableDiffusion {
                unet,
                files: Some(Files {
                    vae: original.vae.clone(),
                    parts: Parts {
                        source: Source::File(Box::new(original)),
                        drop_in: None,
                    },
                }),
            },
        })
    }

    /// The same model with the U-Net of a file in diffusers' names, called `name`. CleanDIFT's are known by the file's
    /// name, since nothing inside tells: they are given the picture without noise.
    fn with_unet(self, name: &str, file: &Path) -> Result<Self> {
        let NetworkSpec::StableDiffusion {
            unet,
            files: Some(mut files),
        } = self.network
        else {
            return Err(Error::usage(format!(
                "{} can take no other U-Net: that needs a Stable Diffusion that is on this machine",
                self.name
            )));
        };
        files.parts.drop_in = Some(file.to_owned());
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
        let clean = stem.is_some_and(|stem| stem.starts_with(CLEANDIFT));
        let mut notes = self.notes;
        notes.push(format!("the U-Net is that of {}", file.display()));
        if clean {
            notes.push("no noise was added (CleanDIFT): the U-Net was given the picture's latent as it is".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            adds_noise: !clean,
            notes,
            network: NetworkSpec::StableDiffusion {
                unet,
                files: Some(files),
            },
            ..self
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
            adds_noise: true,
            notes: Vec::new(),
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

    /// What encoding one picture takes, in the unit of [`Work`](crate::activation::Work): nothing where there is no
    /// autoencoder, or none is here.
    pub fn encode_work(&self, picture: Size) -> f64 {
        match &self.network {
            NetworkSpec::StableDiffusion { files: Some(files), .. } => {
                files.vae.encode_work(picture.width * picture.height)
            }
            _ => 0.0,
        }
    }

    /// Where the weights come from, for provenance.
    pub fn weights_label(&self) -> String {
        self.path.as_ref().map_or_else(|| "embedded".to_owned(), names::text)
    }

    /// The shares of picture and noise at timestep `t`, or an error that names the schedule's range.
    pub fn mixture(&self, t: u32) -> Result<Mixture> {
        let mixture = self.schedule.at(t)?;
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
                    list.push_derived(Id::VAE_OUT, Shape::Features { channels, grid });
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

/// What is said where neither a path nor the hub's cache has `OWNER/NAME`.
pub(super) fn not_downloaded(name: &str) -> Error {
    let cache = Hub::from_env().map_or_else(|_| String::new(), |hub| format!(" {}", hub.settings().cache.display()));
    Error::failed(format!(
        "\"{name}\" is neither a folder nor a file here, and the hub's cache{cache} does not hold it: \
         `featscope models get {name}` downloads it"
    ))
}

/// Refuses an autoencoder whose latents are not what the U-Net denoises.
fn check_latent(unet: &UnetConfig, vae: &VaeConfig) -> Result<()> {
    if vae.stride() == LATENT_STRIDE && vae.latent_channels == unet.latent_channels() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the autoencoder gives {} channels at 1/{} of the size, the U-Net denoises {} at 1/{LATENT_STRIDE}",
        vae.latent_channels,
        vae.stride(),
        unet.latent_channels()
    )))
}

/// What a network for inpainting is given instead of a mask that somebody drew.
fn inpainting_note(unet: &UnetConfig) -> Vec<String> {
    let note = "the U-Net is one for inpainting: its mask is empty (nothing to paint) and its masked picture is the \
                picture itself";
    unet.inpaints().then(|| note.to_owned()).into_iter().collect()
}

fn embedded_json(key: &str, text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| Error::failed(format!("the configuration of {key} is broken: {error}")))
}
