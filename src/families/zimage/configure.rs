//! Reading the configuration of a Z-Image from a folder of the hub's layout.

use std::{path::PathBuf, sync::Arc};

use serde_json::json;

use super::{
    KEY,
    architecture::{Configured, LATENT_STRIDE},
    config::ZImageConfig,
    known::{DEFAULT_T, SIDE},
};
use crate::{
    components::{
        networks::{Networks, TRANSFORMER, VAE},
        schedule::{FlowSchedule, FlowShift, Schedule},
    },
    error::{Error, Result},
    model::{family::KnownCheckpoint, spec::ModelSpec},
    weights::{read_json, variant_notes},
};

/// A model that is not on this machine: enough to list its activations.
pub(super) fn from_config(name: String, known: &KnownCheckpoint) -> Result<ModelSpec> {
    let network = Configured {
        config: ZImageConfig::from_json(&known.config_json()?)?,
        shift: FlowShift::Static(3.0),
        networks: None,
    };
    Ok(spec(name, network, Vec::new(), None))
}

/// A folder's model.
pub(super) fn in_folder(name: String, folder: PathBuf) -> Result<ModelSpec> {
    let notes = variant_notes(&folder);
    let mut networks = Networks::new(folder.clone());
    let config = networks.config(TRANSFORMER, ZImageConfig::from_json)?;
    let vae = networks.autoencoder(None, &json!({}))?;
    if vae.stride() != LATENT_STRIDE || vae.latent_channels != config.in_channels {
        return Err(Error::failed(format!(
            "{}: the autoencoder gives {} channels at 1/{} of the size, the transformer denoises {} at 1/{LATENT_STRIDE}",
            networks.folder_of(VAE).display(),
            vae.latent_channels,
            vae.stride(),
            config.in_channels
        )));
    }
    let scheduler = folder.join("scheduler/scheduler_config.json");
    let shift = FlowShift::from_json(&read_json(&scheduler)?).map_err(|error| error.context(scheduler.display()))?;
    let network = Configured {
        config,
        shift,
        networks: Some((networks, vae)),
    };
    Ok(spec(name, network, notes, Some(folder)))
}

fn spec(name: String, network: Configured, notes: Vec<String>, path: Option<PathBuf>) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path,
        schedule: Schedule::FlowToPicture(FlowSchedule),
        native_side: SIDE,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}
