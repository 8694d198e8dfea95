//! Stable Diffusion in one file with the names of its authors, as web UIs keep it. In: a file, and configurations that
//! may lie beside it. Out: configurations, and tensors under the names of the hub's folders, so that the same networks
//! are built from both. `extract` calls it.
//!
//! The architecture is read from the names and shapes of the tensors. What these do not tell (groups, heads, what is
//! predicted) is as in the published models, unless a folder in the hub's layout says otherwise: the one beside the file
//! that has its name without the ending, or the folder that the file lies in, where its U-Net is of the same shape.

mod outline;
mod rules;
mod text;
mod unet;
mod vae;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::Value;

pub(super) use self::unet::RESNET;
use self::{outline::Outline, text::TextKind};
use super::{
    schedule::{Prediction, Schedule},
    text::{ClipConfig, ClipTextModel, Padding, TextPart, Tokenizer},
    unet::UnetConfig,
    vae::VaeConfig,
};
use crate::{
    error::{Error, Result},
    weights::{Store, read_json},
};

/// What the names of each network begin with.
const UNET_PREFIX: &str = "model.diffusion_model.";
const VAE_PREFIX: &str = "first_stage_model.";

/// A Stable Diffusion in one file.
#[derive(Clone)]
pub struct Original {
    store: Store,
    /// Configuration of the U-Net.
    pub unet: UnetConfig,
    /// Configuration of the autoencoder.
    pub vae: VaeConfig,
    /// How much picture and how much noise a timestep means, and what is predicted.
    pub schedule: Schedule,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// What was recognised, and what was assumed because no tensor tells it.
    pub notes: Vec<String>,
    text: TextKind,
    /// A folder of the hub's layout with configurations for this file.
    beside: Option<PathBuf>,
}

/// Whether the tensors are those of a whole Stable Diffusion in one file.
pub fn recognises(store: &Store) -> bool {
    store.shape(&format!("{UNET_PREFIX}input_blocks.0.0.weight")).is_some()
}

impl Original {
    /// Reads what the file is; `path` is where `store` was opened.
    pub fn open(path: &Path, store: Store) -> Result<Self> {
        Self::read(path, store).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path, store: Store) -> Result<Self> {
        refuse_other_schedules(&store)?;
        let outline = Outline::of_tensors(&store)?;
        let text = TextKind::of(&store)?;
        let beside = folder_beside(path, &outline)?;
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
        let vae = match config("vae/config.json")? {
            Some((json, file)) => VaeConfig::from_json(&json).map_err(|error| error.context(file.display()))?,
            None => VaeConfig::from_json(&vae::config(&store, text)?).map_err(taken_as_published)?,
        };
        let (unet, native_side) = match config("unet/config.json")? {
            Some((json, file)) => {
                let unet = UnetConfig::from_json(&json).map_err(|error| error.context(file.display()))?;
                let side = unet.sample_size * vae.stride();
                (unet, side)
            }
            None => {
                let unet = UnetConfig::from_json(&outline.config()).map_err(taken_as_published)?;
                (unet, text.native_side())
            }
        };
        let mut notes = vec![format!("one file, recognised as {}", text.model_name())];
        let schedule = match config("scheduler/scheduler_config.json")? {
            Some((json, file)) => Schedule::from_json(&json).map_err(|error| error.context(file.display()))?,
            None => {
                let prediction = prediction(&store, text, &mut notes);
                Schedule::stable_diffusion().with_prediction(prediction)
            }
        };
        Ok(Self {
            unet,
            vae,
            schedule,
            native_side,
            notes,
            text,
            beside,
            store,
        })
    }

    /// The U-Net's tensors under the names of `unet/diffusion_pytorch_model.safetensors`.
    pub fn unet_store(&self) -> Result<Store> {
        self.store.renamed(unet::rules(&self.unet))
    }

    /// The autoencoder's tensors under the names of `vae/diffusion_pytorch_model.safetensors`.
    pub fn vae_store(&self) -> Result<Store> {
        self.store.renamed(vae::rules(&self.vae))
    }

    /// A text encoder, in f32.
    pub fn text_model(&self, part: TextPart, device: &Device) -> Result<ClipTextModel> {
        let config = self.text_config(part)?;
        let store = self.text_store(part)?;
        ClipTextModel::new(config, store.var_builder(DType::F32, device))
    }

