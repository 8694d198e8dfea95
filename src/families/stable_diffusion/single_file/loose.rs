//! Networks that are given by themselves, to stand in the place of a model's own: a U-Net, an autoencoder, text encoders.
//! Each is a file, or a folder with its configuration.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::Value;

use super::{
    beside::{self, OnDisk},
    marks::Marks,
    shape_signature::ShapeSignature,
    text::{self, EncoderPart, TextKind},
    unet::UnetPart,
};
use crate::{
    components::{
        schedule::DiscreteSchedule,
        text::{ClipConfig, ClipTextModel, Padding, TEXT_WEIGHTS_STEM, TextPart, Tokenizer},
        vae::{VaeConfig, VaePart},
    },
    error::{Error, Result},
    families::stable_diffusion::unet::UnetConfig,
    weights::{DIFFUSERS_STEM, Store, read_json},
};

/// A U-Net by itself.
#[derive(Clone)]
pub struct LooseUnet {
    part: UnetPart,
    config: Option<UnetConfig>,
    marks: Marks,
    schedule: Option<DiscreteSchedule>,
}

impl LooseUnet {
    /// Opens a file, a folder of a U-Net, or of a whole model, whose U-Net it is then.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that this program does not know.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path) -> Result<Self> {
        let found = OnDisk::open(path, DIFFUSERS_STEM, "unet")?;
        let part = UnetPart::find(&found.store)?.ok_or_else(|| no_unet(&found.store))?;
        let config = beside::unet_config(path, &part, &found)?;
        let scheduler = path.join("scheduler/scheduler_config.json");
        let schedule = match scheduler.is_file() {
            true => Some(
                DiscreteSchedule::from_json(&read_json(&scheduler)?)
                    .map_err(|error| error.context(scheduler.display()))?,
            ),
            false => None,
        };
        Ok(Self {
            marks: Marks::of(&found.store)?,
            part,
            config,
            schedule,
        })
    }

    /// Its configuration in the place of `model`'s U-Net, and its tensors under diffusers' names; what was assumed is in
    /// `notes`.
    ///
    /// # Errors
    ///
    /// Where it is of another family than the model.
    pub(crate) fn put_into(&self, model: &UnetConfig, notes: &mut Vec<String>) -> Result<(UnetConfig, Store)> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                let config = self.part.config(Some(model)).map_err(|error| {
                    error.context("what the tensors do not tell was taken as in the model it is put into, but then")
                })?;
                if config != *model {
                    notes.push(
                        "the architecture of the U-Net was read from its tensors; its heads, groups and other settings \
                         that no tensor tells are taken as in the model it is put into"
                            .to_owned(),
                    );
                }
                config
            }
        };
        let read = |config: &UnetConfig| {
            let pooled = match config.text_time {
                Some(widths) => format!(" and a pooled text of width {}", widths.pooled),
                None => String::new(),
            };
            format!("a text of width {}{pooled}", config.cross_attention_dim)
        };
        let pooled = |config: &UnetConfig| config.text_time.map(|widths| widths.pooled);
        if config.cross_attention_dim != model.cross_attention_dim || pooled(&config) != pooled(model) {
            return Err(Error::usage(format!(
                "{} is of another family than the model: it reads {}, the model's U-Net {}",
                self.part.describe(),
                read(&config),
                read(model)
            )));
        }
        if config.latent_channels() != model.latent_channels() {
            return Err(Error::usage(format!(
                "the U-Net denoises latents of {} channels, the model's {}",
                config.latent_channels(),
                model.latent_channels()
            )));
        }
        let store = self.part.store(&config);
        Ok((config, store))
    }

    /// The schedule it was trained with, where it says one, else that of the model it is put into.
    pub fn schedule(&self, model: DiscreteSchedule, notes: &mut Vec<String>) -> Result<DiscreteSchedule> {
        self.marks.over(self.schedule.clone().unwrap_or(model), notes)
    }
}

/// Error about a file without a U-Net.
fn no_unet(store: &Store) -> Error {
    let other = other_in_words(store).unwrap_or_else(|| "no U-Net with text".to_owned());
    Error::failed(format!("it holds {other}, where a U-Net is asked for"))
}

/// Describes the contents of a file without a U-Net, and what to do with it; none where they are not recognised.
pub(crate) fn other_in_words(store: &Store) -> Option<String> {
    let adapts = |name: &str| {
        [".lora_", ".lora.", "hada_w1", "lokr_w", ".alpha", "oft_"]
            .iter()
            .any(|part| name.contains(part))
    };
    if store.names().any(adapts) {
        return Some("a LoRA or another adapter, which is put on a model: --lora FILE".to_owned());
    }
    if VaePart::find(store).is_some() {
        return Some("an autoencoder, which a model can take: --vae-file FILE".to_owned());
    }
    EncoderPart::alone(store).map(|_| "a text encoder, which a model can take: --text-encoder FILE".to_owned())
}

/// An autoencoder by itself.
#[derive(Clone)]
pub struct LooseVae {
    part: VaePart,
    config: Option<VaeConfig>,
}

