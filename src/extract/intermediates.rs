//! The inner tensors of a pass that are no activations: what an extraction writes beside them on request.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{
    model::Model,
    pass::Input,
    settings::{LatentMode, PassSettings},
};
use crate::{
    components::vae::Posterior,
    error::Result,
    image::prepare::PreparedImage,
    io::array::Array,
    model::{
        control::{ControlInput, ControlSignal},
        denoiser::{LatentDistribution, Step},
    },
};

/// The inner tensors of a pass that are no activations, by name (`mid.image`, …), rows as they ran.
pub type Intermediates = BTreeMap<String, Array>;

/// Keeps control images (P, 3, H, W) and the residuals of the nets, rows as they ran.
pub(super) fn keep_control(
    kept: &mut Intermediates,
    control: &[ControlInput],
    residuals: &[ControlSignal],
) -> Result<()> {
    for (index, input) in control.iter().enumerate() {
        let name = match index {
            0 => "mid.control_image".to_owned(),
            _ => format!("mid.control_image.{index}"),
        };
        kept.insert(name, Array::from_tensor(&input.image)?);
    }
    let Some(first) = residuals.first() else { return Ok(()) };
    let joined = |tensors: Vec<&Tensor>| Array::from_tensor(&Tensor::cat(&tensors, 0)?);
    for index in 0..first.down.len() {
        let of_batches = residuals.iter().filter_map(|batch| batch.down.get(index)).collect();
        kept.insert(format!("mid.control_down.{index}"), joined(of_batches)?);
    }
    let mid = residuals.iter().map(|batch| &batch.mid).collect();
    kept.insert("mid.control_mid".to_owned(), joined(mid)?);
    Ok(())
}

/// Keeps what a pass was given and began with.
pub(super) fn keep_intermediates(
    kept: &mut Intermediates,
    model: &Model,
    pictures: &[PreparedImage],
    input: &Input,
    settings: &PassSettings,
) -> Result<()> {
    let Input { clean, encoded, .. } = input;
    kept.extend(
        input
            .vae_noise
            .as_ref()
            .map(|noise| ("in.vae_noise".to_owned(), noise.clone())),
    );
    let rows = model.denoiser_input(&input.noisy, clean)?;
    let members = settings.run.ensemble;
    let mut keep = |name: &str, tensor: &Tensor| -> Result<()> {
        kept.insert(name.to_owned(), Array::from_tensor(tensor)?);
        Ok(())
    };
    // One row per picture, where the members do not differ.
    let per_picture = |tensor: &Tensor| -> Result<Tensor> {
        let first_members = (0..pictures.len()).map(|index| Ok(tensor.narrow(0, index * members, 1)?));
        Ok(Tensor::cat(&first_members.collect::<Result<Vec<_>>>()?, 0)?)
    };
    let range = model.spec.size_rule().pixel_range();
    let images = pictures.iter().map(|picture| {
        let size = picture.picture.size();
        Ok(Tensor::from_vec(
            picture.picture.to_chw(range),
            (1, 3, size.height, size.width),
            clean.device(),
        )?)
    });
    keep("mid.image", &Tensor::cat(&images.collect::<Result<Vec<_>>>()?, 0)?)?;
    keep("in.noise", &input.noise)?;
    let timestep = Tensor::new(&[model.network_timestep(settings.t) as f32], clean.device())?;
    let posteriors: Vec<_> = encoded
        .iter()
        .filter_map(|encoded| match encoded {
            LatentDistribution::Posterior(posterior) => Some(posterior),
            LatentDistribution::Pixels(_) => None,
        })
        .collect();
    if !posteriors.is_empty() {
        let joined = |of: fn(&Posterior) -> &Tensor| -> Result<Tensor> {
            let tensors: Vec<_> = posteriors.iter().map(|posterior| of(posterior)).collect();
            Ok(Tensor::cat(&tensors, 0)?)
        };
        keep("mid.vae_mean", &joined(|posterior| &posterior.mean)?)?;
        keep("mid.vae_std", &joined(|posterior| &posterior.std)?)?;
        let clean_rows = match settings.run.latent {
            LatentMode::Mean => per_picture(clean)?,
            LatentMode::Sample => clean.clone(),
        };
        keep("mid.latents_clean", &clean_rows)?;
        // Euler's schedulers mix z + σ·n and divide by √(σ²+1) = 1/√ā before the network, EDM's by another root.
        let before_scaling = match model.spec.schedule.scales_input() {
            true => 1.0 / settings.mixture.signal,
            false => 1.0,
        };
        keep("mid.latents_noisy", &(&input.noisy * before_scaling)?)?;
    }
    let [input_name, timestep_name] = model.spec.network.input_names();
    keep(input_name, &model.own_layout(&rows)?)?;
    keep(timestep_name, &timestep)?;
    if let Some(prompt) = &input.prompt {
        let batch = rows.dim(0)?;
        keep("mid.prompt_embeds", &prompt.states)?;
        keep("mid.encoder_hidden_states", &prompt.states.repeat((batch, 1, 1))?)?;
    }
    let step = Step {
        input: &rows,
        t: settings.t,
        conditioning: input.prompt.as_ref(),
        class: settings.class.as_ref().map(|class| class.row),
        control: None,
        guidance: settings.run.guidance,
        compat: settings.run.compat,
    };
    for (name, tensor) in model.given_beside(&step)? {
        keep(name, &tensor)?;
    }
    Ok(())
}
