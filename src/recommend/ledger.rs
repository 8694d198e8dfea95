//! What is known so far of every activation at every timestep, and the recommendation that comes of it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{FoundPairs, MOST_SHOWN, Plan, Recommendation, Recommended, pass::Measured, words::against};
use crate::{
    activation::{Facts, FeatureMap, Id, Shape},
    analysis::{
        choice::{ChoiceFigures, ChoiceScore, scores},
        colour::RgbPicture,
        rank::Ranking,
    },
    error::Result,
    survey::PaperFilter,
};

/// Which timestep of the plan, and which activation by its place in execution order.
type Place = (usize, usize);

/// Takes what passes find, picture by picture. A pass that makes way for something is begun anew: see
/// [`begin`](Self::begin).
pub struct Ledger {
    plan: Plan,
    /// Pairs of points of the first two pictures.
    ranking: Option<Ranking>,
    rows: BTreeMap<Place, Row>,
    /// What the pass under way has found: it counts when the pass has come to its end.
    fresh: Vec<(Place, Measured, Option<FoundPairs>)>,
    /// Vectors of the pairs' points in the first picture, of one timestep.
    points: BTreeMap<usize, Vec<f32>>,
    fresh_points: BTreeMap<usize, Vec<f32>>,
}

/// An activation at a timestep.
struct Row {
    id: Id,
    facts: Facts,
    shape: Shape,
    samples: Vec<ChoiceFigures>,
    massive: usize,
    pictures: Vec<RgbPicture>,
    pairs: Option<FoundPairs>,
    unmeasured: Option<String>,
}

/// A row that can be recommended.
struct Candidate<'a> {
    place: Place,
    row: &'a Row,
    figures: ChoiceFigures,
    score: ChoiceScore,
}

impl Ledger {
    /// Knows nothing yet. `ranking` holds pairs of points of the first two pictures.
    pub fn new(plan: Plan, ranking: Option<Ranking>) -> Self {
        Self {
            plan,
            ranking,
            rows: BTreeMap::new(),
            fresh: Vec::new(),
            points: BTreeMap::new(),
            fresh_points: BTreeMap::new(),
        }
    }

    /// What is measured.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A pass begins, perhaps anew: what it found before it was ended is let go.
    pub fn begin(&mut self) {
        self.fresh.clear();
        self.fresh_points.clear();
    }

    /// Takes one activation of the pass of a picture at a timestep, both by their places in the plan.
    ///
    /// # Errors
    ///
    /// Where pairs are looked for in a map that does not go with its picture.
    pub fn add(&mut self, step: usize, picture: usize, measured: Measured, map: Option<&FeatureMap>) -> Result<()> {
        let order = measured.order;
        let mut pairs = None;
        if let (Some(ranking), Some(map)) = (&mut self.ranking, map) {
            match picture {
                0 => {
                    self.fresh_points.insert(order, ranking.points_of(map)?);
                }
                1 => {
                    if let Some(points) = self.points.get(&order) {
                        let score = ranking
                            .score_points(points, map)
                            .map_err(|error| error.context(measured.id))?;
                        pairs = Some(FoundPairs {
                            figures: score.figures,
                            chance: score.chance,
                        });
                    }
                }
                _ => {}
            }
        }
        self.fresh.push(((step, order), measured, pairs));
        Ok(())
    }

    /// The pass has come to its end: what it found counts.
    pub fn end(&mut self, picture: usize) {
        match picture {
            0 => self.points = std::mem::take(&mut self.fresh_points),
            _ => self.points.clear(),
        }
        for (place, measured, pairs) in std::mem::take(&mut self.fresh) {
            let row = self.rows.entry(place).or_insert_with(|| Row {
                id: measured.id,
                facts: measured.facts,
                shape: measured.shape,
                samples: Vec::new(),
                massive: 0,
                pictures: Vec::new(),
                pairs: None,
                unmeasured: None,
            });
            row.pairs = row.pairs.or(pairs);
            match measured.figures {
                Ok(figures) => {
                    row.samples.push(figures.choice);
                    row.massive = row.massive.max(figures.massive);
                    if picture < MOST_SHOWN {
                        row.pictures.push(figures.picture);
                    }
                }
                Err(why) => row.unmeasured = Some(why),
            }
        }
    }

