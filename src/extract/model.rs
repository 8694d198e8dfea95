//! A model with its weights on a device, and what it remembers between passes: encoded pictures and prompts.

use std::sync::Arc;

use candle_core::Tensor;

use super::{allocator::KeptPages, lru::LruCache};
use crate::{
    activation::{Probe, Progress, Stop},
    components::{
        schedule::Timestep,
        vae::{Posterior, VaeDecoder},
    },
    device::Compute,
    error::{Error, Result},
    geometry::Size,
    image::picture::Picture,
    model::{
        LoadExtent,
        adapters::{Adapters, AppliedAdapters, EmbeddingUse, LoraUse},
        compat::{Compat, PUBLISHED_SCALING},
        control::{ControlInput, ControlSignal},
        denoiser::{AdapterHost, Conditioning, Denoiser, LatentDistribution, Step},
        encoder::Encoder,
        spec::{ModelSpec, Network},
        tokens::PromptToken,
    },
};

/// Encoded pictures kept: a latent is small, encoding one costs as much as a pass.
const KEPT_PICTURES: usize = 32;
/// Encoded prompts kept.
const KEPT_PROMPTS: usize = 32;

/// A model with its weights.
pub struct Model {
    /// What its configuration says.
    pub spec: ModelSpec,
    /// Where it computes.
    pub place: Compute,
    network: Network,
    pictures: LruCache<u64, Posterior>,
    prompts: LruCache<PromptKey, Conditioning>,
    /// Those of the prompt that was encoded last.
    tokens: Arc<[PromptToken]>,
    /// The last field: it goes after the weights.
    _pages: KeptPages,
}

/// What the states of a prompt depend on.
#[derive(Debug, Clone, PartialEq)]
struct PromptKey {
    prompt: String,
    on_prompts: (Vec<LoraUse>, Vec<EmbeddingUse>),
    compat: Option<Compat>,
}

impl Model {
    /// Reads the weights as far as `extent`; a wrong or broken tensor is named before anything runs.
    ///
    /// # Errors
    ///
    /// Where weights are not here, broken, or not those of the configuration.
    pub fn load(spec: &ModelSpec, place: Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Self> {
        let pages = KeptPages::keep(&place.device);
        progress(0.0)?;
        if let (Some(how), false) = (&spec.how_to_get, spec.is_here()) {
            return Err(Error::failed(format!(
                "the weights of {} are not on this machine: {how}, or give a folder or a file as the model",
                spec.name
            )));
        }
        let network = spec.network.load(&place, extent, progress)?;
        progress(1.0)?;
        Ok(Self {
            spec: spec.clone(),
            place,
            network,
            pictures: LruCache::new(KEPT_PICTURES),
            prompts: LruCache::new(KEPT_PROMPTS),
            tokens: Arc::default(),
            _pages: pages,
        })
    }

    fn denoiser(&self) -> Result<&dyn Denoiser> {
        match &self.network {
            Network::Denoiser(denoiser) => Ok(&**denoiser),
            Network::Encoder(_) => Err(Error::failed("an image encoder was asked for what a denoiser does")),
        }
    }

    /// The network of an image encoder; none of a denoiser.
    pub(super) fn encoder(&self) -> Option<&dyn Encoder> {
        match &self.network {
            Network::Encoder(encoder) => Some(&**encoder),
            Network::Denoiser(_) => None,
        }
    }

    /// What LoRAs, ControlNets and embeddings are put on; none where the model takes none.
    fn adapter_host(&self) -> Option<&dyn AdapterHost> {
        self.denoiser().ok()?.adapters()
    }

    /// Encodes a working picture; known pictures are not encoded again.
    ///
    /// # Errors
    ///
    /// Where `progress` ends the work, or the device fails.
    pub fn encode_image(&mut self, picture: &Picture, progress: &mut Progress<'_>) -> Result<LatentDistribution> {
        let key = fingerprint(picture);
        if let Some(known) = self.pictures.get(&key) {
            return Ok(LatentDistribution::Posterior(known));
        }
        let Size { width, height } = picture.size();
        let pixels = picture.to_chw(self.spec.size_rule().pixel_range());
        let pixels = Tensor::from_vec(pixels, (1, 3, height, width), &self.place.device)?;
        let Some(vae) = self.denoiser()?.autoencoder() else {
            return Ok(LatentDistribution::Pixels(pixels));
        };
        let posterior = vae.encode(&pixels, progress)?;
        self.pictures.put(key, posterior.clone(), 1);
        Ok(LatentDistribution::Posterior(posterior))
    }

    /// What encoding a working picture takes, in the unit of [`Cost`](crate::activation::Cost): nothing for one that is known.
    pub fn encode_cost(&self, picture: &Picture) -> f64 {
        match self.pictures.holds(&fingerprint(picture)) {
            true => 0.0,
            false => self.spec.encode_cost(picture.size()),
        }
    }

    /// A scaled latent as generic-diffusion-feature's DDIM inversion scales it.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn published_latent(&self, scaled: &Tensor) -> Result<Tensor> {
        match self.denoiser()?.autoencoder() {
            Some(vae) => Ok((scaled * (PUBLISHED_SCALING / vae.config().scaling_factor))?),
            None => Ok(scaled.clone()),
        }
    }

