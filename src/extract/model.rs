//! A model with its weights on a device, and what it remembers between passes: encoded pictures and prompts.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::{
    adapted::Adapted,
    compat::Compat,
    control::{ControlInput, control_images},
    inversion::PUBLISHED_SCALING,
    memory::KeptPages,
    parts::PromptStates,
    recent::Recent,
    spec::{LATENT_STRIDE, ModelSpec, NetworkSpec},
};
use crate::{
    activation::{Halt, Probe, Selection, Watch},
    components::{
        schedule::Timestep,
        vae::{Posterior, VaeDecoder, VaeEncoder},
    },
    device::Place,
    error::{Error, Result},
    families::{
        adm::AdmUnet,
        stable_diffusion::{
            controlnet::ControlNet,
            unet::{AddedConditions, Conditions, ControlResiduals, MASK_CHANNELS, TIME_IDS, Unet},
        },
    },
    geometry::Size,
    image::picture::Picture,
    model::{
        Extent,
        adapters::{Adapters, Applied, ControlUse, EmbeddingUse, LoraUse},
        tokens::PromptToken,
    },
    weights::{Store, ZooKind, zoo_entry},
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
    pub place: Place,
    network: Network,
    /// The last field: it goes after the weights.
    _pages: KeptPages,
}

enum Network {
    StableDiffusion {
        unet: Box<Unet>,
        vae: Box<VaeEncoder>,
        pictures: Recent<u64, Posterior>,
        prompts: Recent<PromptKey, PromptStates>,
        /// Those of the prompt that was encoded last.
        tokens: Arc<[PromptToken]>,
        adapted: Box<Adapted>,
    },
    Adm(Box<AdmUnet>),
}

/// What is in a file, to build a network from that checks names and shapes and computes nothing: in a format that no operator
/// prepares its weights for.
fn values_left_out(store: &Store) -> VarBuilder<'static> {
    store.without_values().var_builder(DType::F16, &Device::Cpu)
}

/// What the states of a prompt depend on.
#[derive(Debug, Clone, PartialEq)]
struct PromptKey {
    prompt: String,
    loras: Vec<LoraUse>,
    embeddings: Vec<EmbeddingUse>,
    compat: Option<Compat>,
}

/// What the denoiser's input is made from: pixels, or what the autoencoder says of the picture.
pub enum Encoded {
    /// Pixels (1, 3, H, W) in [−1, 1].
    Pixels(Tensor),
    /// Mean and standard deviation of the latent, (1, C, h, w), unscaled.
    Posterior(Posterior),
}

impl Model {
    /// Reads the weights as far as `extent`; a wrong or broken tensor is named before anything runs.
    pub fn load(spec: &ModelSpec, place: Place, extent: Extent, watch: &mut Watch<'_>) -> Result<Self> {
        const AFTER_VAE: f32 = 0.1;
        let pages = KeptPages::keep(&place.device);
        watch(0.0)?;
        let missing = || match &spec.path {
            Some(path) => Error::failed(format!(
                "{} holds a configuration but no weights: model.safetensors or model.pt was looked for",
                path.display()
            )),
            None => Error::failed(format!(
                "the weights of {} are not on this machine: {}, or give a folder or a file as the model",
                spec.name,
                how_to_get(&spec.name)
            )),
        };
        let network = match &spec.network {
            NetworkSpec::StableDiffusion { unet, files } => {
                unet.check_runnable()?;
                let files = files.as_ref().ok_or_else(missing)?;
                // The autoencoder of SDXL overflows in f16; all of them are small enough for f32.
                let store = files.parts.vae()?;
                let vae = VaeEncoder::new(files.vae.clone(), store.var_builder(DType::F32, &place.device))?;
                watch(AFTER_VAE)?;
                let store = files.parts.unet()?;
                if extent != Extent::Whole {
                    Unet::new(unet.clone(), Extent::Whole, values_left_out(&store))?;
                }
                Network::StableDiffusion {
                    unet: Box::new(Unet::new(
                        unet.clone(),
                        extent,
                        store.var_builder(place.dtype, &place.device),
                    )?),
                    vae: Box::new(vae),
                    pictures: Recent::new(KEPT_PICTURES),
                    prompts: Recent::new(KEPT_PROMPTS),
                    tokens: Arc::default(),
                    adapted: Box::default(),
                }
            }
            NetworkSpec::Adm { config, store } => {
                let store = store.as_ref().ok_or_else(missing)?;
                if extent != Extent::Whole {
                    AdmUnet::new(config, Extent::Whole, values_left_out(store))?;
                }
                Network::Adm(Box::new(AdmUnet::new(
                    config,
                    extent,
                    store.var_builder(place.dtype, &place.device),
                )?))
            }
        };
        watch(1.0)?;
        Ok(Self {
            spec: spec.clone(),
            place,
            network,
            _pages: pages,
        })
    }

