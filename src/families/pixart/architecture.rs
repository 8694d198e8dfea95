//! A configured PixArt without weights, and with them.

use candle_core::{DType, Device, Tensor};

use super::{PATCH, PixArt, PixArtConditions, PixArtConfig, Version, catalogue, prepare_prompt, prompt_tokens};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        networks::{Networks, TRANSFORMER, VAE},
        text::t5_tokenizer::T5Tokenizer,
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
    weights::check_tensors,
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Folders of the T5 and of its tokenizer.
pub(super) const T5: (&str, &str) = ("text_encoder", "tokenizer");

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: PixArtConfig,
    pub version: Version,
    /// Where they are, and what the autoencoder is; none where the model is not on this machine.
    pub networks: Option<(Networks, VaeConfig)>,
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
        let networks = self.networks.as_ref();
        networks.map_or(0.0, |(_, vae)| vae.encode_cost(picture.pixels()))
    }

    fn is_here(&self) -> bool {
        let networks = self.networks.as_ref();
        networks.is_some_and(|(networks, _)| [TRANSFORMER, VAE, T5.0].into_iter().all(|name| networks.has(name)))
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network> {
        const AFTER_VAE: f32 = 0.1;
        let (networks, vae_config) = self
            .networks
            .clone()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let vae = networks.vae_encoder(vae_config, &compute.device)?;
        progress(AFTER_VAE)?;
        let store = networks.store(TRANSFORMER)?;
        if extent != LoadExtent::Whole {
            // What is not read is checked too.
            check_tensors(&store, |vb| PixArt::new(self.config.clone(), LoadExtent::Whole, vb))?;
        }
        let network = PixArt::new(
            self.config.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(PixArtDenoiser {
            network,
            vae,
            networks,
            version: self.version,
            compute: compute.clone(),
        })))
    }
}

/// A PixArt with its weights; the text encoder is read when it is needed.
struct PixArtDenoiser {
    network: PixArt,
    vae: VaeEncoder,
    networks: Networks,
    version: Version,
    compute: Compute,
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
        let (encoder, tokenizer) = T5;
        let tokenizer = T5Tokenizer::from_folder(&self.networks.folder_of(tokenizer))?;
        let tokens = tokenizer.encode(&prepare_prompt(prompt), self.version.tokens())?;
        let mask = tokens.mask();
        let encoder = self.networks.t5(encoder, &self.compute.device, self.compute.dtype)?;
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
        self.networks.vae_decoder(self.vae.config(), &self.compute.device)
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
