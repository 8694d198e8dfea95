//! One row of an attention map from stored queries and keys: what a position attends to, without the map.

use rayon::prelude::*;

use super::similarity::dot;
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// Rows held at a time where the mean of many is formed.
const ROW_BLOCK: usize = 64;

/// softmax(q_p·Kᵀ/√d) of every head for position `p`: (heads, positions of `keys`), each row sums to 1. `queries` and
/// `keys` are the activations before the head split, C = heads·d channels.
///
/// In joint attention a row goes on over keys that are no positions: `sums` has, for every head, the logarithm of the sum
/// of exp(q_p·k/√d) over all of them, and the row is the part over positions, which sums to less than 1.
///
/// # Errors
///
/// Where `heads` does not divide C, where `queries` and `keys` differ in C, where there is no position `p`, and where `sums` is
/// not of one number for each head.
pub fn attention_row(
    [queries, keys]: [&FeatureMap; 2],
    sums: Option<&FeatureMap>,
    heads: usize,
    p: usize,
) -> Result<Vec<f32>> {
    let channels = queries.channels();
    if heads == 0 || !channels.is_multiple_of(heads) || keys.channels() != channels || p >= queries.grid().positions() {
        return Err(Error::failed(format!(
            "there is no attention row {p} of {heads} heads over queries of {channels} and keys of {} channels",
            keys.channels()
        )));
    }
    if let Some(sums) = sums.filter(|sums| sums.channels() != heads || sums.grid() != queries.grid()) {
        return Err(Error::failed(format!(
            "the rows of {heads} heads are divided by as many sums at each position, {} were found",
            sums.channels()
        )));
    }
    let width = channels / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let query = queries.vector(p);
    let mut rows = Vec::with_capacity(heads * keys.grid().positions());
    for head in 0..heads {
        let part = head * width..(head + 1) * width;
        let scores = keys
            .vectors()
            .chunks_exact(channels)
            .map(|key| dot(&query[part.clone()], &key[part.clone()]) * scale);
        let start = rows.len();
        rows.extend(scores);
        match sums {
            Some(sums) => rows[start..]
                .iter_mut()
                .for_each(|score| *score = (*score - sums.vector(p)[head]).exp()),
            None => softmax(&mut rows[start..]),
        }
    }
    Ok(rows)
}

/// The mean over heads of an attention row: (positions).
pub fn mean_over_heads(rows: &[f32], heads: usize) -> Vec<f32> {
    let positions = rows.len() / heads.max(1);
    let mut mean = vec![0.0; positions];
    for row in rows.chunks_exact(positions.max(1)) {
        for (sum, weight) in mean.iter_mut().zip(row) {
            *sum += weight / heads as f32;
        }
    }
    mean
}

/// The mean of the rows that [`attention_row`] gives of some positions, for each head: (positions of `keys`). No positions are an
/// error.
///
/// # Errors
///
/// As [`attention_row`], and where there are no positions.
pub fn head_rows(
    [queries, keys]: [&FeatureMap; 2],
    sums: Option<&FeatureMap>,
    heads: usize,
    positions: &[usize],
) -> Result<Vec<Vec<f32>>> {
    if positions.is_empty() {
        return Err(Error::failed("the mean attention of no positions was asked for"));
    }
    let length = keys.grid().positions();
    let mut totals = vec![0.0_f64; heads * length];
    for block in positions.chunks(ROW_BLOCK) {
        let rows = block
            .par_iter()
            .map(|&position| attention_row([queries, keys], sums, heads, position))
            .collect::<Result<Vec<_>>>()?;
        // In the order of the positions: the same sums on any number of threads.
        for row in rows {
            totals
                .iter_mut()
                .zip(row)
                .for_each(|(total, weight)| *total += f64::from(weight));
        }
    }
    let count = positions.len() as f64;
    let of_head = |totals: &[f64]| totals.iter().map(|total| (total / count) as f32).collect();
    Ok(totals.chunks_exact(length.max(1)).map(of_head).collect())
}

/// The mean of the rows of some positions over heads and positions: (positions of `keys`). No positions are an error.
///
/// # Errors
///
/// As [`head_rows`].
pub fn mean_row(sources: [&FeatureMap; 2], heads: usize, positions: &[usize]) -> Result<Vec<f32>> {
    let rows = head_rows(sources, None, heads, positions)?;
    Ok(mean_over_heads(&rows.concat(), heads))
}

fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        sum += f64::from(*score);
    }
    let scale = (1.0 / sum) as f32;
    for score in scores {
        *score *= scale;
    }
}
