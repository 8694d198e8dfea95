//! The ranking that came last, and the order of its rows.

use crate::{
    analysis::rank::RankRow,
    app::document::ranking::{RankChoice, RankColumn},
    engine::{RankQuery, RankView, SeriesQuery},
};

/// What came of a ranking, and the order in which its rows are listed.
#[derive(Debug, Default)]
pub struct RankState {
    /// The rows so far.
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

    /// Drops the rows: they are of other pictures or of another model.
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
