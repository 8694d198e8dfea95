//! What is written of strips, CKA matrices and content shifts.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    captions::{matrix_caption, shift_caption, strip_caption},
    content::{Content, nothing_to_save},
    record::record,
    styles::{matrix_style, range_up_to},
};
use crate::{
    analysis::{
        colour::RgbPicture,
        shift::{ANCHOR_T, LAPLACIAN},
    },
    app::state::{
        comparing::{Matrix, Members, Shifts, Strip},
        filmstrip::{current_frame, frame_name},
        root::State,
    },
    error::{Error, Result},
    extract::ram,
    files::names,
    geometry::Grid,
    io::{output::csv_field, writers::format_of},
    render::{MapPart, render_scores},
};

/// Height of the frames of a written strip, in pixels, and the gap between them.
const FRAME_HEIGHT: usize = 256;
const FRAME_GAP: usize = 4;
/// Longer side of a written matrix, in pixels, at least.
const MATRIX_SIDE: usize = 1024;
/// Red, green, blue.
const CHANNELS: usize = 3;

/// A film strip as a picture, or its figures.
pub fn strip_content(state: &State, path: &Path) -> Result<Content> {
    let strip = state.comparing.strip.as_ref().ok_or_else(nothing_to_save)?;
    match format_of(path, &["png", "csv", "json"])? {
        "png" => strip_picture(strip),
        "csv" => Ok(Content::Text(strip_csv(state, strip))),
        _ => Ok(Content::json(&strip_json(state, strip))),
    }
}

/// A CKA matrix as a table, with what made it, or as a picture.
pub fn matrix_content(state: &State, path: &Path) -> Result<Content> {
    let matrix = state.comparing.matrix.as_ref().ok_or_else(nothing_to_save)?;
    match format_of(path, &["csv", "json", "png"])? {
        "csv" => Ok(Content::Text(matrix_csv(state, matrix))),
        "json" => Ok(Content::json(&matrix_json(state, matrix))),
        _ => matrix_picture(state, matrix),
    }
}

/// Content shifts as a table, or with what made them.
pub fn shift_content(state: &State, path: &Path) -> Result<Content> {
    let shifts = state.comparing.shift.as_ref().ok_or_else(nothing_to_save)?;
    match format_of(path, &["csv", "json"])? {
        "csv" => Ok(Content::Text(shifts_csv(state, shifts))),
        _ => Ok(Content::json(&shifts_json(state, shifts))),
    }
}

fn model_name(state: &State) -> String {
    state
        .model
        .info
        .as_ref()
        .map_or_else(String::new, |info| info.name.clone())
}

fn number(value: Option<f64>) -> String {
    let value = value.filter(|value| value.is_finite());
    value.map_or_else(String::new, |value| value.to_string())
}

/// What ran, for every pass.
fn passes_json(members: &Members) -> Vec<Value> {
    let of = members.iter().map(|(member, kept)| {
        json!({
            "slot": member.slot,
            "settings": member.settings,
            "noiseless": member.noiseless,
            "ran": kept.ran,
        })
    });
    of.collect()
}

/// The frames beside each other, enlarged by nearest neighbour.
fn strip_picture(strip: &Strip) -> Result<Content> {
    // Of a grid that is long and flat, a frame is long too.
    let widths = strip.view.frames.iter().map(|frame| frame_width(frame.grid));
    let pixels = widths.fold(0, usize::saturating_add).saturating_mul(FRAME_HEIGHT);
    ram::check(
        pixels.saturating_mul(2 * CHANNELS),
        "the picture of this strip",
        "choose fewer frames, or save its figures as .csv",
    )?;
    let frames: Vec<RgbPicture> = strip
        .view
        .frames
        .iter()
        .map(|frame| {
            let picture = RgbPicture {
                height: frame.grid.height,
                width: frame.grid.width,
                rgb: frame.rgb.clone(),
            };
            picture.resized_nearest(frame_width(frame.grid))
        })
        .collect();
    let height = frames.iter().map(|frame| frame.height).max().unwrap_or(1);
    let width: usize = frames
        .iter()
        .map(|frame| frame.width + FRAME_GAP)
        .sum::<usize>()
        .saturating_sub(FRAME_GAP);
    let mut rgb = vec![0; CHANNELS * width * height];
    let mut left = 0;
    for frame in &frames {
        for (row, line) in frame.rgb.chunks_exact(CHANNELS * frame.width).enumerate() {
            let start = CHANNELS * (row * width + left);
            rgb[start..start + line.len()].copy_from_slice(line);
        }
        left += frame.width + FRAME_GAP;
    }
    Ok(Content::Png([width, height], rgb))
}

/// Width of a frame of a written strip, in pixels.
fn frame_width(grid: Grid) -> usize {
    (FRAME_HEIGHT * grid.width).div_ceil(grid.height.max(1)).max(1)
}

/// A row per frame.
fn strip_csv(state: &State, strip: &Strip) -> String {
    let (view, count) = (&strip.view, strip.members.len());
    let current = current_frame(state, strip);
    let mut text =
        "model,activation,picture,t,seed,dtype,cosine_to_set,cka_to_set,cosine_to_next,cka_to_next,cka_form,\
                    cka_grid\n"
            .to_owned();
    for (index, (member, kept)) in strip.members.iter().enumerate() {
        let with = |other: Option<usize>| {
            let place = other.filter(|other| *other < count).map(|other| index * count + other);
            let cosine = place.and_then(|place| view.cosine.get(place).copied());
            let cka = place.and_then(|place| view.cka.get(place).copied().flatten());
            format!("{},{}", number(cosine), number(cka))
        };
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{}x{}\n",
            csv_field(&model_name(state)),
            view.query.id,
            member.slot.name(),
            member.settings.t,
            member.settings.seed,
            kept.ran.dtype,
            with(current),
            with(Some(index + 1)),
            json!(view.query.form).as_str().unwrap_or_default(),
            view.cka_grid.height,
            view.cka_grid.width
        );
    }
    text
}

