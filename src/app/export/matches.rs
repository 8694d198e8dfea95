//! Pins and matches as a table, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::record::record;
use crate::{
    app::{
        document::{places::representative, root::Pin},
        state::{pair_questions::PairFigures, root::State, slots::PointAt},
    },
    engine::{ImageSlot, RankedMatch},
};

/// The form of the JSON: since 2 it has cells and pairs.
const VERSION: u32 = 2;

/// A match of a pin: pin, its picture and pixel, rank, target, pixel, score, way back. A pin without matches is still a point
/// that was marked.
struct MatchRow<'a> {
    pin: &'a Pin,
    at: [f64; 2],
    /// (row, column) of its cell; none where the model does not see it.
    cell: Option<(usize, usize)>,
    found: Option<FoundMatch<'a>>,
}

struct FoundMatch<'a> {
    target: ImageSlot,
    rank: usize,
    best: &'a RankedMatch,
    /// Where the point of a pair should be found.
    pair: Option<PairFigures>,
}

fn match_rows(state: &State) -> Vec<MatchRow<'_>> {
    let mut rows = Vec::new();
    for pin in &state.document.pins {
        let at = representative(&pin.at).unwrap_or_default();
        let slot = pin.slot;
        let row = |found| MatchRow {
            pin,
            at,
            cell: state.cell_at(PointAt { slot, at }),
            found,
        };
        let figures = state.pair_figures(pin);
        let matches = state.matches.iter().flat_map(|matches| &matches.pins);
        let of_pin = matches.filter(|found| found.pin == pin.number);
        let before = rows.len();
        for target in of_pin.flat_map(|found| &found.targets) {
            let pair = figures.filter(|figures| figures.pair.slots[1] == target.slot);
            let ranked = target.best.iter().enumerate();
            rows.extend(ranked.map(|(index, best)| {
                row(Some(FoundMatch {
                    target: target.slot,
                    rank: index + 1,
                    best,
                    pair,
                }))
            }));
        }
        if rows.len() == before {
            rows.push(row(None));
        }
    }
    rows
}

/// (x, y) of a cell.
fn cell_xy((row, column): (usize, usize)) -> [usize; 2] {
    [column, row]
}

/// How far a match is from where the point of its pair should be, in pixels.
fn distance_px(found: &FoundMatch<'_>) -> Option<f64> {
    let figures = PairFigures {
        found: Some(found.best.found.at),
        ..found.pair?
    };
    figures.distance_px()
}

/// All pins and matches as a table with a line of titles; positions are (x, y), pixels those of the pictures as they are on
/// disk. Of pairs the columns at the end say where the point should be found.
pub fn matches_csv(state: &State, separator: char) -> String {
    let titles = [
        "layer",
        "pin",
        "source",
        "x",
        "y",
        "target",
        "rank",
        "match_x",
        "match_y",
        "score",
        "mutual",
        "cycle_cells",
        "cell_x",
        "cell_y",
        "match_cell_x",
        "match_cell_y",
        "pair_x",
        "pair_y",
        "pair_cosine",
        "pair_distance_px",
    ];
    let mut table = titles.join(&separator.to_string()) + "\n";
    let layer = state.layer().map_or(String::new(), |id| id.to_string());
    let number = |number: Option<f64>| number.map_or(String::new(), |number| format!("{number:.2}"));
    let score = |score: Option<f32>| score.map_or(String::new(), |score| format!("{score:.5}"));
    let whole = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    for row in match_rows(state) {
        let found = row.found.as_ref();
        let best = found.map(|found| found.best);
        let pair = found.and_then(|found| found.pair);
        let cell = row.cell.map(cell_xy);
        let match_cell = best.map(|best| cell_xy(best.found.cell));
        let cells = [
            layer.clone(),
            row.pin.number.to_string(),
            row.pin.slot.name().to_owned(),
            number(Some(row.at[0])),
            number(Some(row.at[1])),
            found.map_or(String::new(), |found| found.target.name().to_owned()),
            whole(found.map(|found| found.rank)),
            number(best.map(|best| best.found.at[0])),
            number(best.map(|best| best.found.at[1])),
            score(best.map(|best| best.found.score)),
            best.map_or(String::new(), |best| best.mutual.to_string()),
            number(best.map(|best| f64::from(best.cycle_cells))),
            whole(cell.map(|[x, _]| x)),
            whole(cell.map(|[_, y]| y)),
            whole(match_cell.map(|[x, _]| x)),
            whole(match_cell.map(|[_, y]| y)),
            number(pair.map(|figures| figures.pair.at[1][0])),
            number(pair.map(|figures| figures.pair.at[1][1])),
            score(pair.and_then(|figures| figures.cosine)),
            number(found.and_then(distance_px)),
        ];
        table += &cells.join(&separator.to_string());
        table.push('\n');
    }
    table
}

/// All pins and matches with what made them; positions are (x, y).
pub fn matches_json(state: &State) -> Value {
    let rows: Vec<Value> = match_rows(state)
        .into_iter()
        .map(|row| {
            let found = row.found.as_ref();
            let best = found.map(|found| found.best);
            json!({
                "pin": row.pin.number,
                "source": row.pin.slot,
                "at": row.at,
                "cell_xy": row.cell.map(cell_xy),
                "target": found.map(|found| found.target),
                "rank": found.map(|found| found.rank),
                "match": best.map(|best| best.found.at),
                "match_cell_xy": best.map(|best| cell_xy(best.found.cell)),
                "score": best.map(|best| best.found.score),
                "mutual": best.map(|best| best.mutual),
                "cycle_cells": best.map(|best| best.cycle_cells),
            })
        })
        .collect();
    let figures = state.document.pins.iter().filter_map(|pin| state.pair_figures(pin));
    let pairs: Vec<Value> = figures
        .map(|figures| {
            json!({
                "pin": figures.pair.number,
                "slots": figures.pair.slots,
                "at": figures.pair.at,
                "cosine": figures.cosine,
                "best_match": figures.found,
                "distance_px": figures.distance_px(),
            })
        })
        .collect();
    json!({
        "version": VERSION,
        "matches": rows,
        "pairs": pairs,
        "pins": state.document.pins,
        "made_by": record(state),
    })
}

pub fn is_json(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}
