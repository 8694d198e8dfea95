//! Rectified flow: picture and noise are mixed along a straight line, x = (1−σ)·z + σ·n, and the network predicts n − z
//! (Flux, Stable Diffusion 3, REPA).

use candle_core::Tensor;

use super::{Mixture, Timestep};
use crate::error::{Error, Result};

/// A schedule of flow matching. A timestep is 1000·σ, as these networks count it, and may be a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowSchedule;

/// Timesteps of σ = 1.
const TIMESTEPS: f64 = 1000.0;
/// Change of σ per step of t.
const STEP: f64 = 1.0 / TIMESTEPS;

impl FlowSchedule {
    /// The timestep of pure noise.
    pub(crate) const LAST: Timestep = Timestep::of(TIMESTEPS as u32);

    /// The share of noise at timestep `t`.
    ///
    /// # Errors
    ///
    /// Where `t` is above 1000.
    pub fn sigma(self, t: Timestep) -> Result<f64> {
        if t > Self::LAST {
            return Err(Error::usage(format!(
                "timestep {t} is outside the model's schedule: its timesteps are 0 to {TIMESTEPS}, 1000 times the share of noise"
            )));
        }
        Ok(t.value() / TIMESTEPS)
    }

    /// 1−σ and σ.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub fn mixture(self, t: Timestep) -> Result<Mixture> {
        let sigma = self.sigma(t)?;
        Ok(Mixture {
            signal: 1.0 - sigma,
            noise: sigma,
        })
    }

    /// z = x − σ·v and n = x + (1−σ)·v, of a latent x and the prediction v = n − z there; all of one shape.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub fn split(self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<(Tensor, Tensor)> {
        let sigma = self.sigma(t)?;
        Ok((
            (latent - (prediction * sigma)?)?,
            (latent + (prediction * (1.0 - sigma))?)?,
        ))
    }

    /// The latent at t − 1 (the picture where t is at most 1) by one step of Euler's method, of the same shape.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub(crate) fn euler_step(self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<Tensor> {
        let sigma = self.sigma(t)?;
        Ok((latent - (prediction * sigma.min(STEP))?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn random() -> Result<Tensor> {
        Ok(Tensor::randn(0f64, 1.0, (1, 16, 2, 3), &Device::Cpu)?)
    }

    fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
        Ok((a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()?)
    }

    #[test]
    fn a_prediction_tells_picture_and_noise() -> Result<()> {
        let (picture, noise) = (random()?, random()?);
        let velocity = (&noise - &picture)?;
        for t in [0.0, 0.5, 195.5, 999.0, 1000.0] {
            let t = Timestep::new(t)?;
            let Mixture { signal, noise: share } = FlowSchedule.mixture(t)?;
            let latent = ((&picture * signal)? + (&noise * share)?)?;
            let (z, n) = FlowSchedule.split(&latent, &velocity, t)?;
            assert!(difference(&z, &picture)? < 1e-12, "{t}");
            assert!(difference(&n, &noise)? < 1e-12, "{t}");
            // A step along the line is on the line.
            let earlier = Timestep::new((t.value() - 1.0).max(0.0))?;
            let there = FlowSchedule.mixture(earlier)?;
            let there = ((&picture * there.signal)? + (&noise * there.noise)?)?;
            assert!(
                difference(&FlowSchedule.euler_step(&latent, &velocity, t)?, &there)? < 1e-12,
                "{t}"
            );
        }
        Ok(())
    }

    #[test]
    fn timesteps_beyond_pure_noise_are_refused() -> Result<()> {
        assert!(FlowSchedule.mixture(Timestep::new(1000.5)?).is_err());
        Ok(())
    }
}
