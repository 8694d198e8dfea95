//! Vectors as a page holds them: principal components of unit vectors, in 16 bits.

use half::f16;
use serde::Serialize;

use crate::{
    activation::FeatureMap,
    analysis::{
        pca::{self, PcaOptions},
        similarity::dot,
    },
    error::Result,
};

/// Most components that are kept.
pub const MOST_COMPONENTS: usize = 64;
/// Most pairs of cells that the loss is measured over; of more cells some pairs are drawn.
const MOST_PAIRS: usize = 1 << 17;
/// Multiplier and increment of Knuth's generator (MMIX), which draws pairs.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// What is lost of the cosine: the difference between what a page computes and what the full vectors give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Loss {
    /// Mean of its magnitude.
    pub mean: f64,
    /// Its largest magnitude.
    pub max: f64,
    /// Pairs of two cells that were compared.
    pub pairs: usize,
    /// Whether these are all pairs that there are.
    pub all: bool,
}

/// Vectors whose dot products are about the cosines of the vectors of some maps.
pub(super) struct Stored {
    /// Numbers of a vector.
    pub components: usize,
    /// Of each map, (h·w, components) as little-endian f16.
    pub bytes: Vec<Vec<u8>>,
    /// Whether vectors were brought to length 1 again after components were left out.
    pub normalised: bool,
    /// What is lost.
    pub loss: Loss,
}

/// The vectors of maps of one activation, which have one number of channels.
pub(super) fn stored(maps: &[&FeatureMap]) -> Result<Stored> {
    let channels = maps.first().map_or(1, |map| map.channels());
    let options = PcaOptions {
        // Cosines are those of vectors as they are: their common mean is a part of them.
        centre: false,
        l2_normalise_positions: true,
        components: MOST_COMPONENTS.min(channels),
        ..PcaOptions::default()
    };
    let basis = pca::fit(maps, &options)?;
    let mut vectors = Vec::new();
    for map in maps {
        vectors.extend(basis.project(map)?.values);
    }
    let components = options.components;
    let lengthened: Vec<f32> = vectors.chunks_exact(components).flat_map(unit).collect();
    // What is left out of two vectors may be alike or not: the one is nearer in some maps, the other in others.
    let [(as_left, loss_as_left), (unit, loss_of_unit)] = [vectors, lengthened].map(|vectors| {
        let vectors = rounded(&vectors);
        let loss = measured(maps, &vectors, components);
        (vectors, loss)
    });
    let normalised = loss_of_unit.mean < loss_as_left.mean;
    let (vectors, loss) = match normalised {
        true => (unit, loss_of_unit),
        false => (as_left, loss_as_left),
    };
    let mut rest = vectors.as_slice();
    let mut bytes = Vec::with_capacity(maps.len());
    for map in maps {
        let (own, others) = rest.split_at((map.grid().positions() * components).min(rest.len()));
        rest = others;
        bytes.push(own.iter().flat_map(|x| x.to_le_bytes()).collect());
    }
    Ok(Stored {
        components,
        bytes,
        normalised,
        loss,
    })
}

/// A vector of length 1; one of zeros stays.
fn unit(vector: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let length = dot(vector, vector).sqrt();
    let scale = if length > 0.0 { length.recip() } else { 0.0 };
    vector.iter().map(move |x| x * scale)
}

fn rounded(vectors: &[f32]) -> Vec<f16> {
    vectors.iter().map(|x| f16::from_f32(*x)).collect()
}

/// Compares dot products of stored vectors with the cosines of the maps' own. A cell and itself are no pair: the page knows
/// that their cosine is 1.
fn measured(maps: &[&FeatureMap], stored: &[f16], components: usize) -> Loss {
    let stored: Vec<f32> = stored.iter().map(|x| x.to_f32()).collect();
    let own: Vec<(&[f32], f32)> = maps
        .iter()
        .flat_map(|map| {
            let vectors = map.vectors().chunks_exact(map.channels());
            vectors.zip(map.inverse_norms().iter().copied())
        })
        .collect();
    let cells = own.len();
    let error = |a: usize, b: usize| {
        let vector = |cell: usize| &stored[cell * components..(cell + 1) * components];
        let ((x, x_scale), (y, y_scale)) = (own[a], own[b]);
        let cosine = dot(x, y) * x_scale * y_scale;
        f64::from((dot(vector(a), vector(b)) - cosine).abs())
    };
    let every = cells * cells.saturating_sub(1) / 2;
    let all = every <= MOST_PAIRS;
    let (mut sum, mut max, mut pairs) = (0.0, 0.0_f64, 0);
    let mut add = |error: f64| {
        sum += error;
        max = max.max(error);
        pairs += 1;
    };
    if all {
        (0..cells).for_each(|a| (a + 1..cells).for_each(|b| add(error(a, b))));
    } else {
        let mut drawn = Drawn(1);
        for _ in 0..MOST_PAIRS {
            let a = drawn.below(cells);
            // Any other cell.
            let b = (a + 1 + drawn.below(cells - 1)) % cells;
            add(error(a, b));
        }
    }
    Loss {
        mean: if pairs > 0 { sum / pairs as f64 } else { 0.0 },
        max,
        pairs,
        all,
    }
}

