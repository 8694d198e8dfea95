//! A configured Stable Diffusion without weights.

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use super::{
    adapter_host::{Adapted, add_to_tokenizer, open_embeddings},
    components::Files,
    control_image,
    denoiser::StableDiffusionDenoiser,
    lora::LoraFile,
    unet::{self, Unet, UnetConfig},
};
use crate::{
    activation::{Catalogue, Progress},
    components::{
        schedule::EdmSchedule,
        text::{CONTEXT_LENGTH, TextPart},
        vae::VaeEncoder,
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        adapters::{Adapters, EmbeddingUse},
        compat::GdfKind,
        spec::{Architecture, Network},
    },
    weights::Store,
};

/// Pixels per position of the latent of every Stable Diffusion, along a side.
pub(super) const LATENT_STRIDE: usize = 8;

/// The U-Net's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub unet: UnetConfig,
    /// Whether noise is mixed with the picture.
    pub adds_noise: bool,
    /// What the network is told of a timestep, where that is not the timestep itself.
    pub edm: Option<EdmSchedule>,
    /// None where the model is not on this machine.
    pub files: Option<Files>,
}

impl Configured {
    fn files(&self) -> Result<&Files> {
        self.files
            .as_ref()
            .ok_or_else(|| Error::failed("the model has no autoencoder on this machine"))
    }

    /// Refuses embeddings that the text encoders of this model cannot read, or whose tokens they have already.
    fn check_embeddings(&self, embeddings: &[EmbeddingUse]) -> Result<()> {
        let opened = open_embeddings(embeddings, &self.unet)?;
        // A model that is not on this machine is refused when it is read.
        let Some(files) = self.files.as_ref().filter(|_| !opened.is_empty()) else {
            return Ok(());
        };
        let mut tokenizer = files.parts.tokenizer(TextPart::First)?;
        for (used, embedding) in &opened {
            add_to_tokenizer(std::iter::once(embedding), TextPart::First, &mut tokenizer)
                .map_err(|error| error.context(used.file.display()))?;
        }
        Ok(())
    }
}

/// Tensors of a file without their numbers, for a network that only checks names and shapes: in a format that no operator
/// prepares its weights for.
fn values_left_out(store: &Store) -> VarBuilder<'static> {
    store.without_values().var_builder(DType::F16, &Device::Cpu)
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Latent {
            multiple: LATENT_STRIDE,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.unet.latent_channels(), height, width]
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = unet::catalogue(&self.unet, Grid::new(height, width), tokens);
        // The picture after one step needs noise to take away.
        if self.adds_noise {
            list.push_decoded(working);
        }
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(CONTEXT_LENGTH)
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let files = self.files.as_ref();
        files.map_or(0.0, |files| files.vae.encode_cost(picture.pixels()))
    }

    fn gdf_kind(&self) -> Option<GdfKind> {
        if self.edm.is_some() {
            return None;
        }
        Some(match self.unet {
            UnetConfig { text_time: Some(_), .. } => GdfKind::Sdxl,
            UnetConfig {
                use_linear_projection: true,
                ..
            } => GdfKind::Sd2,
            _ => GdfKind::Sd1,
        })
    }

    fn takes_adapters(&self) -> bool {
        true
    }

    fn check_adapters(&self, _: &str, adapters: &Adapters) -> Result<()> {
        let acting = adapters.acting();
        for lora in &acting.loras {
            LoraFile::open(&lora.file)?;
        }
        for used in &acting.controls {
            control_image::read_config(&used.net, &self.unet)?;
        }
        self.check_embeddings(&acting.embeddings)
    }

    fn is_here(&self) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| files.parts.are_here(&self.unet))
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network> {
        const AFTER_VAE: f32 = 0.1;
        self.unet.check_runnable()?;
        let files = self.files()?.clone();
        // The autoencoder of SDXL overflows in f16; all of them are small enough for f32.
        let store = files.parts.vae()?;
        let vae = VaeEncoder::new(files.vae.clone(), store.var_builder(DType::F32, &compute.device))?;
        progress(AFTER_VAE)?;
        let store = files.parts.unet()?;
        if extent != LoadExtent::Whole {
            Unet::new(self.unet.clone(), LoadExtent::Whole, values_left_out(&store))?;
        }
        let unet = Unet::new(
            self.unet.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(StableDiffusionDenoiser {
            unet,
            vae,
            files,
            edm: self.edm.clone(),
            compute: compute.clone(),
            adapted: Adapted::default(),
        })))
    }
}
