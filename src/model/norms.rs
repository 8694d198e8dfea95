//! Norms: our own on the CPU in f32, where one pass over memory does what several would, candle's elsewhere.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use crate::ops;

/// GroupNorm over (B, C, h, w) with what often follows it.
#[derive(Debug)]
pub struct GroupNorm {
    plain: candle_nn::GroupNorm,
    /// None where the weights are not on the CPU in f32.
    own: Option<ops::GroupNorm>,
    groups: usize,
    eps: f64,
    /// (1, C, 1, 1).
    weight: Tensor,
    /// (1, C, 1, 1).
    bias: Tensor,
}

/// SiLU(norm(x)) of any rows (B, C, rows, w) of a map whose statistics are known.
pub type OfRows<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// A GroupNorm with the tensors `weight` (C) and `bias` (C).
pub fn group_norm(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    let weight = vb.get(channels, "weight")?;
    let bias = vb.get(channels, "bias")?;
    let own = ops::takes(&weight)
        .then(|| ops::GroupNorm::new(groups, &weight, &bias, eps))
        .transpose()?;
    let plain = candle_nn::GroupNorm::new(weight.clone(), bias.clone(), channels, groups, eps)?;
    Ok(GroupNorm {
        plain,
        own,
        groups,
        eps,
        weight: over_grid(&weight.unsqueeze(0)?)?,
        bias: over_grid(&bias.unsqueeze(0)?)?,
    })
}

impl GroupNorm {
    fn own(&self, x: &Tensor) -> Option<&ops::GroupNorm> {
        self.own.as_ref().filter(|_| ops::takes(x))
    }

    /// norm(x), (B, C, h, w).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward(x),
            None => self.plain.forward(x),
        }
    }

    /// SiLU(norm(x)), (B, C, h, w).
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_silu(x),
            None => silu(&self.plain.forward(x)?),
        }
    }

    /// [`Self::forward_silu`] for a map that lies in bands (B, C, rows, w) from top to bottom: what it does to any rows of it,
    /// with the statistics of all.
    pub fn silu_of_rows(&self, bands: &[Tensor]) -> Result<OfRows<'_>> {
        if let Some(own) = self.own.as_ref().filter(|_| bands.iter().all(ops::takes)) {
            let lines = own.lines(bands)?;
            return Ok(Box::new(move |rows| own.forward_silu_by(rows, &lines)));
        }
        let mean = self.mean_of(bands, Ok)?;
        let variance = self.mean_of(bands, |x| x.broadcast_sub(&mean)?.sqr())?;
        let deviation = (variance + self.eps)?.sqrt()?;
        Ok(Box::new(move |rows| {
            let normal = self.grouped(rows)?.broadcast_sub(&mean)?.broadcast_div(&deviation)?;
            let normal = normal.to_dtype(rows.dtype())?.reshape(rows.shape())?;
            silu(&normal.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?)
        }))
    }

    /// The mean over every group and over all bands, (B, groups, 1), of what `each` makes of a band's groups. Bands are summed
    /// in f64, on the CPU, because not all devices have it.
    fn mean_of(&self, bands: &[Tensor], each: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let mut count = 0;
        let mut sums = Vec::with_capacity(bands.len());
        for band in bands {
            let values = self.grouped(band)?;
            count += values.dim(2)?;
            sums.push(each(values)?.sum_keepdim(2)?);
        }
        let sums = Tensor::cat(&sums, 2)?;
        let sum = sums.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.sum_keepdim(2)?;
        (sum / count as f64)?.to_dtype(sums.dtype())?.to_device(sums.device())
    }

    /// (B, C, h, w) → (B, groups, C / groups · h · w), at least in f32.
    fn grouped(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match x.dtype() {
            DType::F16 | DType::BF16 => DType::F32,
            own => own,
        };
        x.reshape((x.dim(0)?, self.groups, ()))?.to_dtype(wide)
    }

    /// SiLU(norm(x + shift)), (B, C, h, w), for a shift (B, C).
    pub fn forward_shifted_silu(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_shifted_silu(x, &of_rows(shift, x)?),
            None => silu(&self.plain.forward(&x.broadcast_add(&over_grid(shift)?)?)?),
        }
    }

    /// SiLU(norm(x)·(1 + s) + t), (B, C, h, w), for s and t beside each other, (B, 2·C).
    pub fn forward_scaled_silu(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        if let Some(own) = self.own(x) {
            return own.forward_scaled_silu(x, &of_rows(scale_shift, x)?);
        }
        let channels = x.dim(1)?;
        let both = over_grid(scale_shift)?;
        let (scale, shift) = (both.narrow(1, 0, channels)?, both.narrow(1, channels, channels)?);
        let normed = self.plain.forward(x)?;
        silu(&normed.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift)?)
    }

    /// norm(x) as tokens, (B, h·w, C).
    pub fn forward_tokens(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_tokens(x),
            None => self.plain.forward(x)?.flatten_from(2)?.transpose(1, 2)?.contiguous(),
        }
    }
}

/// (B, C) for x (B, …), from the same or from (1, C), which is for all rows.
fn of_rows(shift: &Tensor, x: &Tensor) -> Result<Tensor> {
    shift.broadcast_as((x.dim(0)?, shift.dim(1)?))?.contiguous()
}

/// (B, C) → (B, C, 1, 1).
fn over_grid(x: &Tensor) -> Result<Tensor> {
    x.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)
}

/// LayerNorm over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    plain: candle_nn::LayerNorm,
    own: Option<ops::LayerNorm>,
}

/// A LayerNorm with the tensors `weight` (C) and `bias` (C).
pub fn layer_norm(width: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    let (weight, bias) = (vb.get(width, "weight")?, vb.get(width, "bias")?);
    let own = ops::takes(&weight)
        .then(|| ops::LayerNorm::new(&weight, &bias, eps))
        .transpose()?;
    let plain = candle_nn::LayerNorm::new(weight, bias, eps);
    Ok(LayerNorm { plain, own })
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.own.as_ref().filter(|_| ops::takes(x)) {
            Some(own) => own.forward(x),
            None => self.plain.forward(x),
        }
    }
}
