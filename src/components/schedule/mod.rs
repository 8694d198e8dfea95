//! Diffusion schedules: how much picture and how much noise a timestep means.

mod discrete;
mod edm;
mod flow;
mod shift;
mod timestep;

use std::ops::RangeInclusive;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

pub use self::{
    discrete::{Betas, DiscreteSchedule, Prediction},
    edm::EdmSchedule,
    flow::FlowSchedule,
    shift::FlowShift,
    timestep::Timestep,
};
use crate::error::{Error, Result};

/// The two shares of the mixture x_t = signal·z + noise·n.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// √ā.
    pub signal: f64,
    /// √(1−ā).
    pub noise: f64,
}

impl Mixture {
    /// The noise fraction √(1−ā)/(√ā+√(1−ā)): comparable between schedules.
    pub fn noise_fraction(self) -> f64 {
        self.noise / (self.signal + self.noise)
    }

    /// Shares of a pass without noise (CleanDIFT).
    pub const CLEAN: Self = Self {
        signal: 1.0,
        noise: 0.0,
    };
}

/// Schedule: the shares of picture and noise at a timestep, and both from a network's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// √ā and √(1−ā) of whole timesteps.
    Discrete(DiscreteSchedule),
    /// Noise that is added to a picture which keeps its size, in the form in which the network is given both.
    Edm(EdmSchedule),
    /// 1−σ and σ along a straight line.
    Flow(FlowSchedule),
    /// The same line, for a network that predicts z − n, the way from the noise to the picture (SiT).
    FlowToPicture(FlowSchedule),
    /// No noise and no timestep: of an image encoder.
    Noiseless,
}

impl Schedule {
    /// The shares at timestep `t`.
    ///
    /// # Errors
    ///
    /// Where `t` is none of the schedule's; the error names its range.
    pub fn mixture(&self, t: Timestep) -> Result<Mixture> {
        match self {
            Self::Discrete(schedule) => schedule.mixture(t),
            Self::Edm(schedule) => schedule.mixture(t),
            Self::Flow(schedule) | Self::FlowToPicture(schedule) => schedule.mixture(t),
            Self::Noiseless => Ok(Mixture::CLEAN),
        }
    }

    /// Splits a latent into picture and noise by the network's prediction at `t`; all of one shape.
    ///
    /// # Errors
    ///
    /// As [`Self::mixture`], and where the prediction tells one of the two alone.
    pub fn split(&self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<(Tensor, Tensor)> {
        match self {
            Self::Discrete(schedule) => schedule.split(latent, prediction, t),
            Self::Edm(schedule) => schedule.split(latent, prediction, t),
            Self::Flow(schedule) => schedule.split(latent, prediction, t),
            Self::FlowToPicture(schedule) => schedule.split(latent, &prediction.neg()?, t),
            Self::Noiseless => Err(no_prediction()),
        }
    }

    /// The latent one deterministic step of t earlier (at the first: the picture), from the latent at `t` and the network's
    /// prediction there; all three have one shape.
    ///
    /// # Errors
    ///
    /// As [`Self::split`].
    pub(crate) fn earlier(&self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<Tensor> {
        match self {
            Self::Discrete(schedule) => schedule.ddim_step(latent, prediction, t),
            Self::Edm(schedule) => schedule.euler_step(latent, prediction, t),
            Self::Flow(schedule) => schedule.euler_step(latent, prediction, t),
            Self::FlowToPicture(schedule) => schedule.euler_step(latent, &prediction.neg()?, t),
            Self::Noiseless => Err(no_prediction()),
        }
    }

    /// The first and the last timestep.
    pub fn range(&self) -> RangeInclusive<Timestep> {
        match self {
            Self::Discrete(schedule) => {
                let last = u32::try_from(schedule.steps().saturating_sub(1)).unwrap_or(u32::MAX);
                Timestep::default()..=last.into()
            }
            Self::Edm(_) => Timestep::default()..=EdmSchedule::LAST,
            Self::Flow(_) | Self::FlowToPicture(_) => Timestep::default()..=FlowSchedule::LAST,
            Self::Noiseless => Timestep::default()..=Timestep::default(),
        }
    }

    /// Whether timesteps are 1000 times the share of noise, fractions too.
    pub fn flows(&self) -> bool {
        matches!(self, Self::Flow(_) | Self::FlowToPicture(_))
    }

    /// The whole timesteps, in order.
    pub(crate) fn whole_timesteps(&self) -> impl Iterator<Item = Timestep> + use<> {
        let last = self.range().end().value() as u32;
        (0..=last).map(Timestep::from)
    }

    /// Whether the noisy latent is z + σ·n, of which the network is given the mixture: a multiple.
    pub(crate) fn scales_input(&self) -> bool {
        match self {
            Self::Discrete(schedule) => schedule.scales_input,
            Self::Edm(_) => true,
            Self::Flow(_) | Self::FlowToPicture(_) | Self::Noiseless => false,
        }
    }
}

fn no_prediction() -> Error {
    Error::failed("an image encoder predicts no noise")
}

impl From<DiscreteSchedule> for Schedule {
    fn from(schedule: DiscreteSchedule) -> Self {
        Self::Discrete(schedule)
    }
}

impl From<EdmSchedule> for Schedule {
    fn from(schedule: EdmSchedule) -> Self {
        Self::Edm(schedule)
    }
}

impl From<FlowSchedule> for Schedule {
    fn from(schedule: FlowSchedule) -> Self {
        Self::Flow(schedule)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// Both ways along the line tell the same picture and the same step.
    #[test]
    fn a_prediction_may_lead_to_the_picture() -> Result<()> {
        let random = || Tensor::randn(0f64, 1.0, (1, 4, 2, 3), &Device::Cpu);
        let (latent, to_noise) = (random()?, random()?);
        let to_picture = to_noise.neg()?;
        let t = Timestep::new(350.5)?;
        let (one, other) = (Schedule::Flow(FlowSchedule), Schedule::FlowToPicture(FlowSchedule));
        let split = [one.split(&latent, &to_noise, t)?, other.split(&latent, &to_picture, t)?];
        let stepped = [
            one.earlier(&latent, &to_noise, t)?,
            other.earlier(&latent, &to_picture, t)?,
        ];
        for (a, b) in [
            (&split[0].0, &split[1].0),
            (&split[0].1, &split[1].1),
            (&stepped[0], &stepped[1]),
        ] {
            let difference = (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?;
            assert_eq!(difference.to_scalar::<f64>()?, 0.0);
        }
        Ok(())
    }
}
