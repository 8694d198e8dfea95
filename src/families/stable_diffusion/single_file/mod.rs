//! Stable Diffusion in one file, as web UIs keep it, and networks of it that lie by themselves. In: files with the names of
//! the authors or of diffusers, and configurations that may lie beside them. Out: configurations, and tensors under the
//! names of the hub's folders, so that the same networks are built from all. `extract` calls it.
//!
//! The architecture is read from the names and shapes of the tensors. What these do not show (groups, heads, what is
//! predicted) is as in the published models, unless a folder in the hub's layout says otherwise: the one beside the file
//! that has its name without the ending, or the folder that the file lies in, where its U-Net is of the same shape.

mod beside;
mod loose;
mod marks;
mod names;
mod shape_signature;
mod text;
mod unet;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::Value;

pub(crate) use self::beside::{Network, network_in_folder};
pub(crate) use self::loose::{LooseText, LooseUnet, LooseVae, TextNetwork, other_in_words};
pub(super) use self::unet::RESNET;
pub(crate) use self::unet::UnetPart;
use self::{
    beside::{OnDisk, folder_beside},
    marks::Marks,
    text::{EncoderPart, Role, TextKind},
};
use super::unet::UnetConfig;
use crate::{
    components::{
        schedule::DiscreteSchedule,
        text::{ClipConfig, ClipTextModel, TextPart, Tokenizer},
        vae::{VaeConfig, VaePart},
    },
    error::{Error, Result},
    weights::{DIFFUSERS_STEM, Store, read_json},
};

/// A Stable Diffusion in one file, which may lack all but the U-Net.
#[derive(Clone)]
pub struct SingleFile {
    /// Configuration of the U-Net.
    pub unet: UnetConfig,
    /// Configuration of the autoencoder; none where the file holds none.
    pub vae: Option<VaeConfig>,
    /// How much picture and how much noise a timestep means, and what is predicted.
    pub schedule: DiscreteSchedule,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// Notes on what was recognised, and what was assumed because no tensor shows it.
    pub notes: Vec<String>,
    unet_part: UnetPart,
    vae_part: Option<VaePart>,
    /// The text encoders that the file holds, in the order of their states.
    text_parts: [Option<EncoderPart>; 2],
    text: TextKind,
    /// A folder of the hub's layout with configurations for this file.
    beside: Option<PathBuf>,
}

/// Whether the tensors are those of a Stable Diffusion in one file, or of its U-Net alone.
pub fn recognises(store: &Store) -> bool {
    UnetPart::is_in(store)
}

/// The U-Net of a file that holds nothing else of a model.
///
/// # Errors
///
/// As [`UnetPart::find`].
pub(crate) fn lone_unet(store: &Store) -> Result<Option<UnetPart>> {
    let text = EncoderPart::of_model(store, TextPart::First)?;
    match VaePart::find(store).is_none() && text.is_none() {
        true => UnetPart::find(store),
        false => Ok(None),
    }
}

/// The same of a folder with a network and its configuration.
///
/// # Errors
///
/// As [`UnetPart::find`], and where the folder holds no weights.
pub(crate) fn lone_unet_in(folder: &Path) -> Result<Option<UnetPart>> {
    lone_unet(&OnDisk::open(folder, DIFFUSERS_STEM, "unet")?.store)
}

impl SingleFile {
    /// Reads what the file is; `path` is where `store` was opened.
    ///
    /// # Errors
    ///
    /// Where the tensors are none of a Stable Diffusion, and where what they tell of a network is nothing that this
    /// program computes.
    pub fn open(path: &Path, store: Store) -> Result<Self> {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let found = OnDisk {
            store,
            config: None,
            own: false,
            folder,
        };
        Self::read(path, &found).map_err(|error| error.context(path.display()))
    }

    /// Reads a folder with a U-Net and its configuration alone.
    pub(crate) fn open_folder(path: &Path) -> Result<Self> {
        let found = OnDisk::open(path, DIFFUSERS_STEM, "unet")?;
        Self::read(path, &found).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path, found: &OnDisk) -> Result<Self> {
        let store = &found.store;
        let marks = Marks::of(store)?;
        let unet_part = UnetPart::find(store)?.ok_or_else(|| Error::failed("the file holds no U-Net with text"))?;
        let text = TextKind::of_unet(&unet_part.shape_signature);
        let vae_part = VaePart::find(store);
        let mut text_parts = [None, None];
        for (part, place) in text.parts().iter().zip(&mut text_parts) {
            *place = EncoderPart::of_model(store, *part)?;
        }
        let beside = folder_beside(path, &unet_part)?;
        let config = |name: &str| -> Result<Option<(Value, PathBuf)>> {
            let Some(file) = beside
                .as_ref()
                .map(|folder| folder.join(name))
                .filter(|file| file.is_file())
            else {
                return Ok(None);
            };
            Ok(Some((read_json(&file)?, file)))
        };
        let vae = match (&vae_part, config("vae/config.json")?) {
            (None, _) => None,
            (Some(_), Some((json, file))) => {
                Some(VaeConfig::from_json(&json).map_err(|error| error.context(file.display()))?)
            }
            (Some(part), None) => Some(part.config(None, text.scaling()).map_err(taken_as_published)?),
        };
        let own = match config("unet/config.json")? {
            Some((json, file)) => Some(UnetConfig::from_json(&json).map_err(|error| error.context(file.display()))?),
            // A U-Net alone has its configuration beside it, or none.
            None if vae_part.is_none() => beside::unet_config(path, &unet_part, found)?,
            None => None,
        };
        let (unet, native_side) = match own {
            Some(unet) => {
                let side = unet.sample_size * vae.as_ref().map_or(LATENT_STRIDE, VaeConfig::stride);
                (unet, side)
            }
            None => (
                unet_part.config(None).map_err(taken_as_published)?,
                marks.native_side(text),
            ),
        };
        let mut notes = vec![format!("one file, recognised as {}", text.model_name())];
        let schedule = match config("scheduler/scheduler_config.json")? {
            Some((json, file)) => DiscreteSchedule::from_json(&json).map_err(|error| error.context(file.display()))?,
            None => marks.schedule(text, &mut notes)?,
        };
        Ok(Self {
            unet,
            vae,
            schedule,
            native_side,
            notes,
            unet_part,
            vae_part,
            text_parts,
            text,
            beside,
        })
    }

