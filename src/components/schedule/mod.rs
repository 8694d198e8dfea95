//! Diffusion schedules: how much picture and how much noise a timestep means.

mod discrete;
mod flow;
mod timestep;

use std::ops::RangeInclusive;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

pub use self::{
    discrete::{Betas, DiscreteSchedule, Prediction},
    flow::FlowSchedule,
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
    /// 1−σ and σ along a straight line.
    Flow(FlowSchedule),
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
            Self::Flow(schedule) => schedule.mixture(t),
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
            Self::Flow(schedule) => schedule.split(latent, prediction, t),
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
            Self::Flow(schedule) => schedule.euler_step(latent, prediction, t),
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
            Self::Flow(_) => Timestep::default()..=FlowSchedule::LAST,
            Self::Noiseless => Timestep::default()..=Timestep::default(),
        }
    }

    /// The whole timesteps, in order.
    pub(crate) fn whole_timesteps(&self) -> impl Iterator<Item = Timestep> + use<> {
        let last = self.range().end().value() as u32;
        (0..=last).map(Timestep::from)
    }

    /// The schedule of whole timesteps; none where it is not of this kind.
    pub(crate) fn discrete(&self) -> Option<&DiscreteSchedule> {
        match self {
            Self::Discrete(schedule) => Some(schedule),
            Self::Flow(_) | Self::Noiseless => None,
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

impl From<FlowSchedule> for Schedule {
    fn from(schedule: FlowSchedule) -> Self {
        Self::Flow(schedule)
    }
}
