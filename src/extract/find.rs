//! Finding a model: by its short name, in a folder, in a file, in the hub's cache, with other networks in the place of its
//! own. Configurations are read, weights are not.

use std::path::{Path, PathBuf};

use super::{
    name::{ModelName, not_downloaded, unknown},
    parts::{Files, Given, Parts, Source},
    spec::{LATENT_STRIDE, ModelSpec, NetworkSpec},
};
use crate::{
    components::{
        schedule::{DiscreteSchedule, Schedule, Timestep},
        text::TextPart,
        vae::VaeConfig,
    },
    error::{Error, Result},
    families::{
        adm::{self, AdmConfig},
        stable_diffusion::{
            single_file::{self, LooseText, LooseUnet, LooseVae, Original, UnetPart},
            unet::UnetConfig,
        },
    },
    files::names,
    image::decode,
    weights::{Store, ZooEntry, ZooKind, hub::Repo, hub_file, hub_snapshot, read_json, variant_notes, zoo_entry},
};

/// How the names of CleanDIFT's files begin.
const CLEANDIFT: &str = "cleandift";
const ADM_DEFAULT_T: Timestep = Timestep::of(90);
const LATENT_DEFAULT_T: Timestep = Timestep::of(50);

/// Networks that were given beside a model.
#[derive(Clone, Default)]
struct Loose {
    unet: Option<(PathBuf, LooseUnet)>,
    vae: Option<(PathBuf, LooseVae)>,
    text: Vec<LooseText>,
}

/// A Stable Diffusion before other networks are put into it.
struct Base {
    name: String,
    path: PathBuf,
    unet: UnetConfig,
    /// None where it has no autoencoder of its own.
    vae: Option<VaeConfig>,
    schedule: DiscreteSchedule,
    native_side: usize,
    notes: Vec<String>,
    source: Source,
}

