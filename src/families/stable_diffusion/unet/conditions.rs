//! Conditioning of a U-Net besides its input and the timestep.

use candle_core::Tensor;

use super::config::UnetConfig;
use crate::{
    error::{Error, Result},
    model::control::ControlSignal,
};

/// Conditioning of a U-Net for B rows.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Text states, (B, T, D).
    pub text: &'a Tensor,
    /// SDXL's terms of the timestep embedding.
    pub sdxl: Option<&'a SdxlConditioning>,
    /// Residuals of ControlNets for the skips and the middle.
    pub control: Option<&'a ControlSignal>,
}

impl<'a> Conditions<'a> {
    /// Text states (B, T, D) alone.
    pub fn of_text(text: &'a Tensor) -> Self {
        Self {
            text,
            sdxl: None,
            control: None,
        }
    }

    /// Whether a network of this configuration takes these conditions, an input `x` (B, in, h, w) and timesteps `t`;
    /// `who` names it.
    pub(crate) fn check(&self, config: &UnetConfig, who: &str, x: &Tensor, t: &[f32]) -> Result<()> {
        let (batch, channels, _, _) = x.dims4()?;
        let (text_batch, _, text_width) = self.text.dims3()?;
        if channels != config.in_channels || batch != t.len() || batch != text_batch {
            return Err(Error::failed(format!(
                "{who} takes (B, {}, h, w), B timesteps and B prompts; found {:?}, {} timesteps, {text_batch} prompts",
                config.in_channels,
                x.dims(),
                t.len()
            )));
        }
        if text_width != config.cross_attention_dim {
            return Err(Error::failed(format!(
                "{who} attends to text states of width {}, the text encoder gives {text_width}: they are not of the same \
                 model",
                config.cross_attention_dim
            )));
        }
        let found = self.sdxl.map(|sdxl| (sdxl.pooled.dims(), sdxl.time_ids.dims()));
        let wanted = config
            .text_time
            .map(|widths| ([batch, widths.pooled], [batch, TIME_IDS]));
        match (wanted, found) {
            (None, None) => Ok(()),
            (Some((pooled, ids)), Some(found)) if found == (&pooled, &ids) => Ok(()),
            _ => {
                let words = |pooled: Option<(&[usize], &[usize])>| match pooled {
                    Some((pooled, ids)) => format!("a pooled text of shape {pooled:?} and time ids of shape {ids:?}"),
                    None => "nothing".to_owned(),
                };
                let wanted = wanted.as_ref().map(|(pooled, ids)| (&pooled[..], &ids[..]));
                Err(Error::failed(format!(
                    "beside text states {who} takes {}, found {}: it and the text encoders are not of the same model",
                    words(wanted),
                    words(found)
                )))
            }
        }
    }
}

/// SDXL's second way of conditioning (`text_time` in diffusers), for B rows.
#[derive(Debug, Clone)]
pub struct SdxlConditioning {
    /// The pooled, projected state of the second text encoder, (B, P).
    pub pooled: Tensor,
    /// Original height and width, top and left of the crop, target height and width: (B, 6), in f32. Their sinusoids
    /// are made on the CPU: there they need no copy from a GPU, for which a pass would wait.
    pub time_ids: Tensor,
}

/// Numbers in one row of [`SdxlConditioning::time_ids`].
pub const TIME_IDS: usize = 6;
