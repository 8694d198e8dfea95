//! Which activation to choose without any mark: one figure that measures, and five conditions, each made into a rank among
//! all candidates, and the mean of the ranks (Borda's count). `docs/recommending.md` says why these.
//!
//! Ranks do not depend on the scale of a figure, nor on the order of candidates. All that fulfil a condition are equal by
//! it: among those that fulfil all of them, agreement decides. No weight is fitted to anything: all criteria count alike.

use serde::{Deserialize, Serialize};

use super::agreement::WITHIN;

/// A noise-to-signal ratio up to this is as good as none: a tenth of the structure's amplitude.
pub const NEGLIGIBLE_NSR: f64 = 0.01;
/// Fewer directions than this are a single gradient: nothing is told apart.
pub const FEW_DIRECTIONS: f64 = 2.0;
/// More than this share of the directions that there can be is noise's way: white noise has all of them.
pub const NOISE_LIKE_SHARE: f64 = 0.5;
/// Half-widths of locality, as shares of the short side, between which none is better than another: narrower, only
/// neighbours are alike; wider, or never half-way, nearly everything is.
pub const LOCALITY_BAND: [f64; 2] = [0.1, 0.35];

/// What is known of a candidate without marks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChoiceFigures {
    /// Share of its places found again in the picture moved, with other noise where noise is added; see
    /// [`found_again`](super::agreement::found_again). None for a single position.
    pub agreement: Option<f64>,
    /// Noise-to-signal ratio after a low-pass; none where no noise is compared.
    pub nsr_low_passed: Option<f64>,
    /// (Σλ)²/Σλ² of the covariance of its positions.
    pub effective_rank: f64,
    /// The most that its effective rank can be: channels, or positions less one.
    pub most_rank: usize,
    /// Locality's half-width, as a share of the short side; none where similarity never falls half-way.
    pub locality_half_width: Option<f64>,
    /// A cell as a share of the grid's longer side.
    pub cell: f64,
    /// Whether it only adds to something else; see [`Kind::is_increment`](crate::activation::Kind::is_increment).
    pub increment: bool,
}

/// What a candidate is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// More of its places are found again.
    Agreement,
    /// Less noise is left after a low-pass; up to [`NEGLIGIBLE_NSR`] it counts as none.
    Noise,
    /// Between [`FEW_DIRECTIONS`] and [`NOISE_LIKE_SHARE`] of those there can be, or nearer to that.
    EffectiveRank,
    /// A half-width inside of [`LOCALITY_BAND`], or nearer to it.
    Locality,
    /// Cells no larger than what PCK@.1 forgives, or nearer to that.
    CellSize,
    /// Not an increment.
    Whole,
}

impl Criterion {
    /// Every criterion, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Agreement,
        Self::Noise,
        Self::EffectiveRank,
        Self::Locality,
        Self::CellSize,
        Self::Whole,
    ];

    /// What it is called.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Noise => "noise, low-passed",
            Self::EffectiveRank => "effective rank",
            Self::Locality => "locality half-width",
            Self::CellSize => "cell size",
            Self::Whole => "being whole",
        }
    }

    /// How good a candidate is by it, larger is better; only the order counts. None where its figure is not known.
    fn merit(self, figures: &ChoiceFigures) -> Option<f64> {
        match self {
            Self::Agreement => figures.agreement,
            Self::Noise => figures.nsr_low_passed.map(|nsr| -nsr.max(NEGLIGIBLE_NSR)),
            Self::EffectiveRank => {
                let noise_like = NOISE_LIKE_SHARE * figures.most_rank as f64;
                Some(inside(
                    figures.effective_rank,
                    [FEW_DIRECTIONS.min(noise_like), noise_like],
                ))
            }
            Self::Locality => Some(match figures.locality_half_width {
                Some(width) => inside(width, LOCALITY_BAND),
                None => f64::NEG_INFINITY,
            }),
            Self::CellSize => Some(-figures.cell.max(WITHIN)),
            Self::Whole => Some(f64::from(u8::from(!figures.increment))),
        }
    }
}

/// 0 inside of a band, less the further outside of it, by ratios.
fn inside(value: f64, [low, high]: [f64; 2]) -> f64 {
    match () {
        () if value < low => (value / low).ln(),
        () if value > high => (high / value).ln(),
        () => 0.0,
    }
}

/// The ranks of a candidate among all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// Mean of its ranks, 0 to 1.
    pub score: f64,
    /// By each of [`Criterion::ALL`] the share of the other candidates that it is better than, equal ones counted half; none
    /// where its figure is not known.
    pub ranks: [Option<f64>; Criterion::ALL.len()],
}

