//! The networks of a model in the hub's layout: a folder with a configuration for each, and weights beside it or in files that are
//! put in their place.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device};
use serde_json::Value;

use super::{
    text::{
        ClipConfig, ClipTextModel, TEXT_WEIGHTS_STEM,
        t5::{T5Config, T5Encoder},
    },
    vae::{VaeConfig, VaeDecoder, VaeEncoder, VaePart},
};
use crate::{
    error::{Error, Result},
    weights::{DIFFUSERS_STEM, Store, find_weights, open_weights, read_json},
};

/// Folder of the denoiser.
pub(crate) const TRANSFORMER: &str = "transformer";
/// Folder of the autoencoder.
pub(crate) const VAE: &str = "vae";

/// Networks by the names of their folders.
#[derive(Clone)]
pub(crate) struct Networks {
    folder: PathBuf,
    /// Tensors in the place of the folder's, under the names of diffusers and transformers.
    put: HashMap<&'static str, Store>,
}

impl Networks {
    /// Those of a folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            put: HashMap::new(),
        }
    }

    /// The folder of one.
    pub(crate) fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts other tensors in the place of one's.
    pub(crate) fn put(&mut self, name: &'static str, store: Store) {
        self.put.insert(name, store);
    }

    /// Whether there are weights of one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.put.contains_key(name) || find_weights(&self.folder_of(name), stem(name)).is_ok()
    }

    /// The tensors of one.
    ///
    /// # Errors
    ///
    /// Where there are none, or they cannot be read.
    pub(crate) fn store(&self, name: &str) -> Result<Store> {
        match self.put.get(name) {
            Some(store) => Ok(store.clone()),
            None => open_weights(&self.folder_of(name), stem(name)),
        }
    }

    /// What `read` makes of the configuration of one.
    ///
    /// # Errors
    ///
    /// Where it cannot be read; the error names its file.
    pub(crate) fn config<C>(&self, name: &str, read: impl FnOnce(&Value) -> Result<C>) -> Result<C> {
        let path = self.folder_of(name).join("config.json");
        read(&read_json(&path)?).map_err(|error| error.context(path.display()))
    }

    /// The configuration of the transformer: the folder's own, or that of tensors from a path that are put in its place, which
    /// `put_in` makes of them after the folder's own where that can be read.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that this program does not compute.
    pub(crate) fn transformer<C>(
        &mut self,
        read: impl FnOnce(&Value) -> Result<C>,
        other: Option<(PathBuf, Store)>,
        put_in: impl FnOnce(&Store, Option<&C>) -> Result<(C, Store)>,
    ) -> Result<C> {
        let own = self.config(TRANSFORMER, read);
        let Some((path, store)) = other else { return own };
        let put = put_in(&store, own.ok().as_ref()).map_err(|error| error.context(path.display()));
        let (config, store) = put?;
        self.put(TRANSFORMER, store);
        Ok(config)
    }

    /// A CLIP in f32.
    ///
    /// # Errors
    ///
    /// Where configuration or weights are missing, or do not fit each other.
    pub(crate) fn clip(&self, name: &str, device: &Device) -> Result<ClipTextModel> {
        let config = self.config(name, ClipConfig::from_json)?;
        ClipTextModel::new(config, self.store(name)?.var_builder(DType::F32, device))
    }

    /// A T5 in the format that goes with a denoiser's.
    ///
    /// # Errors
    ///
    /// As [`Self::clip`].
    pub(crate) fn t5(&self, name: &str, device: &Device, denoiser: DType) -> Result<T5Encoder> {
        let config = self.config(name, T5Config::from_json)?;
        T5Encoder::of(config, &self.store(name)?, device, text_dtype(denoiser))
    }

    /// The autoencoder as far as the latent, in f32.
    ///
    /// # Errors
    ///
    /// As [`Self::clip`].
    pub(crate) fn vae_encoder(&self, config: VaeConfig, device: &Device) -> Result<VaeEncoder> {
        VaeEncoder::new(config, self.store(VAE)?.var_builder(DType::F32, device))
    }

    /// The autoencoder from the latent on, in f32.
    ///
    /// # Errors
    ///
    /// As [`Self::clip`].
    pub(crate) fn vae_decoder(&self, config: &VaeConfig, device: &Device) -> Result<VaeDecoder> {
        VaeDecoder::new(config.clone(), self.store(VAE)?.var_builder(DType::F32, device))
    }

    /// The configuration of the autoencoder, after that in a file or folder was put in its place where one is given. What no tensor
    /// shows of it is as in the folder's own, else as `published`.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that this program does not compute.
    pub(crate) fn autoencoder(&mut self, given: Option<&Path>, published: &Value) -> Result<VaeConfig> {
        let own = self.config(VAE, VaeConfig::from_json);
        let Some(path) = given else { return own };
        let like = own.or_else(|_| VaeConfig::from_json(published))?;
        let (config, store) = open_vae(path, &like).map_err(|error| error.context(path.display()))?;
        self.put(VAE, store);
        Ok(config)
    }
}

