//! Inputs and residuals of ControlNets.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Input of a ControlNet in one pass.
pub struct ControlInput {
    /// Which of the model's ControlNets.
    pub net: usize,
    /// Its control images, one per picture, (P, 3, H, W) in [0, 1].
    pub image: Tensor,
    /// Their embeddings, (P, C0, h, w).
    pub embedded: Tensor,
    /// How strongly it acts.
    pub scale: f64,
}

/// Residuals of ControlNets for B rows: scaled, and summed over the nets.
#[derive(Debug, Clone)]
pub struct ControlSignal {
    /// For every skip, in the order in which the down path makes them, (B, C, h, w).
    pub down: Vec<Tensor>,
    /// For the output of the middle, (B, C, h, w).
    pub mid: Tensor,
}

impl ControlSignal {
    /// Every residual times `scale`.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn scaled(&self, scale: f64) -> Result<Self> {
        Ok(Self {
            down: self.down.iter().map(|x| Ok((x * scale)?)).collect::<Result<_>>()?,
            mid: (&self.mid * scale)?,
        })
    }

    /// The sum with another net's residuals, which must have the same shapes.
    ///
    /// # Errors
    ///
    /// Where the nets have different numbers of residuals, or residuals of different shapes.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        if self.down.len() != other.down.len() {
            return Err(Error::failed(format!(
                "ControlNets with {} and {} residuals cannot be summed: they are not of the same family",
                self.down.len(),
                other.down.len()
            )));
        }
        let sums = self.down.iter().zip(&other.down).map(|(a, b)| Ok((a + b)?));
        Ok(Self {
            down: sums.collect::<Result<_>>()?,
            mid: (&self.mid + &other.mid)?,
        })
    }
}
