//! A recommendation as a page, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    content::{Content, nothing_to_save},
    matches::is_json,
};
use crate::{
    app::state::{recommend::RecommendState, root::State},
    error::Result,
    files::names,
    recommend::{as_json, page},
};

/// The page, or JSON, by the name of the file, with what made it.
pub fn recommend_content(state: &State, path: &Path) -> Result<Content> {
    let recommend = state.recommend.as_ref().ok_or_else(nothing_to_save)?;
    let found = recommend.found.as_ref().ok_or_else(nothing_to_save)?;
    let commands: Vec<String> = found.best.iter().map(|best| recommend.command(best)).collect();
    let made_by = made_by(recommend);
    Ok(match is_json(path) {
        true => Content::json(&as_json(found, &commands, &made_by)?),
        false => {
            let found = found.clone();
            let make = move || page(&found, &commands, &made_by).map(String::into_bytes);
            Content::Later(Box::new(make))
        }
    })
}

/// What was asked and what ran.
fn made_by(recommend: &RecommendState) -> Value {
    json!({
        "model": names::text_json(&recommend.model),
        "request": recommend.query,
        "ran": recommend.about.as_ref().map(|about| &about.ran),
    })
}
