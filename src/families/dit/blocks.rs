//! One transformer block, and what embeds timestep and class.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Module, VarBuilder, ops::silu};

use super::{
    config::{DitConfig, Layout},
    ids::id,
};
use crate::{
    activation::{Catalogue, Probe, Stop, Tap},
    components::{
        mlp::Mlp,
        vit_block::{ExtraTaps, VitPart},
    },
    error::Result,
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        attention::{attend, split_heads, visit_map},
        feed_forward::gelu_tanh,
        layers::{Embedding, Linear, embedding, linear},
        modulation::{add_gated, modulated_norm},
        norms::{LayerNorm, layer_norm},
        time_embedding::timestep_embedding,
    },
};

/// Width of the sinusoids that timesteps become.
const SINUSOIDS: usize = 256;
/// Vectors that timestep and class give every block: shift, scale and gate of the attention, then of the feed-forward.
const MODULATIONS: usize = 6;
/// Epsilon of the norm before the attention.
const ATTENTION_NORM_EPS: f64 = 1e-6;
/// Epsilon of the norms of queries and keys.
const QK_NORM_EPS: f64 = 1e-5;

/// What timesteps and classes become: MLP(E(t)) + table[class].
#[derive(Debug)]
pub(super) struct Embedder {
    timestep: Mlp,
    classes: Embedding,
    frequency_shift: f64,
}

impl Embedder {
    pub(super) fn new(config: &DitConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        // A row for no class lies behind the classes.
        let rows = config.num_classes + 1;
        Ok(Self {
            timestep: Mlp::new([SINUSOIDS, config.width()], silu, vb.pp("timestep_embedder"))?,
            classes: embedding(rows, config.width(), vb.pp("class_embedder.embedding_table"))?,
            // diffusers divides by one frequency less than there are, unlike the authors.
            frequency_shift: match config.layout {
                Layout::Diffusers => 1.0,
                Layout::Original => 0.0,
            },
        })
    }

    /// (B, D) for B timesteps and B rows of the table of classes.
    pub(super) fn forward(&self, t: &[f32], classes: &[u32]) -> CandleResult<Tensor> {
        let table = self.classes.embeddings();
        let sinusoids = timestep_embedding(t, SINUSOIDS, true, self.frequency_shift, table.device())?;
        let classes = Tensor::new(classes, table.device())?;
        self.timestep.forward(&sinusoids.to_dtype(table.dtype())?)? + self.classes.forward(&classes)?
    }
}

/// x += gate1·attn(LN(x)(1 + scale1) + shift1); x += gate2·ff(LN(x)(1 + scale2) + shift2).
#[derive(Debug)]
pub(super) struct Block {
    /// None where all blocks share one.
    pub(super) embedder: Option<Embedder>,
    modulation: Linear,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    qk_norms: Option<[LayerNorm; 2]>,
    to_out: Linear,
    ff_in: Linear,
    ff_out: Linear,
    ffn_norm_eps: f64,
    heads: usize,
    scale: f64,
    taps: Taps,
    extra: ExtraTaps,
}

/// The taps of one block.
#[derive(Debug)]
struct Taps {
    self_q: Tap,
    self_k: Tap,
    self_v: Tap,
    self_map: Tap,
    ffn_inner: Tap,
    out: Tap,
}

