//! Reading the configuration of a Stable Diffusion: of a folder of the hub's layout, of one file, of a U-Net with other networks
//! beside it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    KEY,
    architecture::{Configured, LATENT_STRIDE},
    components::{ComponentFiles, Files, Given, Source},
    single_file::{self, LooseText, LooseUnet, LooseVae, SingleFile, UnetPart},
    unet::UnetConfig,
};
use crate::{
    components::{
        joint,
        schedule::{DiscreteSchedule, EdmSchedule, Schedule, Timestep},
        text::TextPart,
        vae::VaeConfig,
    },
    error::{Error, Result},
    files::names,
    model::{
        family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint, KnownFiles},
        spec::ModelSpec,
    },
    weights::{read_json, variant_notes},
};

/// How the names of CleanDIFT's files begin.
const CLEANDIFT: &str = "cleandift";
const DEFAULT_T: Timestep = Timestep::of(50);
/// What a person should know of a model with EDM's schedule.
const EDM_NOTE: &str = "the schedule is EDM's: timesteps are 0 to 1000 of its steps from the least noise to the most, and the U-Net is \
                        told a quarter of the logarithm of sigma";

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
    schedule: Schedule,
    native_side: usize,
    notes: Vec<String>,
    source: Source,
}

impl Loose {
    fn open(given: &GivenNetworks) -> Result<Self> {
        Ok(Self {
            unet: match &given.denoiser {
                Some(path) => Some((path.clone(), LooseUnet::open(path)?)),
                None => None,
            },
            vae: match &given.vae {
                Some(path) => Some((path.clone(), LooseVae::open(path)?)),
                None => None,
            },
            text: given
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

/// Whether a checkpoint is a Stable Diffusion, or a network of one by itself.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    match &checkpoint.layout {
        CheckpointLayout::Folder(folder) => {
            // A U-Net with such blocks is DeepFloyd IF's.
            let is_other = checkpoint.has_block_of("unet", "SimpleCrossAttnDownBlock2D");
            !is_other && folder.join("unet").join("config.json").is_file()
                || single_file::network_in_folder(folder).is_some()
        }
        CheckpointLayout::File(_, store) => {
            // Whole models of other families hold an autoencoder, too.
            single_file::recognises(store) || !joint::is_in(store) && single_file::other_in_words(store).is_some()
        }
        CheckpointLayout::Known(known) => super::KNOWN.contains(known),
    }
}

/// Reads the configuration of a checkpoint.
pub(super) fn configure(checkpoint: Checkpoint) -> Result<ModelSpec> {
    let loose = Loose::open(&checkpoint.given)?;
    let name = checkpoint.name.as_str();
    match checkpoint.layout {
        CheckpointLayout::Folder(folder) => from_folder(name, &folder, &loose),
        CheckpointLayout::File(path, store) => {
            if !single_file::recognises(&store) {
                let words = single_file::other_in_words(&store).unwrap_or_default();
                return Err(Error::failed(format!(
                    "{} is no model: it holds {words}",
                    path.display()
                )));
            }
            let alone = single_file::lone_unet(&store).map_err(|error| error.context(path.display()))?;
            refuse_alone(name, alone, &loose)?;
            from_single_file(name, &path, SingleFile::open(&path, store)?, &loose)
        }
        CheckpointLayout::Known(known) => from_config(known, &loose),
    }
}

fn from_folder(name: &str, folder: &Path, loose: &Loose) -> Result<ModelSpec> {
    if folder.join("unet").join("config.json").is_file() {
        return from_hub_folder(name, folder, loose);
    }
    match single_file::network_in_folder(folder) {
        Some(single_file::Network::Unet) | None => {
            let alone = single_file::lone_unet_in(folder).map_err(|error| error.context(folder.display()))?;
            refuse_alone(name, alone, loose)?;
            from_single_file(name, folder, SingleFile::open_folder(folder)?, loose)
        }
        Some(other) => Err(Error::failed(format!(
            "{name} is no model: it holds {}",
            other.describe(&names::path(name))
        ))),
    }
}

/// A model that is not on this machine: enough to list its activations.
fn from_config(known: &KnownCheckpoint, loose: &Loose) -> Result<ModelSpec> {
    if !loose.is_empty() {
        return Err(Error::usage(format!(
            "{} can take no other networks: it is not on this machine; `featscope models get {}` downloads it",
            known.key, known.key
        )));
    }
    // The U-Nets that are put into other models are CleanDIFT's.
    let adds_noise = !matches!(known.files, KnownFiles::DropIn { .. });
    Ok(ModelSpec {
        name: known.key.to_owned(),
        family: KEY,
        path: None,
        schedule: DiscreteSchedule::stable_diffusion().into(),
        native_side: known.side,
        default_t: known.default_t,
        adds_noise,
        notes: Vec::new(),
        how_to_get: None,
        network: Arc::new(Configured {
            unet: UnetConfig::from_json(&known.config_json()?)?,
            adds_noise,
            edm: None,
            files: None,
        }),
    })
}

fn from_hub_folder(name: &str, folder: &Path, loose: &Loose) -> Result<ModelSpec> {
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
    let schedule = schedule_of(&scheduler).map_err(|error| error.context(scheduler_path.display()))?;
    assembled(
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

fn from_single_file(name: &str, path: &Path, file: SingleFile, loose: &Loose) -> Result<ModelSpec> {
    assembled(
        Base {
            name: name.to_owned(),
            path: path.to_owned(),
            unet: file.unet.clone(),
            vae: file.vae.clone(),
            schedule: file.schedule.clone().into(),
            native_side: file.native_side,
            notes: file.notes.clone(),
            source: Source::SingleFile(Box::new(file)),
        },
        loose,
    )
}

/// The schedule of a folder's scheduler: of betas, or EDM's.
fn schedule_of(json: &Value) -> Result<Schedule> {
    Ok(match EdmSchedule::from_json(json)? {
        Some(edm) => edm.into(),
        None => DiscreteSchedule::from_json(json)?.into(),
    })
}

/// Refuses another U-Net in a model with EDM's schedule.
fn of_edm() -> Error {
    Error::failed(
        "the model has EDM's schedule, and no tensor of a U-Net shows whether it was trained with that: keep it in a folder of the \
         hub's layout with its own scheduler",
    )
}

/// A model with the networks that were given in the place of its own. CleanDIFT's U-Nets are known by the file's name,
/// since no tensor shows it: they are given the picture without noise.
fn assembled(base: Base, loose: &Loose) -> Result<ModelSpec> {
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
        schedule = match schedule {
            Schedule::Discrete(own) => other.schedule(own, &mut notes).map_err(named)?.into(),
            _ => return Err(named(of_edm())),
        };
        (unet, given.unet) = (config, Some(store));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
        adds_noise = !stem.is_some_and(|stem| stem.starts_with(CLEANDIFT));
        if !adds_noise {
            notes.push("no noise was added (CleanDIFT): the U-Net was given the picture's latent as it is".to_owned());
        }
    }
    given.text = LooseText::places(&loose.text, &unet)?;
    for (part, text) in [TextPart::First, TextPart::Second].into_iter().zip(&given.text) {
        let which = match (unet.text_time.is_some(), part) {
            (false, _) => "text encoder",
            (true, TextPart::First) => "first text encoder",
            (true, TextPart::Second) => "second text encoder",
        };
        notes.extend(
            text.as_ref()
                .map(|text| format!("the {which} is that of {}", text.path.display())),
        );
    }
    if let Source::SingleFile(file) = &base.source {
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
    vae.check_for("the U-Net", unet.latent_channels(), LATENT_STRIDE)
        .map_err(|error| error.context(base.path.display()))?;
    notes.extend(inpainting_note(&unet));
    notes.extend(guidance_note(&unet));
    let edm = match &schedule {
        Schedule::Edm(edm) => Some(edm.clone()),
        _ => None,
    };
    // As much noise for its picture as the other models have at theirs.
    let default_t = match &edm {
        Some(edm) => edm.like(DiscreteSchedule::stable_diffusion().mixture(DEFAULT_T)?),
        None => DEFAULT_T,
    };
    notes.extend(edm.as_ref().map(|_| EDM_NOTE.to_owned()));
    Ok(ModelSpec {
        name: base.name,
        family: KEY,
        path: Some(base.path),
        schedule,
        native_side: base.native_side,
        default_t,
        adds_noise,
        notes,
        how_to_get: None,
        network: Arc::new(Configured {
            unet,
            adds_noise,
            edm,
            files: Some(Files {
                vae,
                parts: ComponentFiles {
                    source: base.source,
                    given,
                },
            }),
        }),
    })
}

/// Refuses a U-Net that is given as a model without what else a model needs; `name` is how it was given.
fn refuse_alone(name: &str, unet: Option<UnetPart>, loose: &Loose) -> Result<()> {
    match unet {
        Some(unet) if loose.vae.is_none() && loose.text.is_empty() => Err(Error::failed(format!(
            "{name} holds {} alone, neither autoencoder nor text encoders: put it into a model that has them, as in \
             --model {}+{name}, or name their files by --vae-file and --text-encoder (in the window behind the model, as \
             +vae=FILE and +text=FILE)",
            unet.describe(),
            unet.base()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a file that lacks networks which were not given either, and says what gives them.
fn check_whole(path: &Path, file: &SingleFile, loose: &Loose, given: &Given) -> Result<()> {
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
        unet.describe(),
        words.join("; ")
    )))
}

/// Note on the mask that a network for inpainting gets: none was drawn.
fn inpainting_note(unet: &UnetConfig) -> Option<String> {
    let note = "the U-Net is one for inpainting: its mask is empty (nothing to paint) and its masked picture is the \
                picture itself";
    unet.inpaints().then(|| note.to_owned())
}

/// Note on the guidance scale of a network that has an embedding of it.
fn guidance_note(unet: &UnetConfig) -> Option<String> {
    unet.guidance_width.map(|width| {
        format!(
            "the U-Net can be told a guidance scale (time_cond_proj_dim is {width}); it is told none, so that nothing is \
             added to the timestep, as where diffusers is given no timestep_cond"
        )
    })
}
