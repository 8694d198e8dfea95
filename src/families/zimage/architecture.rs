//! A configured Z-Image without weights, and with them.

use candle_core::{DType, Device, Tensor};

use super::{PATCH, ZImage, ZImageConditions, ZImageConfig, catalogue, padded};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        blocks::Holding,
        networks::{Networks, TRANSFORMER, VAE, text_dtype},
        schedule::{FlowSchedule, FlowShift, Timestep},
        text::{
            qwen_tokenizer::QwenTokenizer,
            qwen3::{Qwen3Config, Qwen3Encoder},
        },
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
        tokens::{PromptToken, qwen_tokens},
    },
    weights::check_tensors,
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Folders of the text encoder and of its tokenizer.
pub(super) const TEXT_ENCODER: (&str, &str) = ("text_encoder", "tokenizer");
/// The most tokens of a prompt with what stands around it.
const MOST_TOKENS: usize = 512;
/// What stands behind a prompt in the answer of the chat: nothing, it may think.
const BEHIND: &str = "";

/// What stands before the numbers of the main blocks in the tensors' names.
const STACK: &str = "layers.";

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) config: ZImageConfig,
    pub(super) shift: FlowShift,
    /// Where they are, and what the autoencoder is; none where the model is not on this machine.
    pub(super) networks: Option<(Networks, VaeConfig)>,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: LATENT_STRIDE * PATCH,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.config.in_channels, height, width]
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width), tokens);
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(MOST_TOKENS)
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let networks = self.networks.as_ref();
        networks.map_or(0.0, |(_, vae)| vae.encode_cost(picture.pixels()))
    }

    fn shifted(&self, nominal: Timestep, working: Size) -> Option<Timestep> {
        let [_, height, width] = self.latent_shape(working);
        let tokens = self.config.token_grid(Grid::new(height, width)).positions();
        self.shift.apply(nominal, tokens).ok()
    }

    fn is_here(&self) -> bool {
        let networks = self.networks.as_ref();
        networks.is_some_and(|(networks, _)| {
            [TRANSFORMER, VAE, TEXT_ENCODER.0]
                .into_iter()
                .all(|name| networks.has(name))
        })
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
        // What is not read is checked too.
        check_tensors(&store, |vb| ZImage::new(self.config.clone(), LoadExtent::Whole, vb))?;
        let network = ZImage::held(
            self.config.clone(),
            extent,
            Holding::of(&store, &[STACK], compute.dtype, &compute.device)?,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(ZImageDenoiser {
            network,
            vae,
            networks,
            compute: compute.clone(),
        })))
    }
}

/// A Z-Image with its weights; the text encoder is read when it is needed.
struct ZImageDenoiser {
    network: ZImage,
    vae: VaeEncoder,
    networks: Networks,
    compute: Compute,
}

/// The tokens that the text encoder reads of a prompt, and those that stand for the columns of maps: these go on over the network's
/// padding.
fn tokens_of(tokenizer: &QwenTokenizer, prompt: &str) -> Result<(Vec<u32>, Vec<PromptToken>)> {
    let (ids, mut tokens) = qwen_tokens(tokenizer, prompt, BEHIND, MOST_TOKENS)?;
    tokens.resize(padded(tokens.len()), PromptToken::padding());
    Ok((ids, tokens))
}

/// The share of the picture at a timestep, as the network is told it: computed in f32, as diffusers computes it. What is rounded
/// otherwise is seen behind the sinusoids, which see a thousand times of it.
fn share_of(t: Timestep) -> f32 {
    let last = FlowSchedule::LAST.value() as f32;
    (last - t.value() as f32) / last
}

fn shares_of(step: &Step<'_>) -> Result<Vec<f32>> {
    Ok(vec![share_of(step.t); step.input.dim(0)?])
}

impl Denoiser for ZImageDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let (encoder, tokenizer) = TEXT_ENCODER;
        let tokenizer = QwenTokenizer::from_folder(&self.networks.folder_of(tokenizer))?;
        let (ids, tokens) = tokens_of(&tokenizer, prompt)?;
        let config = self.networks.config(encoder, Qwen3Config::from_json)?;
        // The states before the last layer are read.
        let layers = config.num_hidden_layers.saturating_sub(1).max(1);
        let dtype = text_dtype(self.compute.dtype);
        let weights = self.networks.store(encoder)?;
        let model = Qwen3Encoder::of(config, layers, &weights, &self.compute.device, dtype)?;
        let states = model.forward(&ids, ids.len(), progress)?.pop();
        let states = states.ok_or_else(|| Error::failed("the text encoder has no layers"))?;
        Ok(Some(Conditioning {
            states: states.to_dtype(DType::F32)?,
            mask: None,
            pooled: None,
            second: None,
            tokens: tokens.into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let Some(conditioning) = step.conditioning else {
            return Err(Error::failed("a transformer that attends to text was run without text").into());
        };
        let x = step.input.to_dtype(self.compute.dtype)?;
        let text = conditioning.states.to_dtype(self.compute.dtype)?;
        let conditions = ZImageConditions { text: &text };
        self.network.forward(&x, &shares_of(step)?, &conditions, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        self.networks.vae_decoder(self.vae.config(), &self.compute.device)
    }

    fn network_timestep(&self, t: Timestep) -> f64 {
        f64::from(share_of(t))
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let sigma = FlowSchedule.sigma(step.t)? as f32;
        let modulation = self
            .network
            .modulation(&shares_of(step)?, self.compute.dtype, &self.compute.device)?;
        Ok(vec![
            ("mid.temb", modulation),
            ("mid.sigma", Tensor::new(&[sigma], &Device::Cpu)?),
        ])
    }
}