/// The format of a T5 or a Qwen3 beside a denoiser that computes in another: f16 overflows in the published ones.
pub(crate) fn text_dtype(denoiser: DType) -> DType {
    match denoiser {
        DType::F16 | DType::BF16 => DType::BF16,
        _ => DType::F32,
    }
}

/// Stem of the names of a network's weights.
fn stem(name: &str) -> &'static str {
    match name {
        TRANSFORMER | VAE => DIFFUSERS_STEM,
        _ => TEXT_WEIGHTS_STEM,
    }
}

/// The tensors of a denoiser's file, of its folder, or of the folder of a model, whose denoiser it is then.
///
/// # Errors
///
/// Where there is none.
pub(crate) fn open_transformer(path: &Path) -> Result<Store> {
    let inside = path.join(TRANSFORMER);
    match (path.is_dir(), inside.is_dir()) {
        (false, _) => Store::open(path),
        (true, true) => open_weights(&inside, DIFFUSERS_STEM),
        (true, false) => open_weights(path, DIFFUSERS_STEM),
    }
}

/// The transformer in the place of a folder's own, with its path: the one that is given, else that of the model's own file; it is
/// named in `notes`.
///
/// # Errors
///
/// Where the given one cannot be opened.
pub(crate) fn transformer_given(
    given: Option<PathBuf>,
    own_file: Option<(PathBuf, Store)>,
    notes: &mut Vec<String>,
) -> Result<Option<(PathBuf, Store)>> {
    let other = match given {
        Some(path) => {
            let store = open_transformer(&path).map_err(|error| error.context(path.display()))?;
            Some((path, store))
        }
        None => own_file,
    };
    let put = other.as_ref().map(|(path, _)| path.display());
    notes.extend(put.map(|path| format!("the transformer is that of {path}")));
    Ok(other)
}

/// The folder of the hub's layout with configurations for a file: beside it under its name without the ending, or the one that it lies
/// in. `is_one` knows a folder of the family.
pub(crate) fn folder_beside(path: &Path, is_one: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let folders = [Some(path.with_extension("")), path.parent().map(Path::to_owned)];
    folders.into_iter().flatten().find(|folder| is_one(folder))
}

fn open_vae(path: &Path, like: &VaeConfig) -> Result<(VaeConfig, Store)> {
    let inside = path.join(VAE);
    let (folder, store) = match (path.is_dir(), inside.is_dir()) {
        (false, _) => (None, Store::open(path)?),
        (true, true) => (Some(inside.as_path()), open_weights(&inside, DIFFUSERS_STEM)?),
        (true, false) => (Some(path), open_weights(path, DIFFUSERS_STEM)?),
    };
    let part = VaePart::find(&store).ok_or_else(|| {
        Error::failed(
            "it holds no autoencoder: encoder.down.0.block.0.conv1.weight or \
             encoder.down_blocks.0.resnets.0.conv1.weight was looked for",
        )
    })?;
    let beside = folder.map(|folder| folder.join("config.json"));
    let config = match beside.filter(|file| file.is_file()) {
        Some(file) => VaeConfig::from_json(&read_json(&file)?).map_err(|error| error.context(file.display()))?,
        None => part.config(Some(like), like.scaling_factor)?,
    };
    let store = part.store(&config);
    Ok((config, store))
}
