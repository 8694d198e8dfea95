//! Transformer2D: tokens of one grid through blocks of self-attention, attention to the text, and a feed-forward.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder};

use super::{
    super::ids::{Leaf, Place, id},
    config::{UnetConfig, UnetLevel},
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    components::vit_block::VitTaps,
    error::Result,
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads, visit_map},
        feed_forward::geglu,
        layers::{Conv2d, Linear, linear, linear_no_bias},
        norms::{GroupNorm, LayerNorm, group_norm, layer_norm},
        resnet::conv1x1,
    },
};

/// Epsilon of the GroupNorm before a transformer.
const GROUP_NORM_EPS: f64 = 1e-6;
/// Epsilon of the LayerNorms inside a block.
const LAYER_NORM_EPS: f64 = 1e-5;

/// GroupNorm, proj_in, blocks, proj_out, + input.
#[derive(Debug)]
pub struct Transformer {
    norm: GroupNorm,
    proj_in: Projection,
    blocks: Vec<Block>,
    proj_out: Projection,
    out: Tap,
}

/// 1x1 convolution on the grid (SD1.x) or Linear on the tokens (SD2.x, SDXL).
#[derive(Debug)]
enum Projection {
    Conv(Conv2d),
    Linear(Linear),
}

impl Projection {
    fn new(config: &UnetConfig, channels: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        if config.use_linear_projection {
            linear(channels, channels, vb).map(Self::Linear)
        } else {
            conv1x1(channels, channels, vb).map(Self::Conv)
        }
    }
}

fn to_tokens(x: &Tensor) -> CandleResult<Tensor> {
    x.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

fn to_grid(tokens: &Tensor, grid: Grid) -> CandleResult<Tensor> {
    let (batch, _, channels) = tokens.dims3()?;
    tokens
        .transpose(1, 2)?
        .contiguous()?
        .reshape((batch, channels, grid.height, grid.width))
}

impl Transformer {
    /// With so many blocks, of the widths of `level`.
    pub(in crate::families::stable_diffusion) fn new(
        config: &UnetConfig,
        (level, blocks): (&UnetLevel, usize),
        place: Place,
        list: &Catalogue,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let blocks = (0..blocks as u16)
            .map(|block| {
                Block::new(
                    config,
                    level,
                    place,
                    block,
                    list,
                    vb.pp(format!("transformer_blocks.{block}")),
                )
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            norm: group_norm(config.norm_num_groups, level.channels, GROUP_NORM_EPS, vb.pp("norm"))?,
            proj_in: Projection::new(config, level.channels, vb.pp("proj_in"))?,
            blocks,
            proj_out: Projection::new(config, level.channels, vb.pp("proj_out"))?,
            out: list.expect(id(place, Leaf::VitOut))?,
        })
    }

    /// (B, C, h, w) → (B, C, h, w); `text` is (B, T, D).
    pub fn forward(&self, x: &Tensor, text: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let (_, _, height, width) = x.dims4()?;
        let grid = Grid::new(height, width);
        let mut tokens = match &self.proj_in {
            Projection::Conv(conv) => to_tokens(&conv.forward(&self.norm.forward(x)?)?)?,
            Projection::Linear(linear) => linear.forward(&self.norm.forward_tokens(x)?)?,
        };
        for block in &self.blocks {
            tokens = block.forward(&tokens, text, grid, probe)?;
        }
        let projected = match &self.proj_out {
            Projection::Conv(conv) => conv.forward(&to_grid(&tokens, grid)?)?,
            Projection::Linear(linear) => to_grid(&linear.forward(&tokens)?, grid)?,
        };
        let out = (projected + x)?;
        probe.visit(self.out, out)
    }
}

/// h += attn1(norm1 h); h += attn2(norm2 h, text); h += ff(norm3 h).
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
    taps: VitTaps,
}