/// Numbers that are the same in every export.
struct Drawn(u64);

impl Drawn {
    /// A number below `count`, which is at least 1.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        // The upper bits are the good ones.
        ((self.0 >> 33) as usize) % count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn map(channels: usize, grid: Grid, seed: u64) -> Result<FeatureMap> {
        let mut drawn = Drawn(seed);
        let numbers = (0..channels * grid.positions()).map(|_| drawn.below(2001) as f32 / 1000.0 - 1.0);
        FeatureMap::from_positions(channels, grid, numbers.collect())
    }

    fn decoded(bytes: &[u8]) -> Vec<f32> {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
            .collect()
    }

    #[test]
    fn few_channels_lose_nothing_but_rounding() -> TestResult {
        let maps = [map(8, Grid::new(3, 4), 3)?, map(8, Grid::new(2, 5), 4)?];
        let stored = stored(&[&maps[0], &maps[1]])?;
        assert_eq!(stored.components, 8);
        assert_eq!((stored.loss.pairs, stored.loss.all), (22 * 21 / 2, true));
        assert!(stored.loss.max < 2e-3, "{:?}", stored.loss);
        assert!(stored.loss.mean <= stored.loss.max);
        let [a, b] = [&stored.bytes[0], &stored.bytes[1]].map(|bytes| decoded(bytes));
        assert_eq!((a.len(), b.len()), (12 * 8, 10 * 8));
        // A cell of one picture with one of the other, as the page computes it.
        let cosine = crate::analysis::similarity::cosine_to_all(maps[0].vector(5), &maps[1])?[7];
        let page = dot(&a[5 * 8..6 * 8], &b[7 * 8..8 * 8]);
        assert!(
            f64::from((page - cosine).abs()) <= stored.loss.max + 1e-6,
            "{page} {cosine}"
        );
        Ok(())
    }

    #[test]
    fn the_loss_of_many_channels_is_a_bound_over_all_pairs() -> TestResult {
        let map = map(200, Grid::new(10, 10), 7)?;
        let stored = stored(&[&map])?;
        assert_eq!(stored.components, MOST_COMPONENTS);
        assert_eq!(stored.bytes[0].len(), 100 * MOST_COMPONENTS * 2);
        // Vectors without any structure are the worst case: 64 of 200 components leave much out.
        assert!(stored.loss.max > 0.01 && stored.loss.max < 0.5, "{:?}", stored.loss);
        let numbers = decoded(&stored.bytes[0]);
        let vector = |cell: usize| &numbers[cell * MOST_COMPONENTS..(cell + 1) * MOST_COMPONENTS];
        for a in 0..100 {
            let cosines = crate::analysis::similarity::cosine_to_all(map.vector(a), &map)?;
            for (b, cosine) in cosines.iter().enumerate().filter(|(b, _)| *b != a) {
                let error = f64::from((dot(vector(a), vector(b)) - cosine).abs());
                assert!(error <= stored.loss.max + 1e-6, "{a} {b}: {error}");
            }
        }
        Ok(())
    }

    #[test]
    fn sixteen_bits_hold_three_digits_of_every_component() {
        for x in [0.0, 1.0, -1.0, 0.5, 0.1234, -0.98765, 6.1e-5, -3.3e-4] {
            let [byte, other] = f16::from_f32(x).to_le_bytes();
            let back = f16::from_le_bytes([byte, other]).to_f32();
            // Half of the last of 11 bits.
            assert!((back - x).abs() <= x.abs() / 2048.0, "{x} {back}");
        }
    }

    #[test]
    fn many_cells_are_sampled_and_a_zero_vector_has_no_direction() -> TestResult {
        let grid = Grid::new(24, 24);
        let mut numbers = map(4, grid, 9)?.vectors().to_vec();
        numbers[..4].fill(0.0);
        let map = FeatureMap::from_positions(4, grid, numbers)?;
        let stored = stored(&[&map])?;
        assert!(!stored.loss.all && stored.loss.pairs == MOST_PAIRS);
        assert!(stored.loss.max < 2e-3, "{:?}", stored.loss);
        assert_eq!(decoded(&stored.bytes[0])[..4], [0.0; 4]);
        Ok(())
    }
}
