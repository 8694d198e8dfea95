//! What a U-Net is told besides its input and the timestep.

use candle_core::Tensor;

/// What the denoiser reads of the prompt and of the request, for B rows.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Text states, (B, T, D).
    pub text: &'a Tensor,
    /// What SDXL adds to the timestep embedding.
    pub added: Option<&'a AddedConditions>,
}

impl<'a> Conditions<'a> {
    /// Text states (B, T, D) alone.
    pub fn of_text(text: &'a Tensor) -> Self {
        Self { text, added: None }
    }
}

/// SDXL's second way of conditioning (`text_time` in diffusers), for B rows.
#[derive(Debug, Clone)]
pub struct AddedConditions {
    /// The pooled, projected state of the second text encoder, (B, P).
    pub pooled: Tensor,
    /// Original height and width, top and left of the crop, wanted height and width: (B, 6), in f32.
    pub time_ids: Tensor,
}

/// Numbers in one row of [`AddedConditions::time_ids`].
pub const TIME_IDS: usize = 6;