impl Block {
    pub(super) fn new(config: &DitConfig, block: u16, list: &Catalogue, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner, head) = (config.width(), config.ffn_width(), config.attention_head_dim);
        let square = |name: &str| linear(width, width, vb.pp(name));
        let tap = |part| list.expect(id(block, part));
        let qk_norms = match config.qk_norm {
            true => Some([
                layer_norm(head, QK_NORM_EPS, vb.pp("attn1.norm_q"))?,
                layer_norm(head, QK_NORM_EPS, vb.pp("attn1.norm_k"))?,
            ]),
            false => None,
        };
        let embedder = match config.layout {
            Layout::Diffusers => Some(Embedder::new(config, vb.pp("norm1.emb"))?),
            Layout::Original => None,
        };
        Ok(Self {
            embedder,
            modulation: linear(width, MODULATIONS * width, vb.pp("norm1.linear"))?,
            to_q: square("attn1.to_q")?,
            to_k: square("attn1.to_k")?,
            to_v: square("attn1.to_v")?,
            qk_norms,
            to_out: square("attn1.to_out.0")?,
            ff_in: linear(width, inner, vb.pp("ff.net.0.proj"))?,
            ff_out: linear(inner, width, vb.pp("ff.net.2"))?,
            ffn_norm_eps: config.ffn_norm_eps,
            heads: config.num_attention_heads,
            scale: 1.0 / (head as f64).sqrt(),
            taps: Taps {
                self_q: tap(VitPart::SelfQ)?,
                self_k: tap(VitPart::SelfK)?,
                self_v: tap(VitPart::SelfV)?,
                self_map: tap(VitPart::SelfMap)?,
                ffn_inner: tap(VitPart::FfnInner)?,
                out: tap(VitPart::Out)?,
            },
            extra: ExtraTaps::new(|part| list.tap(id(block, part))),
        })
    }

    /// Tokens (B, N, D) → (B, N, D). `condition` is (B, D): what timestep and class became.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        condition: &Tensor,
        grid: Grid,
        probe: &mut Probe<'_>,
    ) -> Result<Tensor, Stop> {
        let (taps, width) = (&self.taps, x.dim(2)?);
        let modulation = self.modulation.forward(&silu(condition)?)?;
        let vector = |index: usize| modulation.narrow(1, index * width, width);
        let (gate1, gate2) = (vector(2)?, vector(5)?);

        let (shift, scale) = (vector(0)?, vector(1)?);
        let norm = |x: &Tensor| modulated_norm(x, &shift, &scale, ATTENTION_NORM_EPS);
        let normal = self.extra.visit_norm(probe, x, norm, grid)?;
        let q = probe.visit_tokens(taps.self_q, self.to_q.forward(&normal)?, grid)?;
        let k = probe.visit_tokens(taps.self_k, self.to_k.forward(&normal)?, grid)?;
        let v = probe.visit_tokens(taps.self_v, self.to_v.forward(&normal)?, grid)?;
        let [mut q, mut k, v] = [
            split_heads(&q, self.heads)?,
            split_heads(&k, self.heads)?,
            split_heads(&v, self.heads)?,
        ];
        if let Some([of_q, of_k]) = &self.qk_norms {
            (q, k) = (of_q.forward(&q.contiguous()?)?, of_k.forward(&k.contiguous()?)?);
        }
        self.extra.visit_products(probe, [&q, &k], grid)?;
        visit_map(probe, taps.self_map, &q, &k, self.scale)?;
        let x = add_gated(x, &gate1, &self.to_out.forward(&attend(&q, &k, &v, self.scale)?)?)?;

        let normal = modulated_norm(&x, &vector(3)?, &vector(4)?, self.ffn_norm_eps)?;
        let inner = gelu_tanh(&self.ff_in.forward(&normal)?)?;
        let inner = probe.visit_tokens(taps.ffn_inner, inner, grid)?;
        let x = add_gated(&x, &gate2, &self.ff_out.forward(&inner)?)?;
        probe.visit_tokens(taps.out, x, grid)
    }
}

impl Adaptable for Embedder {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.timestep.each_layer(visit);
        self.classes.each_layer(visit);
    }
}

impl Adaptable for Block {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        if let Some(embedder) = &mut self.embedder {
            embedder.each_layer(visit);
        }
        for layer in [
            &mut self.modulation,
            &mut self.to_q,
            &mut self.to_k,
            &mut self.to_v,
            &mut self.to_out,
            &mut self.ff_in,
            &mut self.ff_out,
        ] {
            layer.each_layer(visit);
        }
        for norm in self.qk_norms.iter_mut().flatten() {
            norm.each_layer(visit);
        }
    }
}
