//! What is ranked by marked points and how the table is ordered: pins become pairs, pairs a question to the workers,
//! its answer rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    activation::Id,
    analysis::{
        pairs::PointPair,
        rank::{RankMade, RankOptions, RankRow, protocol, rank_csv},
    },
    app::{
        document::{Document, Pin},
        export::record,
        state::{State, representative},
    },
    engine::{QueryAt, RankPasses, RankQuery, RankView, RunSettings, SeriesMember, SeriesQuery, Slot},
    files::names,
};

/// The most pairs of a file that become pins: more cannot be told apart in a picture.
pub const MOST_PAIRS_AS_PINS: usize = 100;

/// What is ranked and how it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RankChoice {
    /// The pictures of source and target points.
    pub slots: [Slot; 2],
    /// How points are found again.
    pub options: RankOptions,
    /// Source pins whose partner was chosen: another than the one whose turn it is, or none.
    pub partners: BTreeMap<u32, Option<u32>>,
    /// The column that rows are sorted by.
    pub column: RankColumn,
    /// Whether the worst come first.
    pub reversed: bool,
}

impl Default for RankChoice {
    fn default() -> Self {
        Self {
            slots: [Slot::A, Slot::B],
            options: RankOptions::default(),
            partners: BTreeMap::new(),
            column: RankColumn::default(),
            reversed: false,
        }
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankColumn {
    /// Share of points within 0.1, then mean distance.
    #[default]
    Pck10,
    /// Share of points within 0.05, then mean distance.
    Pck05,
    /// Mean distance.
    Distance,
    /// What is expected by chance of the share within 0.1.
    Chance,
    /// The timestep.
    Timestep,
    /// The order of execution.
    Layer,
}

impl RankColumn {
    /// Every column, from left to right.
    pub const ALL: [Self; 6] = [
        Self::Layer,
        Self::Pck10,
        Self::Pck05,
        Self::Distance,
        Self::Chance,
        Self::Timestep,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pck10 => "PCK@.1",
            Self::Pck05 => "PCK@.05",
            Self::Distance => "mean px",
            Self::Chance => "chance",
            Self::Timestep => "t",
            Self::Layer => "activation",
        }
    }

    /// What it holds.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Pck10 => "Share of points found within 0.1 of the target's longer side; equal ones by mean distance",
            Self::Pck05 => "Share of points found within 0.05 of the target's longer side; equal ones by mean distance",
            Self::Distance => "Mean distance to where the points should be, in pixels of the original target picture",
            Self::Chance => {
                "PCK@.1 that a prediction drawn uniformly from the target's cells (of DIFT: pixels) is expected to have"
            }
            Self::Timestep => "The timestep that ran",
            Self::Layer => "In the order of execution",
        }
    }
}

/// What came of a ranking, and the order in which its rows are listed.
#[derive(Debug, Default)]
pub struct RankState {
    /// What the ranker has told.
    pub view: Option<RankView>,
    /// Words that the names of listed rows have.
    pub search: String,
    /// Timesteps that are typed, to be run as well.
    pub steps: String,
    /// Series that were asked for here, by their jobs.
    pub asked: Vec<(u64, SeriesQuery)>,
    /// Places of the listed rows in the view, in the order in which they are listed.
    order: Vec<usize>,
    /// What the order was made of.
    ordered: Option<(RankColumn, bool, String, RankQuery, usize)>,
}

impl RankState {
    /// The listed rows, from the top.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &RankRow> {
        let rows = self.view.as_ref().map_or(&[][..], |view| &view.rows);
        // An order is made anew with every view.
        self.order.iter().map(move |index| &rows[*index])
    }

    /// Orders the rows as a document says, where that has changed.
    pub fn arrange(&mut self, choice: &RankChoice) {
        let Some(view) = &self.view else {
            self.order.clear();
            self.ordered = None;
            return;
        };
        let same = self
            .ordered
            .as_ref()
            .is_some_and(|(column, reversed, search, query, count)| {
                (column, reversed, search, count) == (&choice.column, &choice.reversed, &self.search, &view.rows.len())
                    && *query == view.query
            });
        if same {
            return;
        }
        let words: Vec<String> = self.search.split_whitespace().map(str::to_lowercase).collect();
        let listed = |row: &RankRow| {
            let name = format!("{} t{}", row.id, row.t);
            words.iter().all(|word| name.contains(word))
        };
        self.order = (0..view.rows.len())
            .filter(|index| listed(&view.rows[*index]))
            .collect();
        let key = |index: usize| sort_key(choice.column, &view.query, index, &view.rows[index]);
        self.order.sort_by(|a, b| {
            let [a, b] = [key(*a), key(*b)];
            let order = a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]));
            if choice.reversed { order.reverse() } else { order }
        });
        let query = view.query.clone();
        self.ordered = Some((
            choice.column,
            choice.reversed,
            self.search.clone(),
            query,
            view.rows.len(),
        ));
    }

    /// Takes what was told away: it is of other pictures or of another model.
    pub fn forget(&mut self) {
        self.view = None;
        self.arrange(&RankChoice::default());
    }
}

