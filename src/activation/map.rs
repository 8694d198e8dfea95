//! Results of a pass: feature maps and attention maps as plain numbers.

use std::{ops::Range, sync::OnceLock};

use super::NotFinite;
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// One activation of one picture, (C, h, w), stored position by position so that the vector of a position is one slice.
#[derive(Debug, Clone)]
pub struct FeatureMap {
    channels: usize,
    grid: Grid,
    /// (h·w, C), row-major.
    vectors: Vec<f32>,
    /// 1/‖f_p‖₂ of every position, 0 where the vector is zero: computed on first use.
    inverse_norms: OnceLock<Vec<f32>>,
    /// Count of numbers that are not finite, made on first use.
    not_finite: OnceLock<Option<NotFinite>>,
}

impl PartialEq for FeatureMap {
    fn eq(&self, other: &Self) -> bool {
        (self.channels, self.grid) == (other.channels, other.grid) && self.vectors == other.vectors
    }
}

impl FeatureMap {
    /// From position-major numbers (h·w, C).
    ///
    /// # Errors
    ///
    /// Where there are no channels or no positions, and where there are not C·h·w numbers.
    pub fn from_positions(channels: usize, grid: Grid, vectors: Vec<f32>) -> Result<Self> {
        if channels == 0 || grid.positions() == 0 || vectors.len() != channels * grid.positions() {
            return Err(Error::failed(format!(
                "a feature map of {channels} channels on {} x {} positions needs {} numbers, found {}",
                grid.height,
                grid.width,
                channels * grid.positions(),
                vectors.len()
            )));
        }
        Ok(Self {
            channels,
            grid,
            vectors,
            inverse_norms: OnceLock::new(),
            not_finite: OnceLock::new(),
        })
    }

    /// From channel-major numbers (C, h, w), the order of tensors in files.
    ///
    /// # Errors
    ///
    /// Where there are no channels or no positions, and where there are not C·h·w numbers.
    pub fn from_channels(channels: usize, grid: Grid, planes: &[f32]) -> Result<Self> {
        let positions = grid.positions();
        if planes.len() != channels * positions {
            return Err(Error::failed(format!(
                "a tensor ({channels}, {}, {}) holds {} numbers, found {}",
                grid.height,
                grid.width,
                channels * positions,
                planes.len()
            )));
        }
        Self::from_positions(channels, grid, transpose(planes, channels, positions))
    }

    /// Number of channels C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows and columns.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The numbers of one channel, (h·w) row-major; none where there is no such channel.
    pub fn channel(&self, channel: usize) -> Option<Vec<f32>> {
        let numbers = self.vectors.iter().skip(channel).step_by(self.channels.max(1));
        (channel < self.channels).then(|| numbers.copied().collect())
    }

    /// The vector of position `p` (row-major), C numbers.
    pub fn vector(&self, p: usize) -> &[f32] {
        &self.vectors[p * self.channels..(p + 1) * self.channels]
    }

    /// All vectors, (h·w, C) row-major.
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// 1/‖f_p‖₂ per position, 0 for a zero vector.
    pub(crate) fn inverse_norms(&self) -> &[f32] {
        let inverse = |vector: &[f32]| {
            let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            match square > 0.0 {
                true => (1.0 / square.sqrt()) as f32,
                false => 0.0,
            }
        };
        self.inverse_norms
            .get_or_init(|| self.vectors.chunks_exact(self.channels).map(inverse).collect())
    }

    /// Count of numbers that are not finite; none where all are. Nothing can be computed from a map where some are not.
    pub fn not_finite(&self) -> Option<NotFinite> {
        *self.not_finite.get_or_init(|| NotFinite::among(&self.vectors))
    }

    /// The numbers channel by channel, (C, h, w).
    pub fn to_channels(&self) -> Vec<f32> {
        transpose(&self.vectors, self.grid.positions(), self.channels)
    }

    /// A map of some of the channels.
    ///
    /// # Errors
    ///
    /// Where the range is empty or goes beyond the channels.
    pub fn channel_range(&self, range: Range<usize>) -> Result<Self> {
        let vectors = self
            .vectors
            .chunks_exact(self.channels)
            .flat_map(|vector| vector.get(range.clone()).unwrap_or_default())
            .copied()
            .collect();
        Self::from_positions(range.len(), self.grid, vectors)
    }

    /// A map of all channels but some; numbers that name no channel are passed over. At least one channel has to stay.
    ///
    /// # Errors
    ///
    /// Where no channel stays.
    pub fn without_channels(&self, left_out: &[usize]) -> Result<Self> {
        let mut stays = vec![true; self.channels];
        for &channel in left_out {
            if let Some(stays) = stays.get_mut(channel) {
                *stays = false;
            }
        }
        let vectors = self
            .vectors
            .chunks_exact(self.channels)
            .flat_map(|vector| vector.iter().zip(&stays).filter(|(_, stays)| **stays))
            .map(|(&x, _)| x)
            .collect();
        let channels = stays.iter().filter(|stays| **stays).count();
        Self::from_positions(channels, self.grid, vectors)
    }

    /// Bytes this map keeps in memory.
    pub fn bytes(&self) -> usize {
        Self::bytes_of(self.channels, self.grid)
    }

    /// Bytes that a map of this shape keeps in memory.
    pub(crate) const fn bytes_of(channels: usize, grid: Grid) -> usize {
        (channels + 1) * grid.positions() * size_of::<f32>()
    }
}

/// The transpose of a row-major matrix (rows, columns), block by block: each is read line by line into a buffer and written line
/// by line from it, as rows that lie a power of two apart would drive each other out of the cache.
fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; matrix.len()];
    let mut block = [[0.0_f32; BLOCK]; BLOCK];
    for row_start in (0..rows).step_by(BLOCK) {
        let height = BLOCK.min(rows - row_start);
        for column_start in (0..columns).step_by(BLOCK) {
            let width = BLOCK.min(columns - column_start);
            for row in 0..height {
                let line = &matrix[(row_start + row) * columns + column_start..][..width];
                for (turned, x) in block.iter_mut().zip(line) {
                    turned[row] = *x;
                }
            }
            for (column, turned) in block.iter().enumerate().take(width) {
                out[(column_start + column) * rows + row_start..][..height].copy_from_slice(&turned[..height]);
            }
        }
    }
    out
}

/// One attention map of one picture: (heads, queries, keys), rows sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMap {
    /// Number of heads.
    pub heads: usize,
    /// Number of query positions.
    pub queries: usize,
    /// Number of keys: positions or text tokens.
    pub keys: usize,
    /// (heads, queries, keys), row-major.
    pub weights: Vec<f32>,
}
