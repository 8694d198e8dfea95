//! The first stage of DeepFloyd IF (Shonenkov et al., 2023, after Imagen; diffusers' UNet2DConditionModel as IFPipeline has it): a
//! U-Net on pixels whose positions attend to a text and to each other at once, with every activation of the vocabulary.

mod architecture;
mod blocks;
mod catalogue;
mod conditions;
mod config;
mod ids;
mod known;
mod network;

use std::{path::Path, sync::Arc};

use self::architecture::Configured;
pub use self::{catalogue::catalogue, config::IfConfig, network::IfUnet};
use crate::{
    components::schedule::{DiscreteSchedule, Timestep},
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{read_json, variant_notes},
};

/// Key of the family.
pub const KEY: &str = "deepfloyd-if";
const DEFAULT_T: Timestep = Timestep::of(50);
/// Timesteps of its schedule.
const TIMESTEPS: usize = 1000;
/// Tokens of one encoded prompt.
const TOKENS: usize = 77;

/// The first stage of DeepFloyd IF.
pub struct DeepFloydIf;

impl Family for DeepFloydIf {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(_) => checkpoint.has_block_of("unet", config::DOWN_BLOCKS[1]),
            CheckpointLayout::File(..) => false,
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("a DeepFloyd IF")?;
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => in_folder(checkpoint.name, &folder),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: a DeepFloyd IF is read from a folder of the hub's layout",
                path.display()
            ))),
            CheckpointLayout::Known(known) => {
                let config = IfConfig::from_json(&known::whole_config(known)?)?;
                let schedule = DiscreteSchedule::cosine(TIMESTEPS);
                Ok(spec(checkpoint.name, schedule, Configured { config, folder: None }))
            }
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of DeepFloyd IF's has unet/config.json"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["up-level1-repeat1-res-out"]
    }
}

fn spec(name: String, schedule: DiscreteSchedule, network: Configured) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path: network.folder.clone(),
        schedule: schedule.into(),
        native_side: network.config.sample_size,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes: network
            .folder
            .as_ref()
            .map(|folder| variant_notes(folder))
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
    let (unet, path) = json("unet/config.json")?;
    let config = IfConfig::from_json(&unet).map_err(|error| error.context(path.display()))?;
    let (scheduler, path) = json("scheduler/scheduler_config.json")?;
    let schedule = DiscreteSchedule::from_json(&scheduler).map_err(|error| error.context(path.display()))?;
    let network = Configured {
        config,
        folder: Some(folder.to_owned()),
    };
    Ok(spec(name, schedule, network))
}
