//! What modulates the blocks: an embedding of the timestep, a pooled text, and for distilled models a guidance scale.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::silu};

use crate::{
    components::mlp::Mlp,
    nn::{
        adaptable::{Adaptable, Visit},
        time_embedding::timestep_embedding,
    },
};

/// Width of the sinusoids that numbers become.
const SINUSOIDS: usize = 256;

/// The layers of `time_text_embed`.
#[derive(Debug)]
pub(crate) struct TimeText {
    timestep_embedder: Mlp,
    guidance_embedder: Option<Mlp>,
    text_embedder: Mlp,
}

impl TimeText {
    /// For blocks of width `width` and a pooled text of width `pooled`.
    pub(crate) fn new(width: usize, pooled: usize, guidance: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let mlp = |input, name| Mlp::new([input, width], silu, vb.pp(name));
        Ok(Self {
            timestep_embedder: mlp(SINUSOIDS, "timestep_embedder")?,
            guidance_embedder: guidance.then(|| mlp(SINUSOIDS, "guidance_embedder")).transpose()?,
            text_embedder: mlp(pooled, "text_embedder")?,
        })
    }

    /// (B, D) for B timesteps, one guidance scale and pooled texts (1 or B, P), in the format of the text. Timestep and scale are
    /// as the sinusoids take them: a thousand times what flow models count.
    pub(crate) fn forward(&self, t: &[f32], guidance: f32, pooled: &Tensor) -> Result<Tensor> {
        let embedded = |numbers: &[f32]| {
            timestep_embedding(numbers, SINUSOIDS, true, 0.0, pooled.device())?.to_dtype(pooled.dtype())
        };
        let mut time = self.timestep_embedder.forward(&embedded(t)?)?;
        if let Some(embedder) = &self.guidance_embedder {
            time = time.broadcast_add(&embedder.forward(&embedded(&[guidance])?)?)?;
        }
        time.broadcast_add(&self.text_embedder.forward(pooled)?)
    }
}

impl Adaptable for TimeText {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.timestep_embedder.each_layer(visit);
        if let Some(guidance) = &mut self.guidance_embedder {
            guidance.each_layer(visit);
        }
        self.text_embedder.each_layer(visit);
    }
}
