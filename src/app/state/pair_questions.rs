//! What the workers found out about pairs of points: where the second point of one may be, and how well pairs are found.

use super::{
    queries::{heat_query, same_query},
    root::State,
};
use crate::{
    app::document::{
        pairs::{Pair, pair_of},
        root::Pin,
    },
    engine::ImageSlot,
};

/// How alike the points of a pair are, and where its first point is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairFigures {
    /// The pair.
    pub pair: Pair,
    /// The cosine of its two points; none where the model does not see both.
    pub cosine: Option<f32>,
    /// The best match of its first point in the picture of the second, in pixels of that picture.
    pub found: Option<[f64; 2]>,
}

impl PairFigures {
    /// How far the best match is from the second point, in pixels.
    pub fn distance_px(&self) -> Option<f64> {
        let ([x, y], [there_x, there_y]) = (self.found?, self.pair.at[1]);
        Some((x - there_x).hypot(y - there_y))
    }
}

impl State {
    /// The figures of a pair, once its matches have come; nothing of a pin that is none.
    pub fn pair_figures(&self, pin: &Pin) -> Option<PairFigures> {
        let pair = pair_of(pin)?;
        let [_, slot] = pair.slots;
        let matches = self.matches.as_ref();
        let asked = matches.and_then(|matches| matches.query.pins.iter().find(|asked| asked.pin == pin.number));
        let is_current = asked.is_some_and(|asked| asked.at == pin.at && asked.mate == Some((slot, pair.at[1])));
        let found = matches.filter(|_| is_current);
        let found = found.and_then(|matches| matches.pins.iter().find(|found| found.pin == pin.number));
        let best = found.and_then(|found| found.targets.iter().find(|target| target.slot == slot)?.best.first());
        Some(PairFigures {
            pair,
            cosine: found.and_then(|found| found.mate_score),
            found: best.map(|best| best.found.at),
        })
    }

    /// Where the second point of the pair that is being made may be in a picture: the best match of the first one.
    pub fn proposal_in(&self, slot: ImageSlot) -> Option<[f64; 2]> {
        let first = self.pairing.first.as_ref().filter(|first| first.slot != slot)?;
        let (heat, wanted) = (self.current_heat()?, heat_query(self)?);
        let is_of_first = wanted.at == first.at && same_query(self, &heat.query, &wanted);
        let target = self.scores_of(slot).filter(|_| is_of_first)?;
        target.best.first().map(|best| best.at)
    }

    /// The picture that the pair being made goes to, unless a click says otherwise: that under the pointer, else that of the
    /// ranking, else the next one.
    pub fn second_slot(&self) -> Option<ImageSlot> {
        let first = self.pairing.first.as_ref()?.slot;
        let open: Vec<ImageSlot> = self.open_slots().filter(|slot| *slot != first).collect();
        let pointed = self.hover.map(|point| point.slot);
        let ranked = self.document.rank.slots;
        let of_ranking = ranked.contains(&first).then_some(ranked);
        let ranked = of_ranking.into_iter().flatten();
        let mut wanted = pointed.into_iter().chain(ranked).chain(self.slot_after(first));
        wanted.find(|slot| open.contains(slot)).or(open.first().copied())
    }
}