/// Smaller is better.
fn sort_key(column: RankColumn, query: &RankQuery, index: usize, row: &RankRow) -> [f64; 2] {
    let (figures, chance) = (&row.score.figures, &row.score.chance);
    let mean = figures.mean_distance_px;
    match column {
        RankColumn::Pck10 => [-figures.pck_10, mean],
        RankColumn::Pck05 => [-figures.pck_05, mean],
        RankColumn::Distance => [mean, -figures.pck_10],
        RankColumn::Chance => [chance.pck_10, mean],
        RankColumn::Timestep => [f64::from(row.t), index as f64],
        RankColumn::Layer => {
            let ids = query.passes.first().map_or(&[][..], |passes| &passes.ids);
            let depth = ids.iter().position(|id| *id == row.id).unwrap_or(ids.len());
            [depth as f64, f64::from(row.t)]
        }
    }
}

/// The pins of source and target that belong together: those whose partner was chosen, and of the others the first with
/// the first, the second with the second and so on.
pub fn paired(document: &Document) -> Vec<(&Pin, &Pin)> {
    let [source, target] = document.rank.slots;
    let of = |slot: Slot| {
        let points = move |pin: &&Pin| pin.slot == slot && !matches!(pin.at, QueryAt::Word(_));
        document.pins.iter().filter(points)
    };
    if source == target {
        return Vec::new();
    }
    let chosen = |pin: &Pin| document.rank.partners.get(&pin.number);
    let mut taken: Vec<u32> = Vec::new();
    for partner in of(source).filter_map(|pin| *chosen(pin)?) {
        if of(target).any(|pin| pin.number == partner) && !taken.contains(&partner) {
            taken.push(partner);
        }
    }
    let mut given: Vec<u32> = Vec::new();
    let mut free = of(target).filter(|pin| !taken.contains(&pin.number));
    let mut pairs = Vec::new();
    for pin in of(source) {
        let partner = match chosen(pin) {
            Some(None) => None,
            // One that was deleted, or that two were to have, is chosen no longer.
            Some(Some(number)) if taken.contains(number) && !given.contains(number) => {
                given.push(*number);
                of(target).find(|other| other.number == *number)
            }
            _ => free.next(),
        };
        pairs.extend(partner.map(|partner| (pin, partner)));
    }
    pairs
}

/// The pairs in pixels; the point that stands for a region is its first.
pub fn point_pairs(document: &Document) -> Vec<PointPair> {
    let pairs = paired(document).into_iter();
    pairs
        .filter_map(|(source, target)| {
            Some(PointPair {
                source: representative(&source.at)?,
                target: representative(&target.at)?,
            })
        })
        .collect()
}

/// What the ranker is asked: every activation that is kept of both pictures, at every timestep.
pub fn wanted_rank(state: &State) -> Option<RankQuery> {
    let document = &state.document;
    let pairs = point_pairs(document);
    let slots = document.rank.slots;
    let [sources, targets] = slots.map(|slot| state.kept_over_t(slot));
    let passes: Vec<RankPasses> = sources
        .iter()
        .filter_map(|source| {
            let t = source.settings.t;
            let target = targets.iter().find(|target| target.settings.t == t)?;
            let ids: Vec<Id> = if source.features == target.features {
                source.features.clone()
            } else {
                let both = source.features.iter().filter(|id| target.features.contains(id));
                both.copied().collect()
            };
            (!ids.is_empty()).then_some(RankPasses {
                t,
                source: source.pass,
                target: target.pass,
                ids,
            })
        })
        .collect();
    (!pairs.is_empty() && !passes.is_empty()).then_some(RankQuery {
        slots,
        passes,
        pairs,
        options: document.rank.options,
    })
}

/// The timesteps that are typed, or what is wrong with them.
pub fn typed_steps(state: &State) -> Result<Vec<u32>, String> {
    let last = state
        .model
        .info
        .as_ref()
        .map_or(0, |info| info.mixtures.len())
        .saturating_sub(1) as u32;
    let mut steps = Vec::new();
    for word in state.rank.steps.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.parse::<u32>() {
            Ok(t) if t <= last => steps.push(t),
            _ => {
                return Err(format!(
                    "\"{word}\" is no timestep: whole numbers from 0 to {last}, separated by commas"
                ));
            }
        }
    }
    steps.sort_unstable();
    steps.dedup();
    Ok(steps)
}

/// Passes of both pictures at the timesteps that are typed, with everything else as it is set.
pub fn series_of_steps(state: &State) -> Option<SeriesQuery> {
    let steps = typed_steps(state).ok()?;
    let slots = state.document.rank.slots;
    let open = slots.iter().all(|slot| state.slot(*slot).picture.is_some());
    let ids: Vec<Id> = state
        .layers()
        .iter()
        .map(|layer| layer.id)
        .filter(|id| !id.is_map())
        .collect();
    let member = |t: u32, slot: Slot| SeriesMember {
        slot,
        settings: RunSettings {
            t,
            ..state.document.settings.clone()
        },
        noiseless: false,
    };
    let members = steps.into_iter().flat_map(|t| slots.map(|slot| member(t, slot)));
    let members: Vec<SeriesMember> = members.collect();
    (open && !members.is_empty() && !ids.is_empty()).then_some(SeriesQuery { members, ids })
}