    /// A text encoder without its numbers: what layers it has.
    pub fn text_outline(&self, part: TextPart) -> Result<ClipTextModel> {
        ClipTextModel::outline(self.text_config(part)?, &self.text_store(part)?)
    }

    /// A text encoder's tensors under the names of `text_encoder/model.safetensors`.
    pub fn text_store(&self, part: TextPart) -> Result<Store> {
        let layers = self.text_config(part)?.num_hidden_layers;
        self.store.renamed(self.text.encoder(part)?.rules(layers))
    }

    fn text_config(&self, part: TextPart) -> Result<ClipConfig> {
        let config = self.config_beside(&format!("{}/config.json", part.encoder_folder()))?;
        self.text.encoder(part)?.config(&self.store, config.as_ref())
    }

    /// The tokenizer of a text encoder: the one beside the file, else CLIP's own.
    pub fn tokenizer(&self, part: TextPart) -> Result<Tokenizer> {
        let beside = self
            .beside
            .as_ref()
            .map(|folder| folder.join(part.tokenizer_folder()))
            .filter(|folder| folder.is_dir());
        match beside {
            Some(folder) => Tokenizer::from_folder(&folder),
            None => Tokenizer::embedded(if self.text.encoder(part)?.is_open_clip() {
                Padding::Zero
            } else {
                Padding::EndOfText
            }),
        }
    }

    fn config_beside(&self, name: &str) -> Result<Option<Value>> {
        let file = self.beside.as_ref().map(|folder| folder.join(name));
        file.filter(|file| file.is_file())
            .map(|file| read_json(&file))
            .transpose()
    }
}

fn taken_as_published(error: Error) -> Error {
    error.context("what the tensors do not tell was taken as in the published models, but then")
}

/// The folder whose configurations are those of the file.
fn folder_beside(path: &Path, outline: &Outline) -> Result<Option<PathBuf>> {
    let own = path.with_extension("");
    if own.is_dir() && own != path {
        if let Some(found) = outline_in(&own)?
            && found != *outline
        {
            return Err(Error::failed(format!(
                "{}/unet/config.json describes another U-Net than the tensors are of: {found:?} instead of {outline:?}; \
                 rename the folder if it does not belong to the file",
                own.display()
            )));
        }
        return Ok(Some(own));
    }
    // Repositories keep such a file beside the folders of the same model, but so do people who keep many models in one
    // place: only what fits is used.
    let around = path
        .parent()
        .filter(|folder| matches!(outline_in(folder), Ok(Some(found)) if found == *outline));
    Ok(around.map(Path::to_owned))
}

/// The outline of the U-Net that a folder describes, if it describes one.
fn outline_in(folder: &Path) -> Result<Option<Outline>> {
    let file = folder.join("unet/config.json");
    if !file.is_file() {
        return Ok(None);
    }
    let config = UnetConfig::from_json(&read_json(&file)?).map_err(|error| error.context(file.display()))?;
    Ok(Some(Outline::of_config(&config)))
}

/// Models whose files say that another mixture of picture and noise belongs to a timestep.
fn refuse_other_schedules(store: &Store) -> Result<()> {
    for (tensor, meaning) in [
        (
            "edm_mean",
            "EDM's schedule and its own scaling of latents (Playground 2.5)",
        ),
        ("edm_vpred.sigma_max", "EDM's schedule"),
        ("ztsnr", "a schedule that ends in pure noise (zero terminal SNR)"),
    ] {
        if store.shape(tensor).is_some() {
            return Err(Error::failed(format!(
                "the file has a tensor \"{tensor}\": the model was trained with {meaning}, which this version does not \
                 compute"
            )));
        }
    }
    Ok(())
}

/// What the network predicts, and in `notes` why that is assumed. Only the newer files say it, by a tensor `v_pred`.
fn prediction(store: &Store, text: TextKind, notes: &mut Vec<String>) -> Prediction {
    if store.shape("v_pred").is_some() {
        return Prediction::V;
    }
    if text != TextKind::Sd2 {
        return Prediction::Epsilon;
    }
    notes.push(
        "Stable Diffusion 2 was published predicting v (at 768 pixels) and predicting noise (base, at 512), and no \
         tensor tells which: v and 768 are assumed; a folder beside the file with its name and a \
         scheduler/scheduler_config.json says otherwise (activations do not depend on it)"
            .to_owned(),
    );
    Prediction::V
}
