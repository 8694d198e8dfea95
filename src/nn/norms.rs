//! Norms: our own on the CPU in f32, where one pass over memory does what several would, candle's operators elsewhere. There
//! everything from the statistics to the SiLU is computed in f32, and rounded to the format of the input once.

use std::slice;

use candle_core::{D, DType, Result, Tensor, bail};
use candle_nn::{
    Module, VarBuilder,
    ops::{layer_norm_slow, silu},
};

use super::{
    adaptable::{Adaptable, AdaptableLayer, Changed, LayerInfo, LayerKind, Visit, WeightChange, changed_in_two_steps},
    formats::wide,
};
use crate::ops;

/// GroupNorm over (B, C, h, w) with what often follows it.
#[derive(Debug)]
pub struct GroupNorm {
    groups: usize,
    eps: f64,
    read: OverGrid,
    info: LayerInfo,
    changed: Changed<OverGrid>,
}

/// Scale and shift of every channel, and the operator that has them.
#[derive(Debug)]
struct Parameters<Own> {
    /// (C), in the layer's format.
    weight: Tensor,
    /// (C), in the layer's format.
    bias: Tensor,
    /// None where the parameters are not on the CPU in f32.
    own: Option<Own>,
}

impl<Own> Parameters<Own> {
    fn new(weight: Tensor, bias: Tensor, own: impl FnOnce(&Tensor, &Tensor) -> Result<Own>) -> Result<Self> {
        let own = ops::supports(&weight).then(|| own(&weight, &bias)).transpose()?;
        Ok(Self { weight, bias, own })
    }

    /// The same with what adapters make of it.
    fn changed(&self, change: WeightChange, own: impl FnOnce(&Tensor, &Tensor) -> Result<Own>) -> Result<Self> {
        let weight = change.weight.unwrap_or_else(|| self.weight.clone());
        let bias = match &change.bias {
            Some(bias) => (&self.bias + bias)?,
            None => self.bias.clone(),
        };
        Self::new(weight, bias, own)
    }
}

/// The parameters of a GroupNorm, also as candle's operators take them.
#[derive(Debug)]
struct OverGrid {
    parameters: Parameters<ops::CpuGroupNorm>,
    /// (1, C, 1, 1), at least in f32.
    weight: Tensor,
    /// (1, C, 1, 1), at least in f32.
    bias: Tensor,
}

impl OverGrid {
    fn new(parameters: Parameters<ops::CpuGroupNorm>) -> Result<Self> {
        Ok(Self {
            weight: over_grid(&wide(&parameters.weight)?.unsqueeze(0)?)?,
            bias: over_grid(&wide(&parameters.bias)?.unsqueeze(0)?)?,
            parameters,
        })
    }
}

/// Mean and standard deviation of every group, (B, groups, 1) each, at least in f32.
struct Statistics {
    mean: Tensor,
    deviation: Tensor,
}

/// SiLU(norm(x)) of any rows (B, C, rows, w) of a map whose statistics are known.
pub type OfRows<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// A GroupNorm with the tensors `weight` (C) and `bias` (C).
///
/// # Errors
///
/// Where `vb` lacks one of the tensors or has it in another shape, and where `groups` does not divide the channels.
pub fn group_norm(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    let weight = vb.get(channels, "weight")?;
    let bias = vb.get(channels, "bias")?;
    if !channels.is_multiple_of(groups.max(1)) {
        bail!("{channels} channels do not make {groups} groups");
    }
    let info = LayerInfo::new(&vb, LayerKind::Norm, &weight, true);
    let own = |weight: &Tensor, bias: &Tensor| ops::CpuGroupNorm::new(groups, weight, bias, eps);
    Ok(GroupNorm {
        groups,
        eps,
        info,
        read: OverGrid::new(Parameters::new(weight, bias, own)?)?,
        changed: Changed::nothing(),
    })
}

impl GroupNorm {
    fn acting(&self) -> &OverGrid {
        self.changed.acting().unwrap_or(&self.read)
    }

    fn own(&self, x: &Tensor) -> Option<&ops::CpuGroupNorm> {
        self.acting().parameters.own.as_ref().filter(|_| ops::supports(x))
    }

