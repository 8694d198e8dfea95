//! An image encoder with its weights: one forward pass over a picture, without noise, timestep or prompt.

use candle_core::Tensor;

use crate::{
    activation::{Probe, Stop},
    error::Result,
    image::picture::Picture,
};

/// An image encoder with its weights on a device.
pub trait Encoder: Send {
    /// The numbers that it is given for a working picture, (1, 3, H, W) in f32.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    fn input(&self, picture: &Picture) -> Result<Tensor>;

    /// One pass over pictures (B, 3, H, W) as [`Self::input`] makes them.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] after the last activation selected.
    fn encode(&self, input: &Tensor, probe: &mut Probe<'_>) -> Result<(), Stop>;
}
