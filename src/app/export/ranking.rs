//! The listed rows of a ranking as a table, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::{content::Content, matches::is_json, record::record};
use crate::{
    analysis::rank::{RankRow, protocol, rank_csv},
    app::state::{ranking_questions::made, root::State},
    error::{Error, Result},
};

/// The listed rows as a table, or as JSON with every prediction and what made them.
pub fn ranking_content(state: &State, path: &Path) -> Result<Content> {
    let content = match is_json(path) {
        true => ranking_json(state).map(|json| Content::json(&json)),
        false => ranking_csv(state).map(Content::Text),
    };
    content.ok_or_else(|| {
        Error::usage("There is no ranking to save: mark the same places in two pictures, and run the model.")
    })
}

/// The listed rows as a table with a line of titles.
fn ranking_csv(state: &State) -> Option<String> {
    let made = made(state, state.rank.view.as_ref()?)?;
    let rows: Vec<RankRow> = state.rank.rows().cloned().collect();
    Some(rank_csv(&rows, &made))
}

/// The listed rows with what made them.
fn ranking_json(state: &State) -> Option<Value> {
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
