//! DDIM inversion: a latent that the model itself would denoise to the picture, in place of the picture mixed with noise.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    components::schedule::{Mixture, Schedule, Timestep},
    error::Result,
};

/// Timesteps that one step of an inversion goes.
const STRIDE: f64 = 10.0;
/// The timestep whose latent the clean one is taken for.
const FIRST: f64 = 1.0;

/// How the latent at the timestep is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inversion {
    /// The picture mixed with random noise.
    #[default]
    None,
    /// The picture carried to t by the model's own predictions; no random noise is used.
    Ddim,
}

/// Predicts at a latent and a timestep: the network's output, of the latent's shape.
pub(super) type Predict<'a> = dyn FnMut(&Tensor, Timestep) -> Result<Tensor> + 'a;

/// The timesteps at which an inversion to `t` asks the network.
pub(super) fn timesteps(t: Timestep) -> Vec<Timestep> {
    let first = Timestep::default().later(FIRST, t);
    let later = |from: &Timestep| Some(from.later(STRIDE, t));
    std::iter::successors(Some(first), later)
        .take_while(|from| *from < t)
        .collect()
}

/// The latent at `t` from the clean one: steps of ten from t = 1 with the noise predicted at the timestep the latent is
/// at, the last one shorter.
pub(super) fn invert(schedule: &Schedule, clean: &Tensor, t: Timestep, predict: &mut Predict<'_>) -> Result<Tensor> {
    let mut latent = clean.clone();
    for from in timesteps(t) {
        let prediction = predict(&latent, from)?;
        let to = schedule.mixture(from.later(STRIDE, t))?;
        let (clean, epsilon) = schedule.split(&latent, &prediction, from)?;
        latent = ((clean * to.signal)? + (epsilon * to.noise)?)?;
    }
    Ok(latent)
}

/// The timesteps at which generic-diffusion-feature's inversion to `t` asks the network.
pub(super) fn published_timesteps(t: Timestep) -> Vec<Timestep> {
    let first = FIRST + STRIDE;
    let steps = ((t.value() - first).max(0.0) / STRIDE).ceil() as u32;
    let at = |step: u32| Timestep::of((first + f64::from(step) * STRIDE) as u32);
    (0..=steps).map(at).collect()
}

/// The latent as generic-diffusion-feature inverts it: the prediction, taken for the noise, is made at the timestep the
/// latent is to reach, and the last step goes to the first multiple that is not before `t`.
pub(super) fn invert_as_published(
    schedule: &Schedule,
    clean: &Tensor,
    t: Timestep,
    predict: &mut Predict<'_>,
) -> Result<Tensor> {
    let mut latent = clean.clone();
    for to in published_timesteps(t) {
        let epsilon = predict(&latent, to)?;
        let Mixture { signal, noise } = schedule.mixture(to)?;
        let from = schedule.mixture(to.later(-STRIDE, to))?;
        let clean = (latent - (&epsilon * from.noise)?)?;
        latent = ((clean * (signal / from.signal))? + (epsilon * noise)?)?;
    }
    Ok(latent)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::components::schedule::DiscreteSchedule;

    #[test]
    fn the_last_step_ends_at_t() {
        assert!(timesteps(1.into()).is_empty());
        assert_eq!(timesteps(11.into()), [1]);
        assert_eq!(timesteps(25.into()), [1, 11, 21]);
        assert_eq!(published_timesteps(5.into()), [11]);
        assert_eq!(published_timesteps(11.into()), [11]);
        assert_eq!(published_timesteps(102.into()).last(), Some(&111.into()));
    }

    /// A network that knows the noise that was mixed in leads along the mixtures of that noise.
    #[test]
    fn with_a_perfect_prediction_the_latent_is_the_mixture() -> Result<()> {
        let schedule = Schedule::from(DiscreteSchedule::stable_diffusion());
        let picture = Tensor::randn(0f32, 1.0, (1, 4, 3, 5), &Device::Cpu)?;
        let noise = Tensor::randn(0f32, 1.0, (1, 4, 3, 5), &Device::Cpu)?;
        let mixed = |t: Timestep| -> Result<Tensor> {
            let Mixture { signal, noise: share } = schedule.mixture(t)?;
            Ok(((&picture * signal)? + (&noise * share)?)?)
        };
        let inverted = invert(&schedule, &mixed(Timestep::new(FIRST)?)?, 437.into(), &mut |_, _| {
            Ok(noise.clone())
        })?;
        let error = (inverted - mixed(437.into())?)?
            .abs()?
            .to_dtype(DType::F64)?
            .max_all()?;
        assert!(error.to_scalar::<f64>()? < 1e-4);
        Ok(())
    }
}