/// What the rows of a view share.
pub fn made(state: &State, view: &RankView) -> Option<RankMade> {
    let slots = view.query.slots;
    let pass = view.query.passes.first()?;
    let [source, target] = [state.kept.get(pass.source)?, state.kept.get(pass.target)?];
    let (framing, settings) = (target.framing, &target.settings);
    let name = |slot: Slot, picture: String| format!("{}: {picture}", slot.name());
    Some(RankMade {
        model: target.model.clone(),
        pictures: [
            name(slots[0], names::text(source.source.path())),
            name(slots[1], names::text(target.source.path())),
        ],
        target_size: [framing.original.width, framing.original.height],
        longer_side_px: view.longer_side_px,
        pairs: view.pairs,
        options: view.query.options,
        seed: settings.seed,
        ensemble: settings.ensemble,
        working_size: [framing.working.width, framing.working.height],
        dtype: target.dtype.clone(),
    })
}

/// The listed rows as a table with a line of titles.
pub fn ranking_csv(state: &State) -> Option<String> {
    let made = made(state, state.rank.view.as_ref()?)?;
    let rows: Vec<RankRow> = state.rank.rows().cloned().collect();
    Some(rank_csv(&rows, &made))
}

/// The listed rows with what made them.
pub fn ranking_json(state: &State) -> Option<Value> {
    let view = state.rank.view.as_ref()?;
    let made = made(state, view)?;
    let rows: Vec<&RankRow> = state.rank.rows().collect();
    Some(json!({
        "protocol": protocol(&made),
        "ranked": made,
        "pairs": view.query.pairs,
        "rows": rows,
        "not_finite": view.not_finite,
        "complete": view.done == view.total && view.problem.is_none(),
        "made_by": record(state),
    }))
}

/// Puts pins where the pairs of a file are, in place of the pins of both pictures.
pub fn set_pairs(document: &mut Document, pairs: &[PointPair]) {
    let [source, target] = document.rank.slots;
    document.delete_pins(|pin| pin.slot == source || pin.slot == target);
    document.rank.partners.clear();
    for pair in pairs {
        for (slot, at) in [(source, pair.source), (target, pair.target)] {
            let number = document.next_pin_number();
            let at = QueryAt::Point(at);
            document.pins.push(Pin { number, slot, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pins(pins: &[(u32, Slot)]) -> Document {
        let pins = pins
            .iter()
            .map(|&(number, slot)| Pin {
                number,
                slot,
                at: QueryAt::Point([f64::from(number), 1.0]),
            })
            .collect();
        Document {
            pins,
            ..Document::default()
        }
    }

    fn numbers(document: &Document) -> Vec<(u32, u32)> {
        paired(document).iter().map(|(a, b)| (a.number, b.number)).collect()
    }

    #[test]
    fn pins_pair_in_their_order_and_a_choice_moves_the_others_up() {
        let (a, b) = (Slot::A, Slot::B);
        let mut document = with_pins(&[(1, a), (2, a), (3, b), (4, b), (5, a), (6, b)]);
        assert_eq!(numbers(&document), [(1, 3), (2, 4), (5, 6)]);
        document.rank.partners.insert(5, Some(3));
        assert_eq!(numbers(&document), [(1, 4), (2, 6), (5, 3)]);
        document.rank.partners.insert(1, None);
        assert_eq!(numbers(&document), [(2, 4), (5, 3)]);
        // Two cannot have the same partner, and one that is gone is nobody's.
        document.rank.partners = BTreeMap::from([(1, Some(3)), (2, Some(3)), (5, Some(99))]);
        assert_eq!(numbers(&document), [(1, 3), (2, 4), (5, 6)]);
        document.rank.slots = [a, a];
        assert!(numbers(&document).is_empty());
        document.rank.slots = [b, a];
        assert_eq!(numbers(&document), [(3, 1), (4, 2), (6, 5)]);
    }

    #[test]
    fn pairs_of_a_file_take_the_place_of_the_pins_of_both_pictures() {
        let other = Slot::nth(2).expect("a slot");
        let mut document = with_pins(&[(1, Slot::A), (2, other), (3, Slot::B)]);
        document.selected_pin = Some(1);
        let pair = |x: f64| PointPair {
            source: [x, 0.0],
            target: [0.0, x],
        };
        set_pairs(&mut document, &[pair(4.0), pair(5.0)]);
        assert_eq!(point_pairs(&document), [pair(4.0), pair(5.0)]);
        assert_eq!(document.pins.len(), 5);
        assert_eq!(
            (document.pin(2).map(|pin| pin.slot), document.selected_pin),
            (Some(other), None)
        );
    }
}
