//! A configured Flux without weights, and with them.

use candle_core::{DType, Device, Tensor};

use super::{Flux, FluxConditions, FluxConfig, PATCH, catalogue, pack};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        blocks::Holding,
        networks::{Networks, TRANSFORMER, VAE},
        schedule::{FlowSchedule, FlowShift, Timestep},
        text::{TextPart, Tokenizer, t5_tokenizer::T5Tokenizer},
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        compat::{Compat, GdfKind},
        denoiser::{Conditioning, Denoiser, Step},
        spec::{Architecture, Network},
        tokens::t5_tokens,
    },
    weights::check_tensors,
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;
/// Folders of the CLIP and of the T5.
const TEXT_ENCODERS: [&str; 2] = ["text_encoder", "text_encoder_2"];
/// What stands before the numbers of the blocks in the tensors' names.
const STACKS: [&str; 2] = ["transformer_blocks.", "single_transformer_blocks."];

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) config: FluxConfig,
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
        [self.config.latent_channels(), height, width]
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width), tokens);
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(self.config.prompt_tokens())
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let networks = self.networks.as_ref();
        networks.map_or(0.0, |(_, vae)| vae.encode_cost(picture.pixels()))
    }

    fn gdf_kind(&self) -> Option<GdfKind> {
        Some(GdfKind::Flow)
    }

    fn shifted(&self, nominal: Timestep, working: Size) -> Option<Timestep> {
        let [_, height, width] = self.latent_shape(working);
        let tokens = self.config.token_grid(Grid::new(height, width)).positions();
        self.shift.apply(nominal, tokens).ok()
    }

    fn reads_guidance(&self) -> bool {
        self.config.guidance_embeds
    }

    fn is_here(&self) -> bool {
        let [clip, t5] = TEXT_ENCODERS;
        let all = [TRANSFORMER, VAE, clip, t5];
        let networks = self.networks.as_ref();
        networks.is_some_and(|(networks, _)| all.into_iter().all(|name| networks.has(name)))
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
        check_tensors(&store, |vb| Flux::new(self.config.clone(), LoadExtent::Whole, vb))?;
        let network = Flux::held(
            self.config.clone(),
            extent,
            Holding::of(&store, &STACKS, compute.dtype, &compute.device)?,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(FluxDenoiser {
            network,
            vae,
            networks,
            compute: compute.clone(),
        })))
    }
}

/// A Flux with its weights; text encoders are read when they are needed.
struct FluxDenoiser {
    network: Flux,
    vae: VaeEncoder,
    networks: Networks,
    compute: Compute,
}

impl FluxDenoiser {
    /// The pooled text of CLIP, (1, P) in f32: of a long prompt that of its first tokens.
    fn pooled(&self, prompt: &str, progress: &mut Progress<'_>) -> Result<Tensor> {
        let tokenizer = Tokenizer::from_folder(&self.networks.folder_of(TextPart::First.tokenizer_folder()))?;
        let mut chunks = tokenizer.chunks(prompt)?;
        chunks.truncate(1);
        let [clip, _] = TEXT_ENCODERS;
        let encoder = self.networks.clip(clip, &self.compute.device)?;
        Ok(encoder.encode_chunks(&chunks, progress)?.pooled)
    }
}

/// What the network is given, in the format that it computes in.
struct Given {
    text: Tensor,
    pooled: Tensor,
    sigma: Vec<f32>,
    guidance: f32,
    slips: bool,
}

impl Given {
    fn of(step: &Step<'_>, dtype: DType) -> Result<Self> {
        let missing = || Error::failed("a transformer that attends to text was run without text");
        let conditioning = step.conditioning.ok_or_else(missing)?;
        let pooled = conditioning.pooled.as_ref().ok_or_else(missing)?;
        let sigma = FlowSchedule.sigma(step.t)? as f32;
        Ok(Self {
            text: conditioning.states.to_dtype(dtype)?,
            pooled: pooled.to_dtype(dtype)?,
            sigma: vec![sigma; step.input.dim(0)?],
            guidance: f64::from(step.guidance) as f32,
            slips: step.compat == Some(Compat::Gdf),
        })
    }

    fn conditions(&self) -> FluxConditions<'_> {
        FluxConditions {
            text: &self.text,
            pooled: &self.pooled,
            guidance: self.guidance,
            slips: self.slips,
        }
    }
}

impl Denoiser for FluxDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        // CLIP-L is small beside a T5-XXL.
        const AFTER_CLIP: f32 = 0.1;
        let pooled = self.pooled(prompt, &mut |done| progress(AFTER_CLIP * done))?;
        let tokenizer = T5Tokenizer::from_folder(&self.networks.folder_of(TextPart::Second.tokenizer_folder()))?;
        let tokens = tokenizer.encode(prompt, self.network.config().prompt_tokens())?;
        let [_, t5] = TEXT_ENCODERS;
        let encoder = self.networks.t5(t5, &self.compute.device, self.compute.dtype)?;
        // Padding is attended to, here and in the transformer.
        let states = encoder.forward(std::slice::from_ref(&tokens.ids), None, &mut |done| {
            progress(AFTER_CLIP + (1.0 - AFTER_CLIP) * done)
        })?;
        Ok(Some(Conditioning {
            states: states.to_dtype(DType::F32)?,
            mask: None,
            pooled: Some(pooled),
            second: None,
            tokens: t5_tokens(&tokens).into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let given = Given::of(step, self.compute.dtype)?;
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &given.sigma, &given.conditions(), probe)
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
        const AXES: usize = 3;
        let (given, device) = (Given::of(step, self.compute.dtype)?, &Device::Cpu);
        let (rows, _, height, width) = step.input.dims4()?;
        let grid = self.network.config().token_grid(Grid::new(height, width));
        let places = (0..grid.positions()).flat_map(|position| {
            let (row, column) = grid.row_column(position);
            [0.0, row as f32, column as f32]
        });
        let places: Vec<f32> = places.collect();
        let mut beside = vec![
            ("mid.pooled_projections", given.pooled.repeat((rows, 1))?),
            ("mid.temb", self.network.modulation(&given.sigma, &given.conditions())?),
            (
                "mid.img_ids",
                Tensor::from_vec(places, (grid.positions(), AXES), device)?,
            ),
            (
                "mid.txt_ids",
                Tensor::zeros((given.text.dim(1)?, AXES), DType::F32, device)?,
            ),
        ];
        if self.network.config().guidance_embeds {
            beside.push(("mid.guidance", Tensor::new(vec![given.guidance; rows], device)?));
        }
        Ok(beside)
    }
}
