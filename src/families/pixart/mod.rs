//! PixArt-alpha and PixArt-Sigma (Chen et al., 2023 and 2024; diffusers' PixArtTransformer2DModel): a stack of transformer
//! blocks over patches of the latent, which attend to the states of a T5, with every activation of the vocabulary.

mod architecture;
mod blocks;
mod catalogue;
mod config;
mod ids;
mod known;
mod network;
mod prompt;

use std::{path::Path, sync::Arc};

use self::architecture::{Configured, Files, LATENT_STRIDE};
pub use self::{
    catalogue::catalogue,
    config::PixArtConfig,
    network::{PixArt, PixArtConditions, has_size_conditions},
    prompt::{Version, prepare_prompt, prompt_tokens},
};
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
/// Width of a feed-forward's inside over the width of its block.
const FFN_RATIO: usize = 4;

/// Key of the family.
pub const KEY: &str = "pixart";
const DEFAULT_T: Timestep = Timestep::of(50);
/// Classes of the transformer in configurations; the old one is that of other networks too.
const CLASS: &str = "PixArtTransformer2DModel";
const OLD_CLASS: &str = "Transformer2DModel";

/// PixArt-alpha and PixArt-Sigma.
pub struct PixArtFamily;

impl Family for PixArtFamily {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match &checkpoint.layout {
            CheckpointLayout::Folder(folder) => match checkpoint.class_of("transformer").as_deref() {
                Some(CLASS) => true,
                // DiT has the old class as well, and no text encoder.
                Some(OLD_CLASS) => folder.join("text_encoder").is_dir(),
                _ => false,
            },
            CheckpointLayout::File(..) => false,
            CheckpointLayout::Known(known) => known::KNOWN.contains(known),
        }
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        checkpoint.check_nothing_given("a PixArt")?;
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => in_folder(checkpoint.name, &folder),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: a PixArt is read from a folder of the hub's layout",
                path.display()
            ))),
            CheckpointLayout::Known(known) => {
                let config = PixArtConfig::from_json(&known.config_json()?)?;
                let configured = Configured {
                    config,
                    version: known::version_of(known),
                    files: None,
                };
                Ok(spec(checkpoint.name, DiscreteSchedule::linear(1000), configured))
            }
        }
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        known::KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of PixArt's has transformer/config.json"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["vit-block13-cross-q", "vit-block1-cross-q"]
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
    let config = PixArtConfig::from_json(&transformer).map_err(|error| error.context(path.display()))?;
    let (vae, path) = json("vae/config.json")?;
    let vae = VaeConfig::from_json(&vae).map_err(|error| error.context(path.display()))?;
    if vae.stride() != LATENT_STRIDE || vae.latent_channels != config.latent_channels() {
        return Err(Error::failed(format!(
            "{}: the autoencoder gives {} channels at 1/{} of the size, the transformer denoises {} at 1/{LATENT_STRIDE}",
            folder.display(),
            vae.latent_channels,
            vae.stride(),
            config.latent_channels()
        )));
    }
    let (scheduler, path) = json("scheduler/scheduler_config.json")?;
    let schedule = DiscreteSchedule::from_json(&scheduler).map_err(|error| error.context(path.display()))?;
    let (index, path) = json("model_index.json")?;
    let class = index
        .get("_class_name")
        .and_then(|class| class.as_str())
        .unwrap_or_default();
    let version = Version::of_pipeline(class).ok_or_else(|| {
        Error::failed(format!(
            "{}: \"_class_name\" is \"{class}\"; how many tokens a prompt has is known of PixArtAlphaPipeline and \
             PixArtSigmaPipeline",
            path.display()
        ))
    })?;
    let files = Files {
        folder: folder.to_owned(),
        vae,
    };
    let network = Configured {
        config,
        version,
        files: Some(files),
    };
    Ok(spec(name, schedule, network))
}
