//! Two compared sides as a picture, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::{content::Content, record::record, styles::difference_style};
use crate::{
    analysis::colour::RgbPicture,
    app::state::root::State,
    engine::CompareView,
    error::{Error, Result},
    extract::ram,
    files::names,
    image::png_text::with_text,
    io::{
        output::{METADATA_KEY, write_png},
        writers::format_of,
    },
    render::{MapPart, ScoreMap, render_scores},
};

/// Width of each of the pictures that are written, in pixels.
const SAVED_WIDTH: usize = 512;

/// A, B and their difference as a picture, which holds what they are and what made them, or these as JSON.
pub fn compared_content(state: &State, path: &Path) -> Result<Content> {
    let view = state.compare.view.clone().ok_or_else(nothing_compared)?;
    let json = compared_json(state, &view)?;
    Ok(match format_of(path, &["png", "json"])? {
        "json" => Content::json(&json),
        _ => Content::Later(Box::new(move || {
            let (size, rgb) = compared_picture(&view)?;
            let mut png = Vec::new();
            write_png(&mut png, size, &rgb)?;
            Ok(with_text(&png, METADATA_KEY, &json.to_string()))
        })),
    })
}

/// A, B and their difference beside each other: size and pixels.
fn compared_picture(view: &CompareView) -> Result<([usize; 2], Vec<u8>)> {
    // Of a grid that is narrow and high, the picture is high too.
    let grids = view.sides.iter().map(|side| side.grid).chain([view.difference.grid]);
    let rows = grids.map(|grid| (SAVED_WIDTH * grid.height).div_ceil(grid.width.max(1)));
    // All three as colours, the difference with opacity too, and the whole.
    const BYTES_PER_ROW: usize = SAVED_WIDTH * (3 * 3 + 4 + 3 * 3);
    ram::check(
        rows.max().unwrap_or(0).saturating_mul(BYTES_PER_ROW),
        "the picture of this comparison",
        "save it as .json",
    )?;
    let mut parts: Vec<RgbPicture> = view
        .sides
        .iter()
        .map(|side| {
            RgbPicture {
                height: side.grid.height,
                width: side.grid.width,
                rgb: side.rgb.clone(),
            }
            .resized_nearest(SAVED_WIDTH)
        })
        .collect();
    let grid = view.difference.grid;
    let height = (SAVED_WIDTH * grid.height).div_ceil(grid.width.max(1)).max(1);
    let scores = ScoreMap::new(grid, view.difference.values.clone())?;
    let drawn = render_scores(
        &scores,
        &difference_style(view),
        MapPart::WHOLE,
        [SAVED_WIDTH as u32, height as u32],
    );
    parts.push(RgbPicture {
        height,
        width: SAVED_WIDTH,
        rgb: drawn
            .pixels()
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect(),
    });
    let height = parts.iter().map(|part| part.height).max().unwrap_or(0);
    let row_bytes = 3 * SAVED_WIDTH;
    let mut rgb = Vec::with_capacity(parts.len() * row_bytes * height);
    for row in 0..height {
        for part in &parts {
            match part.rgb.get(row * row_bytes..(row + 1) * row_bytes) {
                Some(line) => rgb.extend_from_slice(line),
                None => rgb.extend(std::iter::repeat_n(0, row_bytes)),
            }
        }
    }
    Ok(([parts.len() * SAVED_WIDTH, height], rgb))
}

/// What the comparison is of and what it found, with what made it.
fn compared_json(state: &State, view: &CompareView) -> Result<Value> {
    let sides: Vec<Value> = view
        .query
        .sides
        .iter()
        .zip(&view.sides)
        .map(|((pass, id), side)| {
            let kept = state.passes.get(*pass);
            json!({
                "activation": id,
                "model": kept.map(|kept| names::text_json(&kept.model)),
                "picture": kept.map(|kept| names::json(kept.source.path())),
                "settings": kept.map(|kept| &kept.settings),
                "framing": kept.map(|kept| &kept.framing),
                "dtype": kept.map(|kept| &kept.dtype),
                "grid": side.grid,
                "explained_variance_ratio": side.explained,
                "channels_left_out": side.left_out,
            })
        })
        .collect();
    let extent = difference_style(view).range;
    Ok(json!({
        "sides": sides,
        "colours": view.agreement.words(),
        "pca": view.query.settings,
        "difference": {
            "measure": view.difference.measure,
            "words": view.difference.measure.words(),
            "grid": view.difference.grid,
            "mean": view.difference.mean,
            "colours_from_to": extent,
            "values": view.difference.values,
        },
        "made_by": record(state),
    }))
}

/// Why a comparison cannot be written.
fn nothing_compared() -> Error {
    Error::usage("there is no comparison to save: open a comparison and choose two sides whose maps are kept")
}
