//! Keys and values in the order in which the kernel reads them.

use std::{f64::consts::LOG2_E, ops::Range};

use candle_core::Layout;

use super::Sizes;
use crate::ops::vector::{filled, parts};

/// Rows of the register tile: with two vectors of queries, twelve sums, two queries and one factor fill 16 registers.
pub(super) const TILE: usize = 6;

/// Numbers of a block of keys that stay in the second cache beside its values and the panels.
const BLOCK_FLOATS: usize = 32_768;

/// Keys in a block: at most what leaves their scores in the first cache, and enough to repay the sums' way to memory.
pub(super) const BLOCK_KEYS: (usize, usize) = (48, 192);

/// Numbers of a query that stay in the first cache while the keys pass.
pub(super) const DEPTH: usize = 192;

/// The rows of a (B, heads, rows, d) view whose last stride is 1.
pub(super) struct Rows<'a> {
    data: &'a [f32],
    strides: [usize; 3],
    depth: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(data: &'a [f32], layout: &Layout) -> Self {
        let (dims, strides) = (layout.dims(), layout.stride());
        Self {
            data: &data[layout.start_offset()..],
            strides: [strides[0], strides[1], strides[2]],
            depth: dims[3],
        }
    }

    #[inline(always)]
    pub(super) fn row(&self, image: usize, head: usize, row: usize) -> &'a [f32] {
        &self.data[image * self.strides[0] + head * self.strides[1] + row * self.strides[2]..][..self.depth]
    }
}

/// Keys, times the scale, and values of every head, packed once for all queries. Per head and block of keys: the keys by
/// parts of the depth, by tiles of six keys, key within number; then the values by tiles of six numbers, number within
/// key.
pub(super) struct Packed {
    data: Vec<f32>,
    pub(super) keys: usize,
    pub(super) depth: usize,
    with_values: bool,
}

impl Packed {
    pub(super) fn new(sizes: &Sizes, k: &Rows<'_>, v: Option<&Rows<'_>>, scale: f64) -> Self {
        // The exponentials are powers of two.
        let scale = (scale * LOG2_E) as f32;
        let &Sizes {
            batch,
            heads,
            keys,
            depth,
            ..
        } = sizes;
        let per_key = if v.is_some() { 2 * depth } else { depth };
        let data = filled(batch * heads * keys * per_key, keys * per_key, |index, head| {
            let (image, number) = (index / heads, index % heads);
            for block in blocks(keys, depth) {
                for part in parts(depth, DEPTH) {
                    for tile in parts(block.len(), TILE) {
                        let tile_keys = block.start + tile.start..block.start + tile.end;
                        let packed = head.next(tile_keys.len() * part.len());
                        let last = tile_keys.end - 1;
                        let rows: [&[f32]; TILE] = std::array::from_fn(|column| {
                            &k.row(image, number, last.min(tile_keys.start + column))[part.clone()]
                        });
                        for (n, places) in packed.chunks_exact_mut(tile.len()).enumerate() {
                            for (place, row) in places.iter_mut().zip(&rows) {
                                *place = row[n] * scale;
                            }
                        }
                    }
                }
                let Some(v) = v else { continue };
                for tile in parts(depth, TILE) {
                    let packed = head.next(block.len() * tile.len());
                    for (key, places) in block.clone().zip(packed.chunks_exact_mut(tile.len())) {
                        for (place, value) in places.iter_mut().zip(&v.row(image, number, key)[tile.clone()]) {
                            *place = *value;
                        }
                    }
                }
            }
        });
        Self {
            data,
            keys,
            depth,
            with_values: v.is_some(),
        }
    }

    pub(super) fn head(&self, head: usize) -> PackedHead<'_> {
        let per_key = if self.with_values { 2 * self.depth } else { self.depth };
        let len = self.keys * per_key;
        PackedHead {
            data: &self.data[head * len..][..len],
            keys: self.keys,
            depth: self.depth,
            per_key,
        }
    }
}

/// One head's packed keys and values.
pub(super) struct PackedHead<'a> {
    data: &'a [f32],
    keys: usize,
    pub(super) depth: usize,
    per_key: usize,
}

impl PackedHead<'_> {
    /// Per block: its keys' range, their numbers, and their values.
    #[inline(always)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = (Range<usize>, &[f32], &[f32])> {
        blocks(self.keys, self.depth).map(|block| {
            let data = &self.data[block.start * self.per_key..block.end * self.per_key];
            let (keys, values) = data.split_at(block.len() * self.depth);
            (block, keys, values)
        })
    }
}

fn blocks(keys: usize, depth: usize) -> impl Iterator<Item = Range<usize>> {
    parts(keys, (BLOCK_FLOATS / depth).clamp(BLOCK_KEYS.0, BLOCK_KEYS.1))
}