    /// The best `top` of what was measured.
    pub fn recommendation(&self, top: usize) -> Recommendation {
        let kept = |facts: &Facts| PaperFilter::WHOLE.keeps(facts);
        let mut candidates: Vec<Candidate<'_>> = self
            .rows
            .iter()
            .filter(|(_, row)| row.unmeasured.is_none() && (!self.plan.filtered || kept(&row.facts)))
            .map(|(place, row)| Candidate {
                place: *place,
                row,
                figures: mean(&row.samples),
                score: ChoiceScore {
                    score: 0.0,
                    ranks: Default::default(),
                },
            })
            .collect();
        let figures: Vec<ChoiceFigures> = candidates.iter().map(|candidate| candidate.figures).collect();
        for (candidate, score) in candidates.iter_mut().zip(scores(&figures)) {
            candidate.score = score;
        }
        let activations: BTreeSet<usize> = candidates.iter().map(|candidate| candidate.place.1).collect();
        candidates.sort_by(best_first);
        let unmeasured = self.rows.iter().filter_map(|((step, _), row)| {
            let t = *self.plan.steps.get(*step)?;
            Some((t, row.id, row.unmeasured.clone()?))
        });
        Recommendation {
            best: self.best(&candidates, top),
            plan: self.plan.clone(),
            activations: activations.len(),
            unmeasured: unmeasured.collect(),
            pairs: self.ranking.as_ref().map(|ranking| [ranking.pairs(), ranking.unseen()]),
        }
    }

    /// The first of the sorted candidates, each activation once, at its best timestep.
    fn best(&self, candidates: &[Candidate<'_>], top: usize) -> Vec<Recommended> {
        let mut best: Vec<Recommended> = Vec::new();
        let mut chosen: Vec<Place> = Vec::new();
        for candidate in candidates {
            let (step, order) = candidate.place;
            let row = candidate.row;
            let known = |(recommended, place): (&Recommended, &Place)| {
                place.1 == order || recommended.same_as.contains(&row.id)
            };
            if best.iter().zip(&chosen).any(known) {
                continue;
            }
            let twin = best.iter_mut().zip(&chosen).find(|(other, place)| {
                place.0 == step
                    && other.shape == row.shape
                    && other.figures == candidate.figures
                    && other.pictures == row.pictures
            });
            if let Some((other, _)) = twin {
                other.same_as.push(row.id);
                continue;
            }
            if best.len() == top {
                break;
            }
            let t = self.plan.steps.get(step).copied().unwrap_or_default();
            let others = candidates
                .iter()
                .filter(|other| other.place.1 == order && other.place.0 != step);
            let mut recommended = Recommended {
                id: row.id,
                t,
                facts: row.facts,
                shape: row.shape,
                score: candidate.score,
                figures: candidate.figures,
                massive: row.massive,
                pairs: row.pairs,
                kept_by_filter: PaperFilter::WHOLE.keeps(&row.facts),
                against: Vec::new(),
                same_as: Vec::new(),
                other_steps: others
                    .filter_map(|other| Some((*self.plan.steps.get(other.place.0)?, decided_by(other))))
                    .collect(),
                pictures: row.pictures.clone(),
            };
            recommended.other_steps.sort_by_key(|(t, _)| *t);
            recommended.against = against(&recommended, &self.plan);
            best.push(recommended);
            chosen.push(candidate.place);
        }
        best
    }
}

/// The figure that orders candidates.
fn decided_by(candidate: &Candidate<'_>) -> f64 {
    candidate
        .row
        .pairs
        .map_or(candidate.score.score, |pairs| pairs.figures.pck_10)
}

/// By PCK@.1 and mean distance where there are pairs, then by the score; of equal ones the earlier timestep, and the later
/// activation: it is the block that the others are parts of.
fn best_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let by_pairs = match (&a.row.pairs, &b.row.pairs) {
        (Some(a), Some(b)) => (b.figures.pck_10.total_cmp(&a.figures.pck_10))
            .then(a.figures.mean_distance_px.total_cmp(&b.figures.mean_distance_px)),
        (a, b) => a.is_none().cmp(&b.is_none()),
    };
    by_pairs
        .then(b.score.score.total_cmp(&a.score.score))
        .then(a.place.0.cmp(&b.place.0))
        .then(b.place.1.cmp(&a.place.1))
}

