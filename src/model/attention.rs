//! Scaled dot-product attention that never holds queries x keys at once, and the map itself for who asks for it.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::ops::softmax_last_dim;

use crate::{
    activation::{Halt, Probe, Tap},
    ops,
};

/// Scores held at one time, in bytes: a block of query rows is as large as fits.
const SCORE_BLOCK_BYTES: usize = 64 << 20;

/// softmax(q·kᵀ·scale)·v with its heads joined, (B, queries, heads·d), for q (B, heads, queries, d), k and v
/// (B, heads, keys, d).
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::takes(q) {
        return ops::attend(q, k, v, scale);
    }
    let (batch, heads, queries, _) = q.dims4()?;
    let keys = k.dim(2)?;
    let rows = rows_of_block(batch * heads, keys, queries);
    let (q, v) = ((q * scale)?, v.contiguous()?);
    let k_transposed = k.transpose(2, 3)?.contiguous()?;
    let blocks = (0..queries)
        .step_by(rows)
        .map(|start| {
            let block = q.narrow(2, start, rows.min(queries - start))?.contiguous()?;
            softmax_last_dim(&block.matmul(&k_transposed)?)?.matmul(&v)
        })
        .collect::<CandleResult<Vec<_>>>()?;
    join_heads(&Tensor::cat(&blocks, 2)?)
}

/// Meets an attention map, which is made only if it was asked for, in the form asked for.
pub fn visit_map(probe: &mut Probe<'_>, tap: Tap, q: &Tensor, k: &Tensor, scale: f64) -> Result<(), Halt> {
    if !probe.wants(tap) {
        return probe.passed(tap);
    }
    let map = match probe.wants_means_of_heads() {
        true => mean_attention_map(q, k, scale)?,
        false => attention_map(q, k, scale)?,
    };
    probe.visit(tap, &map)
}

/// The mean over the heads of [`attention_map`], (B, 1, queries, keys), in blocks of query rows.
fn mean_attention_map(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::takes(q) {
        return ops::mean_map(q, k, scale);
    }
    let (batch, heads, queries, _) = q.dims4()?;
    let rows = rows_of_block(batch * heads, k.dim(2)?, queries);
    let q = (q * scale)?;
    let k_transposed = k.transpose(2, 3)?.contiguous()?;
    let blocks = (0..queries)
        .step_by(rows)
        .map(|start| {
            let block = q.narrow(2, start, rows.min(queries - start))?.contiguous()?;
            softmax_last_dim(&block.matmul(&k_transposed)?)?.mean_keepdim(1)
        })
        .collect::<CandleResult<Vec<_>>>()?;
    Tensor::cat(&blocks, 2)
}

/// How many query rows of scores are held at one time.
fn rows_of_block(maps: usize, keys: usize, queries: usize) -> usize {
    let row_bytes = (maps * keys * size_of::<f32>()).max(1);
    (SCORE_BLOCK_BYTES / row_bytes).clamp(1, queries.max(1))
}

/// The attention map softmax(q·kᵀ·scale), (B, heads, queries, keys).
fn attention_map(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    let scores = (q * scale)?.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
    softmax_last_dim(&scores)
}

/// (B, N, heads·d) → (B, heads, N, d), the same numbers in the same place.
pub fn split_heads(tokens: &Tensor, heads: usize) -> CandleResult<Tensor> {
    let (batch, length, width) = tokens.dims3()?;
    tokens.reshape((batch, length, heads, width / heads))?.transpose(1, 2)
}

/// (B, heads, N, d) → (B, N, heads·d).
pub fn join_heads(tokens: &Tensor) -> CandleResult<Tensor> {
    tokens.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
}
