//! Scaled dot-product attention that never holds queries x keys at once, and the map itself for who asks for it.

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::formats::wide;
use crate::{
    activation::{Probe, Stop, Tap},
    ops,
};

/// Scores and the weights made of them that are held at one time, in bytes: a block of query rows is as large as fits.
const SCORE_BLOCK_BYTES: usize = 128 << 20;

/// softmax(q·kᵀ·scale)·v with its heads joined, (B, queries, heads·d), for q (B, heads, queries, d), k and v
/// (B, heads, keys, d).
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::supports(q) {
        return ops::attend(q, k, v, scale);
    }
    let v = v.contiguous()?;
    let attended = by_rows(SCORE_BLOCK_BYTES, [q, k], scale, |weights| {
        weights.to_dtype(v.dtype())?.matmul(&v)
    })?;
    join_heads(&attended)
}

/// Meets an attention map, which is made only if it is selected, with all heads or as their mean.
pub(crate) fn visit_map(probe: &mut Probe<'_>, tap: Tap, q: &Tensor, k: &Tensor, scale: f64) -> Result<(), Stop> {
    visit_map_as(probe, tap, [q, k], scale, Ok)
}

/// [`visit_map`] of what `make` makes of the map, (B, heads or 1, queries, keys): one of which columns were left out gets
/// them back.
pub(crate) fn visit_map_as(
    probe: &mut Probe<'_>,
    tap: Tap,
    [q, k]: [&Tensor; 2],
    scale: f64,
    make: impl FnOnce(Tensor) -> CandleResult<Tensor>,
) -> Result<(), Stop> {
    if !probe.wants(tap) {
        return probe.passed(tap);
    }
    let map = match probe.wants_means_of_heads() {
        true => mean_attention_map(q, k, scale)?,
        false => attention_map(q, k, scale)?,
    };
    probe.visit_map(tap, &make(map)?)
}

/// Meets parts of the map of a joint attention, one softmax over all keys that is computed once: each part with its tap, its first
/// key and how many it has, in the order of the taps.
pub(crate) fn visit_parts_of_map(
    probe: &mut Probe<'_>,
    [q, k]: [&Tensor; 2],
    scale: f64,
    parts: impl Iterator<Item = (Tap, usize, usize)> + Clone,
) -> Result<(), Stop> {
    let map = match parts.clone().any(|(tap, ..)| probe.wants(tap)) {
        true if probe.wants_means_of_heads() => Some(mean_attention_map(q, k, scale)?),
        true => Some(attention_map(q, k, scale)?),
        false => None,
    };
    for (tap, first, count) in parts {
        match &map {
            Some(map) if probe.wants(tap) => probe.visit_map(tap, &map.narrow(3, first, count)?)?,
            _ => probe.passed(tap)?,
        }
    }
    Ok(())
}

/// The logarithm of the sum that each row of [`attention_map`] is divided by, ln Σ exp(q·k·scale), (B, heads, queries) at least in
/// f32.
pub(crate) fn row_log_sums(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    score_rows(SCORE_BLOCK_BYTES, [q, k], scale, |scores| {
        let highest = scores.max_keepdim(3)?;
        let sums = scores.broadcast_sub(&highest)?.exp()?.sum_keepdim(3)?;
        sums.log()? + highest
    })?
    .squeeze(3)
}

/// The mean over the heads of [`attention_map`], (B, 1, queries, keys), in blocks of query rows.
fn mean_attention_map(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::supports(q) {
        return ops::mean_map(q, k, scale);
    }
    by_rows(SCORE_BLOCK_BYTES, [q, k], scale, |weights| weights.mean_keepdim(1))
}

/// The attention map softmax(q·kᵀ·scale), (B, heads, queries, keys), at least in f32.
fn attention_map(q: &Tensor, k: &Tensor, scale: f64) -> CandleResult<Tensor> {
    if ops::supports(q) {
        let scores = (q * scale)?.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        return softmax_last_dim(&scores);
    }
    by_rows(SCORE_BLOCK_BYTES, [q, k], scale, Ok)
}

/// What `make` makes of the weights of every block of query rows, (B, heads, rows, keys) and at least in f32, joined along the
/// rows. Scores and weights of a block have no more than `most_bytes`.
///
/// Queries and keys go into their product in f32: a score of 50 that is rounded to bf16 is off by up to 1/8, and so is its weight
/// as a share. The other product, of the weights with the values, is in the format of the values.
fn by_rows(
    most_bytes: usize,
    [q, k]: [&Tensor; 2],
    scale: f64,
    make: impl Fn(Tensor) -> CandleResult<Tensor>,
) -> CandleResult<Tensor> {
    score_rows(most_bytes, [q, k], scale, |scores| {
        let weights = softmax_last_dim(&scores)?;
        drop(scores);
        make(weights)
    })
}

