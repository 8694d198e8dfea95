//! How much work lies between activations: progress and estimates go by it and not by how many activations there are.

use super::{AttnPart, Catalogue, Entry, Id, Leaf, Place, Shape, Tap, VitPart};

/// What one multiply-add of a 3x3 convolution takes beside one of a matrix product: Winograd's method needs fewer.
pub const CONVOLUTION_WORK: f64 = 0.4;
/// What one multiply-add of attention takes beside one of a matrix product: there are exponentials between.
const ATTENTION: f64 = 1.6;
/// Taps of a 3x3 kernel.
const TAPS: f64 = 9.0;
/// Channels that a resnet of the up stage takes for each that it gives: it has a skip beside it.
const WITH_SKIP: f64 = 2.0;

/// The work up to each activation of a network, in multiply-adds of a matrix product.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Up to and with each activation, in the order of execution.
    until: Vec<f64>,
}

impl Work {
    /// For one row of what a list of activations says.
    pub fn of(list: &Catalogue) -> Self {
        Self::of_shapes(list.entries().iter().map(|Entry { id, shape }| (*id, *shape)), 1.0)
    }

    /// The same from ids and shapes in the order of execution, for a picture of so many times their area.
    pub fn of_shapes(activations: impl Iterator<Item = (Id, Shape)>, area: f64) -> Self {
        let (mut sum, mut width) = (0.0, 0.0);
        let until = activations.map(|(id, shape)| {
            if let Shape::Features { channels, .. } = shape {
                width = channels as f64;
            }
            sum += between(id, shape, width, area);
            sum
        });
        Self { until: until.collect() }
    }

    /// Of the whole network.
    pub fn total(&self) -> f64 {
        self.until.last().copied().unwrap_or_default()
    }

    /// Up to and with an activation; what is asked for beside the network's own comes after all of them.
    pub fn until(&self, tap: Tap) -> f64 {
        self.until.get(tap.index()).copied().unwrap_or_else(|| self.total())
    }

    /// How much of the work up to `last` is done, 0 to 1, where this share of all activations has been met.
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

/// The work between an activation and the one before it; `width` is the channels of the features that came last.
fn between(id: Id, shape: Shape, width: f64, area: f64) -> f64 {
    let (positions, square) = match shape {
        Shape::Features { grid, .. } => (grid.positions() as f64 * area, width * width),
        Shape::Attention { queries, keys, .. } => {
            // The keys of self-attention are the picture's, those of the other kind the text's.
            let area = if queries == keys { area * area } else { area };
            return ATTENTION * 2.0 * (queries * keys) as f64 * area * width;
        }
    };
    let convolution = CONVOLUTION_WORK * TAPS * square;
    let each = match id.leaf {
        Leaf::ResIncrement | Leaf::Res2Increment => match id.place {
            Place::Up { .. } => (1.0 + WITH_SKIP) * convolution + WITH_SKIP * square,
            _ => 2.0 * convolution,
        },
        Leaf::DownsamplerOut | Leaf::UpsamplerOut => convolution,
        Leaf::Vit { part, .. } => match part {
            // The projection behind self-attention lies before the query of the text's.
            VitPart::CrossQ => 2.0 * square,
            // Twice its channels come out of the first layer, of a quarter as many.
            VitPart::FfnInner => square / 2.0,
            // The projection behind the attention to the text, and the second layer.
            VitPart::Out => 5.0 * square,
            _ => square,
        },
        Leaf::VitOut | Leaf::Attn(AttnPart::Q | AttnPart::K | AttnPart::V | AttnPart::Out) => square,
        _ => 0.0,
    };
    positions * each
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    fn list(side: usize) -> Catalogue {
        let mut list = Catalogue::default();
        let place = Place::Down {
            level: 0,
            repeat: Some(0),
        };
        let grid = Grid::new(side, side);
        list.push_features(Id::new(Place::Network, Leaf::In), 4, grid);
        list.push_features(Id::new(place, Leaf::ResIncrement), 64, grid);
        list.push_features(Id::new(place, Leaf::ResOut), 64, grid);
        list.push_features(
            Id::new(
                place,
                Leaf::Vit {
                    block: 0,
                    part: VitPart::SelfQ,
                },
            ),
            64,
            grid,
        );
        list.push_attention(
            Id::new(
                place,
                Leaf::Vit {
                    block: 0,
                    part: VitPart::SelfMap,
                },
            ),
            2,
            grid.positions(),
            grid.positions(),
        );
        list
    }

    #[test]
    fn the_share_rises_from_nothing_to_all() {
        let work = Work::of(&list(16));
        let shares: Vec<f32> = (0..=5).map(|met| work.share(met as f32 / 5.0, None)).collect();
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!((shares[0], shares[5]), (0.0, 1.0));
    }

    #[test]
    fn a_pass_that_ends_early_is_done_at_its_end() {
        let work = Work::of(&list(16));
        let last = Some(Tap(2));
        assert_eq!(work.share(3.0 / 5.0, last), 1.0);
        assert!(work.share(2.0 / 5.0, last) > work.share(2.0 / 5.0, None));
    }

    #[test]
    fn attention_grows_with_the_square_of_the_positions() {
        let [small, large] = [16, 32].map(|side| Work::of(&list(side)));
        let features = |work: &Work| work.until(Tap(3));
        let map = |work: &Work| work.total() - features(work);
        assert!((features(&large) / features(&small) - 4.0).abs() < 1e-9);
        assert!((map(&large) / map(&small) - 16.0).abs() < 1e-9);
    }
}
