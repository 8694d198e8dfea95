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

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use self::architecture::{Configured, LATENT_STRIDE, T5};
pub use self::{
    catalogue::catalogue,
    config::PixArtConfig,
    network::{PixArt, PixArtConditions, has_size_conditions},
    prompt::{Version, prepare_prompt, prompt_tokens},
};
use crate::{
    components::{
        given_text::{TextEncoder, put_text},
        networks::{Networks, TRANSFORMER},
        schedule::{DiscreteSchedule, Timestep},
    },
    error::{Error, Result},
    model::{
        family::{Checkpoint, CheckpointLayout, Family, GivenNetworks, KnownCheckpoint},
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
        if !matches!(checkpoint.layout, CheckpointLayout::Folder(_)) {
            checkpoint.check_nothing_given("a PixArt")?;
        }
        match checkpoint.layout {
            CheckpointLayout::Folder(folder) => in_folder(checkpoint.name, &folder, checkpoint.given),
            CheckpointLayout::File(path, _) => Err(Error::failed(format!(
                "{}: a PixArt is read from a folder of the hub's layout",
                path.display()
            ))),
            CheckpointLayout::Known(known) => {
                let config = PixArtConfig::from_json(&known.config_json()?)?;
                let configured = Configured {
                    config,
                    version: known::version_of(known),
                    networks: None,
                };
                Ok(spec(
                    checkpoint.name,
                    DiscreteSchedule::linear(1000),
                    configured,
                    None,
                    Vec::new(),
                ))
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

fn spec(
    name: String,
    schedule: DiscreteSchedule,
    network: Configured,
    path: Option<PathBuf>,
    notes: Vec<String>,
) -> ModelSpec {
    ModelSpec {
        name,
        family: KEY,
        path,
        schedule: schedule.into(),
        native_side: network.config.sample_size * LATENT_STRIDE,
        default_t: DEFAULT_T,
        adds_noise: true,
        notes,
        how_to_get: None,
        network: Arc::new(network),
    }
}

/// A folder's model, with an autoencoder and a T5 in the place of its own where some are given.
fn in_folder(name: String, folder: &Path, given: GivenNetworks) -> Result<ModelSpec> {
    if let Some(denoiser) = &given.denoiser {
        return Err(Error::usage(format!(
            "{name} can take no other transformer: {} would stand in the place of a PixArt's, which is read from its folder",
            denoiser.display()
        )));
    }
    let json = |file: &str| {
        let path = folder.join(file);
        read_json(&path).map(|json| (json, path))
    };
    let mut notes = variant_notes(folder);
    let mut networks = Networks::new(folder.to_owned());
    let config = networks.config(TRANSFORMER, PixArtConfig::from_json)?;
    put_text(&mut networks, &given.text, &[(T5.0, TextEncoder::T5)], &mut notes)?;
    let vae = networks.autoencoder(given.vae.as_deref(), &json!({}))?;
    if let Some(path) = &given.vae {
        notes.push(format!("the autoencoder is that of {}", path.display()));
    }
    vae.check_for("the transformer", config.latent_channels(), LATENT_STRIDE)
        .map_err(|error| error.context(folder.display()))?;
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
    let network = Configured {
        config,
        version,
        networks: Some((networks, vae)),
    };
    Ok(spec(name, schedule, network, Some(folder.to_owned()), notes))
}
