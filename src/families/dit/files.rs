//! Where the networks of a DiT are read from.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{config::DitConfig, kind::DitKind, original};
use crate::{
    components::vae::VaeConfig,
    error::{Error, Result},
    model::family::GivenNetworks,
    weights::{DIFFUSERS_STEM, Store, find_weights, hub_snapshot, open_weights, read_json},
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
const CONFIG: &str = "config.json";
/// Weights of a folder of the authors' layout, the preferred one first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "model.pt"];
/// The autoencoders that these networks were trained with, which are published by themselves.
const AUTOENCODERS: [&str; 2] = ["stabilityai/sd-vae-ft-ema", "stabilityai/sd-vae-ft-mse"];
/// A configuration is one of the authors' layout where it has one of these keys.
const KEYS: [&str; 2] = ["kind", "hidden_size"];

/// The files of a model.
#[derive(Clone)]
pub(super) struct Files {
    /// None where there is a configuration alone.
    pub network: Option<NetworkFiles>,
    /// None where no autoencoder was found.
    pub vae: Option<VaeFiles>,
}

/// Where the tensors of the denoiser are.
#[derive(Clone)]
pub(super) enum NetworkFiles {
    /// A folder in diffusers' names.
    Folder(PathBuf),
    /// The authors' tensors, in their names.
    Original(Store),
}

/// An autoencoder in diffusers' names.
#[derive(Clone)]
pub(super) struct VaeFiles {
    /// Its configuration.
    pub config: VaeConfig,
    /// A folder, or the file of its weights.
    path: PathBuf,
}

impl Files {
    pub(super) fn are_here(&self) -> bool {
        let network = match &self.network {
            Some(NetworkFiles::Folder(folder)) => find_weights(folder, DIFFUSERS_STEM).is_ok(),
            Some(NetworkFiles::Original(_)) => true,
            None => false,
        };
        // Where no autoencoder was found, reading the model says what to do.
        network && self.vae.as_ref().is_none_or(VaeFiles::is_here)
    }

    /// The tensors of the denoiser under the network's names.
    pub(super) fn network(&self, config: &DitConfig) -> Result<Store> {
        match &self.network {
            Some(NetworkFiles::Folder(folder)) => open_weights(folder, DIFFUSERS_STEM),
            Some(NetworkFiles::Original(plain)) => original::renamed(plain, config),
            None => Err(Error::failed(format!(
                "the folder holds a configuration but no weights: {} was looked for",
                WEIGHTS.join(" or ")
            ))),
        }
    }

    /// The autoencoder, or what to do without one.
    pub(super) fn vae(&self) -> Result<&VaeFiles> {
        self.vae.as_ref().ok_or_else(|| {
            Error::failed(format!(
                "the model's file holds no autoencoder, and none is beside it: `featscope models get {}` downloads the one it was \
                 trained with; or put a folder vae/ beside the file, or give one with --vae-file",
                AUTOENCODERS[0]
            ))
        })
    }
}

impl VaeFiles {
    /// The autoencoder in a folder, in the folder `vae` of a whole model, or in a file with its `config.json` beside it.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that does not go with the network.
    pub(super) fn open(path: &Path, network: &DitConfig) -> Result<Self> {
        let inner = path.join("vae");
        let path = if inner.is_dir() { inner } else { path.to_owned() };
        let config_path = match path.is_dir() {
            true => path.join(CONFIG),
            false => path.with_file_name(CONFIG),
        };
        let json = read_json(&config_path)?;
        let config = VaeConfig::from_json(&json).map_err(|error| error.context(config_path.display()))?;
        config
            .check_for("the transformer", network.in_channels, LATENT_STRIDE)
            .map_err(|error| error.context(path.display()))?;
        Ok(Self { config, path })
    }

    /// The one that was given, else the one in the folder `vae` beside the network, else one that it was trained with, in the
    /// hub's cache.
    pub(super) fn find(given: &GivenNetworks, beside: &Path, network: &DitConfig) -> Result<Option<Self>> {
        if let Some(path) = &given.vae {
            return Self::open(path, network).map(Some);
        }
        let beside = beside.join("vae");
        if beside.join(CONFIG).is_file() {
            return Self::open(&beside, network).map(Some);
        }
        let cached = AUTOENCODERS.iter().find_map(|id| hub_snapshot(id));
        cached.map(|cached| Self::open(&cached.folder, network)).transpose()
    }

    fn is_here(&self) -> bool {
        self.path.is_file() || find_weights(&self.path, DIFFUSERS_STEM).is_ok()
    }

    pub(super) fn store(&self) -> Result<Store> {
        match self.path.is_file() {
            true => Store::open(&self.path),
            false => open_weights(&self.path, DIFFUSERS_STEM),
        }
    }
}

/// A checkpoint in the authors' layout.
pub(super) struct Original {
    pub config: DitConfig,
    /// None where there is a configuration alone.
    pub store: Option<Store>,
    /// The folder it lies in.
    pub folder: PathBuf,
    /// Note where its tensors did not tell what it is.
    pub note: Option<String>,
}

impl Original {
    /// Opens a file of the authors', or a folder with one. `kind` is what the user says it is.
    ///
    /// # Errors
    ///
    /// Where it is broken or of another network, and where a `config.json` beside it says something else than tensors or user.
    pub(super) fn open(path: &Path, kind: Option<DitKind>) -> Result<Self> {
        Self::read(path, kind).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path, kind: Option<DitKind>) -> Result<Self> {
        let (folder, weights) = match path.is_dir() {
            true => (path, weights_in(path)),
            false => (path.parent().unwrap_or(path), Some(path.to_owned())),
        };
        let beside = config_in(folder)?;
        let store = weights.as_deref().map(Store::open).transpose()?;
        let plain = store.as_ref().map(|store| {
            original::plain(store).ok_or_else(|| {
                Error::failed(format!(
                    "{} holds no DiT in its authors' names: blocks.0.attn.qkv.weight was looked for",
                    store.label()
                ))
            })
        });
        let plain = plain.transpose()?;
        let mut config = match (&plain, &beside) {
            (Some(plain), beside) => DitConfig::from_tensors(plain, beside.as_ref())?,
            (None, Some(json)) => DitConfig::from_original_json(json)?,
            (None, None) => {
                return Err(Error::failed(format!(
                    "neither {} nor {CONFIG} is there",
                    WEIGHTS.join(", ")
                )));
            }
        };
        let stated = beside
            .as_ref()
            .is_some_and(|json| json.get("kind").is_some_and(|kind| !kind.is_null()));
        if let Some(kind) = kind {
            if stated && kind != config.kind {
                return Err(Error::usage(format!(
                    "it was given as \"{}\", and the config.json beside it says \"{}\"",
                    kind.word(),
                    config.kind.word()
                )));
            }
            config.kind = kind;
        }
        let is_told = stated || kind.is_some() || config.kind == DitKind::Repa;
        Ok(Self {
            config,
            store: plain,
            folder: folder.to_owned(),
            note: (!is_told).then(|| {
                "taken for a DiT: a SiT has the same tensors. A config.json beside the file with {\"kind\": \"sit\"}, or \
                 sit-xl-2+FILE as the model, says that it is one"
                    .to_owned()
            }),
        })
    }
}

fn weights_in(folder: &Path) -> Option<PathBuf> {
    WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The `config.json` in a folder, if it is of the authors' layout.
fn config_in(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Ok(None);
    }
    let json = read_json(&path)?;
    let is_ours = KEYS.iter().any(|key| json.get(key).is_some());
    Ok(is_ours.then_some(json))
}

/// Whether a folder is of the authors' layout.
pub(super) fn is_original_folder(folder: &Path) -> bool {
    let states_kind = config_in(folder).ok().flatten().is_some_and(|json| {
        let kind = json.get("kind").and_then(Value::as_str);
        kind.and_then(DitKind::of_word).is_some()
    });
    states_kind
        || !folder.join(CONFIG).is_file()
            && weights_in(folder)
                .is_some_and(|path| Store::open(&path).is_ok_and(|store| original::plain(&store).is_some()))
}
