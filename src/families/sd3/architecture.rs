//! A configured Stable Diffusion 3 without weights, and with them.

use candle_core::{DType, Device, Tensor};

use super::{PATCH, Sd3, Sd3Conditions, Sd3Config, catalogue};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        blocks::Holding,
        networks::{Networks, TRANSFORMER, VAE},
        schedule::{FlowSchedule, FlowShift, Timestep},
        text::{CONTEXT_LENGTH, Tokenizer, t5_tokenizer::T5Tokenizer},
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
        tokens::{PromptToken, TokenRole, t5_tokens, tokens_of},
    },
    weights::check_tensors,
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Folders of the two CLIPs and their tokenizers.
pub(super) const CLIPS: [(&str, &str); 2] = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")];
/// Folders of the T5 and its tokenizer.
pub(super) const T5: (&str, &str) = ("text_encoder_3", "tokenizer_3");
/// What stands before the numbers of the blocks in the tensors' names.
const STACK: &str = "transformer_blocks.";
/// Tokens of a prompt for the T5.
const T5_TOKENS: usize = 256;

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) config: Sd3Config,
    pub(super) shift: FlowShift,
    /// Whether the T5 reads the prompt, too; zeros stand in its place where it does not.
    pub(super) has_t5: bool,
    /// Where they are, and what the autoencoder is; none where the model is not on this machine.
    pub(super) networks: Option<(Networks, VaeConfig)>,
}

impl Configured {
    /// Rows of the text states that the T5 gives, or zeros in its place.
    fn t5_rows(&self) -> usize {
        if self.has_t5 { T5_TOKENS } else { CONTEXT_LENGTH }
    }
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
        Some(CONTEXT_LENGTH + self.t5_rows())
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
        let [(first, _), (second, _)] = CLIPS;
        let t5 = self.has_t5.then_some(T5.0);
        let networks = self.networks.as_ref();
        networks.is_some_and(|(networks, _)| {
            let mut all = [TRANSFORMER, VAE, first, second].into_iter().chain(t5);
            all.all(|name| networks.has(name))
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
        check_tensors(&store, |vb| Sd3::new(self.config.clone(), LoadExtent::Whole, vb))?;
        let network = Sd3::held(
            self.config.clone(),
            extent,
            Holding::of(&store, &[STACK], compute.dtype, &compute.device)?,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(Sd3Denoiser {
            network,
            vae,
            networks,
            has_t5: self.has_t5,
            compute: compute.clone(),
        })))
    }
}

/// A Stable Diffusion 3 with its weights; text encoders are read when they are needed.
struct Sd3Denoiser {
    network: Sd3,
    vae: VaeEncoder,
    networks: Networks,
    has_t5: bool,
    compute: Compute,
}

/// States of a text, (1, T, D) in f32, and their tokens.
struct Text {
    states: Tensor,
    tokens: Vec<PromptToken>,
}

impl Sd3Denoiser {
    /// The states of both CLIPs before their last layers side by side, with zeros to the width that the transformer reads, and their
    /// pooled texts side by side: of a long prompt those of its first tokens.
    fn clips(&self, prompt: &str, progress: &mut Progress<'_>) -> Result<(Text, Tensor)> {
        let (mut states, mut pooled, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (encoder, tokenizer)) in CLIPS.into_iter().enumerate() {
            let tokenizer = Tokenizer::from_folder(&self.networks.folder_of(tokenizer))?;
            let mut chunks = tokenizer.chunks(prompt)?;
            chunks.truncate(1);
            let model = self.networks.clip(encoder, &self.compute.device)?;
            let share = CLIPS.len() as f32;
            let mut part = |done: f32| progress((index as f32 + done) / share);
            let found = model.encode_chunks(&chunks, &mut part)?;
            states.push(found.penultimate);
            pooled.push(found.pooled);
            if index == 0 {
                tokens = tokens_of(&tokenizer, &chunks);
            }
        }
        let states = Tensor::cat(&states, 2)?;
        let width = self.network.config().joint_attention_dim;
        let missing = width.checked_sub(states.dim(2)?).ok_or_else(|| {
            Error::failed(format!(
                "the CLIPs give states of width {:?}, the transformer reads {width}: they do not belong together",
                states.dims()
            ))
        })?;
        let states = states.pad_with_zeros(2, 0, missing)?;
        Ok((Text { states, tokens }, Tensor::cat(&pooled, 1)?))
    }