    /// Which networks a model needs and the file lacks.
    pub fn lacks(&self) -> Lacking {
        let places = self.text.parts().iter().zip(&self.text_parts);
        Lacking {
            vae: self.vae.is_none(),
            text: places
                .filter(|(_, found)| found.is_none())
                .map(|(part, _)| *part)
                .collect(),
        }
    }

    /// The U-Net in the file.
    pub(crate) fn unet_part(&self) -> &UnetPart {
        &self.unet_part
    }

    /// The U-Net's tensors under the names of `unet/diffusion_pytorch_model.safetensors`.
    pub(crate) fn unet_store(&self) -> Store {
        self.unet_part.store(&self.unet)
    }

    /// The autoencoder's tensors under the names of `vae/diffusion_pytorch_model.safetensors`.
    pub(crate) fn vae_store(&self) -> Result<Store> {
        match (&self.vae_part, &self.vae) {
            (Some(part), Some(config)) => Ok(part.store(config)),
            _ => Err(Error::failed("the file holds no autoencoder")),
        }
    }

    /// A text encoder, in f32.
    ///
    /// # Errors
    ///
    /// Where the file has no such encoder, or one of its tensors is missing or has another shape.
    pub fn text_model(&self, part: TextPart, device: &Device) -> Result<ClipTextModel> {
        let config = self.text_config(part)?;
        let store = self.text_store(part)?;
        ClipTextModel::new(config, store.var_builder(DType::F32, device))
    }

    /// A text encoder without its numbers: what layers it has.
    pub(crate) fn text_without_weights(&self, part: TextPart) -> Result<ClipTextModel> {
        ClipTextModel::without_weights(self.text_config(part)?, &self.text_store(part)?)
    }

    /// A text encoder's tensors under the names of `text_encoder/model.safetensors`.
    ///
    /// # Errors
    ///
    /// Where the file has no such encoder.
    pub fn text_store(&self, part: TextPart) -> Result<Store> {
        let layers = self.text_config(part)?.num_hidden_layers;
        Ok(self.encoder(part)?.store(layers))
    }

    fn text_config(&self, part: TextPart) -> Result<ClipConfig> {
        let config = self.config_beside(&format!("{}/config.json", part.encoder_folder()))?;
        self.encoder(part)?.config(self.role(part), config.as_ref())
    }

    fn encoder(&self, part: TextPart) -> Result<&EncoderPart> {
        let [first, second] = &self.text_parts;
        let found = match part {
            TextPart::First => first,
            TextPart::Second => second,
        };
        found.as_ref().ok_or_else(|| {
            Error::failed(format!(
                "the file holds no tensors of {} of {}",
                part.encoder_folder(),
                self.text.model_name()
            ))
        })
    }

    fn role(&self, part: TextPart) -> Role {
        self.text.role(part)
    }

    /// The folder of the tokenizer that lies beside the file.
    pub(crate) fn tokenizer_folder(&self, part: TextPart) -> Option<PathBuf> {
        let folder = self.beside.as_ref()?.join(part.tokenizer_folder());
        folder.is_dir().then_some(folder)
    }

    /// The tokenizer of a text encoder: the one beside the file, else CLIP's own.
    ///
    /// # Errors
    ///
    /// Where the tokenizer beside the file cannot be read.
    pub fn tokenizer(&self, part: TextPart) -> Result<Tokenizer> {
        match self.tokenizer_folder(part) {
            Some(folder) => Tokenizer::from_folder(&folder),
            None => Tokenizer::embedded(self.role(part).padding),
        }
    }

    fn config_beside(&self, name: &str) -> Result<Option<Value>> {
        let file = self.beside.as_ref().map(|folder| folder.join(name));
        file.filter(|file| file.is_file())
            .map(|file| read_json(&file))
            .transpose()
    }
}

/// Networks of a whole model that a file lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The autoencoder.
    pub vae: bool,
    /// Text encoders.
    pub text: Vec<TextPart>,
}

/// Pixels per position of the latent of every Stable Diffusion, along a side.
const LATENT_STRIDE: usize = 8;

fn taken_as_published(error: Error) -> Error {
    error.context("what the tensors do not tell was taken as in the published models, but then")
}