impl Block {
    fn new(
        config: &UnetConfig,
        level: &UnetLevel,
        place: Place,
        block: u16,
        list: &Catalogue,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let width = level.channels;
        let inner = width * super::FFN_RATIO;
        let norm = |name| layer_norm(width, LAYER_NORM_EPS, vb.pp(name));
        Ok(Self {
            norm1: norm("norm1")?,
            attn1: Attention::new(width, width, level.heads, vb.pp("attn1"))?,
            norm2: norm("norm2")?,
            attn2: Attention::new(width, config.cross_attention_dim, level.heads, vb.pp("attn2"))?,
            norm3: norm("norm3")?,
            ff_in: linear(width, 2 * inner, vb.pp("ff.net.0.proj"))?,
            ff_out: linear(inner, width, vb.pp("ff.net.2"))?,
            taps: VitTaps::new(|part| list.expect(id(place, Leaf::Vit { block, part })))?,
        })
    }

    fn forward(&self, h: &Tensor, text: &Tensor, grid: Grid, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let taps = &self.taps;
        let x = self.norm1.forward(h)?;
        let q = probe.visit_tokens(taps.self_q, self.attn1.to_q.forward(&x)?, grid)?;
        let k = probe.visit_tokens(taps.self_k, self.attn1.to_k.forward(&x)?, grid)?;
        let v = probe.visit_tokens(taps.self_v, self.attn1.to_v.forward(&x)?, grid)?;
        let h = (self.attn1.attend(&q, &k, &v, taps.self_map, probe)? + h)?;

        let x = self.norm2.forward(&h)?;
        let q = probe.visit_tokens(taps.cross_q, self.attn2.to_q.forward(&x)?, grid)?;
        let (k, v) = (self.attn2.to_k.forward(text)?, self.attn2.to_v.forward(text)?);
        let h = (self.attn2.attend(&q, &k, &v, taps.cross_map, probe)? + h)?;

        let inner = geglu(&self.ff_in.forward(&self.norm3.forward(&h)?)?)?;
        let inner = probe.visit_tokens(taps.ffn_inner, inner, grid)?;
        let h = (self.ff_out.forward(&inner)? + h)?;
        probe.visit_tokens(taps.out, h, grid)
    }
}

/// Multi-head attention; only to_out has a bias.
#[derive(Debug)]
struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    scale: f64,
}

impl Attention {
    fn new(width: usize, context_width: usize, heads: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self {
            to_q: linear_no_bias(width, width, vb.pp("to_q"))?,
            to_k: linear_no_bias(context_width, width, vb.pp("to_k"))?,
            to_v: linear_no_bias(context_width, width, vb.pp("to_v"))?,
            to_out: linear(width, width, vb.pp("to_out.0"))?,
            heads,
            scale: 1.0 / ((width / heads) as f64).sqrt(),
        })
    }

    /// Attention and its projection for q (B, N, C), k and v (B, keys, C); the map is made only if it is selected.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, map: Tap, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let [q, k, v] = [
            split_heads(q, self.heads)?,
            split_heads(k, self.heads)?,
            split_heads(v, self.heads)?,
        ];
        visit_map(probe, map, &q, &k, self.scale)?;
        Ok(self.to_out.forward(&attend(&q, &k, &v, self.scale)?)?)
    }
}

impl Adaptable for Transformer {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.norm.each_layer(visit);
        self.proj_in.each_layer(visit);
        for block in &mut self.blocks {
            for norm in [&mut block.norm1, &mut block.norm2, &mut block.norm3] {
                norm.each_layer(visit);
            }
            block.attn1.each_layer(visit);
            block.attn2.each_layer(visit);
            block.ff_in.each_layer(visit);
            block.ff_out.each_layer(visit);
        }
        self.proj_out.each_layer(visit);
    }
}

impl Adaptable for Projection {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        match self {
            Self::Conv(conv) => conv.each_layer(visit),
            Self::Linear(linear) => linear.each_layer(visit),
        }
    }
}

impl Adaptable for Attention {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        for layer in [&mut self.to_q, &mut self.to_k, &mut self.to_v, &mut self.to_out] {
            layer.each_layer(visit);
        }
    }
}
