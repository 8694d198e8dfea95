//! Scaled dot-product attention that never holds queries x keys at once, and the map itself for who asks for it.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

/// Scores held at one time, in bytes: a block of query rows is as large as fits.
const SCORE_BLOCK_BYTES: usize = 64 << 20;

/// softmax(q·kᵀ·scale)·v for q (B, heads, queries, d), k and v (B, heads, keys, d), in blocks of query rows.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let (batch, heads, queries, _) = q.dims4()?;
    let keys = k.dim(2)?;
    let row_bytes = (batch * heads * keys * size_of::<f32>()).max(1);
    let rows = (SCORE_BLOCK_BYTES / row_bytes).clamp(1, queries.max(1));
    let (q, v) = ((q * scale)?, v.contiguous()?);
    let k_transposed = k.transpose(2, 3)?.contiguous()?;
    let blocks = (0..queries)
        .step_by(rows)
        .map(|start| {
            let block = q.narrow(2, start, rows.min(queries - start))?.contiguous()?;
            softmax_last_dim(&block.matmul(&k_transposed)?)?.matmul(&v)
        })
        .collect::<Result<Vec<_>>>()?;
    match blocks.as_slice() {
        [only] => Ok(only.clone()),
        several => Tensor::cat(several, 2),
    }
}

/// The attention map softmax(q·kᵀ·scale), (B, heads, queries, keys).
pub fn attention_map(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    let scores = (q * scale)?.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
    softmax_last_dim(&scores)
}

/// (B, N, heads·d) → (B, heads, N, d).
pub fn split_heads(tokens: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, width) = tokens.dims3()?;
    tokens
        .reshape((batch, length, heads, width / heads))?
        .transpose(1, 2)?
        .contiguous()
}

/// (B, heads, N, d) → (B, N, heads·d).
pub fn join_heads(tokens: &Tensor) -> Result<Tensor> {
    tokens.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
}
