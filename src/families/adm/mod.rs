//! ADM, the text-free pixel U-Net of guided-diffusion (Dhariwal and Nichol, *Diffusion Models Beat GANs on Image
//! Synthesis*), as DifFormer, DifFeed and DIFT-ADM look into it. In: `config.json`, tensors, a noisy picture and its
//! timestep. Out: the predicted noise, and the activations a probe meets. `extract` calls it.

mod architecture;
mod catalogue;
mod config;
mod ids;
mod known;
mod layers;
mod network;
mod open;
mod plan;
mod recognise;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use self::architecture::Configured;
pub use self::catalogue::catalogue;
pub use self::config::{AdmConfig, AdmLevel, COLOURS, Heads, NoiseSchedule};
pub use self::network::AdmUnet;
pub(crate) use self::open::config_alone;
pub use self::open::{open, open_demo};
use crate::{
    components::schedule::{Schedule, Timestep},
    error::Result,
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint, KnownFiles},
        spec::ModelSpec,
    },
    weights::Store,
};

/// Key of the family.
pub const KEY: &str = "adm";
const DEFAULT_T: Timestep = Timestep::of(90);

/// guided-diffusion's U-Nets on pixels, without text.
pub struct Adm;

impl Family for Adm {
    fn key(&self) -> &'static str {
        KEY
    }

    /// Files of tensors that no other family knows are read as this one's, so that the error names a tensor.
    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(folder) => ["config.json", "model.pt", "model.safetensors"]
                .iter()
                .any(|file| folder.join(file).is_file()),
            CheckpointLayout::File(..) => true,
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("no Stable Diffusion")?;
        let name = checkpoint.name;
        let spec = |path: Option<PathBuf>, config: AdmConfig, store: Option<Store>| {
            let schedule = Schedule::from(config.schedule());
            ModelSpec {
                name,
                family: KEY,
                path: path.clone(),
                default_t: DEFAULT_T.min(*schedule.range().end()),
                schedule,
                native_side: config.image_size,
                adds_noise: true,
                notes: Vec::new(),
                how_to_get: None,
                network: Arc::new(Configured { config, store, path }),
            }
        };
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => {
                if let Some(config) = config_alone(&folder)? {
                    return Ok(spec(Some(folder), config, None));
                }
                let (config, store) = open(&folder)?;
                Ok(spec(Some(folder), config, Some(store)))
            }
            CheckpointLayout::File(path, _) => {
                let (config, store) = open(&path)?;
                Ok(spec(Some(path), config, Some(store)))
            }
            CheckpointLayout::Known(known) if known.files == KnownFiles::Embedded => {
                let (config, store) = open_demo()?;
                Ok(spec(None, config, Some(store)))
            }
            CheckpointLayout::Known(known) => Ok(spec(None, AdmConfig::from_json(&known.config_json()?)?, None)),
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of ADM's has config.json and model.safetensors or model.pt"
    }

    /// Where ears, eyes and outlines have colours of their own in the embedded model.
    fn first_activations(&self) -> &'static [&'static str] {
        &["b11", "b24", "b12"]
    }
}