    /// The states of the T5, or zeros in their place.
    fn t5(&self, prompt: &str, progress: &mut Progress<'_>) -> Result<Text> {
        if !self.has_t5 {
            let shape = (1, CONTEXT_LENGTH, self.network.config().joint_attention_dim);
            let nothing = PromptToken {
                piece: String::new(),
                role: TokenRole::Padding,
            };
            return Ok(Text {
                states: Tensor::zeros(shape, DType::F32, &self.compute.device)?,
                tokens: vec![nothing; CONTEXT_LENGTH],
            });
        }
        let (encoder, tokenizer) = T5;
        let tokenizer = T5Tokenizer::from_folder(&self.networks.folder_of(tokenizer))?;
        let tokens = tokenizer.encode(prompt, T5_TOKENS)?;
        let model = self.networks.t5(encoder, &self.compute.device, self.compute.dtype)?;
        // Padding is attended to, here and in the transformer.
        let states = model.forward(std::slice::from_ref(&tokens.ids), None, progress)?;
        Ok(Text {
            states: states.to_dtype(DType::F32)?,
            tokens: t5_tokens(&tokens),
        })
    }
}

/// What the network is given, in the format that it computes in.
struct Given {
    text: Tensor,
    pooled: Tensor,
    t: Vec<f32>,
}

impl Given {
    fn of(step: &Step<'_>, dtype: DType) -> Result<Self> {
        let missing = || Error::failed("a transformer that attends to text was run without text");
        let conditioning = step.conditioning.ok_or_else(missing)?;
        let pooled = conditioning.pooled.as_ref().ok_or_else(missing)?;
        Ok(Self {
            text: conditioning.states.to_dtype(dtype)?,
            pooled: pooled.to_dtype(dtype)?,
            t: vec![step.t.value() as f32; step.input.dim(0)?],
        })
    }

    fn conditions(&self) -> Sd3Conditions<'_> {
        Sd3Conditions {
            text: &self.text,
            pooled: &self.pooled,
        }
    }
}

impl Denoiser for Sd3Denoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        // The CLIPs are small beside a T5-XXL.
        const AFTER_CLIPS: f32 = 0.2;
        let (clips, pooled) = self.clips(prompt, &mut |done| progress(AFTER_CLIPS * done))?;
        let t5 = self.t5(prompt, &mut |done| progress(AFTER_CLIPS + (1.0 - AFTER_CLIPS) * done))?;
        let tokens: Vec<PromptToken> = clips.tokens.into_iter().chain(t5.tokens).collect();
        Ok(Some(Conditioning {
            states: Tensor::cat(&[clips.states, t5.states], 1)?,
            mask: None,
            pooled: Some(pooled),
            second: None,
            tokens: tokens.into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let given = Given::of(step, self.compute.dtype)?;
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &given.t, &given.conditions(), probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        self.networks.vae_decoder(self.vae.config(), &self.compute.device)
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let given = Given::of(step, self.compute.dtype)?;
        let sigma = FlowSchedule.sigma(step.t)? as f32;
        Ok(vec![
            ("mid.pooled_projections", given.pooled.repeat((given.t.len(), 1))?),
            ("mid.temb", self.network.modulation(&given.t, &given.conditions())?),
            ("mid.sigma", Tensor::new(&[sigma], &Device::Cpu)?),
        ])
    }
}
