//! A Stable Diffusion with its weights.

use candle_core::{DType, Device, Tensor};

use super::{
    adapter_host::Adapted,
    architecture::LATENT_STRIDE,
    components::Files,
    control_image::control_images,
    controlnet::ControlNet,
    unet::{Conditions, MASK_CHANNELS, SdxlConditioning, TIME_IDS, Unet},
};
use crate::{
    activation::{Probe, Progress, Selection, Stop},
    components::{
        schedule::{EdmSchedule, Timestep},
        vae::{VaeDecoder, VaeEncoder},
    },
    device::Compute,
    error::{Error, Result},
    image::picture::Picture,
    model::{
        adapters::{Adapters, AppliedAdapters, ControlUse, EmbeddingUse, LoraUse},
        compat::Compat,
        control::{ControlInput, ControlSignal},
        denoiser::{AdapterHost, Conditioning, Denoiser, Step},
    },
};

/// The U-Net and the encoder of the autoencoder; text encoders are read when they are needed.
pub(super) struct StableDiffusionDenoiser {
    pub unet: Unet,
    pub vae: VaeEncoder,
    pub files: Files,
    pub edm: Option<EdmSchedule>,
    pub compute: Compute,
    pub adapted: Adapted,
}

impl StableDiffusionDenoiser {
    /// The text states of a prompt for every row, (rows, T, D), in the format computed in.
    fn text_rows(&self, conditioning: &Conditioning, rows: usize) -> Result<Tensor> {
        Ok(conditioning.states.repeat((rows, 1, 1))?.to_dtype(self.compute.dtype)?)
    }
}

/// SDXL's further conditioning of rows (B, C, h, w); none for other models.
fn sdxl_conditioning(rows: &Tensor, conditioning: &Conditioning) -> Result<Option<SdxlConditioning>> {
    let Some(pooled) = &conditioning.pooled else {
        return Ok(None);
    };
    let (batch, _, height, width) = rows.dims4()?;
    let [height, width] = [height, width].map(|side| (side * LATENT_STRIDE) as f32);
    // Original size, no crop, target size: all three are the working picture's.
    let ids = [height, width, 0.0, 0.0, height, width];
    let ids = Tensor::new(&ids, &Device::Cpu)?.reshape((1, TIME_IDS))?;
    Ok(Some(SdxlConditioning {
        pooled: pooled.repeat((batch, 1))?,
        time_ids: ids.repeat((batch, 1))?,
    }))
}

impl Denoiser for StableDiffusionDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        compat: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        let (parts, adapted) = (&self.files.parts, &self.adapted);
        let encoded = parts.encode_prompt(self.unet.config(), (prompt, compat), adapted, &self.compute, progress)?;
        Ok(Some(encoded))
    }

    /// A network for inpainting takes a mask and the latent of the picture under it as well: here nothing is to be painted, so
    /// the mask is empty and that latent is the picture's own.
    fn input(&self, noisy: &Tensor, clean: &Tensor) -> Result<Tensor> {
        if !self.unet.config().inpaints() {
            return Ok(noisy.clone());
        }
        let (rows, _, height, width) = noisy.dims4()?;
        let mask = Tensor::zeros((rows, MASK_CHANNELS, height, width), noisy.dtype(), noisy.device())?;
        Ok(Tensor::cat(&[noisy, &mask, clean], 1)?)
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let Some(conditioning) = step.conditioning else {
            return Err(Error::failed("a U-Net that attends to text was run without text").into());
        };
        let rows = step.input.dim(0)?;
        let timesteps = vec![self.network_timestep(step.t) as f32; rows];
        let x = step.input.to_dtype(self.compute.dtype)?;
        let text = self.text_rows(conditioning, rows)?;
        let sdxl = sdxl_conditioning(&x, conditioning)?;
        let conditions = Conditions {
            text: &text,
            sdxl: sdxl.as_ref(),
            control: step.control,
        };
        self.unet.forward(&x, &timesteps, &conditions, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        let store = self.files.parts.vae()?;
        VaeDecoder::new(
            self.files.vae.clone(),
            store.var_builder(DType::F32, &self.compute.device),
        )
    }

    fn network_timestep(&self, t: Timestep) -> f64 {
        let told = self.edm.as_ref().and_then(|edm| edm.told(t).ok());
        told.unwrap_or(t.value())
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let Some(conditioning) = step.conditioning else {
            return Ok(Vec::new());
        };
        let (Some(pooled), Some(sdxl)) = (&conditioning.pooled, sdxl_conditioning(step.input, conditioning)?) else {
            return Ok(Vec::new());
        };
        Ok(vec![
            ("mid.pooled_prompt_embeds", pooled.clone()),
            ("mid.text_embeds", sdxl.pooled),
            ("mid.time_ids", sdxl.time_ids),
        ])
    }

    fn adapters(&self) -> Option<&dyn AdapterHost> {
        Some(self)
    }

    fn adapters_mut(&mut self) -> Option<&mut dyn AdapterHost> {
        Some(self)
    }
}

