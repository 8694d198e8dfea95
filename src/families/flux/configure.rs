//! Reading the configuration of a Flux: of a folder of the hub's layout, of a transformer's file beside or in the place of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use super::{
    KEY,
    architecture::{Configured, LATENT_STRIDE},
    config::FluxConfig,
    file::FluxFile,
    known::{DEFAULT_T, SIDE},
};
use crate::{
    components::{
        given_text::{TextEncoder, put_text},
        networks::{Networks, folder_beside, transformer_given},
        schedule::{FlowSchedule, FlowShift},
    },
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{Store, read_json, variant_notes},
};

/// The autoencoder's file that its authors put beside a transformer's.
const VAE_FILE: &str = "ae.safetensors";
/// Its text encoders, by their folders.
const TEXT: [(&str, TextEncoder); 2] = [("text_encoder", TextEncoder::Clip), ("text_encoder_2", TextEncoder::T5)];
/// How the classes of its pipelines begin in `model_index.json`.
const PIPELINES: &str = "Flux";

/// Reads the configuration of a checkpoint.
pub(super) fn configure(checkpoint: Checkpoint) -> Result<ModelSpec> {
    let Checkpoint { name, layout, given } = checkpoint;
    match layout {
        CheckpointLayout::Folder(folder) => in_folder(name, &folder, None, given),
        CheckpointLayout::File(path, store) => {
            let folder = folder_beside(&path, is_of_flux).ok_or_else(|| {
                Error::failed(format!(
                    "{name} holds Flux's transformer alone, without text encoders: put it into a model that has them, as in --model \
                     flux.1-schnell+{name}, or keep it in a folder of the hub's layout"
                ))
            })?;
            let beside = path.with_file_name(VAE_FILE);
            let given = GivenNetworks {
                vae: given.vae.or_else(|| beside.is_file().then_some(beside)),
                ..given
            };
            in_folder(name, &folder, Some((path, store)), given)
        }
        CheckpointLayout::Known(known) => from_config(name, known, &given),
    }
}

/// Whether a folder is of the hub's layout and one of Flux's.
fn is_of_flux(folder: &Path) -> bool {
    let index = read_json(&folder.join("model_index.json")).ok();
    let class = index.as_ref().and_then(|index| index.get("_class_name")?.as_str());
    class.is_some_and(|class| class.starts_with(PIPELINES))
}

/// A model that is not on this machine: enough to list its activations.
fn from_config(name: String, known: &KnownCheckpoint, given: &GivenNetworks) -> Result<ModelSpec> {
    if !given.is_empty() {
        return Err(Error::usage(format!(
            "{name} can take no other networks: it is not on this machine; `featscope models get {}` downloads it",
            known.key
        )));
    }
    let config = FluxConfig::from_json(&known.config_json()?)?;
    let shift = match config.guidance_embeds {
        true => FlowShift::from_json(&json!({"use_dynamic_shifting": true}))?,
        false => FlowShift::from_json(&json!({}))?,
    };
    Ok(spec(
        name,
        Configured {
            config,
            shift,
            networks: None,
        },
        Vec::new(),
        None,
    ))
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

/// A folder's model, with a transformer and an autoencoder in the place of its own where some are given.
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
    let config = networks.transformer(FluxConfig::from_json, other, put_in)?;
    put_text(&mut networks, &given.text, &TEXT, &mut notes)?;
    // What no tensor shows of an autoencoder is as published, where the folder has none.
    let published = json!({"scaling_factor": 0.3611, "shift_factor": 0.1159});
    let vae = networks.autoencoder(given.vae.as_deref(), &published)?;
    if let Some(path) = &given.vae {
        notes.push(format!("the autoencoder is that of {}", path.display()));
    }
    vae.check_for("the transformer", config.latent_channels(), LATENT_STRIDE)
        .map_err(|error| error.context(folder.display()))?;
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
fn put_in(store: &Store, like: Option<&FluxConfig>) -> Result<(FluxConfig, Store)> {
    let file = FluxFile::find(store).ok_or_else(|| {
        Error::failed(
            "it holds no transformer of Flux: double_blocks.0.img_attn.qkv.weight or \
             transformer_blocks.0.attn.add_q_proj.weight with single_transformer_blocks was looked for",
        )
    })?;
    let config = file.config(like)?;
    let store = file.store(&config)?;
    Ok((config, store))
}
