//! A configured U-Net of DeepFloyd IF without weights, and with them.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::{IfConfig, IfUnet, TOKENS, catalogue};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        networks::text_dtype,
        text::{
            TEXT_WEIGHTS_STEM,
            t5::T5Encoder,
            t5_tokenizer::{T5Tokenizer, prepare_prompt},
        },
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    image::picture::CHANNELS,
    model::{
        LoadExtent,
        compat::Compat,
        denoiser::{Conditioning, Denoiser, Step},
        spec::{Architecture, Network},
        tokens::t5_tokens,
    },
    weights::{DIFFUSERS_STEM, Store, find_weights, open_weights},
};

/// The U-Net's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: IfConfig,
    /// The folder of the hub's layout; none where the model is not on this machine.
    pub folder: Option<PathBuf>,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: self.config.size_multiple(),
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        [CHANNELS, working.height, working.width]
    }

    fn catalogue(&self, working: Size, _: usize) -> Catalogue {
        catalogue(&self.config, Grid::new(working.height, working.width))
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(TOKENS)
    }

    fn has_autoencoder(&self) -> bool {
        false
    }

    fn is_here(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| {
            [("unet", DIFFUSERS_STEM), ("text_encoder", TEXT_WEIGHTS_STEM)]
                .iter()
                .all(|(name, stem)| find_weights(&folder.join(name), stem).is_ok())
        })
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, _: &mut Progress<'_>) -> Result<Network> {
        let folder = self
            .folder
            .clone()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let store = open_weights(&folder.join("unet"), DIFFUSERS_STEM)?;
        check_outline(&store, &self.config)?;
        let network = IfUnet::new(
            self.config.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(IfDenoiser {
            network,
            folder,
            compute: compute.clone(),
        })))
    }
}

/// Refuses files whose names and shapes are not those of the whole network, or that hold more than it, before anything is read.
fn check_outline(store: &Store, config: &IfConfig) -> Result<()> {
    let outline = store.without_values();
    // In a format that no operator prepares weights for.
    IfUnet::new(
        config.clone(),
        LoadExtent::Whole,
        outline.var_builder(DType::F16, &Device::Cpu),
    )?;
    match outline.unread().first() {
        Some(name) => Err(Error::failed(format!(
            "{} holds the tensor {name}, which a U-Net of this configuration does not have: another network, or a configuration \
             of another one",
            store.label()
        ))),
        None => Ok(()),
    }
}

/// A U-Net of DeepFloyd IF with its weights; the text encoder is read when it is needed.
struct IfDenoiser {
    network: IfUnet,
    folder: PathBuf,
    compute: Compute,
}

impl IfDenoiser {
    /// Timesteps and text of a step in the format of the network.
    fn told(&self, step: &Step<'_>) -> Result<(Vec<f32>, Tensor)> {
        let Some(conditioning) = step.conditioning else {
            return Err(Error::failed("a U-Net that attends to text was run without text"));
        };
        Ok((
            vec![step.t.value() as f32; step.input.dim(0)?],
            conditioning.states.to_dtype(self.compute.dtype)?,
        ))
    }
}

impl Denoiser for IfDenoiser {
    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let tokenizer = T5Tokenizer::from_folder(&self.folder.join("tokenizer"))?;
        let tokens = tokenizer.encode(&prepare_prompt(prompt), TOKENS)?;
        let mask = tokens.mask();
        let folder = self.folder.join("text_encoder");
        let encoder = T5Encoder::from_folder(&folder, &self.compute.device, text_dtype(self.compute.dtype))?;
        let states = encoder.forward(
            std::slice::from_ref(&tokens.ids),
            Some(std::slice::from_ref(&mask)),
            progress,
        )?;
        Ok(Some(Conditioning {
            states: states.to_dtype(DType::F32)?,
            // The U-Net attends to padding as well.
            mask: None,
            pooled: None,
            second: None,
            tokens: t5_tokens(&tokens).into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let (timesteps, text) = self.told(step)?;
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network.forward(&x, &timesteps, &text, probe)
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let (timesteps, text) = self.told(step)?;
        let time = self.network.time(&timesteps, &text)?;
        Ok(vec![("mid.temb", time.to_dtype(DType::F32)?)])
    }
}
