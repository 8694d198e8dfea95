//! Pins and matches as a table, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::record::record;
use crate::{
    app::{document::places::representative, state::root::State},
    engine::ImageSlot,
};

/// A row per match: pin, its picture and pixel, rank, target, pixel, score, way back.
struct MatchRow {
    pin: u32,
    source: ImageSlot,
    at: [f64; 2],
    target: Option<ImageSlot>,
    rank: usize,
    found: [f64; 2],
    score: f32,
    mutual: bool,
    cycle_cells: f32,
}

fn match_rows(state: &State) -> Vec<MatchRow> {
    let mut rows = Vec::new();
    for pin in &state.document.pins {
        let at = representative(&pin.at).unwrap_or_default();
        let found = state
            .matches
            .iter()
            .flat_map(|matches| &matches.pins)
            .filter(|found| found.pin == pin.number);
        let before = rows.len();
        for target in found.flat_map(|found| &found.targets) {
            for (rank, best) in target.best.iter().enumerate() {
                rows.push(MatchRow {
                    pin: pin.number,
                    source: pin.slot,
                    at,
                    target: Some(target.slot),
                    rank: rank + 1,
                    found: best.found.at,
                    score: best.found.score,
                    mutual: best.mutual,
                    cycle_cells: best.cycle_cells,
                });
            }
        }
        if rows.len() == before {
            // A pin without matches is still a point that was marked.
            rows.push(MatchRow {
                pin: pin.number,
                source: pin.slot,
                at,
                target: None,
                rank: 0,
                found: [f64::NAN; 2],
                score: f32::NAN,
                mutual: false,
                cycle_cells: f32::NAN,
            });
        }
    }
    rows
}

/// All pins and matches as a table with a line of titles; coordinates are pixels of the pictures as they are on disk.
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
    ];
    let mut table = titles.join(&separator.to_string()) + "\n";
    let layer = state.layer().map_or(String::new(), |id| id.to_string());
    let number = |number: f64| {
        if number.is_finite() {
            format!("{number:.2}")
        } else {
            String::new()
        }
    };
    for row in match_rows(state) {
        let score = if row.score.is_finite() {
            format!("{:.5}", row.score)
        } else {
            String::new()
        };
        let cells = [
            layer.clone(),
            row.pin.to_string(),
            row.source.name().to_owned(),
            number(row.at[0]),
            number(row.at[1]),
            row.target.map_or(String::new(), |slot| slot.name().to_owned()),
            row.target.map_or(String::new(), |_| row.rank.to_string()),
            number(row.found[0]),
            number(row.found[1]),
            score,
            row.target.map_or(String::new(), |_| row.mutual.to_string()),
            number(f64::from(row.cycle_cells)),
        ];
        table += &cells.join(&separator.to_string());
        table.push('\n');
    }
    table
}

/// All pins and matches with what made them.
pub fn matches_json(state: &State) -> Value {
    let rows: Vec<Value> = match_rows(state)
        .into_iter()
        .map(|row| {
            json!({
                "pin": row.pin,
                "source": row.source,
                "at": row.at,
                "target": row.target,
                "rank": row.target.map(|_| row.rank),
                "match": row.target.map(|_| row.found),
                "score": row.target.map(|_| row.score),
                "mutual": row.target.map(|_| row.mutual),
                "cycle_cells": row.target.map(|_| row.cycle_cells),
            })
        })
        .collect();
    json!({ "matches": rows, "pins": state.document.pins, "made_by": record(state) })
}

pub fn is_json(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}