    /// What the denoiser's input for a working picture is made from; known pictures are not encoded again.
    pub fn encode_picture(&mut self, picture: &Picture, watch: &mut Watch<'_>) -> Result<Encoded> {
        let size = picture.size();
        let pixels = picture.to_chw(self.spec.size_rule().pixel_range());
        let pixels = Tensor::from_vec(pixels, (1, 3, size.height, size.width), &self.place.device)?;
        match &mut self.network {
            Network::Adm(_) => Ok(Encoded::Pixels(pixels)),
            Network::StableDiffusion { vae, pictures, .. } => {
                let key = fingerprint(picture);
                if let Some(known) = pictures.get(&key) {
                    return Ok(Encoded::Posterior(known));
                }
                let posterior = vae.encode(&pixels, watch)?;
                pictures.put(key, posterior.clone(), 1);
                Ok(Encoded::Posterior(posterior))
            }
        }
    }

    /// What encoding a working picture takes, in the unit of [`Cost`](crate::activation::Cost): nothing for one that is known.
    pub fn encode_cost(&self, picture: &Picture) -> f64 {
        match &self.network {
            Network::StableDiffusion { pictures, .. } if !pictures.holds(&fingerprint(picture)) => {
                self.spec.encode_cost(picture.size())
            }
            _ => 0.0,
        }
    }

