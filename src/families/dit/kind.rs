//! What the networks of one architecture were trained to predict, and how they count the timestep.

use crate::components::schedule::{DiscreteSchedule, FlowSchedule, Schedule, Timestep};

/// Timesteps of DiT's schedule, and of σ = 1.
const TIMESTEPS: usize = 1000;

/// Kind of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DitKind {
    /// The noise, at whole timesteps (Peebles and Xie, 2023).
    Dit,
    /// The way from the noise to the picture, told the picture's share of the mixture (Ma et al., *SiT*, 2024).
    Sit,
    /// The way from the picture to the noise, told the noise's share (Yu et al., *REPA*, 2024).
    Repa,
}

impl DitKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Dit, Self::Sit, Self::Repa];

    /// Its word in configurations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dit => "dit",
            Self::Sit => "sit",
            Self::Repa => "repa",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The timestep that runs when none is given: of flow models the one that REPA measures its features at.
    pub(super) const fn default_t(self) -> Timestep {
        match self {
            Self::Dit => Timestep::of(50),
            Self::Sit | Self::Repa => Timestep::of(500),
        }
    }

    /// How picture and noise are mixed, and what the prediction is; of a folder without a schedule of its own.
    pub fn schedule(self) -> Schedule {
        match self {
            Self::Dit => DiscreteSchedule::linear(TIMESTEPS).into(),
            Self::Sit => Schedule::FlowToPicture(FlowSchedule),
            Self::Repa => Schedule::Flow(FlowSchedule),
        }
    }

    /// The timestep as the network is given it.
    pub fn network_timestep(self, t: Timestep) -> f64 {
        let sigma = t.value() / TIMESTEPS as f64;
        match self {
            Self::Dit => t.value(),
            Self::Sit => 1.0 - sigma,
            Self::Repa => sigma,
        }
    }
}
