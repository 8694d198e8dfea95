//! A configured PixArt without weights, and with them.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::{PATCH, PixArt, PixArtConditions, PixArtConfig, Version, catalogue, prepare_prompt, prompt_tokens};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        text::{t5::T5Encoder, t5_tokenizer::T5Tokenizer},
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        compat::Compat,
        denoiser::{Conditioning, Denoiser, Step},
        spec::{Architecture, Network},
    },
    weights::{DIFFUSERS_STEM, find_weights, open_weights},
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Stem of the text encoder's weights.
const TEXT_WEIGHTS_STEM: &str = "model";

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: PixArtConfig,
    pub version: Version,
    /// The folder of the hub's layout; none where the model is not on this machine.
    pub files: Option<Files>,
}

/// A folder of the hub's layout, and its autoencoder.
#[derive(Clone)]
pub(super) struct Files {
    pub folder: PathBuf,
    pub vae: VaeConfig,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: LATENT_STRIDE * PATCH,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.config.latent_channels(), height, width]
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width), tokens);
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(self.version.tokens())
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let files = self.files.as_ref();
        files.map_or(0.0, |files| files.vae.encode_cost(picture.pixels()))
    }

    fn is_here(&self) -> bool {
        self.files.as_ref().is_some_and(|files| {
            [
                ("transformer", DIFFUSERS_STEM),
                ("vae", DIFFUSERS_STEM),
                ("text_encoder", TEXT_WEIGHTS_STEM),
            ]
            .iter()
            .all(|(name, stem)| find_weights(&files.folder.join(name), stem).is_ok())
        })
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network> {
        const AFTER_VAE: f32 = 0.1;
        let files = self
            .files
            .clone()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let store = open_weights(&files.folder.join("vae"), DIFFUSERS_STEM)?;
        let vae = VaeEncoder::new(files.vae.clone(), store.var_builder(DType::F32, &compute.device))?;
        progress(AFTER_VAE)?;
        let store = open_weights(&files.folder.join("transformer"), DIFFUSERS_STEM)?;
        if extent != LoadExtent::Whole {
            // Names and shapes of what is not read are checked too, in a format that no operator prepares weights for.
            let outline = store.without_values().var_builder(DType::F16, &Device::Cpu);
            PixArt::new(self.config.clone(), LoadExtent::Whole, outline)?;
        }
        let network = PixArt::new(
            self.config.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(PixArtDenoiser {
            network,
            vae,
            files,
            version: self.version,
            compute: compute.clone(),
        })))
    }
}

/// A PixArt with its weights; the text encoder is read when it is needed.
struct PixArtDenoiser {
    network: PixArt,
    vae: VaeEncoder,
    files: Files,
    version: Version,
    compute: Compute,
}

impl PixArtDenoiser {
    /// The format that T5 is computed in: f16 overflows in the published one.
    fn text_dtype(&self) -> DType {
        match self.compute.dtype {
            DType::F16 | DType::BF16 => DType::BF16,
            _ => DType::F32,
        }
    }
}

/// The size of the pictures whose latents (B, C, h, w) are.
fn picture_size(latents: &Tensor) -> Result<Size> {
    let (_, _, height, width) = latents.dims4()?;
    Ok(Size::new(width, height).map(|side| side * LATENT_STRIDE))
}

impl Denoiser for PixArtDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let tokenizer = T5Tokenizer::from_folder(&self.files.folder.join("tokenizer"))?;
        let tokens = tokenizer.encode(&prepare_prompt(prompt), self.version.tokens())?;
        let mask = tokens.mask();
        let folder = self.files.folder.join("text_encoder");
        let encoder = T5Encoder::from_folder(&folder, &self.compute.device, self.text_dtype())?;
        let states = encoder.forward(
            std::slice::from_ref(&tokens.ids),
            Some(std::slice::from_ref(&mask)),
            progress,
        )?;
        Ok(Some(Conditioning {
            states: states.to_dtype(DType::F32)?,
            mask: Some(mask.into()),
            pooled: None,
            second: None,
            tokens: prompt_tokens(&tokens).into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let Some(conditioning) = step.conditioning else {
            return Err(Error::failed("a transformer that attends to text was run without text").into());
        };
        let timesteps = vec![step.t.value() as f32; step.input.dim(0)?];
        let conditions = PixArtConditions {
            text: &conditioning.states.to_dtype(self.compute.dtype)?,
            mask: conditioning.mask.as_deref(),
            size: picture_size(step.input)?,
        };
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &timesteps, &conditions, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        let store = open_weights(&self.files.folder.join("vae"), DIFFUSERS_STEM)?;
        VaeDecoder::new(
            self.files.vae.clone(),
            store.var_builder(DType::F32, &self.compute.device),
        )
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let (input, device) = (step.input, &Device::Cpu);
        let rows = input.dim(0)?;
        let of_rows = |numbers: Vec<f32>| -> Result<Tensor> {
            let numbers = Tensor::new(numbers, device)?.unsqueeze(0)?;
            Ok(numbers.repeat((rows, 1))?)
        };
        let mut beside = Vec::new();
        if let Some(mask) = step.conditioning.and_then(|conditioning| conditioning.mask.as_ref()) {
            let mask = mask.iter().map(|counts| f32::from(*counts)).collect();
            beside.push(("mid.encoder_attention_mask", of_rows(mask)?));
        }
        if self.network.has_size_conditions() {
            let Size { width, height } = picture_size(step.input)?;
            let (width, height) = (width as f32, height as f32);
            beside.push(("mid.resolution", of_rows(vec![height, width])?));
            beside.push(("mid.aspect_ratio", of_rows(vec![height / width])?));
        }
        Ok(beside)
    }
}
