//! HunyuanDiT (Li et al., 2024; diffusers' HunyuanDiT2DModel): a stack of transformer blocks with long skips over patches of the
//! latent, which attend to the states of a BERT and an mT5, with every activation of the vocabulary.

mod architecture;
mod blocks;
mod catalogue;
mod conditions;
mod config;
mod ids;
mod known;
mod network;
mod rotary;

use std::{path::Path, sync::Arc};

use self::architecture::{Configured, Files, LATENT_STRIDE};
pub use self::{catalogue::catalogue, conditions::HunyuanConditions, config::HunyuanConfig, network::Hunyuan};
use crate::{
    components::{
        schedule::{DiscreteSchedule, Timestep},
        vae::VaeConfig,
    },
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{read_json, variant_notes},
};

/// Latent pixels of a side of one token.
const PATCH: usize = 2;

/// Key of the family.
pub const KEY: &str = "hunyuandit";
const DEFAULT_T: Timestep = Timestep::of(50);
/// The class of the transformer in configurations.
const CLASS: &str = "HunyuanDiT2DModel";

/// HunyuanDiT 1.0, 1.1 and 1.2.
pub struct HunyuanFamily;

impl Family for HunyuanFamily {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.class_of("transformer").as_deref() == Some(CLASS),
            CheckpointLayout::File(..) => false,
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("a HunyuanDiT")?;
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => in_folder(checkpoint.name, &folder),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: a HunyuanDiT is read from a folder of the hub's layout",
                path.display()
            ))),
            CheckpointLayout::Known(known) => {
                let config = HunyuanConfig::from_json(&known.config_json()?)?;
                let schedule = known::schedule(&config)?;
                Ok(spec(checkpoint.name, schedule, Configured { config, files: None }))
            }
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of HunyuanDiT's has transformer/config.json"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block25-cross-q", "vit-block3-cross-q"]
    }
}

fn spec(name: String, schedule: DiscreteSchedule, network: Configured) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path: network.files.as_ref().map(|files| files.folder.clone()),
        schedule: schedule.into(),
        native_side: network.config.sample_size * LATENT_STRIDE,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes: network
            .files
            .as_ref()
            .map(|files| variant_notes(&files.folder))
            .unwrap_or_default(),
        how_to_get: None,
        network: Arc::new(network),
    }
}

fn in_folder(name: String, folder: &Path) -> Result<ModelSpec> {
    let json = |file: &str| {
        let path = folder.join(file);
        read_json(&path).map(|json| (json, path))
    };
    let (transformer, path) = json("transformer/config.json")?;
    let config = HunyuanConfig::from_json(&transformer).map_err(|error| error.context(path.display()))?;
    let (vae, path) = json("vae/config.json")?;
    let vae = VaeConfig::from_json(&vae).map_err(|error| error.context(path.display()))?;
    vae.check_for("the transformer", config.in_channels, LATENT_STRIDE)
        .map_err(|error| error.context(folder.display()))?;
    let (scheduler, path) = json("scheduler/scheduler_config.json")?;
    let schedule = DiscreteSchedule::from_json(&scheduler).map_err(|error| error.context(path.display()))?;
    let files = Files {
        folder: folder.to_owned(),
        vae,
    };
    Ok(spec(
        name,
        schedule,
        Configured {
            config,
            files: Some(files),
        },
    ))
}
