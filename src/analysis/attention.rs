//! One row of an attention map from stored queries and keys: what a position attends to, without the map.

use super::similarity::dot;
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// softmax(q_p·Kᵀ/√d) of every head for position `p`: (heads, positions of `keys`), each row sums to 1. `queries` and
/// `keys` are the activations before the head split, C = heads·d channels.
pub fn attention_row(queries: &FeatureMap, keys: &FeatureMap, heads: usize, p: usize) -> Result<Vec<f32>> {
    let channels = queries.channels();
    if heads == 0 || !channels.is_multiple_of(heads) || keys.channels() != channels || p >= queries.grid().positions() {
        return Err(Error::failed(format!(
            "there is no attention row {p} of {heads} heads over queries of {channels} and keys of {} channels",
            keys.channels()
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
        softmax(&mut rows[start..]);
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
