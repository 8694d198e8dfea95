//! DiT, SiT and REPA (Peebles and Xie, 2023; Ma et al., 2024; Yu et al., 2024; diffusers' DiTTransformer2DModel and the authors'
//! code): class-conditional stacks of transformer blocks over patches of the latent, with every activation of the vocabulary.

mod architecture;
mod blocks;
mod catalogue;
mod config;
mod files;
mod ids;
mod kind;
mod known;
mod network;
mod original;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use self::{
    architecture::Configured,
    files::{Files, LATENT_STRIDE, NetworkFiles, Original, VaeFiles},
};
pub use self::{
    catalogue::catalogue,
    config::{DitConfig, Layout},
    kind::DitKind,
    network::Dit,
};
use crate::{
    components::schedule::{DiscreteSchedule, Schedule},
    error::{Error, Result},
    model::{
        classes::Classes,
        family::{Checkpoint, CheckpointLayout, Family, GivenNetworks, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{read_json, variant_notes},
};

/// Width of a feed-forward's inside over the width of its block.
const FFN_RATIO: usize = 4;

/// Key of the family.
pub const KEY: &str = "dit";
/// The class of the transformer in configurations.
const CLASS: &str = "DiTTransformer2DModel";

/// DiT, SiT and REPA.
pub struct DitFamily;

impl Family for DitFamily {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(folder) => match checkpoint.class_of("transformer").as_deref() {
                Some(CLASS) => true,
                Some(config::OLD_CLASS) => has_norm_of_dit(folder),
                Some(_) => false,
                None => files::is_original_folder(folder),
            },
            CheckpointLayout::File(_, store) => original::plain(store).is_some(),
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        let Checkpoint { name, layout, given } = checkpoint;
        if !given.text.is_empty() {
            return Err(Error::usage(format!(
                "{name} can take no text encoder: it reads no text"
            )));
        }
        match layout {
            CheckpointLayout::Folder(folder) if folder.join("transformer").is_dir() => {
                in_hub_folder(name, &folder, &given)
            }
            CheckpointLayout::Folder(path) | CheckpointLayout::File(path, _) => {
                if given.denoiser.is_some() {
                    return Err(Error::usage(format!(
                        "{name} is a denoiser itself: give the model that the other one belongs to instead"
                    )));
                }
                of_original(name, &path, Original::open(&path, None)?, None, &given)
            }
            CheckpointLayout::Known(known) => match &given.denoiser {
                Some(path) => {
                    let kind = configured(known)?.kind;
                    of_original(name, path, Original::open(path, Some(kind))?, None, &given)
                }
                None if given.vae.is_some() => Err(Error::usage(format!(
                    "the weights of {name} are not on this machine: there is nothing that an autoencoder could be given to"
                ))),
                None => {
                    let config = configured(known)?;
                    let network = Configured {
                        classes: classes(&config, None),
                        config,
                        files: None,
                    };
                    Ok(spec(name, None, network.config.kind.schedule(), Vec::new(), network))
                }
            },
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of DiT's has transformer/config.json, one of its authors' has config.json and model.pt"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block7-out", "vit-block1-out"]
    }
}

/// Whether the transformer of the old class in a folder of the hub's layout is a DiT.
fn has_norm_of_dit(folder: &Path) -> bool {
    let config = read_json(&folder.join("transformer").join("config.json")).ok();
    let norm = config.as_ref().and_then(|config| config.get("norm_type")?.as_str());
    norm == Some(config::NORM_TYPE)
}

/// The configuration of a model with a short name.
fn configured(known: &KnownCheckpoint) -> Result<DitConfig> {
    let json = known.config_json()?;
    match json.get("kind") {
        Some(_) => DitConfig::from_original_json(&json),
        None => DitConfig::from_json(&json),
    }
}

fn classes(config: &DitConfig, id2label: Option<&Value>) -> Classes {
    Classes::new(config.num_classes as u32).named_by(id2label)
}

fn spec(name: String, path: Option<PathBuf>, schedule: Schedule, notes: Vec<String>, network: Configured) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path,
        schedule,
        native_side: network.config.sample_size * LATENT_STRIDE,
        default_t: network.config.kind.default_t(),
        adds_noise: true,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}

/// A checkpoint of the authors' layout at `path`, with the autoencoder that was given, or that of the folder of the model that it is
/// put into, or one beside it.
fn of_original(
    name: String,
    path: &Path,
    original: Original,
    put_into: Option<&Path>,
    given: &GivenNetworks,
) -> Result<ModelSpec> {
    let Original {
        config,
        store,
        folder,
        note,
    } = original;
    let network = Configured {
        classes: classes(&config, None),
        files: Some(Files {
            network: store.map(NetworkFiles::Original),
            vae: VaeFiles::find(given, put_into.unwrap_or(&folder), &config)?,
        }),
        config,
    };
    let schedule = network.config.kind.schedule();
    Ok(spec(
        name,
        Some(path.to_owned()),
        schedule,
        note.into_iter().collect(),
        network,
    ))
}

fn in_hub_folder(name: String, folder: &Path, given: &GivenNetworks) -> Result<ModelSpec> {
    if let Some(path) = &given.denoiser {
        return of_original(name, path, Original::open(path, None)?, Some(folder), given);
    }
    let json = |file: &str| {
        let path = folder.join(file);
        read_json(&path).map(|json| (json, path))
    };
    let (transformer, path) = json("transformer/config.json")?;
    let config = DitConfig::from_json(&transformer).map_err(|error| error.context(path.display()))?;
    let vae = VaeFiles::open(given.vae.as_deref().unwrap_or(&folder.join("vae")), &config)?;
    let (scheduler, path) = json("scheduler/scheduler_config.json")?;
    let schedule = DiscreteSchedule::from_json(&scheduler).map_err(|error| error.context(path.display()))?;
    let (index, _) = json("model_index.json")?;
    let network = Configured {
        classes: classes(&config, index.get("id2label")),
        files: Some(Files {
            network: Some(NetworkFiles::Folder(folder.join("transformer"))),
            vae: Some(vae),
        }),
        config,
    };
    Ok(spec(
        name,
        Some(folder.to_owned()),
        schedule.into(),
        variant_notes(folder),
        network,
    ))
}