impl ChoiceScore {
    /// The criterion that it is worst by, with its rank there.
    pub fn weakest(&self) -> Option<(Criterion, f64)> {
        let known = Criterion::ALL.into_iter().zip(self.ranks);
        let known = known.filter_map(|(criterion, rank)| Some((criterion, rank?)));
        known.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The scores of candidates, in their order.
pub fn scores(candidates: &[ChoiceFigures]) -> Vec<ChoiceScore> {
    let of_criteria = Criterion::ALL.map(|criterion| {
        let merits: Vec<Option<f64>> = candidates.iter().map(|figures| criterion.merit(figures)).collect();
        ranks(&merits)
    });
    let score = |index: usize| {
        let ranks = std::array::from_fn(|criterion: usize| of_criteria[criterion][index]);
        let known: Vec<f64> = ranks.iter().copied().flatten().collect();
        ChoiceScore {
            score: known.iter().sum::<f64>() / known.len().max(1) as f64,
            ranks,
        }
    };
    (0..candidates.len()).map(score).collect()
}

/// The share of the others that each number is above, equal ones counted half; a number alone is above none and below none.
fn ranks(merits: &[Option<f64>]) -> Vec<Option<f64>> {
    const ALONE: f64 = 0.5;
    let mut known: Vec<f64> = merits.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    let others = known.len().saturating_sub(1) as f64;
    let rank = |merit: f64| {
        let below = known.partition_point(|other| other.total_cmp(&merit).is_lt());
        let not_above = known.partition_point(|other| other.total_cmp(&merit).is_le());
        match others > 0.0 {
            true => (below as f64 + (not_above - below - 1) as f64 / 2.0) / others,
            false => ALONE,
        }
    };
    merits.iter().map(|merit| merit.map(rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: ChoiceFigures = ChoiceFigures {
        agreement: Some(0.9),
        nsr_low_passed: Some(0.002),
        effective_rank: 12.0,
        most_rank: 64,
        locality_half_width: Some(0.2),
        cell: 1.0 / 32.0,
        increment: false,
    };

    #[test]
    fn each_figure_counts_in_its_direction() {
        let worse = [
            ChoiceFigures {
                agreement: Some(0.4),
                ..GOOD
            },
            ChoiceFigures {
                nsr_low_passed: Some(0.3),
                ..GOOD
            },
            ChoiceFigures {
                effective_rank: 1.2,
                ..GOOD
            },
            ChoiceFigures {
                locality_half_width: Some(0.03),
                ..GOOD
            },
            ChoiceFigures {
                locality_half_width: Some(0.6),
                ..GOOD
            },
            ChoiceFigures {
                locality_half_width: None,
                ..GOOD
            },
            ChoiceFigures { cell: 0.25, ..GOOD },
            ChoiceFigures {
                effective_rank: 60.0,
                ..GOOD
            },
            ChoiceFigures {
                increment: true,
                ..GOOD
            },
        ];
        for other in worse {
            let [good, bad] = scores(&[GOOD, other])[..] else {
                panic!("two scores")
            };
            assert!(good.score > bad.score, "{other:?}");
            let weakest = bad.weakest().map(|(_, rank)| rank);
            assert_eq!(weakest, Some(0.0));
        }
        // What fulfils a condition is as good as anything else that does.
        let equal = ChoiceFigures {
            nsr_low_passed: Some(0.0),
            effective_rank: 30.0,
            locality_half_width: Some(0.12),
            cell: 0.01,
            ..GOOD
        };
        let [a, b] = scores(&[GOOD, equal])[..] else {
            panic!("two scores")
        };
        assert_eq!(a, b);
    }

    #[test]
    fn the_order_of_candidates_changes_no_score() {
        let candidates: Vec<ChoiceFigures> = (0..40)
            .map(|index| ChoiceFigures {
                agreement: (index % 7 > 0).then_some(f64::from(index * 37 % 40) / 40.0),
                nsr_low_passed: Some(f64::from(index * 13 % 11) / 50.0),
                effective_rank: f64::from(1 + index * 17 % 40),
                locality_half_width: Some(f64::from(index * 7 % 40) / 60.0),
                cell: 1.0 / f64::from(4 << (index % 4)),
                ..GOOD
            })
            .collect();
        let there = scores(&candidates);
        let reversed: Vec<ChoiceFigures> = candidates.iter().rev().copied().collect();
        let mut back = scores(&reversed);
        back.reverse();
        assert_eq!(there, back);
        assert!(there.iter().all(|score| (0.0..=1.0).contains(&score.score)));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let encoder = ChoiceFigures {
            nsr_low_passed: None,
            ..GOOD
        };
        let [only] = scores(&[encoder])[..] else {
            panic!("one score")
        };
        assert_eq!((only.score, only.ranks[1]), (0.5, None));
        assert!(scores(&[]).is_empty());
    }
}
