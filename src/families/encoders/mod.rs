//! Image encoders as sources of features: DINOv2 with and without registers (Oquab et al., 2023; Darcet et al., 2023), DINOv3
//! (Siméoni et al., 2025), MAE (He et al., 2021), and the vision towers of CLIP (Radford et al., 2021) and SigLIP (Zhai et al.,
//! 2023), from the folders of transformers.
//!
//! All of them are one network, a vision transformer, with other names of tensors and a few differences that [`EncoderKind`] tells:
//! so they share a folder. One forward pass, without noise, timestep, prompt and autoencoder.

mod architecture;
mod block;
mod catalogue;
mod config;
mod embeddings;
mod ids;
mod kind;
mod known;
mod network;
mod pixels;
mod positions;
mod rope;

use std::{path::Path, sync::Arc};

use self::{
    architecture::{Configured, Files},
    ids::LAST_NORM,
};
pub use self::{
    catalogue::catalogue,
    config::{Activation, EncoderConfig, FeedForward},
    kind::EncoderKind,
    network::{VisionTransformer, open_network},
    pixels::PixelStatistics,
};
use crate::{
    components::schedule::{Schedule, Timestep},
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
    weights::{find_weights, read_json},
};

/// Key of the family.
pub const KEY: &str = "encoder";
/// The configuration of a folder of transformers.
const CONFIG: &str = "config.json";
/// How pixels become numbers.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Stem of the weights of transformers' networks.
const WEIGHTS_STEM: &str = "model";

/// DINOv2, DINOv3, MAE, and the vision towers of CLIP and SigLIP.
pub struct Encoders;

impl Family for Encoders {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(folder) => {
                let config = read_json(&folder.join(CONFIG)).ok();
                let model_type = config.as_ref().and_then(|config| config.get("model_type")?.as_str());
                model_type.is_some_and(kind::is_near)
            }
            CheckpointLayout::File(_, weights) => kind::file_names().any(|name| weights.shape(name).is_some()),
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("an image encoder")?;
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => in_folder(checkpoint.name, &folder),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: an image encoder is read from its folder in transformers' layout, with {CONFIG} and {PREPROCESSOR} beside \
                 the weights; files in the names of the authors and of timm are not read",
                path.display()
            ))),
            CheckpointLayout::Known(known) => {
                let config = EncoderConfig::from_json(&known.config_json()?)?;
                Ok(spec(checkpoint.name, Configured { config, files: None }))
            }
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "an image encoder's folder has config.json with a \"model_type\" such as \"dinov2\""
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &[LAST_NORM]
    }
}

fn spec(name: String, network: Configured) -> ModelSpec {
    let EncoderConfig {
        image_size, patch_size, ..
    } = network.config;
    let native_side = image_size - image_size % patch_size;
    let mut notes = Vec::new();
    if native_side != image_size {
        notes.push(format!(
            "it was made for {image_size} pixels a side, of which it sees {native_side}: whole patches of {patch_size}"
        ));
    }
    let weights = network
        .files
        .as_ref()
        .and_then(|files| find_weights(&files.folder, WEIGHTS_STEM).ok());
    notes.extend(weights.and_then(|found| found.note("the encoder")));
    ModelSpec {
        name,
        family: KEY,
        path: network.files.as_ref().map(|files| files.folder.clone()),
        schedule: Schedule::Noiseless,
        native_side,
        default_t: Timestep::default(),
        adds_noise: false,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}

fn in_folder(name: String, folder: &Path) -> Result<ModelSpec> {
    let json = |file: &str| {
        let path = folder.join(file);
        read_json(&path).map(|json| (json, path))
    };
    let (config, path) = json(CONFIG)?;
    let config = EncoderConfig::from_json(&config).map_err(|error| error.context(path.display()))?;
    let (preprocessor, path) = json(PREPROCESSOR)?;
    let pixels = PixelStatistics::from_json(&preprocessor).map_err(|error| error.context(path.display()))?;
    let files = Files {
        folder: folder.to_owned(),
        pixels,
    };
    Ok(spec(
        name,
        Configured {
            config,
            files: Some(files),
        },
    ))
}