fn strip_json(state: &State, strip: &Strip) -> Value {
    let view = &strip.view;
    let names: Vec<String> = (0..strip.members.len()).map(|index| frame_name(strip, index)).collect();
    json!({
        "about": strip_caption(state, strip),
        "activation": view.query.id,
        "frames": names,
        "pca": view.query.settings,
        "explained_variance_ratio": view.explained,
        "fitted_on_positions": view.fitted_on,
        "cosine": view.cosine,
        "cka": view.cka,
        "cka_form": view.query.form,
        "cka_grid": view.cka_grid,
        "not_finite": view.not_finite,
        "passes": passes_json(&strip.members),
        "made_by": record(state),
    })
}

/// The matrix with the names of its rows and columns; the first field says what made it.
fn matrix_csv(state: &State, matrix: &Matrix) -> String {
    let mut text = csv_field(&matrix_caption(state, matrix));
    for name in &matrix.names[1] {
        text += &format!(",{}", csv_field(name));
    }
    text.push('\n');
    for (row, name) in matrix.names[0].iter().enumerate() {
        text += &csv_field(name);
        for column in 0..matrix.names[1].len() {
            text += &format!(",{}", number(matrix.value(row, column).map(f64::from)));
        }
        text.push('\n');
    }
    text
}

fn matrix_json(state: &State, matrix: &Matrix) -> Value {
    let columns = matrix.names[1].len();
    let row = |row: usize| -> Vec<Option<f32>> { (0..columns).map(|column| matrix.value(row, column)).collect() };
    let values: Vec<_> = (0..matrix.names[0].len()).map(row).collect();
    json!({
        "about": matrix_caption(state, matrix),
        "rows": matrix.names[0],
        "columns": matrix.names[1],
        "values": values,
        "over": matrix.query.over,
        "pictures": matrix.slots,
        "grids": matrix.done.as_ref().map(|done| &done.grids),
        "compared_rows": matrix.done.as_ref().map(|done| done.rows),
        "not_finite": matrix.done.as_ref().map(|done| &done.not_finite),
        "grid_rule": matrix.query.grids,
        "form": matrix.query.form,
        "most_positions": matrix.query.most_rows,
        "ran": matrix.ran[0].iter().map(|kept| &kept.ran).collect::<Vec<_>>(),
        "ran_of_columns": matrix.ran[1].iter().map(|kept| &kept.ran).collect::<Vec<_>>(),
        "model_of_columns": matrix.other_model.as_deref().map(names::text_json),
        "made_by": record(state),
    })
}

/// The cells as they are painted, each of whole pixels.
fn matrix_picture(state: &State, matrix: &Matrix) -> Result<Content> {
    let nothing = || Error::usage("there is nothing to save yet: no row of the matrix has come");
    let scores = matrix.scores.as_ref().ok_or_else(nothing)?;
    let grid = scores.grid();
    let cell = MATRIX_SIDE.div_ceil(grid.width.max(grid.height));
    let (width, height) = (cell * grid.width, cell * grid.height);
    let style = matrix_style(state.document.display.map, range_up_to(scores, 1.0));
    let image = render_scores(scores, &style, MapPart::WHOLE, [width as u32, height as u32]);
    let pixels = image
        .as_raw()
        .chunks_exact(4)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    Ok(Content::Png([width, height], pixels.collect()))
}

/// A row per point.
fn shifts_csv(state: &State, shifts: &Shifts) -> String {
    let mut text = "model,activation,picture,line,t,seed,dtype,diff,score,anchor_diff,anchor_t,laplacian\n".to_owned();
    for ((name, member, kept), shift) in shifts.points.iter().zip(&shifts.view.shifts) {
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{},{},{}\n",
            csv_field(&model_name(state)),
            shifts.view.query.id,
            member.slot.name(),
            csv_field(name),
            member.settings.t,
            member.settings.seed,
            kept.ran.dtype,
            number(Some(shift.diff)),
            number(Some(shift.score)),
            shifts.view.anchor_diff,
            shifts.ruler[1].0.settings.t,
            csv_field(LAPLACIAN)
        );
    }
    text
}

fn shifts_json(state: &State, shifts: &Shifts) -> Value {
    let points = shifts
        .points
        .iter()
        .zip(&shifts.view.shifts)
        .map(|((name, member, kept), shift)| {
            json!({
                "line": name,
                "t": member.settings.t,
                "diff": shift.diff,
                "score": shift.score,
                "settings": member.settings,
                "ran": kept.ran,
            })
        });
    json!({
        "about": shift_caption(state, shifts),
        "activation": shifts.view.query.id,
        "points": points.collect::<Vec<_>>(),
        "anchor_diff": shifts.view.anchor_diff,
        "anchor_t": ANCHOR_T,
        "laplacian": LAPLACIAN,
        "standardised_by": "channel means and deviations of the reference",
        "constant_channels_left_out": shifts.view.left_out,
        "not_finite": shifts.view.not_finite,
        "reference_and_anchor": passes_json(&shifts.ruler.to_vec()),
        "made_by": record(state),
    })
}