    /// norm(x), (B, C, h, w).
    ///
    /// # Errors
    ///
    /// Where `x` has other channels than the norm, or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward(x),
            None => self.plain(x)?.to_dtype(x.dtype()),
        }
    }

    /// SiLU(norm(x)), (B, C, h, w).
    ///
    /// # Errors
    ///
    /// Where `x` has other channels than the norm, or the device fails.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_silu(x),
            None => silu(&self.plain(x)?)?.to_dtype(x.dtype()),
        }
    }

    /// norm(x) by candle's operators, (B, C, h, w), at least in f32.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let x = wide(x)?;
        self.normal(&x, &self.statistics(slice::from_ref(&x))?)
    }

    /// [`Self::forward_silu`] for a map that lies in bands (B, C, rows, w) from top to bottom: what it does to any rows of it,
    /// with the statistics of all.
    pub(crate) fn silu_of_rows(&self, bands: &[Tensor]) -> Result<OfRows<'_>> {
        let own = self.acting().parameters.own.as_ref();
        if let Some(own) = own.filter(|_| bands.iter().all(ops::supports)) {
            let lines = own.lines(bands)?;
            return Ok(Box::new(move |rows| own.forward_silu_by(rows, &lines)));
        }
        let statistics = self.statistics(bands)?;
        Ok(Box::new(move |rows| {
            silu(&self.normal(rows, &statistics)?)?.to_dtype(rows.dtype())
        }))
    }

    /// norm of any rows (B, C, rows, w) of a map with these statistics, at least in f32.
    fn normal(&self, rows: &Tensor, Statistics { mean, deviation }: &Statistics) -> Result<Tensor> {
        let normal = self.grouped(rows)?.broadcast_sub(mean)?.broadcast_div(deviation)?;
        let normal = normal.reshape(rows.shape())?;
        let OverGrid { weight, bias, .. } = self.acting();
        normal.broadcast_mul(weight)?.broadcast_add(bias)
    }

    /// The statistics of a map that lies in bands (B, C, rows, w).
    fn statistics(&self, bands: &[Tensor]) -> Result<Statistics> {
        let mean = self.mean_of(bands, Ok)?;
        let variance = self.mean_of(bands, |x| x.broadcast_sub(&mean)?.sqr())?;
        let deviation = (variance + self.eps)?.sqrt()?;
        Ok(Statistics { mean, deviation })
    }

    /// The mean over every group and over all bands, (B, groups, 1), of what `each` makes of a band's groups. The sums stay on
    /// their device, in f32: nothing waits for them, and each is over one band, so that their own sum is of a few numbers.
    fn mean_of(&self, bands: &[Tensor], each: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let mut count = 0;
        let mut sums = Vec::with_capacity(bands.len());
        for band in bands {
            let values = self.grouped(band)?;
            count += values.dim(2)?;
            sums.push(each(values)?.sum_keepdim(2)?);
        }
        Tensor::cat(&sums, 2)?.sum_keepdim(2)? / count as f64
    }

    /// (B, C, h, w) → (B, groups, C / groups · h · w), at least in f32.
    fn grouped(&self, x: &Tensor) -> Result<Tensor> {
        wide(&x.reshape((x.dim(0)?, self.groups, ()))?)
    }

    /// SiLU(norm(x + shift)), (B, C, h, w), for a shift (B, C).
    pub(crate) fn forward_shifted_silu(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_shifted_silu(x, &of_rows(shift, x)?),
            None => {
                let shifted = wide(x)?.broadcast_add(&over_grid(&wide(shift)?)?)?;
                silu(&self.plain(&shifted)?)?.to_dtype(x.dtype())
            }
        }
    }

    /// SiLU(norm(x)·(1 + s) + t), (B, C, h, w), for s and t beside each other, (B, 2·C).
    pub(crate) fn forward_scaled_silu(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        if let Some(own) = self.own(x) {
            return own.forward_scaled_silu(x, &of_rows(scale_shift, x)?);
        }
        let channels = x.dim(1)?;
        let both = over_grid(&wide(scale_shift)?)?;
        let (scale, shift) = (both.narrow(1, 0, channels)?, both.narrow(1, channels, channels)?);
        let scaled = self.plain(x)?.broadcast_mul(&(scale + 1.0)?)?;
        silu(&scaled.broadcast_add(&shift)?)?.to_dtype(x.dtype())
    }

    /// norm(x) as tokens, (B, h·w, C).
    pub(crate) fn forward_tokens(&self, x: &Tensor) -> Result<Tensor> {
        match self.own(x) {
            Some(own) => own.forward_tokens(x),
            None => self.forward(x)?.flatten_from(2)?.transpose(1, 2)?.contiguous(),
        }
    }
}

impl AdaptableLayer for GroupNorm {
    changed_in_two_steps!();

    fn weight(&self) -> Result<Tensor> {
        Ok(self.read.parameters.weight.clone())
    }

    fn bias(&self) -> Option<Tensor> {
        Some(self.read.parameters.bias.clone())
    }

    fn prepare(&mut self, change: WeightChange) -> Result<()> {
        let (groups, eps) = (self.groups, self.eps);
        let own = |weight: &Tensor, bias: &Tensor| ops::CpuGroupNorm::new(groups, weight, bias, eps);
        let changed = self.read.parameters.changed(change, own)?;
        self.changed.prepare(OverGrid::new(changed)?);
        Ok(())
    }
}

impl Adaptable for GroupNorm {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        visit(self);
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
    eps: f64,
    read: Parameters<ops::CpuLayerNorm>,
    info: LayerInfo,
    changed: Changed<Parameters<ops::CpuLayerNorm>>,
}

