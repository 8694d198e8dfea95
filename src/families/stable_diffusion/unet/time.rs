//! The embedding of the timestep, and of what SDXL adds to it.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    conditions::{SdxlConditioning, TIME_IDS},
    config::{TextTimeWidths, UnetConfig},
};
use crate::{
    error::Result,
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Linear, linear},
        time_embedding::timestep_embedding,
    },
};

/// `time_embedding`, and `add_embedding` where the network has one.
#[derive(Debug)]
pub struct TimeEmbedding {
    width: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    layers: [Linear; 2],
    text_time: Option<(TextTimeWidths, [Linear; 2])>,
}

impl TimeEmbedding {
    /// From the tensors of a whole network.
    pub fn new(config: &UnetConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let width = config.down[0].channels;
        let dim = config.time_embed_dim();
        let layers = |width: usize, vb: VarBuilder<'_>| -> Result<[Linear; 2]> {
            Ok([
                linear(width, dim, vb.pp("linear_1"))?,
                linear(dim, dim, vb.pp("linear_2"))?,
            ])
        };
        Ok(Self {
            width,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
            layers: layers(width, vb.pp("time_embedding"))?,
            text_time: match config.text_time {
                Some(widths) => Some((widths, layers(widths.input_width(), vb.pp("add_embedding"))?)),
                None => None,
            },
        })
    }

    /// SiLU of the timestep embedding plus SDXL's embedding of text and sizes, (B, 4·C0), for every resnet.
    pub fn forward(&self, t: &[f32], sdxl: Option<&SdxlConditioning>, device: &Device) -> Result<Tensor> {
        let sinusoids = |t: &[f32], width| timestep_embedding(t, width, self.flip_sin_to_cos, self.freq_shift, device);
        let mut time = embed(&self.layers, &sinusoids(t, self.width)?)?;
        if let (Some((widths, layers)), Some(sdxl)) = (&self.text_time, sdxl) {
            let ids = sdxl.time_ids.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let ids = sinusoids(&ids, widths.time_ids)?.reshape((t.len(), TIME_IDS * widths.time_ids))?;
            let pooled = sdxl.pooled.to_dtype(DType::F32)?;
            time = (time + embed(layers, &Tensor::cat(&[&pooled, &ids], 1)?)?)?;
        }
        Ok(silu(&time)?)
    }
}

/// Linear, SiLU, Linear, of (B, width) in f32.
fn embed([first, second]: &[Linear; 2], x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(first.weight().dtype())?;
    Ok(second.forward(&silu(&first.forward(&x)?)?)?)
}

impl Adaptable for TimeEmbedding {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.layers.each_layer(visit);
        if let Some((_, layers)) = &mut self.text_time {
            layers.each_layer(visit);
        }
    }
}
