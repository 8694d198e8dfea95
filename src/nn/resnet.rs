//! The residual block of two 3x3 convolutions that the U-Nets and the autoencoder of Stable Diffusion share.

use candle_core::{Result, Tensor};
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use super::{
    adaptable::{Adaptable, Visit},
    layers::{Conv2d, Linear, conv2d, linear},
    norms::{GroupNorm, group_norm},
};

/// A 3x3 convolution that keeps the grid.
pub(crate) fn conv3x3(in_channels: usize, out_channels: usize, vb: VarBuilder<'_>) -> Result<Conv2d> {
    conv2d(
        in_channels,
        out_channels,
        3,
        Conv2dConfig {
            padding: 1,
            ..Default::default()
        },
        vb,
    )
}

/// A 1x1 convolution.
pub(crate) fn conv1x1(in_channels: usize, out_channels: usize, vb: VarBuilder<'_>) -> Result<Conv2d> {
    conv2d(in_channels, out_channels, 1, Conv2dConfig::default(), vb)
}

/// Parameters of the norms of a residual block.
#[derive(Debug, Clone, Copy)]
pub struct Norms {
    /// Groups of both GroupNorms.
    pub groups: usize,
    /// Their epsilon.
    pub eps: f64,
}

/// norm1, SiLU, conv1, + time, norm2, SiLU, conv2; a 1x1 shortcut where the channels change.
#[derive(Debug)]
pub struct Resnet {
    pub(crate) norm1: GroupNorm,
    pub(crate) conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    pub(crate) norm2: GroupNorm,
    pub(crate) conv2: Conv2d,
    pub(crate) conv_shortcut: Option<Conv2d>,
}

impl Resnet {
    /// Tensors `norm1`, `conv1`, `time_emb_proj` (with a `time_embed_dim`), `norm2`, `conv2`, `conv_shortcut`.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        time_embed_dim: Option<usize>,
        norms: Norms,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let time_emb_proj = time_embed_dim
            .map(|dim| linear(dim, out_channels, vb.pp("time_emb_proj")))
            .transpose()?;
        let conv_shortcut = (in_channels != out_channels)
            .then(|| conv1x1(in_channels, out_channels, vb.pp("conv_shortcut")))
            .transpose()?;
        Ok(Self {
            norm1: group_norm(norms.groups, in_channels, norms.eps, vb.pp("norm1"))?,
            conv1: conv3x3(in_channels, out_channels, vb.pp("conv1"))?,
            time_emb_proj,
            norm2: group_norm(norms.groups, out_channels, norms.eps, vb.pp("norm2"))?,
            conv2: conv3x3(out_channels, out_channels, vb.pp("conv2"))?,
            conv_shortcut,
        })
    }

    /// The residual branch (B, C, h, w); `time` is SiLU of the timestep embedding, (B, dim).
    pub fn increment(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        // Each tensor goes as soon as the next is there: at 1024 pixels the autoencoder's have 1 GiB.
        let active = self.norm1.forward_silu(x)?;
        let h = self.conv1.forward(&active)?;
        drop(active);
        let active = match (&self.time_emb_proj, time) {
            (Some(proj), Some(time)) => self.norm2.forward_shifted_silu(&h, &proj.forward(time)?)?,
            _ => self.norm2.forward_silu(&h)?,
        };
        drop(h);
        self.conv2.forward(&active)
    }

    /// shortcut(x) + increment.
    pub(crate) fn add_shortcut(&self, x: &Tensor, increment: &Tensor) -> Result<Tensor> {
        match &self.conv_shortcut {
            Some(conv) => conv.forward(x)? + increment,
            None => x + increment,
        }
    }

    /// The block's output without its inner tensors.
    pub fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        self.add_shortcut(x, &self.increment(x, time)?)
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
