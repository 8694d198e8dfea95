//! How much computing lies between activations: progress and estimates go by it and not by how many activations there are.

use super::{Catalogue, Facts, Shape, Tap};

/// Time of one multiply-add of a 3x3 convolution relative to a matrix product: Winograd's method needs fewer.
pub(crate) const CONVOLUTION_COST: f64 = 0.4;
/// Time of one multiply-add of attention relative to a matrix product: there are exponentials between.
const ATTENTION: f64 = 1.6;
/// Taps of a 3x3 kernel.
const TAPS: f64 = 9.0;

/// Multiply-adds of a 3x3 convolution.
pub(crate) fn convolution_cost(positions: usize, inputs: usize, outputs: usize) -> f64 {
    CONVOLUTION_COST * TAPS * linear_cost(positions, inputs, outputs)
}

/// Multiply-adds of a linear layer.
pub fn linear_cost(positions: usize, inputs: usize, outputs: usize) -> f64 {
    positions as f64 * inputs as f64 * outputs as f64
}

/// Multiply-adds of attention of so many queries to so many keys of a width, over all heads.
pub fn attention_cost(queries: usize, keys: usize, width: usize) -> f64 {
    ATTENTION * 2.0 * queries as f64 * keys as f64 * width as f64
}

/// The cost up to each activation of a network, in multiply-adds of a matrix product.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Up to and with each activation, in the order of execution.
    until: Vec<f64>,
}

impl Cost {
    /// The costs of a catalogue, for one row.
    pub fn of(list: &Catalogue) -> Self {
        Self::of_activations(list.entries().iter().map(|entry| (entry.shape, entry.facts)), 1.0)
    }

    /// The same from shapes and facts in the order of execution, for a picture of so many times their area.
    pub(crate) fn of_activations(activations: impl Iterator<Item = (Shape, Facts)>, area: f64) -> Self {
        let until = activations.scan(0.0, |sum, (shape, facts)| {
            *sum += facts.cost * growth(shape, area);
            Some(*sum)
        });
        Self { until: until.collect() }
    }

    /// Of the whole network.
    pub fn total(&self) -> f64 {
        self.until.last().copied().unwrap_or_default()
    }

    /// Up to and with an activation; tensors derived from the output come after all of them.
    pub fn until(&self, tap: Tap) -> f64 {
        self.until.get(tap.index()).copied().unwrap_or_else(|| self.total())
    }

    /// How much of the cost up to `last` is done, 0 to 1, where this share of all activations has been met.
    pub fn share(&self, met: f32, last: Option<Tap>) -> f32 {
        let end = last.map_or_else(|| self.total(), |last| self.until(last));
        let count = (met * self.until.len() as f32).round() as usize;
        let done = count
            .checked_sub(1)
            .and_then(|index| self.until.get(index.min(self.until.len() - 1)));
        match done {
            Some(done) if end > 0.0 => (done / end).clamp(0.0, 1.0) as f32,
            _ => 0.0,
        }
    }
}

/// How a cost grows with the picture's area.
fn growth(shape: Shape, area: f64) -> f64 {
    match shape {
        // The keys of self-attention are the picture's, those of the other kind the text's.
        Shape::Attention { queries, keys, .. } if queries == keys => area * area,
        _ => area,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::{CatalogueEntry, Id, Kind, MapOf, Name, Stage},
        geometry::Grid,
    };

    fn list(side: usize) -> Catalogue {
        let mut list = Catalogue::default();
        let grid = Grid::new(side, side);
        let positions = grid.positions();
        let queries = Id::of("vit-block0-self-q");
        for (id, channels, cost) in [
            (Id::of("unet-in"), 4, 0.0),
            (Id::of("res-increment"), 64, 2.0 * convolution_cost(positions, 64, 64)),
            (queries, 64, linear_cost(positions, 64, 64)),
        ] {
            list.push(CatalogueEntry {
                id,
                shape: Shape::Features { channels, grid },
                facts: facts(Kind::BlockOutput, cost),
            });
        }
        list.push(CatalogueEntry {
            id: Id::of("vit-block0-self-map"),
            shape: Shape::Attention {
                heads: 2,
                queries: positions,
                keys: positions,
            },
            facts: Facts {
                map_of: Some(MapOf { queries, keys: None }),
                ..facts(Kind::SelfMap, attention_cost(positions, positions, 64))
            },
        });
        list
    }

    fn facts(kind: Kind, cost: f64) -> Facts {
        Facts {
            stage: Stage::Down,
            block: (0, 1),
            kind,
            word: Name::default(),
            group: Name::default(),
            label: Name::default(),
            cost,
            map_of: None,
            row_sums: None,
            is_extra: false,
        }
    }

    #[test]
    fn the_share_rises_from_nothing_to_all() {
        let cost = Cost::of(&list(16));
        let shares: Vec<f32> = (0..=4).map(|met| cost.share(met as f32 / 4.0, None)).collect();
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!((shares[0], shares[4]), (0.0, 1.0));
    }

    #[test]
    fn a_pass_that_ends_early_is_done_at_its_end() {
        let cost = Cost::of(&list(16));
        let last = Some(Tap(2));
        assert_eq!(cost.share(3.0 / 4.0, last), 1.0);
        assert!(cost.share(2.0 / 4.0, last) > cost.share(2.0 / 4.0, None));
    }

    #[test]
    fn attention_grows_with_the_square_of_the_positions() {
        let [small, large] = [16, 32].map(|side| Cost::of(&list(side)));
        let features = |cost: &Cost| cost.until(Tap(2));
        let map = |cost: &Cost| cost.total() - features(cost);
        assert!((features(&large) / features(&small) - 4.0).abs() < 1e-9);
        assert!((map(&large) / map(&small) - 16.0).abs() < 1e-9);
        let entries = list(16);
        let larger = Cost::of_activations(entries.entries().iter().map(|entry| (entry.shape, entry.facts)), 4.0);
        assert!((larger.total() / large.total() - 1.0).abs() < 1e-9);
    }
}