/// The mean over the pictures, whatever their order. A half-width that more than half of them lack is none.
fn mean(samples: &[ChoiceFigures]) -> ChoiceFigures {
    let of = |values: Vec<f64>| -> Option<f64> {
        let mut values = values;
        // Summed in one order, so that the sum is the same to the last bit.
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let known = |value: fn(&ChoiceFigures) -> Option<f64>| samples.iter().filter_map(value).collect::<Vec<f64>>();
    let widths = known(|sample| sample.locality_half_width);
    ChoiceFigures {
        agreement: of(known(|sample| sample.agreement)),
        nsr_low_passed: of(known(|sample| sample.nsr_low_passed)),
        effective_rank: of(known(|sample| Some(sample.effective_rank))).unwrap_or_default(),
        most_rank: samples.iter().map(|sample| sample.most_rank).min().unwrap_or_default(),
        locality_half_width: of(if 2 * widths.len() < samples.len() {
            Vec::new()
        } else {
            widths
        }),
        cell: samples.iter().map(|sample| sample.cell).fold(0.0, f64::max),
        increment: samples.iter().any(|sample| sample.increment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::{Kind, Stage},
        geometry::Grid,
        recommend::pass::MeasuredFigures,
    };

    const IDS: [&str; 4] = ["mid-out", "up-a", "up-b", "up-c"];

    fn plan(steps: &[u32], pictures: usize) -> Plan {
        Plan {
            steps: steps.iter().map(|t| (*t).into()).collect(),
            noises: 2,
            pictures,
            is_encoder: false,
            filtered: false,
        }
    }

    fn measured(order: usize, agreement: f64, rank: f64, shade: u8) -> Measured {
        let grid = Grid::new(16, 16);
        let stage = if order == 0 { Stage::Mid } else { Stage::Up };
        Measured {
            id: Id::of(IDS[order]),
            order,
            facts: Facts::new(Id::of(IDS[order]), stage, Kind::BlockOutput),
            shape: Shape::Features { channels: 32, grid },
            figures: Ok(MeasuredFigures {
                choice: ChoiceFigures {
                    agreement: Some(agreement),
                    nsr_low_passed: Some(0.001),
                    effective_rank: rank,
                    most_rank: 32,
                    locality_half_width: Some(0.2),
                    cell: 1.0 / 16.0,
                    increment: false,
                },
                massive: 0,
                picture: RgbPicture {
                    height: 1,
                    width: 1,
                    rgb: vec![shade; 3],
                },
            }),
        }
    }

    fn pass(ledger: &mut Ledger, step: usize, picture: usize, figures: &[(usize, f64, f64)]) -> Result<()> {
        ledger.begin();
        for (order, agreement, rank) in figures {
            ledger.add(step, picture, measured(*order, *agreement, *rank, *order as u8), None)?;
        }
        ledger.end(picture);
        Ok(())
    }

    const ONE: [(usize, f64, f64); 4] = [(0, 0.31, 2.0), (1, 0.7, 5.0), (2, 0.9, 8.0), (3, 0.45, 3.0)];
    const OTHER: [(usize, f64, f64); 4] = [(0, 0.2, 2.5), (1, 0.77, 4.1), (2, 0.83, 9.3), (3, 0.1, 3.7)];

    #[test]
    fn each_activation_comes_once_at_its_best_timestep() -> Result<()> {
        let mut ledger = Ledger::new(plan(&[50, 100], 1), None);
        pass(&mut ledger, 0, 0, &ONE)?;
        pass(&mut ledger, 1, 0, &OTHER)?;
        let found = ledger.recommendation(3);
        let ids: Vec<String> = found
            .best
            .iter()
            .map(|best| format!("{}@{}", best.id, best.t))
            .collect();
        assert_eq!(ids[..2], ["up-b@50", "up-a@100"], "{ids:?}");
        assert_eq!(found.best.len(), 3);
        assert_eq!(found.activations, 4);
        let first = &found.best[0];
        assert_eq!(first.other_steps.len(), 1);
        assert!(first.other_steps[0].1 <= first.score.score);
        Ok(())
    }

    #[test]
    fn the_order_of_pictures_changes_nothing_but_their_small_pictures() -> Result<()> {
        let without = |ledger: &Ledger| {
            let mut found = ledger.recommendation(4);
            found.best.iter_mut().for_each(|best| best.pictures.clear());
            found
        };
        let third: Vec<(usize, f64, f64)> = ONE.iter().map(|(order, a, r)| (*order, a / 3.0, r / 7.0)).collect();
        let mut there = Ledger::new(plan(&[50], 3), None);
        let mut back = Ledger::new(plan(&[50], 3), None);
        for (picture, figures) in [&ONE[..], &OTHER[..], &third[..]].into_iter().enumerate() {
            pass(&mut there, 0, picture, figures)?;
        }
        for (picture, figures) in [&third[..], &OTHER[..], &ONE[..]].into_iter().enumerate() {
            pass(&mut back, 0, picture, figures)?;
        }
        assert_eq!(without(&there), without(&back));
        Ok(())
    }

    #[test]
    fn a_pass_that_is_begun_anew_counts_once() -> Result<()> {
        let mut once = Ledger::new(plan(&[50], 1), None);
        pass(&mut once, 0, 0, &ONE)?;
        let mut twice = Ledger::new(plan(&[50], 1), None);
        twice.begin();
        twice.add(0, 0, measured(0, 0.99, 30.0, 9), None)?;
        pass(&mut twice, 0, 0, &ONE)?;
        assert_eq!(once.recommendation(4), twice.recommendation(4));
        Ok(())
    }

    #[test]
    fn equal_numbers_are_one_and_what_is_not_finite_is_none() -> Result<()> {
        let mut ledger = Ledger::new(plan(&[50], 1), None);
        ledger.begin();
        ledger.add(0, 0, measured(1, 0.9, 8.0, 7), None)?;
        ledger.add(0, 0, measured(2, 0.9, 8.0, 7), None)?;
        let broken = Measured {
            figures: Err("2 of its numbers are NaN".to_owned()),
            ..measured(3, 0.0, 0.0, 0)
        };
        ledger.add(0, 0, broken, None)?;
        ledger.end(0);
        let found = ledger.recommendation(5);
        assert_eq!(found.best.len(), 1);
        assert_eq!(
            (found.best[0].id, &found.best[0].same_as[..]),
            (Id::of("up-b"), &[Id::of("up-a")][..])
        );
        assert_eq!(found.unmeasured.len(), 1);
        Ok(())
    }

    #[test]
    fn with_the_filter_only_what_it_keeps_is_compared() -> Result<()> {
        let mut ledger = Ledger::new(
            Plan {
                filtered: true,
                ..plan(&[50], 1)
            },
            None,
        );
        pass(&mut ledger, 0, 0, &ONE)?;
        let found = ledger.recommendation(5);
        assert!(
            found
                .best
                .iter()
                .all(|best| best.kept_by_filter && best.facts.stage == Stage::Up)
        );
        assert_eq!(found.activations, 3);
        Ok(())
    }
}
