//! Scaled dot-product attention that never holds queries x keys at once, and the map itself for who asks for it.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::formats::wide;
use crate::{
    activation::{Halt, Probe, Tap},
    ops,
};

/// Scores and the weights made of them that are held at one time, in bytes: a block of query rows is as large as fits.
const SCORE_BLOCK_BYTES: usize = 128 << 20;

/// softmax(q·kᵀ·scale)·v with its heads joined, (B, queries, heads·d), for q (B, heads, queries, d), k and v
/// (B, heads, keys, d).
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::takes(q) {
        return ops::attend(q, k, v, scale);
    }
    let v = v.contiguous()?;
    let attended = by_rows(q, k, scale, |weights| weights.to_dtype(v.dtype())?.matmul(&v))?;
    join_heads(&attended)
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
    by_rows(q, k, scale, |weights| weights.mean_keepdim(1))
}

/// The attention map softmax(q·kᵀ·scale), (B, heads, queries, keys), at least in f32.
fn attention_map(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::takes(q) {
        let scores = (q * scale)?.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        return softmax_last_dim(&scores);
    }
    by_rows(q, k, scale, Ok)
}

/// What `make` makes of the weights of every block of query rows, (B, heads, rows, keys) and at least in f32, joined along the
/// rows.
///
/// Queries and keys go into their product in f32: a score of 50 that is rounded to bf16 is off by up to 1/8, and so is its weight
/// as a share. The other product, of the weights with the values, is in the format of the values.
fn by_rows(q: &Tensor, k: &Tensor, scale: f64, make: impl Fn(Tensor) -> CandleResult<Tensor>) -> CandleResult<Tensor> {
    let (batch, heads, queries, _) = q.dims4()?;
    let k_transposed = wide(k)?.contiguous()?.transpose(2, 3)?;
    let row_bytes = 2 * batch * heads * k.dim(2)? * k_transposed.dtype().size_in_bytes();
    let rows = rows_of_block(row_bytes, queries);
    let blocks = (0..queries)
        .step_by(rows)
        .map(|start| {
            let block = (wide(&q.narrow(2, start, rows.min(queries - start))?)? * scale)?.contiguous()?;
            let scores = block.matmul(&k_transposed)?;
            let weights = softmax_last_dim(&scores)?;
            drop(scores);
            make(weights)
        })
        .collect::<CandleResult<Vec<_>>>()?;
    Tensor::cat(&blocks, 2)
}

/// How many query rows of so many bytes each are held at one time.
fn rows_of_block(row_bytes: usize, queries: usize) -> usize {
    (SCORE_BLOCK_BYTES / row_bytes.max(1)).clamp(1, queries.max(1))
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
