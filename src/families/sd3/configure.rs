//! Reading the configuration of a Stable Diffusion 3: of a folder of the hub's layout, of one file, of a transformer's file in the
//! place of a model's own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    CLASS, KEY,
    architecture::{Configured, LATENT_STRIDE, T5},
    config::Sd3Config,
    file::Sd3File,
    known::DEFAULT_T,
};
use crate::{
    components::{
        given_text::{TextEncoder, put_text},
        networks::{Networks, TRANSFORMER, VAE, folder_beside, open_transformer},
        schedule::{FlowSchedule, FlowShift},
    },
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{Store, read_json, variant_notes},
};

/// Its text encoders, by their folders.
const TEXT: [(&str, TextEncoder); 3] = [
    ("text_encoder", TextEncoder::Clip),
    ("text_encoder_2", TextEncoder::Clip),
    (T5.0, TextEncoder::T5),
];

/// Reads the configuration of a checkpoint.
pub(super) fn configure(checkpoint: Checkpoint) -> Result<ModelSpec> {
    let Checkpoint { name, layout, given } = checkpoint;
    match layout {
        CheckpointLayout::Folder(folder) => in_folder(name, &folder, None, given),
        CheckpointLayout::File(path, store) => {
            let folder = folder_beside(&path, is_of_family).ok_or_else(|| {
                Error::failed(format!(
                    "configurations and tokenizers of {name} were looked for in the folder of its name beside it, and in the one \
                     that it lies in: put them there as a hub's folder has them, or put its transformer into a model that has \
                     them, as in --model sd3-medium+{name}"
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
        config: Sd3Config::from_json(&known.config_json()?)?,
        shift: FlowShift::Static(3.0),
        has_t5: true,
        networks: None,
    };
    Ok(spec(name, network, Vec::new(), None))
}

fn spec(name: String, network: Configured, notes: Vec<String>, path: Option<PathBuf>) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path,
        schedule: FlowSchedule.into(),
        native_side: network.config.sample_size * LATENT_STRIDE,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}

/// A folder's model, with networks in the place of its own where some are given: those of one file, a transformer, an autoencoder.
fn in_folder(
    name: String,
    folder: &Path,
    one_file: Option<(PathBuf, Store)>,
    given: GivenNetworks,
) -> Result<ModelSpec> {
    let path = one_file
        .as_ref()
        .map_or_else(|| folder.to_owned(), |(path, _)| path.clone());
    let mut notes = variant_notes(folder);
    let mut networks = Networks::new(folder.to_owned());
    let mut vae_file = given.vae.clone();
    let is_one_file = one_file.is_some();
    if let Some((path, store)) = &one_file
        && let Some(file) = Sd3File::find(store)
    {
        for (network, store) in file.others() {
            match store {
                Some(store) => networks.put(network, store),
                None => vae_file = vae_file.or_else(|| Some(path.clone())),
            }
        }
    }
    let other = match given.denoiser {
        Some(path) => {
            let store = open_transformer(&path).map_err(|error| error.context(path.display()))?;
            notes.push(format!("the transformer is that of {}", path.display()));
            Some((path, store))
        }
        None => one_file,
    };
    let config = networks.transformer(Sd3Config::from_json, other, put_in)?;
    put_text(&mut networks, &given.text, &TEXT, &mut notes)?;
    // What no tensor shows of an autoencoder is as published, where the folder has none.
    let published = json!({"scaling_factor": 1.5305, "shift_factor": 0.0609});
    let vae = networks.autoencoder(vae_file.as_deref(), &published)?;
    if let Some(path) = &given.vae {
        notes.push(format!("the autoencoder is that of {}", path.display()));
    }
    vae.check_for("the transformer", config.in_channels, LATENT_STRIDE)
        .map_err(|error| error.context(networks.folder_of(VAE).display()))?;
    let scheduler = folder.join("scheduler/scheduler_config.json");
    let shift = FlowShift::from_json(&read_json(&scheduler)?).map_err(|error| error.context(scheduler.display()))?;
    // The folder beside one file has configurations of all, the file perhaps no T5.
    let has_t5 = has_t5(&networks)? && (!is_one_file || networks.has(T5.0));
    if !has_t5 {
        notes.push("there is no T5: zeros stand in the place of its states".to_owned());
    }
    let network = Configured {
        config,
        shift,
        has_t5,
        networks: Some((networks, vae)),
    };
    Ok(spec(name, network, notes, Some(path)))
}

/// Whether there is a T5: `model_index.json` says that there is none by nulls, and who leaves it out has no folder of it.
fn has_t5(networks: &Networks) -> Result<bool> {
    let (encoder, _) = T5;
    let index = networks.folder_of("model_index.json");
    let says_none = match index.is_file() {
        true => {
            let index = read_json(&index)?;
            let class = index.get(encoder).and_then(Value::as_array);
            class.is_some_and(|class| class.iter().all(Value::is_null))
        }
        false => false,
    };
    Ok(!says_none && networks.folder_of(encoder).is_dir())
}

/// The transformer in `store` with what its tensors do not show as in a model's own.
fn put_in(store: &Store, like: Option<&Sd3Config>) -> Result<(Sd3Config, Store)> {
    let file = Sd3File::find(store).ok_or_else(|| {
        Error::failed(
            "it holds no transformer of Stable Diffusion 3: joint_blocks.0.x_block.attn.qkv.weight or \
             transformer_blocks.0.attn.add_q_proj.weight without single_transformer_blocks was looked for",
        )
    })?;
    let read = file.config(like)?;
    let config = Sd3Config {
        sample_size: like.map_or(read.sample_size, |like| like.sample_size),
        ..read
    };
    let store = file.store(&config)?;
    Ok((config, store))
}
