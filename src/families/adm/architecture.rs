//! A configured ADM without weights, and with them.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{AdmConfig, AdmUnet, COLOURS, catalogue};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        denoiser::{Denoiser, Step},
        spec::{Architecture, Network},
    },
    weights::Store,
};

/// The configuration, and where the weights are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: AdmConfig,
    /// None where they are not on this machine, or the folder has none.
    pub store: Option<Store>,
    /// The folder or file.
    pub path: Option<PathBuf>,
}

impl Configured {
    fn store(&self) -> Result<&Store> {
        self.store.as_ref().ok_or_else(|| {
            let path = self.path.as_deref().unwrap_or(Path::new("it"));
            Error::failed(format!(
                "{} holds a configuration but no weights: model.safetensors or model.pt was looked for",
                path.display()
            ))
        })
    }
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Adm {
            multiple: self.config.size_multiple(),
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        [COLOURS, working.height, working.width]
    }

    fn catalogue(&self, working: Size, _: usize) -> Catalogue {
        catalogue(&self.config, Grid::new(working.height, working.width))
    }

    fn prompt_tokens(&self) -> Option<usize> {
        None
    }

    fn has_autoencoder(&self) -> bool {
        false
    }

    fn is_here(&self) -> bool {
        self.store.is_some()
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, _: &mut Progress<'_>) -> Result<Network> {
        let store = self.store()?;
        if extent != LoadExtent::Whole {
            // Names and shapes of what is not read are checked too, in a format that no operator prepares weights for.
            let outline = store.without_values().var_builder(DType::F16, &Device::Cpu);
            AdmUnet::new(&self.config, LoadExtent::Whole, outline)?;
        }
        let unet = AdmUnet::new(&self.config, extent, store.var_builder(compute.dtype, &compute.device))?;
        Ok(Network::Denoiser(Box::new(AdmDenoiser {
            unet,
            dtype: compute.dtype,
        })))
    }

    fn input_names(&self) -> [&'static str; 2] {
        ["mid.x_t", "mid.timesteps"]
    }

    fn output_name(&self) -> &'static str {
        "mid.model_out"
    }
}

/// An ADM with its weights.
struct AdmDenoiser {
    unet: AdmUnet,
    dtype: DType,
}

impl Denoiser for AdmDenoiser {
    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let timesteps = vec![step.t.value() as f32; step.input.dim(0)?];
        self.unet.forward(&step.input.to_dtype(self.dtype)?, &timesteps, probe)
    }
}