impl AdapterHost for StableDiffusionDenoiser {
    fn put(&mut self, adapters: &Adapters) -> Result<()> {
        self.adapted
            .put(adapters, &self.files.parts, &mut self.unet, &self.compute)
    }

    fn applied(&self) -> AppliedAdapters {
        self.adapted.applied().clone()
    }

    fn on_prompts(&self) -> (Vec<LoraUse>, Vec<EmbeddingUse>) {
        (self.adapted.text_loras(), self.adapted.embeddings())
    }

    fn control_inputs(&self, pictures: &[&Picture]) -> Result<Vec<ControlInput>> {
        let Compute { dtype, device } = &self.compute;
        let input = |(net, (used, network)): (usize, (&ControlUse, &ControlNet))| {
            let image = control_images(pictures, used, device)?;
            Ok(ControlInput {
                net,
                embedded: network.embed(&image.to_dtype(*dtype)?)?,
                image,
                scale: used.scale.into(),
            })
        };
        self.adapted.nets().enumerate().map(input).collect()
    }

    fn control(
        &self,
        rows: &Tensor,
        t: Timestep,
        conditioning: &Conditioning,
        inputs: &[ControlInput],
        pictures: &[u32],
        progress: &mut Progress<'_>,
    ) -> Result<Option<ControlSignal>> {
        let count = rows.dim(0)?;
        let x = rows.to_dtype(self.compute.dtype)?;
        let text = self.text_rows(conditioning, count)?;
        let sdxl = sdxl_conditioning(&x, conditioning)?;
        let of_rows = Tensor::new(pictures, &self.compute.device)?;
        let mut sum: Option<ControlSignal> = None;
        for (done, input) in inputs.iter().enumerate() {
            let Some((_, net)) = self.adapted.nets().nth(input.net) else {
                continue;
            };
            let nothing = Selection::default();
            let mut record = |_, _: &Tensor| Ok(());
            let mut progress = |part: f32| progress((done as f32 + part) / inputs.len() as f32);
            let mut probe = Probe::new(&nothing, net.activations(), &mut record, &mut progress);
            let embedded = input.embedded.index_select(&of_rows, 0)?;
            let conditions = Conditions {
                sdxl: sdxl.as_ref(),
                ..Conditions::of_text(&text)
            };
            let timesteps = vec![self.network_timestep(t) as f32; count];
            let residuals = match net.forward(&x, &timesteps, &conditions, &embedded, &mut probe) {
                Ok(residuals) => residuals.scaled(input.scale)?,
                Err(Stop::Error(error)) => return Err(error),
                // Nothing was asked of the probe, so nothing ends early.
                Err(Stop::Done) => continue,
            };
            sum = Some(match sum {
                Some(sum) => sum.plus(&residuals)?,
                None => residuals,
            });
        }
        Ok(sum)
    }
}
