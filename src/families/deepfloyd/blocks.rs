//! Resnets, some of which change the grid, and the attention of positions to the text and to each other.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    config::{IfConfig, TEXT_GROUPS},
    ids::{Leaf, Place, id},
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    error::Result,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads},
        feed_forward::gelu,
        layers::{Conv2d, Linear, linear},
        norms::{GroupNorm, group_norm},
        resnet::{conv1x1, conv3x3},
    },
};

/// Epsilon of the norms inside an attention.
const ATTENTION_NORM_EPS: f64 = 1e-5;

/// What a resnet does to the grid before its first convolution, of its branch and of its shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resample {
    /// Nothing.
    Keep,
    /// The mean of 2 x 2 positions.
    Down,
    /// Every position twice along each axis.
    Up,
}

impl Resample {
    fn apply(self, x: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Keep => Ok(x.clone()),
            Self::Down => x.avg_pool2d(2),
            Self::Up => x.upsample_nearest2d(2 * x.dim(D::Minus2)?, 2 * x.dim(D::Minus1)?),
        }
    }
}

/// norm1, GELU, resampling, conv1, norm2 scaled and shifted by the timestep, GELU, conv2; plus the resampled shortcut.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    resample: Resample,
    increment: Tap,
    out: Tap,
}

impl Resnet {
    /// A resnet of `[in, out]` channels.
    pub(super) fn new(
        config: &IfConfig,
        [before, channels]: [usize; 2],
        resample: Resample,
        (place, list): (Place, &Catalogue),
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let norm = |channels, name: &str| group_norm(config.norm_num_groups, channels, config.norm_eps, vb.pp(name));
        let conv_shortcut = (before != channels).then(|| conv1x1(before, channels, vb.pp("conv_shortcut")));
        Ok(Self {
            norm1: norm(before, "norm1")?,
            conv1: conv3x3(before, channels, vb.pp("conv1"))?,
            time_emb_proj: linear(config.time_embed_dim(), 2 * channels, vb.pp("time_emb_proj"))?,
            norm2: norm(channels, "norm2")?,
            conv2: conv3x3(channels, channels, vb.pp("conv2"))?,
            conv_shortcut: conv_shortcut.transpose()?,
            resample,
            increment: list.expect(id(place, Leaf::Increment))?,
            out: list.expect(id(place, Leaf::Out))?,
        })
    }

    /// (B, in, h, w) → (B, out, h', w'); `time` is GELU of the embedding, (B, 4·C0).
    pub(super) fn forward(&self, x: &Tensor, time: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let h = self.resample.apply(&gelu(&self.norm1.forward(x)?)?)?;
        let h = self.conv1.forward(&h)?;
        let modulation = self
            .time_emb_proj
            .forward(time)?
            .unsqueeze(D::Minus1)?
            .unsqueeze(D::Minus1)?;
        let channels = h.dim(1)?;
        let scale = (modulation.narrow(1, 0, channels)? + 1.0)?;
        let shift = modulation.narrow(1, channels, channels)?;
        let h = self.norm2.forward(&h)?.broadcast_mul(&scale)?.broadcast_add(&shift)?;
        let h = probe.visit(self.increment, self.conv2.forward(&gelu(&h)?)?)?;
        let x = self.resample.apply(x)?;
        let x = match &self.conv_shortcut {
            Some(conv) => conv.forward(&x)?,
            None => x,
        };
        probe.visit(self.out, (x + h)?)
    }
}

/// x + to_out(softmax(q·[k of the text, k]ᵀ/√d)·[v of the text, v]) of normed positions and text.
#[derive(Debug)]
pub(super) struct Attention {
    group_norm: GroupNorm,
    norm_cross: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    add_k_proj: Linear,
    add_v_proj: Linear,
    to_out: Linear,
    heads: usize,
    scale: f64,
}

impl Attention {
    pub(super) fn new(config: &IfConfig, channels: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let text = config.cross_attention_dim;
        let square = |name: &str| linear(channels, channels, vb.pp(name));
        let of_text = |name: &str| linear(text, channels, vb.pp(name));
        Ok(Self {
            group_norm: group_norm(
                config.norm_num_groups,
                channels,
                ATTENTION_NORM_EPS,
                vb.pp("group_norm"),
            )?,
            norm_cross: group_norm(TEXT_GROUPS, text, ATTENTION_NORM_EPS, vb.pp("norm_cross"))?,
            to_q: square("to_q")?,
            to_k: square("to_k")?,
            to_v: square("to_v")?,
            add_k_proj: of_text("add_k_proj")?,
            add_v_proj: of_text("add_v_proj")?,
            to_out: square("to_out.0")?,
            heads: channels / config.attention_head_dim,
            scale: 1.0 / (config.attention_head_dim as f64).sqrt(),
        })
    }

    /// (B, C, h, w) → (B, C, h, w); `text` is (1 or B, T, cross_attention_dim).
    pub(super) fn forward(&self, x: &Tensor, text: &Tensor) -> CandleResult<Tensor> {
        let (rows, _, height, width) = x.dims4()?;
        let tokens = self
            .group_norm
            .forward(x)?
            .flatten_from(2)?
            .transpose(1, 2)?
            .contiguous()?;
        // The statistics of a text are of groups of its channels over all its tokens.
        let text = text.transpose(1, 2)?.contiguous()?.unsqueeze(3)?;
        let text = self
            .norm_cross
            .forward(&text)?
            .squeeze(3)?
            .transpose(1, 2)?
            .contiguous()?;
        let with_text = |of_text: &Linear, own: &Linear| -> CandleResult<Tensor> {
            let first = of_text.forward(&text)?;
            let (_, length, channels) = first.dims3()?;
            let first = first.broadcast_as((rows, length, channels))?;
            split_heads(&Tensor::cat(&[&first, &own.forward(&tokens)?], 1)?, self.heads)?.contiguous()
        };
        let q = split_heads(&self.to_q.forward(&tokens)?, self.heads)?.contiguous()?;
        let k = with_text(&self.add_k_proj, &self.to_k)?;
        let v = with_text(&self.add_v_proj, &self.to_v)?;
        let attended = self.to_out.forward(&attend(&q, &k, &v, self.scale)?)?;
        let channels = attended.dim(2)?;
        let planes = attended.transpose(1, 2)?.contiguous()?;
        x + planes.reshape((rows, channels, height, width))?
    }
}

impl Adaptable for Resnet {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.norm1.each_layer(visit);
        self.conv1.each_layer(visit);
        self.time_emb_proj.each_layer(visit);
        self.norm2.each_layer(visit);
        self.conv2.each_layer(visit);
        self.conv_shortcut.each_layer(visit);
    }
}

impl Adaptable for Attention {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.group_norm.each_layer(visit);
        self.norm_cross.each_layer(visit);
        for layer in [
            &mut self.to_q,
            &mut self.to_k,
            &mut self.to_v,
            &mut self.add_k_proj,
            &mut self.add_v_proj,
            &mut self.to_out,
        ] {
            layer.each_layer(visit);
        }
    }
}
