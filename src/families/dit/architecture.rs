//! A configured DiT without weights, and with them.

use candle_core::{DType, Device, Tensor};

use super::{
    catalogue,
    config::DitConfig,
    files::{Files, LATENT_STRIDE},
    network::Dit,
};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        schedule::Timestep,
        vae::{VaeDecoder, VaeEncoder},
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        classes::Classes,
        denoiser::{Denoiser, Step},
        spec::{Architecture, Network},
    },
    weights::Store,
};

/// A buffer that older versions of diffusers may have saved: it is computed.
const COMPUTED: &str = "pos_embed.pos_embed";

/// The network's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: DitConfig,
    pub classes: Classes,
    /// None where the model is not on this machine.
    pub files: Option<Files>,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: LATENT_STRIDE * self.config.patch_size,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.config.in_channels, height, width]
    }

    fn catalogue(&self, working: Size, _: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width));
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        None
    }

    fn classes(&self) -> Option<&Classes> {
        Some(&self.classes)
    }

    /// Of a flow model, whose schedule shifts nothing.
    fn shifted(&self, nominal: Timestep, _: Size) -> Option<Timestep> {
        self.config.kind.schedule().flows().then_some(nominal)
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let vae = self.files.as_ref().and_then(|files| files.vae.as_ref());
        vae.map_or(0.0, |vae| vae.config.encode_cost(picture.pixels()))
    }

    fn is_here(&self) -> bool {
        self.files.as_ref().is_some_and(Files::are_here)
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network> {
        const AFTER_VAE: f32 = 0.1;
        let files = self
            .files
            .clone()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let vae = files.vae()?;
        let vae_store = vae.store()?;
        let encoder = VaeEncoder::new(vae.config.clone(), vae_store.var_builder(DType::F32, &compute.device))?;
        progress(AFTER_VAE)?;
        let store = files.network(&self.config)?;
        check_outline(&store, &self.config)?;
        let network = Dit::new(
            self.config.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(DitDenoiser {
            network,
            encoder,
            vae_store,
            compute: compute.clone(),
        })))
    }
}

/// Refuses files whose names and shapes are not those of the whole network, or that hold more than it, before anything is read.
fn check_outline(store: &Store, config: &DitConfig) -> Result<()> {
    let outline = store.without_values();
    // In a format that no operator prepares weights for.
    Dit::new(
        config.clone(),
        LoadExtent::Whole,
        outline.var_builder(DType::F16, &Device::Cpu),
    )?;
    match outline.unread().into_iter().find(|name| *name != COMPUTED) {
        Some(name) => Err(Error::failed(format!(
            "{} holds the tensor {name}, which a DiT of this configuration does not have: another network, or a configuration of \
             another one",
            store.label()
        ))),
        None => Ok(()),
    }
}

/// A DiT with its weights.
struct DitDenoiser {
    network: Dit,
    encoder: VaeEncoder,
    vae_store: Store,
    compute: Compute,
}

impl DitDenoiser {
    /// Timestep and class of every row, as the network takes them.
    fn told(&self, step: &Step<'_>) -> Result<(Vec<f32>, Vec<u32>)> {
        let rows = step.input.dim(0)?;
        let none = self.network.config().num_classes as u32;
        Ok((
            vec![self.network_timestep(step.t) as f32; rows],
            vec![step.class.unwrap_or(none); rows],
        ))
    }
}

impl Denoiser for DitDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.encoder)
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let (timesteps, classes) = self.told(step)?;
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &timesteps, &classes, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        VaeDecoder::new(
            self.encoder.config().clone(),
            self.vae_store.var_builder(DType::F32, &self.compute.device),
        )
    }

    fn network_timestep(&self, t: Timestep) -> f64 {
        self.network.config().kind.network_timestep(t)
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let (timesteps, classes) = self.told(step)?;
        let condition = self.network.condition(&timesteps, &classes)?;
        let labels: Vec<f32> = classes.iter().map(|class| *class as f32).collect();
        Ok(vec![
            ("mid.class_labels", Tensor::new(labels, &Device::Cpu)?),
            ("mid.temb", condition.to_dtype(DType::F32)?),
        ])
    }
}
