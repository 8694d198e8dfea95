//! A configured encoder without weights, and with them.

use std::path::PathBuf;

use candle_core::Tensor;

use super::{
    WEIGHTS_STEM,
    catalogue::catalogue,
    config::EncoderConfig,
    network::{VisionTransformer, open_network},
    pixels::PixelStatistics,
};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    device::Compute,
    error::{Error, Result},
    geometry::{Size, framing::SizeRule},
    image::picture::{CHANNELS, Picture},
    model::{
        LoadExtent,
        encoder::Encoder,
        spec::{Architecture, Network},
    },
    weights::{find_weights, open_weights},
};

/// The encoder's configuration, and where its files are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: EncoderConfig,
    /// None where the model is not on this machine.
    pub files: Option<Files>,
}

/// The folder, and how its pictures become numbers.
#[derive(Clone)]
pub(super) struct Files {
    pub folder: PathBuf,
    pub pixels: PixelStatistics,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Latent {
            multiple: self.config.patch_size,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        [CHANNELS, working.height, working.width]
    }

    fn catalogue(&self, working: Size, _: usize) -> Catalogue {
        catalogue(&self.config, self.config.grid(working))
    }

    fn prompt_tokens(&self) -> Option<usize> {
        None
    }

    fn has_autoencoder(&self) -> bool {
        false
    }

    fn is_here(&self) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| find_weights(&files.folder, WEIGHTS_STEM).is_ok())
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, _: &mut Progress<'_>) -> Result<Network> {
        let files = self
            .files
            .as_ref()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let weights = open_weights(&files.folder, WEIGHTS_STEM)?;
        let network = open_network(&self.config, extent, &weights, compute.dtype, &compute.device)?;
        Ok(Network::Encoder(Box::new(LoadedEncoder {
            network,
            pixels: files.pixels,
            compute: compute.clone(),
        })))
    }
}

/// An encoder with its weights.
struct LoadedEncoder {
    network: VisionTransformer,
    pixels: PixelStatistics,
    compute: Compute,
}

impl Encoder for LoadedEncoder {
    fn input(&self, picture: &Picture) -> Result<Tensor> {
        self.pixels.normalised(picture, &self.compute.device)
    }

    fn encode(&self, input: &Tensor, probe: &mut Probe<'_>) -> Result<(), Stop> {
        self.network.forward(&input.to_dtype(self.compute.dtype)?, probe)
    }
}
