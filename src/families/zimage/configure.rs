//! Reading the configuration of a Z-Image: of a folder of the hub's layout, of a transformer's file beside or in the place of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use super::{
    CLASS, KEY,
    architecture::{Configured, LATENT_STRIDE, TEXT_ENCODER},
    config::ZImageConfig,
    file::ZImageFile,
    known::{DEFAULT_T, SIDE},
};
use crate::{
    components::{
        given_text::{TextEncoder, put_text},
        networks::{Networks, TRANSFORMER, VAE, folder_beside, transformer_given},
        schedule::{FlowSchedule, FlowShift, Schedule},
    },
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{Store, read_json, variant_notes},
};

/// Reads the configuration of a checkpoint.
pub(super) fn configure(checkpoint: Checkpoint) -> Result<ModelSpec> {
    let Checkpoint { name, layout, given } = checkpoint;
    match layout {
        CheckpointLayout::Folder(folder) => in_folder(name, &folder, None, given),
        CheckpointLayout::File(path, store) => {
            let folder = folder_beside(&path, is_of_family).ok_or_else(|| {
                Error::failed(format!(
                    "{name} holds Z-Image's transformer alone, without text encoder: put it into a model that has one, as in --model \
                     z-image-turbo+{name}, or keep it in a folder of the hub's layout"
                ))
            })?;
            in_folder(name, &folder, Some((path, store)), given)
        }
        CheckpointLayout::Known(known) => from_config(name, known, &given),
    }
}

/// Whether a folder is of the hub's layout and one of this family's.
fn is_of_family(folder: &Path) -> bool {
    let config = read_json(&folder.join(TRANSFORMER).join("config.json")).ok();
    let class = config.as_ref().and_then(|config| config.get("_class_name")?.as_str());
    class == Some(CLASS)
}

/// A model that is not on this machine: enough to list its activations.
fn from_config(name: String, known: &KnownCheckpoint, given: &GivenNetworks) -> Result<ModelSpec> {
    if !given.is_empty() {
        return Err(Error::usage(format!(
            "{name} can take no other networks: it is not on this machine; `featscope models get {}` downloads it",
            known.key
        )));
    }
    let network = Configured {
        config: ZImageConfig::from_json(&known.config_json()?)?,
        shift: FlowShift::Static(3.0),
        networks: None,
    };
    Ok(spec(name, network, Vec::new(), None))
}

/// A folder's model, with networks in the place of its own where some are given.
fn in_folder(
    name: String,
    folder: &Path,
    own_file: Option<(PathBuf, Store)>,
    given: GivenNetworks,
) -> Result<ModelSpec> {
    let path = own_file
        .as_ref()
        .map_or_else(|| folder.to_owned(), |(path, _)| path.clone());
    let mut notes = variant_notes(folder);
    let mut networks = Networks::new(folder.to_owned());
    let other = transformer_given(given.denoiser, own_file, &mut notes)?;
    let config = networks.transformer(ZImageConfig::from_json, other, put_in)?;
    put_text(
        &mut networks,
        &given.text,
        &[(TEXT_ENCODER.0, TextEncoder::Qwen3)],
        &mut notes,
    )?;
    let vae = networks.autoencoder(
        given.vae.as_deref(),
        &json!({"scaling_factor": 0.3611, "shift_factor": 0.1159}),
    )?;
    if let Some(path) = &given.vae {
        notes.push(format!("the autoencoder is that of {}", path.display()));
    }
    vae.check_for("the transformer", config.in_channels, LATENT_STRIDE)
        .map_err(|error| error.context(networks.folder_of(VAE).display()))?;
    let scheduler = folder.join("scheduler/scheduler_config.json");
    let shift = FlowShift::from_json(&read_json(&scheduler)?).map_err(|error| error.context(scheduler.display()))?;
    let network = Configured {
        config,
        shift,
        networks: Some((networks, vae)),
    };
    Ok(spec(name, network, notes, Some(path)))
}

/// The transformer in `store` with what its tensors do not show as in a model's own.
fn put_in(store: &Store, like: Option<&ZImageConfig>) -> Result<(ZImageConfig, Store)> {
    let file = ZImageFile::find(store).ok_or_else(|| {
        Error::failed(
            "it holds no transformer of Z-Image: layers.0.attention.qkv.weight or \
             layers.0.attention.to_q.weight, with cap_pad_token, was looked for",
        )
    })?;
    let config = file.config(like)?;
    let store = file.store(&config)?;
    Ok((config, store))
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
