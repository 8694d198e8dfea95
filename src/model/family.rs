//! Families of architectures: how their checkpoints are recognised and what they are called.

use std::path::{Path, PathBuf};

use super::spec::ModelSpec;
use crate::{
    components::schedule::Timestep,
    error::{Error, Result},
    weights::{Store, read_json},
};

/// A family of architectures.
pub trait Family: Sync {
    /// Its name in provenance and in messages: `stable-diffusion`, `adm`.
    fn key(&self) -> &'static str;

    /// Whether a checkpoint is one of this family, or near enough for this family to name what is wrong with it. Reads JSON and
    /// tensor names, no tensor.
    fn recognises(&self, checkpoint: &Checkpoint) -> bool;

    /// Reads the configuration: enough to list activations, refuse a request and estimate a run.
    ///
    /// # Errors
    ///
    /// Where the checkpoint is broken, is not one that this program computes, or cannot take the networks given beside it.
    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec>;

    /// Checkpoints with short names.
    fn known_checkpoints(&self) -> &'static [KnownCheckpoint];

    /// Contents of a folder of this family, for the message about one that is of none.
    fn looks_for(&self) -> &'static str;

    /// The activations that a window shows first, the preferred one first.
    fn first_activations(&self) -> &'static [&'static str];
}

/// A model's folder, file or known configuration, before its family is known.
#[derive(Clone)]
pub struct Checkpoint {
    /// How the user named it, without the networks behind it.
    pub name: String,
    /// Where its configuration and tensors are.
    pub layout: CheckpointLayout,
    /// Networks that were given to stand in the place of its own.
    pub given: GivenNetworks,
}

/// Where a checkpoint's configuration and tensors are.
#[derive(Clone)]
pub enum CheckpointLayout {
    /// A folder: of several networks as on the hub, or of one.
    Folder(PathBuf),
    /// One file with tensors.
    File(PathBuf, Store),
    /// Inside the program: weights, or a configuration of a model that is not on this machine.
    Known(&'static KnownCheckpoint),
}

/// Networks in the place of a model's own, by their files or folders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenNetworks {
    /// A denoiser.
    pub denoiser: Option<PathBuf>,
    /// An autoencoder.
    pub vae: Option<PathBuf>,
    /// Text encoders.
    pub text: Vec<PathBuf>,
}

impl GivenNetworks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Checkpoint {
    /// The folder or file; none inside the program.
    pub fn path(&self) -> Option<&Path> {
        match &self.layout {
            CheckpointLayout::Folder(path) | CheckpointLayout::File(path, _) => Some(path),
            CheckpointLayout::Known(_) => None,
        }
    }

    /// The class that a component's configuration names, such as `PixArtTransformer2DModel` of `transformer/config.json`; none where
    /// there is no such component, or it names none.
    pub fn class_of(&self, component: &str) -> Option<String> {
        let CheckpointLayout::Folder(folder) = &self.layout else {
            return None;
        };
        let config = read_json(&folder.join(component).join("config.json")).ok()?;
        Some(config.get("_class_name")?.as_str()?.to_owned())
    }

    /// Whether a component's configuration lists a block of a class among those of its down stage.
    pub fn has_block_of(&self, component: &str, class: &str) -> bool {
        let CheckpointLayout::Folder(folder) = &self.layout else {
            return false;
        };
        let config = read_json(&folder.join(component).join("config.json")).unwrap_or_default();
        let blocks = config.get("down_block_types").and_then(|blocks| blocks.as_array());
        blocks.into_iter().flatten().any(|block| block == class)
    }

    /// Refuses networks in the place of a model's own, for families that take none.
    ///
    /// # Errors
    ///
    /// Where there are some.
    pub fn check_nothing_given(&self, what_it_is: &str) -> Result<()> {
        match self.given.is_empty() {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "{} can take no other U-Net, no autoencoder and no text encoder: it is {what_it_is}",
                self.name
            ))),
        }
    }
}

/// A checkpoint with a short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCheckpoint {
    /// Short name that the user types.
    pub key: &'static str,
    /// Title in a few words.
    pub title: &'static str,
    /// Its name on the hub, or where its file comes from.
    pub source: &'static str,
    /// Short side of the pictures it was made for, in pixels.
    pub side: usize,
    /// The timestep that runs when none is given.
    pub default_t: Timestep,
    /// Where its files are.
    pub files: KnownFiles,
    /// The denoiser's configuration as JSON, from which its activations follow without its files; none where the weights are
    /// inside the program.
    pub config: Option<&'static str>,
}

/// Where the files of a [`KnownCheckpoint`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownFiles {
    /// Inside the program.
    Embedded,
    /// A folder of the hub.
    Hub,
    /// One file of the hub: a denoiser that is put into another model.
    DropIn {
        /// Short names of models that it can be put into; the first one on this machine is used.
        bases: &'static [&'static str],
        /// The file with the denoiser in the repository.
        file: &'static str,
    },
    /// Not on the hub: the user gives the file.
    Elsewhere,
}

impl KnownCheckpoint {
    /// Whether the hub has it.
    pub fn is_on_the_hub(&self) -> bool {
        matches!(self.files, KnownFiles::Hub | KnownFiles::DropIn { .. })
    }

    /// The denoiser's configuration.
    ///
    /// # Errors
    ///
    /// Where there is none inside the program.
    pub(crate) fn config_json(&self) -> Result<serde_json::Value> {
        let text = self.config.unwrap_or_default();
        serde_json::from_str(text)
            .map_err(|error| Error::failed(format!("the configuration of {} is broken: {error}", self.key)))
    }
}
