//! One block: self-attention and feed-forward, each behind a norm and with a scale of its own where there is one.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    config::{Activation, EncoderConfig, FeedForward},
    ids::Part,
    kind::{GATE, LAYER_SCALES, SWIGLU},
    rope::Rope,
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    error::Result,
    geometry::Grid,
    nn::{
        attention::{attend, join_heads, row_log_sums, split_heads, visit_map},
        feed_forward::{gelu, gelu_tanh, quick_gelu},
        layers::{Linear, linear, linear_no_bias},
        norms::{LayerNorm, layer_norm},
    },
};

/// y = LN(x); x += scale1·o(attention(y)); x += scale2·ff(LN(x)).
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    /// Query, key, value.
    qkv: [Linear; 3],
    projection: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
    /// (D) of each branch.
    scales: Option<[Tensor; 2]>,
    heads: usize,
    /// 1/√d.
    scale: f64,
    taps: Taps,
}

#[derive(Debug)]
struct Taps {
    qkv: [Tap; 3],
    /// Queries and keys as they enter the products, where that is something else.
    turned: Option<[Tap; 2]>,
    sums: Option<Tap>,
    self_map: Tap,
    attn_out: Tap,
    ffn_inner: Tap,
    out: Tap,
}

/// Where the tokens of a pass are: so many without a place in the picture, then the patches of a grid, turned by their positions
/// where the encoder does so.
#[derive(Debug)]
pub(super) struct Places {
    pub special: usize,
    pub grid: Grid,
    pub rope: Option<Rope>,
}

impl Block {
    pub(super) fn new(config: &EncoderConfig, block: u16, list: &Catalogue, vb: &VarBuilder<'_>) -> Result<Self> {
        let (names, width) = (config.kind.names(), config.hidden_size);
        let vb = vb.pp(names.blocks).pp(block);
        let norm = |name: &str| layer_norm(width, config.layer_norm_eps, vb.pp(name));
        let [q, k, v, o] = names.attention;
        let [q_bias, k_bias, v_bias, o_bias] = config.attention_bias;
        let square = |name: &str, bias| layer([width, width], bias, vb.pp(name));
        let tap = |part: Part| list.expect(part.id(block));
        let scales = || -> CandleResult<[Tensor; 2]> {
            let [first, second] = LAYER_SCALES;
            Ok([vb.get(width, first)?, vb.get(width, second)?])
        };
        Ok(Self {
            norm1: norm(names.norms[0])?,
            qkv: [square(q, q_bias)?, square(k, k_bias)?, square(v, v_bias)?],
            projection: square(o, o_bias)?,
            norm2: norm(names.norms[1])?,
            mlp: Mlp::new(config, &vb)?,
            scales: config.kind.has_layer_scale().then(scales).transpose()?,
            heads: config.num_attention_heads,
            scale: 1.0 / (config.head_width() as f64).sqrt(),
            taps: Taps {
                qkv: [tap(Part::Q)?, tap(Part::K)?, tap(Part::V)?],
                turned: list
                    .tap(Part::MapQ.id(block))
                    .zip(list.tap(Part::MapK.id(block)))
                    .map(<[Tap; 2]>::from),
                sums: list.tap(Part::MapSums.id(block)),
                self_map: tap(Part::SelfMap)?,
                attn_out: tap(Part::AttnOut)?,
                ffn_inner: tap(Part::FfnInner)?,
                out: tap(Part::Out)?,
            },
        })
    }

