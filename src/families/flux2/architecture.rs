//! A configured Flux.2 without weights, and with them.

use candle_core::{D, DType, Device, Tensor};

use super::{
    Flux2, Flux2Config, catalogue,
    config::AXES,
    network::{pack, picture_places, text_places},
};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        blocks::Holding,
        networks::{Networks, TRANSFORMER, VAE, text_dtype},
        schedule::{FlowSchedule, Timestep},
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
        tokens::{PromptToken, TokenRole, qwen_tokens},
    },
    weights::check_tensors,
};

/// Pixels per position of the latent, along a side: a patch of 2 x 2 positions of the autoencoder's posterior.
pub(super) const LATENT_STRIDE: usize = 16;
/// Folders of the text encoder and of its tokenizer.
pub(super) const TEXT_ENCODER: (&str, &str) = ("text_encoder", "tokenizer");
/// The layers of the text encoder behind which states are read.
pub(super) const TEXT_LAYERS: [usize; 3] = [9, 18, 27];
/// The last of them.
const LAST_TEXT_LAYER: usize = TEXT_LAYERS[TEXT_LAYERS.len() - 1];
/// Tokens of every prompt with what stands around it and its padding.
const TOKENS: usize = 512;
/// What begins the chat's answer: it does not think.
const BEHIND: &str = "<think>\n\n</think>\n\n";
/// What a prompt is filled up with.
const PADDING: &str = "<|endoftext|>";
/// What stands before the numbers of the blocks in the tensors' names.
const STACKS: [&str; 2] = ["transformer_blocks.", "single_transformer_blocks."];

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) config: Flux2Config,
    /// Where they are, and what the autoencoder is; none where the model is not on this machine.
    pub(super) networks: Option<(Networks, VaeConfig)>,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: LATENT_STRIDE,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.config.in_channels, height, width]
    }

    fn posterior_shape(&self, working: Size) -> [usize; 3] {
        match &self.networks {
            Some((_, vae)) => {
                let Size { width, height } = working.map(|side| side / vae.stride());
                [vae.latent_channels, height, width]
            }
            None => self.latent_shape(working),
        }
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width), tokens);
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(TOKENS)
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let networks = self.networks.as_ref();
        networks.map_or(0.0, |(_, vae)| vae.encode_cost(picture.pixels()))
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
        check_tensors(&store, |vb| Flux2::new(self.config.clone(), LoadExtent::Whole, vb))?;
        let network = Flux2::held(
            self.config.clone(),
            extent,
            Holding::of(&store, &STACKS, compute.dtype, &compute.device)?,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(Flux2Denoiser {
            network,
            vae,
            networks,
            compute: compute.clone(),
        })))
    }
}

/// A Flux.2 with its weights; the text encoder is read when it is needed.
struct Flux2Denoiser {
    network: Flux2,
    vae: VaeEncoder,
    networks: Networks,
    compute: Compute,
}

/// The ids and tokens of a prompt, filled up with padding, and how many are none.
fn tokens_of(tokenizer: &QwenTokenizer, prompt: &str) -> Result<(Vec<u32>, Vec<PromptToken>, usize)> {
    let (mut ids, mut tokens) = qwen_tokens(tokenizer, prompt, BEHIND, TOKENS)?;
    let real = ids.len();
    ids.resize(TOKENS, tokenizer.special(PADDING)?);
    let padding = PromptToken {
        piece: PADDING.to_owned(),
        role: TokenRole::Padding,
    };
    tokens.resize(TOKENS, padding);
    Ok((ids, tokens, real))
}

/// The share of noise of each row, as the network is told it.
fn shares_of(step: &Step<'_>) -> Result<Vec<f32>> {
    Ok(vec![FlowSchedule.sigma(step.t)? as f32; step.input.dim(0)?])
}

fn text_of<'a>(step: &Step<'a>) -> Result<&'a Tensor> {
    let conditioning = step.conditioning.map(|conditioning| &conditioning.states);
    conditioning.ok_or_else(|| Error::failed("a transformer that attends to text was run without text"))
}

impl Denoiser for Flux2Denoiser {
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
        let (ids, tokens, real) = tokens_of(&tokenizer, prompt)?;
        let config = self.networks.config(encoder, Qwen3Config::from_json)?;
        let dtype = text_dtype(self.compute.dtype);
        let weights = self.networks.store(encoder)?;
        let model = Qwen3Encoder::of(config, LAST_TEXT_LAYER, &weights, &self.compute.device, dtype)?;
        let all = model.forward(&ids, real, progress)?;
        let behind = TEXT_LAYERS.map(|layer| all.get(layer - 1));
        let behind: Vec<&Tensor> = behind.into_iter().flatten().collect();
        Ok(Some(Conditioning {
            states: Tensor::cat(&behind, D::Minus1)?.to_dtype(DType::F32)?,
            // Padding is attended to in the transformer.
            mask: None,
            pooled: None,
            second: None,
            tokens: tokens.into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let x = step.input.to_dtype(self.compute.dtype)?;
        let text = text_of(step)?.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &shares_of(step)?, &text, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        self.networks.vae_decoder(self.vae.config(), &self.compute.device)
    }

    fn network_timestep(&self, t: Timestep) -> f64 {
        t.value() / FlowSchedule::LAST.value()
    }

    fn own_layout(&self, tensor: &Tensor) -> Result<Tensor> {
        pack(tensor)
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let (rows, _, height, width) = step.input.dims4()?;
        let places = |places: Vec<[usize; AXES]>| -> Result<Tensor> {
            let numbers: Vec<f32> = places.iter().flatten().map(|place| *place as f32).collect();
            let one = Tensor::from_vec(numbers, (1, places.len(), AXES), &Device::Cpu)?;
            Ok(one.repeat((rows, 1, 1))?)
        };
        let compute = &self.compute;
        let modulation = self
            .network
            .modulation(&shares_of(step)?, compute.dtype, &compute.device)?;
        Ok(vec![
            ("mid.temb", modulation),
            ("mid.img_ids", places(picture_places(Grid::new(height, width)))?),
            ("mid.txt_ids", places(text_places(text_of(step)?.dim(1)?))?),
        ])
    }
}