/// The same of the scores.
fn score_rows(
    most_bytes: usize,
    [q, k]: [&Tensor; 2],
    scale: f64,
    make: impl Fn(Tensor) -> CandleResult<Tensor>,
) -> CandleResult<Tensor> {
    let (batch, heads, queries, _) = q.dims4()?;
    let k_transposed = wide(k)?.contiguous()?.transpose(2, 3)?;
    let row_bytes = 2 * batch * heads * k.dim(2)? * k_transposed.dtype().size_in_bytes();
    let rows = (most_bytes / row_bytes.max(1)).clamp(1, queries.max(1));
    let blocks = (0..queries)
        .step_by(rows)
        .map(|start| {
            let block = (wide(&q.narrow(2, start, rows.min(queries - start))?)? * scale)?.contiguous()?;
            make(block.matmul(&k_transposed)?)
        })
        .collect::<CandleResult<Vec<_>>>()?;
    Tensor::cat(&blocks, 2)
}

/// (B, N, heads·d) → (B, heads, N, d), the same numbers in the same place.
pub(crate) fn split_heads(tokens: &Tensor, heads: usize) -> CandleResult<Tensor> {
    let (batch, length, width) = tokens.dims3()?;
    tokens.reshape((batch, length, heads, width / heads))?.transpose(1, 2)
}

/// (B, heads, N, d) → (B, N, heads·d).
pub(crate) fn join_heads(tokens: &Tensor) -> CandleResult<Tensor> {
    tokens.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    const SCALE: f64 = 0.125;

    /// Queries, keys and values of 2 rows, 3 heads and 40 channels, in f64 and exact in `dtype`, with scores so large that it would
    /// show if they were rounded.
    fn given(dtype: DType) -> CandleResult<[Tensor; 3]> {
        let numbers = |length: usize, seed: f64, most: f64| {
            let values: Vec<f64> = (0..2 * 3 * length * 40)
                .map(|i| most * (seed * i as f64).sin())
                .collect();
            let tensor = Tensor::from_vec(values, (2, length, 3, 40), &Device::Cpu)?;
            tensor.to_dtype(dtype)?.to_dtype(DType::F64)?.transpose(1, 2)
        };
        Ok([numbers(7, 0.7, 9.0)?, numbers(5, 1.3, 9.0)?, numbers(5, 2.9, 1.0)?])
    }

    fn largest_difference(x: &Tensor, y: &Tensor) -> CandleResult<f64> {
        assert_eq!(x.dims(), y.dims());
        let difference = (x.to_dtype(DType::F64)? - y.to_dtype(DType::F64)?)?;
        difference.abs()?.max_all()?.to_scalar()
    }

    /// Nothing but the weights is rounded, before they meet the values.
    #[test]
    fn scores_of_half_formats_are_not_rounded() -> CandleResult<()> {
        for (dtype, ulp) in [(DType::F16, 1.0 / 1024.0), (DType::BF16, 1.0 / 128.0)] {
            let [q, k, v] = given(dtype)?;
            let narrow = |x: &Tensor| x.to_dtype(dtype);
            let (q16, k16, v16) = (narrow(&q)?, narrow(&k)?, narrow(&v)?);
            let wanted = attention_map(&q, &k, SCALE)?;
            assert!(wanted.max_all()?.to_scalar::<f64>()? > 0.99, "some scores are large");
            let map = attention_map(&q16, &k16, SCALE)?;
            assert_eq!(map.dtype(), DType::F32);
            assert!(largest_difference(&wanted, &map)? < 1e-4, "{dtype:?}");
            let mean = mean_attention_map(&q16, &k16, SCALE)?;
            assert!(largest_difference(&wanted.mean_keepdim(1)?, &mean)? < 1e-4, "{dtype:?}");
            let attended = attend(&q16, &k16, &v16, SCALE)?;
            assert_eq!(attended.dtype(), dtype);
            let difference = largest_difference(&attend(&q, &k, &v, SCALE)?, &attended)?;
            assert!(difference < 2.0 * ulp, "{dtype:?}: {difference}");
        }
        Ok(())
    }

    #[test]
    fn blocks_of_any_size_give_the_same() -> CandleResult<()> {
        let [q, k, _] = given(DType::F32)?;
        let whole = attention_map(&q, &k, SCALE)?;
        let row_bytes = 2 * 2 * 3 * 5 * size_of::<f64>();
        for most_bytes in [0, row_bytes, 3 * row_bytes] {
            let blocks = by_rows(most_bytes, [&q, &k], SCALE, |weights| {
                assert!(weights.dim(2)? <= (most_bytes / row_bytes).max(1));
                Ok(weights)
            })?;
            assert!(largest_difference(&whole, &blocks)? < 1e-12);
        }
        Ok(())
    }

    /// On the CPU in f32 our own operators give what candle's do.
    #[test]
    fn both_ways_agree() -> CandleResult<()> {
        let [q, k, v] = given(DType::F32)?;
        let narrow = |x: &Tensor| x.to_dtype(DType::F32);
        let own = attend(&narrow(&q)?, &narrow(&k)?, &narrow(&v)?, SCALE)?;
        assert!(largest_difference(&attend(&q, &k, &v, SCALE)?, &own)? < 1e-4);
        Ok(())
    }
}