    /// Tokens (B, T, D) → (B, T, D).
    pub(super) fn forward(&self, x: &Tensor, places: &Places, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let Places { special, grid, rope } = places;
        let taps = &self.taps;
        let mut visit = |tap, tokens| probe.visit_tokens_behind(tap, tokens, *special, *grid);
        let normal = self.norm1.forward(x)?;
        let [q, k, v] = &self.qkv;
        let [q_tap, k_tap, v_tap] = taps.qkv;
        let q = visit(q_tap, q.forward(&normal)?)?;
        let k = visit(k_tap, k.forward(&normal)?)?;
        let v = visit(v_tap, v.forward(&normal)?)?;
        let heads = |tokens| split_heads(tokens, self.heads);
        let (mut q, mut k, v) = (heads(&q)?, heads(&k)?, heads(&v)?);
        if let Some(rope) = rope {
            (q, k) = (rope.turned(&q)?, rope.turned(&k)?);
        }
        for (tap, turned) in taps.turned.into_iter().flatten().zip([&q, &k]) {
            visit_made(probe, tap, *special, *grid, || join_heads(turned))?;
        }
        if let Some(tap) = taps.sums {
            visit_made(probe, tap, 0, *grid, || {
                let patches = q.narrow(2, *special, grid.positions())?;
                row_log_sums(&patches, &k, self.scale)?.transpose(1, 2)?.contiguous()
            })?;
        }
        visit_map(probe, taps.self_map, &q, &k, self.scale)?;
        let attended = self.projection.forward(&attend(&q, &k, &v, self.scale)?)?;
        let attended = probe.visit_tokens_behind(taps.attn_out, attended, *special, *grid)?;
        let x = (x + self.scaled(0, attended)?)?;

        let inner = self.mlp.inner(&self.norm2.forward(&x)?)?;
        let inner = probe.visit_tokens_behind(taps.ffn_inner, inner, *special, *grid)?;
        let x = (x + self.scaled(1, self.mlp.output.forward(&inner)?)?)?;
        probe.visit_tokens_behind(taps.out, x, *special, *grid)
    }

    /// A branch (B, T, D) times its scale.
    fn scaled(&self, branch: usize, x: Tensor) -> CandleResult<Tensor> {
        match &self.scales {
            Some(scales) => x.broadcast_mul(&scales[branch]),
            None => Ok(x),
        }
    }
}

/// Meets tokens that are made only to be looked at.
fn visit_made(
    probe: &mut Probe<'_>,
    tap: Tap,
    special: usize,
    grid: Grid,
    make: impl FnOnce() -> CandleResult<Tensor>,
) -> Result<(), Stop> {
    match probe.wants(tap) {
        true => probe.visit_tokens_behind(tap, make()?, special, grid).map(drop),
        false => probe.passed(tap),
    }
}

/// The feed-forward.
#[derive(Debug)]
struct Mlp {
    input: Linear,
    gate: Option<Linear>,
    output: Linear,
    kind: FeedForward,
    activation: Activation,
}

impl Mlp {
    fn new(config: &EncoderConfig, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let (width, inner, kind) = (config.hidden_size, config.intermediate_size, config.feed_forward);
        let [input, output] = match kind {
            FeedForward::SwiGlu => SWIGLU,
            FeedForward::Plain | FeedForward::Gated => config.kind.names().feed_forward,
        };
        let halves = if kind == FeedForward::SwiGlu { 2 } else { 1 };
        let part = |sides, name: &str| layer(sides, config.mlp_bias, vb.pp(name));
        Ok(Self {
            input: part([width, halves * inner], input)?,
            gate: (kind == FeedForward::Gated)
                .then(|| part([width, inner], GATE))
                .transpose()?,
            output: part([inner, width], output)?,
            kind,
            activation: config.activation,
        })
    }

    /// (B, T, D) → (B, T, inner).
    fn inner(&self, x: &Tensor) -> CandleResult<Tensor> {
        let into = self.input.forward(x)?;
        match (&self.gate, self.kind) {
            (Some(gate), _) => self.activated(&gate.forward(x)?)? * into,
            (None, FeedForward::SwiGlu) => {
                let half = into.dim(D::Minus1)? / 2;
                let [a, b] = [0, half].map(|start| into.narrow(D::Minus1, start, half));
                silu(&a?.contiguous()?)? * b?
            }
            (None, _) => self.activated(&into),
        }
    }

    fn activated(&self, x: &Tensor) -> CandleResult<Tensor> {
        match self.activation {
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => gelu_tanh(x),
            Activation::QuickGelu => quick_gelu(x),
            Activation::Silu => silu(x),
        }
    }
}

fn layer([from, to]: [usize; 2], bias: bool, vb: VarBuilder<'_>) -> CandleResult<Linear> {
    match bias {
        true => linear(from, to, vb),
        false => linear_no_bias(from, to, vb),
    }
}
