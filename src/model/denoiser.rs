//! A model with its weights.

use std::sync::Arc;

use candle_core::Tensor;

use super::{
    adapters::{Adapters, AppliedAdapters, EmbeddingUse, LoraUse},
    compat::Compat,
    control::{ControlInput, ControlSignal},
    guidance::Guidance,
    tokens::PromptToken,
};
use crate::{
    activation::{Probe, Progress, Stop},
    components::{
        schedule::Timestep,
        vae::{Posterior, VaeDecoder, VaeEncoder},
    },
    error::{Error, Result},
    image::picture::Picture,
};

/// The denoiser's input for a picture, before noise.
pub enum LatentDistribution {
    /// Pixels (1, 3, H, W) in [−1, 1]: the picture itself.
    Pixels(Tensor),
    /// Mean and standard deviation of the latent, (1, C, h, w), unscaled.
    Posterior(Posterior),
}

/// Conditioning of a denoiser on a prompt.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// The states that attention reads, (1, T, D).
    pub states: Tensor,
    /// 1 for each of the T states that counts, 0 for padding; none where all count.
    pub mask: Option<Arc<[u8]>>,
    /// Pooled text beside the states, (1, P).
    pub pooled: Option<Tensor>,
    /// States of another encoder, of another width, which attention reads behind these.
    pub second: Option<SecondText>,
    /// Token of each of the T states, and of those of the second encoder behind them; where two encoders' states lie beside each
    /// other, those of the first.
    pub tokens: Arc<[PromptToken]>,
}

/// States of a second text encoder.
#[derive(Debug, Clone)]
pub struct SecondText {
    /// (1, T2, D2).
    pub states: Tensor,
    /// 1 for each of the T2 states that counts, 0 for padding.
    pub mask: Arc<[u8]>,
}

impl Conditioning {
    /// How many states attention reads: the columns of a cross-attention map.
    ///
    /// # Errors
    ///
    /// Where states are not of sequences.
    pub fn length(&self) -> Result<usize> {
        let second = match &self.second {
            Some(second) => second.states.dim(1)?,
            None => 0,
        };
        Ok(self.states.dim(1)? + second)
    }
}

/// One evaluation of a denoiser.
pub struct Step<'a> {
    /// The denoiser's input as [`Denoiser::input`] makes it, (rows, C, h, w).
    pub input: &'a Tensor,
    /// The timestep of all rows.
    pub t: Timestep,
    /// The prompt of all rows.
    pub conditioning: Option<&'a Conditioning>,
    /// The class that all rows are told, as a row of the network's table; none where it reads no class.
    pub class: Option<u32>,
    /// Residuals of ControlNets.
    pub control: Option<&'a ControlSignal>,
    /// The guidance scale of all rows, for networks that are told one.
    pub guidance: Guidance,
    /// A program whose slips are reproduced.
    pub compat: Option<Compat>,
}

/// A model with its weights on a device. Encoders may be read, used and let go inside; callers see values only.
pub trait Denoiser: Send {
    /// The encoder of its autoencoder; none where noise is mixed with the pixels themselves.
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        None
    }

    /// Conditioning on a prompt; none where the network reads none.
    ///
    /// # Errors
    ///
    /// Where a text encoder is broken or does not fit, and where `progress` ends the work.
    fn encode_prompt(
        &mut self,
        prompt: &str,
        compat: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let _ = (prompt, compat, progress);
        Ok(None)
    }

    /// The network's input for noisy latents and clean ones, (B, C, h, w) each.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    fn input(&self, noisy: &Tensor, clean: &Tensor) -> Result<Tensor> {
        let _ = clean;
        Ok(noisy.clone())
    }

    /// One evaluation. Gives the prediction, (rows, C, h, w), unless the probe ends the pass before.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] after the last activation selected.
    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop>;

    /// The decoder of the autoencoder, in f32; whoever asked for it lets it go.
    ///
    /// # Errors
    ///
    /// Where there is none.
    fn open_decoder(&self) -> Result<VaeDecoder> {
        Err(Error::failed("this model has no autoencoder"))
    }

    /// The timestep as the network itself is given it: flow models count from 0 to 1, and some from the noise on.
    fn network_timestep(&self, t: Timestep) -> f64 {
        t.value()
    }

    /// Further tensors that the network is given, or makes before its first block, by the name that they have among the
    /// intermediates of a pass.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let _ = step;
        Ok(Vec::new())
    }

    /// The network's input or output (rows, C, h, w) in the layout in which the network itself has it.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    fn own_layout(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.clone())
    }

    /// Host of LoRAs, ControlNets and embeddings, for families that take them.
    fn adapters(&self) -> Option<&dyn AdapterHost> {
        None
    }

    /// The same, to change it.
    fn adapters_mut(&mut self) -> Option<&mut dyn AdapterHost> {
        None
    }
}

/// Host of LoRAs, ControlNets and embeddings.
pub trait AdapterHost {
    /// Puts adapters on the model in the place of those before, without reading the model again. On an error the model is as
    /// it was.
    ///
    /// # Errors
    ///
    /// Where a file is broken or does not fit.
    fn put(&mut self, adapters: &Adapters) -> Result<()>;

    /// The adapters that act.
    fn applied(&self) -> AppliedAdapters;

    /// The LoRAs and embeddings that act on prompts.
    fn on_prompts(&self) -> (Vec<LoraUse>, Vec<EmbeddingUse>);

    /// Control images and their embeddings by the ControlNets that act, for working pictures of one size.
    ///
    /// # Errors
    ///
    /// Where a control image cannot be read.
    fn control_inputs(&self, pictures: &[&Picture]) -> Result<Vec<ControlInput>>;

    /// Residuals of the ControlNets for rows (B, C, h, w) at timestep `t`, summed; `pictures` has the picture of each row.
    ///
    /// # Errors
    ///
    /// Where `progress` ends the work, or the device fails.
    fn control(
        &self,
        rows: &Tensor,
        t: Timestep,
        conditioning: &Conditioning,
        inputs: &[ControlInput],
        pictures: &[u32],
        progress: &mut Progress<'_>,
    ) -> Result<Option<ControlSignal>>;
}
