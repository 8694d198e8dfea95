//! Reading the configuration of a Flux.2: of a folder of the hub's layout, of a transformer's file beside or in the place of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use super::{
    CLASS, KEY,
    architecture::{Configured, LATENT_STRIDE, TEXT_ENCODER, TEXT_LAYERS},
    config::Flux2Config,
    file::Flux2File,
    known::{DEFAULT_T, SIDE},
};
use crate::{
    components::{
        given_text::{TextEncoder, put_text},
        networks::{Networks, TRANSFORMER, VAE, folder_beside, transformer_given},
        schedule::{FlowSchedule, FlowShift},
        text::qwen3::Qwen3Config,
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
                    "{name} holds Flux.2's transformer alone, without text encoder: put it into a model that has one, as in --model \
                     flux.2-klein-4b+{name}, or keep it in a folder of the hub's layout"
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
        config: Flux2Config::from_json(&known.config_json()?)?,
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
    let config = networks.transformer(Flux2Config::from_json, other, put_in)?;
    put_text(
        &mut networks,
        &given.text,
        &[(TEXT_ENCODER.0, TextEncoder::Qwen3)],
        &mut notes,
    )?;
    let vae = networks.autoencoder(given.vae.as_deref(), &json!({"_class_name": "AutoencoderKLFlux2"}))?;
    if let Some(path) = &given.vae {
        notes.push(format!("the autoencoder is that of {}", path.display()));
    }
    vae.check_for("the transformer", config.in_channels, LATENT_STRIDE)
        .map_err(|error| error.context(networks.folder_of(VAE).display()))?;
    let text = networks.config(TEXT_ENCODER.0, Qwen3Config::from_json)?;
    let states = TEXT_LAYERS.len() * text.hidden_size;
    if states != config.joint_attention_dim {
        return Err(Error::failed(format!(
            "{}: {} states of the text encoder, of width {} each, make {states} numbers, and the transformer takes {}",
            folder.display(),
            TEXT_LAYERS.len(),
            text.hidden_size,
            config.joint_attention_dim
        )));
    }
    // Its shift follows from the number of steps too, which a single pass has none of: that it is a flow's is what counts.
    let scheduler = folder.join("scheduler/scheduler_config.json");
    FlowShift::from_json(&read_json(&scheduler)?).map_err(|error| error.context(scheduler.display()))?;
    let network = Configured {
        config,
        networks: Some((networks, vae)),
    };
    Ok(spec(name, network, notes, Some(path)))
}

/// The transformer in `store` with what its tensors do not show as in a model's own.
fn put_in(store: &Store, like: Option<&Flux2Config>) -> Result<(Flux2Config, Store)> {
    let file = Flux2File::find(store).ok_or_else(|| {
        Error::failed(
            "it holds no transformer of Flux.2: double_blocks.0.img_attn.qkv.weight or \
             transformer_blocks.0.attn.to_q.weight, with double_stream_modulation_img, was looked for",
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
        schedule: FlowSchedule.into(),
        native_side: SIDE,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}