impl LooseVae {
    /// Opens a file, a folder of an autoencoder, or of a whole model, whose autoencoder it is then.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path) -> Result<Self> {
        let found = OnDisk::open(path, DIFFUSERS_STEM, "vae")?;
        let part = VaePart::find(&found.store).ok_or_else(|| {
            Error::failed(
                "it holds no autoencoder of Stable Diffusion: encoder.down.0.block.0.conv1.weight or \
                 encoder.down_blocks.0.resnets.0.conv1.weight was looked for",
            )
        })?;
        let config = match &found.config {
            Some((json, file)) => {
                let config = VaeConfig::from_json(json).map_err(|error| error.context(file.display()));
                match (config, found.own) {
                    (Err(error), true) => return Err(error),
                    (Ok(config), own) if own || part.fits(&config) => Some(config),
                    _ => None,
                }
            }
            None => None,
        };
        Ok(Self { part, config })
    }

    /// Its configuration in the place of a `model`'s autoencoder, if that has one, with a U-Net of a kind, and its tensors
    /// under diffusers' names.
    pub(crate) fn put_into(&self, model: Option<&VaeConfig>, unet: &UnetConfig) -> Result<(VaeConfig, Store)> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                let kind = TextKind::of_unet(&ShapeSignature::of_config(unet));
                self.part.config(model, kind.scaling())?
            }
        };
        let store = self.part.store(&config);
        Ok((config, store))
    }
}

/// A text encoder by itself.
#[derive(Clone)]
pub struct LooseText {
    /// Where it was opened, as the user named it.
    pub path: PathBuf,
    part: EncoderPart,
    config: Option<Value>,
    folder: PathBuf,
}

/// A text encoder in its place in a model.
#[derive(Clone)]
pub struct TextNetwork {
    /// Where it was opened, as the user named it.
    pub path: PathBuf,
    config: ClipConfig,
    store: Store,
    padding: Padding,
    tokenizer: Option<PathBuf>,
}

impl LooseText {
    /// Opens a file, or a folder of a text encoder.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path) -> Result<Self> {
        let found = OnDisk::open(path, TEXT_WEIGHTS_STEM, TextPart::First.encoder_folder())?;
        let part = EncoderPart::alone(&found.store).ok_or_else(|| {
            Error::failed(
                "it holds no text encoder of Stable Diffusion: text_model.embeddings.token_embedding.weight or \
                 token_embedding.weight was looked for",
            )
        })?;
        let config = match found.config {
            Some((json, file)) => match (
                text::of_text(&json).map_err(|error| error.context(file.display())),
                found.own,
            ) {
                (Err(error), true) => return Err(error),
                (Ok(config), own) if own || part.fits(&config) => Some(json),
                _ => None,
            },
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            part,
            config,
            folder: found.folder,
        })
    }

    /// In its place in a model with this U-Net.
    pub(crate) fn put_into(&self, unet: &UnetConfig, part: TextPart) -> Result<TextNetwork> {
        let role = TextKind::of_unet(&ShapeSignature::of_config(unet)).role(part);
        let config = self.part.config(role, self.config.as_ref())?;
        // In the hub's layout the tokenizer lies beside the encoder.
        let tokenizer = self.folder.parent().map(|model| model.join(part.tokenizer_folder()));
        Ok(TextNetwork {
            path: self.path.clone(),
            store: self.part.store(config.num_hidden_layers),
            config,
            padding: role.padding,
            tokenizer: tokenizer.filter(|folder| folder.is_dir()),
        })
    }

    /// Which of the given encoders stand in which place of a model with this U-Net: the one whose pooled state is as wide
    /// as the U-Net reads is SDXL's second, where that distinguishes them, else they stand as they were given.
    ///
    /// # Errors
    ///
    /// Where there are more than the model has.
    pub fn places(given: &[Self], unet: &UnetConfig) -> Result<[Option<TextNetwork>; 2]> {
        let kind = TextKind::of_unet(&ShapeSignature::of_config(unet));
        let is_second = |text: &Self| {
            let (_, pooled) = text.part.widths();
            unet.text_time.is_some_and(|widths| widths.pooled == pooled)
        };
        let (first, second) = match given {
            [] => (None, None),
            [one] if is_second(one) => (None, Some(one)),
            [one] => (Some(one), None),
            [one, other] if is_second(one) && !is_second(other) => (Some(other), Some(one)),
            [one, other] => (Some(one), Some(other)),
            _ => (None, None),
        };
        let most = kind.parts().len();
        if given.len() > most {
            return Err(Error::usage(format!(
                "--text-encoder: {} has {most}, {} are given",
                kind.model_name(),
                given.len()
            )));
        }
        let put = |text: Option<&Self>, part| text.map(|text| text.put_into(unet, part)).transpose();
        Ok([put(first, TextPart::First)?, put(second, TextPart::Second)?])
    }
}

impl TextNetwork {
    /// The encoder, in f32.
    pub fn model(&self, device: &Device) -> Result<ClipTextModel> {
        ClipTextModel::new(self.config.clone(), self.store.var_builder(DType::F32, device))
    }

    /// The encoder without its numbers: what layers it has.
    pub(crate) fn without_weights(&self) -> Result<ClipTextModel> {
        ClipTextModel::without_weights(self.config.clone(), &self.store)
    }

    /// The tokenizer that lies beside the encoder, else `model`'s, else CLIP's own.
    pub fn tokenizer(&self, model: Option<&Path>) -> Result<Tokenizer> {
        match self.tokenizer.as_deref().or(model) {
            Some(folder) => Tokenizer::from_folder(folder),
            None => Tokenizer::embedded(self.padding),
        }
    }
}
