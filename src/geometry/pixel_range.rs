//! Range of a model's input pixels.

use serde::{Deserialize, Serialize};

/// Range of a model's input pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PixelRange {
    /// x/255·2 − 1, as the latent models' pipelines compute it.
    Latent,
    /// x/127.5 − 1, as guided-diffusion computes it.
    Adm,
}

impl PixelRange {
    /// The number a model gets for an 8-bit value, in f32 and in the order of the reference implementations.
    pub fn value(self, byte: u8) -> f32 {
        const WHITE_LEVEL: f32 = 255.0;
        const MIDDLE_LEVEL: f32 = 127.5;
        match self {
            Self::Latent => f32::from(byte) / WHITE_LEVEL * 2.0 - 1.0,
            Self::Adm => f32::from(byte) / MIDDLE_LEVEL - 1.0,
        }
    }
}