    /// The latent the noise is mixed with, from samples (B, C, h, w) of the posterior; pixels stay what they are.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn scale(&self, sample: &Tensor) -> Result<Tensor> {
        match self.denoiser()?.autoencoder() {
            Some(vae) => vae.scale(sample),
            None => Ok(sample.clone()),
        }
    }

    /// What the model reads of a prompt, if it reads one. The text encoders are large: they are read, used and let go;
    /// known prompts are not encoded again.
    ///
    /// # Errors
    ///
    /// Where a text encoder is broken or does not fit, and where `progress` ends the work.
    pub fn encode_prompt(
        &mut self,
        prompt: &str,
        compat: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let Network::Denoiser(denoiser) = &mut self.network else {
            return Ok(None);
        };
        let key = PromptKey {
            prompt: prompt.to_owned(),
            on_prompts: denoiser.adapters().map(|host| host.on_prompts()).unwrap_or_default(),
            compat,
        };
        let conditioning = match self.prompts.get(&key) {
            Some(known) => known,
            None => {
                let Some(encoded) = denoiser.encode_prompt(prompt, compat, progress)? else {
                    return Ok(None);
                };
                self.prompts.put(key, encoded.clone(), 1);
                encoded
            }
        };
        self.tokens = Arc::clone(&conditioning.tokens);
        Ok(Some(conditioning))
    }

    /// The tokens of the prompt that was encoded last; none for a model without text.
    pub fn tokens(&self) -> &[PromptToken] {
        &self.tokens
    }

    /// What the denoiser takes for noisy latents and clean ones, (B, C, h, w) each.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn denoiser_input(&self, noisy: &Tensor, clean: &Tensor) -> Result<Tensor> {
        self.denoiser()?.input(noisy, clean)
    }

    /// The timestep as the network itself is given it.
    pub fn network_timestep(&self, t: Timestep) -> f64 {
        self.denoiser()
            .map_or(t.value(), |denoiser| denoiser.network_timestep(t))
    }

    /// What the denoiser is given beside rows (B, C, h, w), by its name among the intermediates of a pass.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        self.denoiser()?.given_beside(step)
    }

    /// The denoiser's input or output (B, C, h, w) in its own layout.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn own_layout(&self, tensor: &Tensor) -> Result<Tensor> {
        self.denoiser()?.own_layout(tensor)
    }

    /// Puts LoRAs, ControlNets and embeddings on the model in the place of those before, without reading the model again. On an error
    /// the model is as it was.
    ///
    /// # Errors
    ///
    /// Where a file is broken or does not fit.
    pub fn adapt(&mut self, adapters: &Adapters) -> Result<()> {
        let host = match &mut self.network {
            Network::Denoiser(denoiser) => denoiser.adapters_mut(),
            Network::Encoder(_) => None,
        };
        match host {
            Some(host) => host.put(adapters),
            None => self.spec.check_adapters(adapters),
        }
    }

    /// The LoRAs, ControlNets and embeddings that act now.
    pub fn applied(&self) -> AppliedAdapters {
        let mut applied = self.adapter_host().map(|host| host.applied()).unwrap_or_default();
        for embedding in &mut applied.embeddings {
            embedding.in_prompt = self.tokens.iter().any(|token| token.piece == embedding.token);
        }
        applied
    }

    /// What the ControlNets that act see of working pictures of one size.
    ///
    /// # Errors
    ///
    /// Where a control image cannot be read.
    pub fn control_inputs(&self, pictures: &[&Picture]) -> Result<Vec<ControlInput>> {
        match self.adapter_host() {
            Some(host) => host.control_inputs(pictures),
            None => Ok(Vec::new()),
        }
    }

    /// What the ControlNets say to rows (B, C, h, w) at timestep `t`, summed; `pictures` has the picture of each row.
    ///
    /// # Errors
    ///
    /// Where `progress` ends the work, or the device fails.
    pub fn control(
        &self,
        x: &Tensor,
        t: Timestep,
        conditioning: Option<&Conditioning>,
        inputs: &[ControlInput],
        pictures: &[u32],
        progress: &mut Progress<'_>,
    ) -> Result<Option<ControlSignal>> {
        match (self.adapter_host(), conditioning) {
            (Some(host), Some(conditioning)) => host.control(x, t, conditioning, inputs, pictures, progress),
            _ => Ok(None),
        }
    }

    /// One pass of the denoiser. Gives the network's output unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// Where the probe ends the work with one, or the device fails.
    pub fn denoise(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Option<Tensor>> {
        match self.denoiser()?.predict(step, probe) {
            Ok(output) => Ok(Some(output)),
            Err(Stop::Done) => Ok(None),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// The decoder of the model's autoencoder, in f32; whoever asked for it lets it go.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn open_decoder(&self) -> Result<VaeDecoder> {
        self.denoiser()?.open_decoder()
    }
}

/// A hash of a picture's size and pixels that files may keep: 64-bit FNV-1a over width and height, each as 8 bytes
/// little-endian, and then red, green and blue of every pixel, row by row.
pub fn fingerprint(picture: &Picture) -> u64 {
    const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let Size { width, height } = picture.size();
    let size = [width, height].map(|side| (side as u64).to_le_bytes());
    let bytes = size.as_flattened().iter().chain(picture.rgb());
    bytes.fold(FNV_OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_that_of_every_version_and_machine() -> Result<()> {
        let picture = Picture::from_rgb(Size::new(2, 1), vec![1, 2, 3, 4, 5, 6])?;
        assert_eq!(fingerprint(&picture), 0x6fb8_edc6_c3aa_88b9);
        Ok(())
    }
}