impl Loose {
    fn open(named: &ModelName) -> Result<Self> {
        Ok(Self {
            unet: match &named.unet {
                Some(path) => Some((path.clone(), LooseUnet::open(path)?)),
                None => None,
            },
            vae: match &named.vae {
                Some(path) => Some((path.clone(), LooseVae::open(path)?)),
                None => None,
            },
            text: named
                .text
                .iter()
                .map(|path| LooseText::open(path))
                .collect::<Result<_>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.unet.is_none() && self.vae.is_none() && self.text.is_empty()
    }
}

impl ModelSpec {
    /// Finds a model by zoo key, folder, file or its name on the hub and reads its configuration. Behind it may stand
    /// networks in the place of its own: `MODEL+FILE` has the U-Net of a file or a folder, `MODEL+vae=FILE` its
    /// autoencoder, `MODEL+text=FILE` its text encoder. Nothing is downloaded.
    pub fn find(name: &str) -> Result<Self> {
        let named = ModelName::parse(name)?;
        let loose = Loose::open(&named)?;
        let spec = Self::find_base(&named.base, &loose)?;
        Ok(Self {
            name: name.to_owned(),
            ..spec
        })
    }

    fn find_base(name: &str, loose: &Loose) -> Result<Self> {
        if let Some(entry) = zoo_entry(name) {
            return Self::from_zoo(entry, loose);
        }
        let path = &*names::path(name);
        if path.is_dir() {
            return Self::from_folder(name, path, loose);
        }
        if path.exists() {
            // What is no file is refused by its kind.
            decode::refuse_as_model(path)?;
            let store = Store::open(path)?;
            if single_file::recognises(&store) {
                let alone = single_file::lone_unet(&store).map_err(|error| error.context(path.display()))?;
                refuse_alone(name, alone, loose)?;
                return Self::from_original(name, path, Original::open(path, store)?, loose);
            }
            if let Some(words) = single_file::other_in_words(&store) {
                return Err(Error::failed(format!(
                    "{} is no model: it holds {words}",
                    path.display()
                )));
            }
            let (config, store) = adm::open(path)?;
            return Self::from_adm(name, Some(path), config, Some(store), loose);
        }
        if name.contains('/') && Repo::new(name).is_ok() {
            let Some(snapshot) = hub_snapshot(name) else {
                return Err(not_downloaded(name));
            };
            let spec = Self::from_folder(name, &snapshot.folder, loose)?;
            return Ok(spec.noting(snapshot.moved_in_words(name)));
        }
        Err(unknown(name))
    }

    fn from_folder(name: &str, folder: &Path, loose: &Loose) -> Result<Self> {
        if folder.join("unet").join("config.json").is_file() {
            return Self::from_hub_folder(name, folder, loose);
        }
        match single_file::network_in_folder(folder) {
            Some(single_file::Network::Unet) => {
                let alone = single_file::lone_unet_in(folder).map_err(|error| error.context(folder.display()))?;
                refuse_alone(name, alone, loose)?;
                return Self::from_original(name, folder, Original::open_folder(folder)?, loose);
            }
            Some(other) => {
                return Err(Error::failed(format!(
                    "{name} is no model: it holds {}",
                    other.in_words(&names::path(name))
                )));
            }
            None => {}
        }
        if let Some(config) = adm::config_alone(folder)? {
            return Self::from_adm(name, Some(folder), config, None, loose);
        }
        if ["config.json", "model.pt", "model.safetensors"]
            .iter()
            .any(|file| folder.join(file).is_file())
        {
            let (config, store) = adm::open(folder)?;
            return Self::from_adm(name, Some(folder), config, Some(store), loose);
        }
        Err(Error::failed(format!(
            "{} is no model this program knows: a folder of the hub's layout has unet/config.json, a folder of ADM's has \
             config.json and model.safetensors or model.pt",
            folder.display()
        )))
    }

    fn from_zoo(entry: &ZooEntry, loose: &Loose) -> Result<Self> {
        let of_hub = |source: &str, loose: &Loose| -> Result<Option<Self>> {
            let Some(snapshot) = hub_snapshot(source) else {
                return Ok(None);
            };
            let spec = Self::from_hub_folder(entry.key, &snapshot.folder, loose)?;
            Ok(Some(spec.noting(snapshot.moved_in_words(source))))
        };
        let spec = match entry.kind {
            ZooKind::Embedded => {
                let (config, store) = adm::open_demo()?;
                Self::from_adm(entry.key, None, config, Some(store), loose)?
            }
            ZooKind::StableDiffusion { unet_config } => match of_hub(entry.source, loose)? {
                Some(spec) => spec,
                None => Self::from_unet_config(entry, unet_config, loose)?,
            },
            ZooKind::DropIn {
                bases,
                file,
                unet_config,
            } => {
                if loose.unet.is_some() {
                    return Err(Error::usage(format!(
                        "{} is a U-Net itself, put into a model: give that model with the other U-Net instead",
                        entry.key
                    )));
                }
                let base = bases
                    .iter()
                    .filter_map(|key| Some(zoo_entry(key)?.source))
                    .find(|source| hub_snapshot(source).is_some());
                match (base, hub_file(entry.source, file)) {
                    (Some(base), Some(file)) => {
                        let loose = Loose {
                            unet: Some((file.clone(), LooseUnet::open(&file)?)),
                            vae: loose.vae.clone(),
                            text: loose.text.clone(),
                        };
                        of_hub(base, &loose)?.ok_or_else(|| not_downloaded(base))?
                    }
                    _ => Self {
                        adds_noise: false,
                        ..Self::from_unet_config(entry, unet_config, loose)?
                    },
                }
            }
            ZooKind::Adm { config } => {
                let config = AdmConfig::from_json(&embedded_json(entry.key, config)?)?;
                Self::from_adm(entry.key, None, config, None, loose)?
            }
        };
        Ok(Self {
            native_side: entry.side,
            default_t: entry.default_t,
            ..spec
        })
    }

    /// A model that is not on this machine: enough to list its activations.
    fn from_unet_config(entry: &ZooEntry, unet_config: &str, loose: &Loose) -> Result<Self> {
        if !loose.is_empty() {
            return Err(Error::usage(format!(
                "{} can take no other networks: it is not on this machine; `featscope models get {}` downloads it",
                entry.key, entry.key
            )));
        }
        Ok(Self {
            name: entry.key.to_owned(),
            path: None,
            schedule: DiscreteSchedule::stable_diffusion().into(),
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

    fn from_hub_folder(name: &str, folder: &Path, loose: &Loose) -> Result<Self> {
        let json = |file: &str| {
            let path = folder.join(file);
            read_json(&path).map(|json| (json, path))
        };
        let (unet, unet_path) = json("unet/config.json")?;
        let unet = UnetConfig::from_json(&unet).map_err(|error| error.context(unet_path.display()))?;
        let vae = match loose.vae.is_some() && !folder.join("vae/config.json").exists() {
            true => None,
            false => {
                let (vae, path) = json("vae/config.json")?;
                Some(VaeConfig::from_json(&vae).map_err(|error| error.context(path.display()))?)
            }
        };
        let (scheduler, scheduler_path) = json("scheduler/scheduler_config.json")?;
        let schedule =
            DiscreteSchedule::from_json(&scheduler).map_err(|error| error.context(scheduler_path.display()))?;
        Self::assembled(
            Base {
                name: name.to_owned(),
                path: folder.to_owned(),
                schedule,
                native_side: unet.sample_size * LATENT_STRIDE,
                notes: variant_notes(folder),
                unet,
                vae,
                source: Source::Folder(folder.to_owned()),
            },
            loose,
        )
    }

    fn from_original(name: &str, path: &Path, original: Original, loose: &Loose) -> Result<Self> {
        Self::assembled(
            Base {
                name: name.to_owned(),
                path: path.to_owned(),
                unet: original.unet.clone(),
                vae: original.vae.clone(),
                schedule: original.schedule.clone(),
                native_side: original.native_side,
                notes: original.notes.clone(),
                source: Source::File(Box::new(original)),
            },
            loose,
        )
    }

    /// A model with the networks that were given in the place of its own. CleanDIFT's U-Nets are known by the file's name,
    /// since nothing inside tells: they are given the picture without noise.
    fn assembled(base: Base, loose: &Loose) -> Result<Self> {
        let Base {
            mut unet,
            mut schedule,
            mut notes,
            ..
        } = base;
        let mut given = Given::default();
        let mut adds_noise = true;
        if let Some((path, other)) = &loose.unet {
            let named = |error: Error| error.context(path.display());
            notes.push(format!("the U-Net is that of {}", path.display()));
            let (config, store) = other.put_into(&unet, &mut notes).map_err(named)?;
            schedule = other.schedule(schedule, &mut notes).map_err(named)?;
            (unet, given.unet) = (config, Some(store));
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
            adds_noise = !stem.is_some_and(|stem| stem.starts_with(CLEANDIFT));
            if !adds_noise {
                notes.push(
                    "no noise was added (CleanDIFT): the U-Net was given the picture's latent as it is".to_owned(),
                );
            }
        }
        given.text = LooseText::places(&loose.text, &unet)?;
        for (part, text) in [TextPart::First, TextPart::Second].into_iter().zip(&given.text) {
            let which = match (unet.added.is_some(), part) {
                (false, _) => "text encoder",
                (true, TextPart::First) => "first text encoder",
                (true, TextPart::Second) => "second text encoder",
            };
            notes.extend(
                text.as_ref()
                    .map(|text| format!("the {which} is that of {}", text.path.display())),
            );
        }
        if let Source::File(file) = &base.source {
            check_whole(&base.path, file, loose, &given)?;
        }
        let vae = match (&loose.vae, base.vae) {
            (Some((path, other)), own) => {
                let (config, store) = other
                    .put_into(own.as_ref(), &unet)
                    .map_err(|error| error.context(path.display()))?;
                given.vae = Some(store);
                notes.push(format!("the autoencoder is that of {}", path.display()));
                config
            }
            (None, Some(own)) => own,
            (None, None) => return Err(Error::failed(format!("{} holds no autoencoder", base.path.display()))),
        };
        check_latent(&unet, &vae).map_err(|error| error.context(base.path.display()))?;
        notes.extend(inpainting_note(&unet));
        notes.extend(guidance_note(&unet));
        Ok(Self {
            name: base.name,
            path: Some(base.path),
            schedule: schedule.into(),
            native_side: base.native_side,
            default_t: LATENT_DEFAULT_T,
            adds_noise,
            notes,
            network: NetworkSpec::StableDiffusion {
                unet,
                files: Some(Box::new(Files {
                    vae,
                    parts: Parts {
                        source: base.source,
                        given,
                    },
                })),
            },
        })
    }

    fn from_adm(
        name: &str,
        path: Option<&Path>,
        config: AdmConfig,
        store: Option<Store>,
        loose: &Loose,
    ) -> Result<Self> {
        if !loose.is_empty() {
            return Err(Error::usage(format!(
                "{name} can take no other U-Net, no autoencoder and no text encoder: it is no Stable Diffusion"
            )));
        }
        let schedule = Schedule::from(config.schedule());
        Ok(Self {
            name: name.to_owned(),
            path: path.map(Path::to_owned),
            default_t: ADM_DEFAULT_T.min(*schedule.range().end()),
            schedule,
            native_side: config.image_size,
            adds_noise: true,
            notes: Vec::new(),
            network: NetworkSpec::Adm { config, store },
        })
    }

    fn noting(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }
}

/// Refuses a U-Net that is given as a model without what else a model needs; `name` is how it was given.
fn refuse_alone(name: &str, unet: Option<UnetPart>, loose: &Loose) -> Result<()> {
    match unet {
        Some(unet) if loose.vae.is_none() && loose.text.is_empty() => Err(Error::failed(format!(
            "{name} holds {} alone, neither autoencoder nor text encoders: put it into a model that has them, as in \
             --model {}+{name}, or name their files by --vae-file and --text-encoder (in the window behind the model, as \
             +vae=FILE and +text=FILE)",
            unet.in_words(),
            unet.base()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a file that lacks networks which were not given either, and says what gives them.
fn check_whole(path: &Path, file: &Original, loose: &Loose, given: &Given) -> Result<()> {
    let mut lacking = file.lacks();
    lacking.vae &= loose.vae.is_none();
    lacking.text.retain(|part| given.text(*part).is_none());
    if !lacking.vae && lacking.text.is_empty() {
        return Ok(());
    }
    let shown = path.display();
    let unet = file.unet_part();
    let mut words = Vec::new();
    if lacking.vae {
        words.push("no autoencoder (first_stage_model was looked for): --vae-file FILE names one".to_owned());
    }
    for part in lacking.text {
        let (which, places) = match (unet.reads_two_texts(), part) {
            (false, _) => ("none of Stable Diffusion's text encoders", "cond_stage_model"),
            (true, TextPart::First) => ("not the first of SDXL's text encoders", "conditioner.embedders.0"),
            (true, TextPart::Second) => ("not the second of SDXL's text encoders", "conditioner.embedders.1"),
        };
        words.push(format!(
            "{which} ({places} was looked for): --text-encoder FILE names it"
        ));
    }
    Err(Error::failed(format!(
        "{shown} holds {}, but {}",
        unet.in_words(),
        words.join("; ")
    )))
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
fn inpainting_note(unet: &UnetConfig) -> Option<String> {
    let note = "the U-Net is one for inpainting: its mask is empty (nothing to paint) and its masked picture is the \
                picture itself";
    unet.inpaints().then(|| note.to_owned())
}

/// What a network that can be told a guidance scale is told.
fn guidance_note(unet: &UnetConfig) -> Option<String> {
    unet.guidance_width.map(|width| {
        format!(
            "the U-Net can be told a guidance scale (time_cond_proj_dim is {width}); it is told none, so that nothing is \
             added to the timestep, as where diffusers is given no timestep_cond"
        )
    })
}

fn embedded_json(key: &str, text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| Error::failed(format!("the configuration of {key} is broken: {error}")))
}