    /// A scaled latent as generic-diffusion-feature's DDIM inversion scales it.
    pub fn published_latent(&self, scaled: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Adm(_) => Ok(scaled.clone()),
            Network::StableDiffusion { vae, .. } => Ok((scaled * (PUBLISHED_SCALING / vae.config().scaling_factor))?),
        }
    }

    /// The latent (B, C, h, w) the noise is mixed with, from samples of the posterior; pixels stay what they are.
    pub fn scale(&self, sample: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Adm(_) => Ok(sample.clone()),
            Network::StableDiffusion { vae, .. } => vae.config().scale(sample),
        }
    }

    /// What the model reads of a prompt, if it reads one. The text encoders are large: they are read, used and let go;
    /// known prompts are not encoded again.
    pub fn encode_prompt(
        &mut self,
        prompt: &str,
        compat: Option<Compat>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<PromptStates>> {
        let Network::StableDiffusion {
            prompts,
            unet,
            adapted,
            tokens,
            ..
        } = &mut self.network
        else {
            return Ok(None);
        };
        let key = PromptKey {
            prompt: prompt.to_owned(),
            loras: adapted.text_loras(),
            embeddings: adapted.embeddings(),
            compat,
        };
        let states = match prompts.get(&key) {
            Some(known) => known,
            None => {
                let parts = &self.spec.files()?.parts;
                let states = parts.encode_prompt(unet.config(), (prompt, compat), adapted, &self.place, watch)?;
                prompts.put(key, states.clone(), 1);
                states
            }
        };
        *tokens = Arc::clone(&states.tokens);
        Ok(Some(states))
    }

    /// The tokens of the prompt that was encoded last; none for a model without text.
    pub fn tokens(&self) -> &[PromptToken] {
        match &self.network {
            Network::StableDiffusion { tokens, .. } => tokens,
            Network::Adm(_) => &[],
        }
    }

    /// What the denoiser takes for noisy latents and clean ones, (B, C, h, w) each. A network for inpainting takes a mask
    /// and the latent of the picture under it as well: here nothing is to be painted, so the mask is empty and that
    /// latent is the picture's own.
    pub fn denoiser_input(&self, noisy: &Tensor, clean: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::StableDiffusion { unet, .. } if unet.config().inpaints() => {
                let (rows, _, height, width) = noisy.dims4()?;
                let mask = Tensor::zeros((rows, MASK_CHANNELS, height, width), noisy.dtype(), noisy.device())?;
                Ok(Tensor::cat(&[noisy, &mask, clean], 1)?)
            }
            _ => Ok(noisy.clone()),
        }
    }

    /// What SDXL is told besides text states of rows (B, C, h, w); none for other models.
    pub fn added_conditions(&self, rows: &Tensor, prompt: &PromptStates) -> Result<Option<AddedConditions>> {
        let Some(pooled) = &prompt.pooled else {
            return Ok(None);
        };
        let (batch, _, height, width) = rows.dims4()?;
        let [height, width] = [height, width].map(|side| (side * LATENT_STRIDE) as f32);
        // Original size, no crop, wanted size: the working picture is all there is.
        let ids = [height, width, 0.0, 0.0, height, width];
        let ids = Tensor::new(&ids, &Device::Cpu)?.reshape((1, TIME_IDS))?;
        Ok(Some(AddedConditions {
            pooled: pooled.repeat((batch, 1))?,
            time_ids: ids.repeat((batch, 1))?,
        }))
    }

    /// Puts LoRAs, ControlNets and embeddings on the model in the place of those before, without reading the model again. On an error
    /// the model is as it was.
    pub fn adapt(&mut self, adapters: &Adapters) -> Result<()> {
        match &mut self.network {
            Network::StableDiffusion { unet, adapted, .. } => {
                adapted.put(adapters, &self.spec.files()?.parts, unet, &self.place)
            }
            Network::Adm(_) => self.spec.check_adapters(adapters),
        }
    }

    /// The LoRAs, ControlNets and embeddings that act now.
    pub fn applied(&self) -> Applied {
        match &self.network {
            Network::StableDiffusion { adapted, tokens, .. } => {
                let mut applied = adapted.applied().clone();
                for embedding in &mut applied.embeddings {
                    embedding.in_prompt = tokens.iter().any(|token| token.piece == embedding.token);
                }
                applied
            }
            Network::Adm(_) => Applied::default(),
        }
    }

    /// What the ControlNets that act see of working pictures of one size.
    pub fn control_inputs(&self, pictures: &[&Picture]) -> Result<Vec<ControlInput>> {
        let Network::StableDiffusion { adapted, .. } = &self.network else {
            return Ok(Vec::new());
        };
        let Place { dtype, device } = &self.place;
        let input = |(net, (used, network)): (usize, (&ControlUse, &ControlNet))| {
            let image = control_images(pictures, used, device)?;
            Ok(ControlInput {
                net,
                embedded: network.embed(&image.to_dtype(*dtype)?)?,
                image,
                scale: used.scale.into(),
            })
        };
        adapted.nets().enumerate().map(input).collect()
    }

    /// What the ControlNets say to rows (B, C, h, w) at timestep `t`, summed; `pictures` has the picture of each row.
    pub fn control(
        &self,
        x: &Tensor,
        t: Timestep,
        prompt: Option<&PromptStates>,
        inputs: &[ControlInput],
        pictures: &[u32],
        watch: &mut Watch<'_>,
    ) -> Result<Option<ControlResiduals>> {
        let (Network::StableDiffusion { adapted, .. }, Some(prompt)) = (&self.network, prompt) else {
            return Ok(None);
        };
        let rows = x.dim(0)?;
        let x = x.to_dtype(self.place.dtype)?;
        let text = self.text_rows(prompt, rows)?;
        let added = self.added_conditions(&x, prompt)?;
        let of_rows = Tensor::new(pictures, &self.place.device)?;
        let mut sum: Option<ControlResiduals> = None;
        for (done, input) in inputs.iter().enumerate() {
            let Some((_, net)) = adapted.nets().nth(input.net) else {
                continue;
            };
            let nothing = Selection::default();
            let mut record = |_, _: &Tensor| Ok(());
            let mut watch = |part: f32| watch((done as f32 + part) / inputs.len() as f32);
            let mut probe = Probe::new(&nothing, net.activations(), &mut record, &mut watch);
            let embedded = input.embedded.index_select(&of_rows, 0)?;
            let conditions = Conditions {
                added: added.as_ref(),
                ..Conditions::of_text(&text)
            };
            let residuals = match net.forward(&x, &vec![t.value() as f32; rows], &conditions, &embedded, &mut probe) {
                Ok(residuals) => residuals.scaled(input.scale)?,
                Err(Halt::Error(error)) => return Err(error),
                // Nothing was asked of the probe, so nothing ends early.
                Err(Halt::Complete) => continue,
            };
            sum = Some(match sum {
                Some(sum) => sum.plus(&residuals)?,
                None => residuals,
            });
        }
        Ok(sum)
    }

    /// The text states of a prompt for every row, (rows, T, D), in the format computed in.
    fn text_rows(&self, prompt: &PromptStates, rows: usize) -> Result<Tensor> {
        Ok(prompt.states.repeat((rows, 1, 1))?.to_dtype(self.place.dtype)?)
    }

    /// One pass of the denoiser over rows (B, C, h, w) at timestep `t`, with one prompt for all rows and what ControlNets
    /// say. Gives the network's output unless the probe ends the pass before.
    pub fn denoise(
        &self,
        x: &Tensor,
        t: Timestep,
        prompt: Option<&PromptStates>,
        control: Option<&ControlResiduals>,
        probe: &mut Probe<'_>,
    ) -> Result<Option<Tensor>> {
        let rows = x.dim(0)?;
        let timesteps = vec![t.value() as f32; rows];
        let x = x.to_dtype(self.place.dtype)?;
        let ended = match (&self.network, prompt) {
            (Network::Adm(unet), _) => unet.forward(&x, &timesteps, probe),
            (Network::StableDiffusion { unet, .. }, Some(prompt)) => {
                let text = self.text_rows(prompt, rows)?;
                let added = self.added_conditions(&x, prompt)?;
                let conditions = Conditions {
                    text: &text,
                    added: added.as_ref(),
                    control,
                };
                unet.forward(&x, &timesteps, &conditions, probe)
            }
            (Network::StableDiffusion { .. }, None) => {
                return Err(Error::failed("a U-Net that attends to text was run without text"));
            }
        };
        match ended {
            Ok(output) => Ok(Some(output)),
            Err(Halt::Complete) => Ok(None),
            Err(Halt::Error(error)) => Err(error),
        }
    }
}

impl Model {
    /// The decoder of the model's autoencoder, in f32; whoever asked for it lets it go.
    pub fn open_decoder(&self) -> Result<VaeDecoder> {
        let files = self.spec.files()?;
        let store = files.parts.vae()?;
        VaeDecoder::new(files.vae.clone(), store.var_builder(DType::F32, &self.place.device))
    }
}

/// What brings a model of the zoo here.
fn how_to_get(key: &str) -> String {
    let source = |key: &str| zoo_entry(key).map_or_else(|| key.to_owned(), |entry| entry.source.to_owned());
    match zoo_entry(key).map(|entry| entry.kind) {
        Some(ZooKind::DropIn { bases, file, .. }) => {
            let bases: Vec<String> = bases.iter().map(|base| source(base)).collect();
            let bases = bases.join(" or ");
            format!(
                "`featscope models get {key}` downloads {file} of {} and the folder of {bases}",
                source(key)
            )
        }
        Some(ZooKind::StableDiffusion { .. }) => format!("`featscope models get {key}` downloads {}", source(key)),
        _ => format!("get it from {}", source(key)),
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