/// A LayerNorm with the tensors `weight` (C) and `bias` (C).
///
/// # Errors
///
/// Where `vb` lacks one of the tensors, or has it in another shape.
pub fn layer_norm(width: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    let (weight, bias) = (vb.get(width, "weight")?, vb.get(width, "bias")?);
    Ok(LayerNorm {
        eps,
        info: LayerInfo::new(&vb, LayerKind::Norm, &weight, true),
        read: Parameters::new(weight, bias, |weight, bias| ops::CpuLayerNorm::new(weight, bias, eps))?,
        changed: Changed::nothing(),
    })
}

impl LayerNorm {
    fn parameters(&self) -> &Parameters<ops::CpuLayerNorm> {
        self.changed.acting().unwrap_or(&self.read)
    }

    /// The norm by candle's operators.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let Parameters { weight, bias, .. } = self.parameters();
        let eps = self.eps as f32;
        match x.dtype() {
            // One kernel, with statistics, weight and bias in f32 whatever the format; for f64 there is none.
            DType::F16 | DType::BF16 | DType::F32 => candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, eps),
            _ => layer_norm_slow(x, weight, bias, eps),
        }
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.parameters().own.as_ref().filter(|_| ops::supports(x)) {
            Some(own) => own.forward(x),
            None => self.plain(x),
        }
    }
}

impl AdaptableLayer for LayerNorm {
    changed_in_two_steps!();

    fn weight(&self) -> Result<Tensor> {
        Ok(self.read.weight.clone())
    }

    fn bias(&self) -> Option<Tensor> {
        Some(self.read.bias.clone())
    }

    fn prepare(&mut self, change: WeightChange) -> Result<()> {
        let eps = self.eps;
        let own = |weight: &Tensor, bias: &Tensor| ops::CpuLayerNorm::new(weight, bias, eps);
        self.changed.prepare(self.read.changed(change, own)?);
        Ok(())
    }
}

impl Adaptable for LayerNorm {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        visit(self);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device;

    use super::*;

    const CHANNELS: usize = 8;

    fn numbers(seed: f64, shape: &[usize], middle: f64) -> Result<Tensor> {
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|i| middle + (seed * i as f64).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    }

    /// The parameters of a norm that short formats hold exactly.
    fn parameters(dtype: DType) -> Result<VarBuilder<'static>> {
        let exact = |tensor: Tensor| tensor.to_dtype(DType::BF16);
        let tensors = HashMap::from([
            (
                "weight".to_owned(),
                exact(numbers(0.3, &[CHANNELS], 1.0)?)?.to_dtype(dtype)?,
            ),
            (
                "bias".to_owned(),
                exact(numbers(0.9, &[CHANNELS], 0.5)?)?.to_dtype(dtype)?,
            ),
        ]);
        Ok(VarBuilder::from_tensors(tensors, dtype, &Device::Cpu))
    }

    /// Every norm of numbers that are far from 0 for their spread: what statistics in a short format would lose.
    fn norms(dtype: DType, exact_in: DType) -> Result<Vec<Tensor>> {
        let given = |tensor: Tensor| tensor.to_dtype(exact_in)?.to_dtype(dtype);
        let x = given(numbers(0.7, &[2, CHANNELS, 5, 6], 20.0)?)?;
        let (shift, both) = (
            given(numbers(1.7, &[2, CHANNELS], 0.0)?)?,
            given(numbers(1.9, &[2, 2 * CHANNELS], 0.0)?)?,
        );
        let norm = group_norm(2, CHANNELS, 1e-5, parameters(dtype)?)?;
        let bands = [x.narrow(2, 0, 2)?, x.narrow(2, 2, 3)?];
        let of_rows = norm.silu_of_rows(&bands)?;
        Ok(vec![
            norm.forward(&x)?,
            norm.forward_silu(&x)?,
            norm.forward_shifted_silu(&x, &shift)?,
            norm.forward_scaled_silu(&x, &both)?,
            norm.forward_tokens(&x)?,
            of_rows(&x.narrow(2, 1, 3)?.contiguous()?)?,
            layer_norm(CHANNELS, 1e-5, parameters(dtype)?)?.forward(&x.permute((0, 2, 3, 1))?)?,
        ])
    }

    /// Statistics, weight, bias and SiLU in f32: what is found is the exact result, rounded once.
    #[test]
    fn norms_of_half_formats_are_rounded_once() -> Result<()> {
        for (dtype, half_ulp) in [(DType::F16, 1.0 / 2048.0), (DType::BF16, 1.0 / 256.0)] {
            let (exact, found) = (norms(DType::F64, dtype)?, norms(dtype, dtype)?);
            for (which, (x, y)) in exact.iter().zip(&found).enumerate() {
                assert_eq!((y.dtype(), y.dims()), (dtype, x.dims()));
                let allowed = ((x.abs()? * half_ulp)? + 1e-4)?;
                let over = ((x - y.to_dtype(DType::F64)?)?.abs()? - allowed)?;
                let over = over.max_all()?.to_scalar::<f64>()?;
                assert!(over <= 0.0, "norm {which} in {dtype:?}: {over}");
            }
        }
        Ok(())
    }
}
