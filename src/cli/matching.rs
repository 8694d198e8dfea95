//! `featscope match`.

use std::{io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    extract::{say_how_loras_act, say_of_pictures, say_what_computes, say_what_is_not_used, say_what_is_special},
    pca::say_what_is_massive,
    run::RunArguments,
    terminal,
    values::{Point, place, text_or_path},
};
use crate::{
    activation::FeatureMap,
    analysis::{
        correspondence::{DiftTarget, Method, dift_query},
        massive::{channel_figures, massive_channels},
        similarity::{arg_max, cell_vector, cosine_to_all},
    },
    error::{Error, Result},
    extract::{
        extracted::Extracted,
        job::{self, Planned},
    },
    families::resolve,
    files::names,
    geometry::{Grid, Size, framing::Framing},
    io::output::{REQUEST_FILE, UnfinishedFolder, check_folder, write_folder, write_png},
    render::{ColourMap, MapPart, ScoreMap, ScoreStyle, render_scores},
    sources::open_device,
};

/// Width of the heat maps written, in pixels.
const HEAT_WIDTH: usize = 512;

/// How correspondences are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatchMethod {
    /// The cell under the point against all cells
    Grid,
    /// Features enlarged to the pictures' own sizes, then compared, as DIFT does
    Dift,
}

/// `featscope match`.
#[derive(Debug, Args)]
pub struct MatchArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The picture the points are in
    #[arg(long, value_name = "FILE")]
    pub source: PathBuf,
    /// The pictures searched
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub target: Vec<PathBuf>,
    /// A point of the source, in its own pixels; may be given several times
    #[arg(long, value_name = "X,Y", required = true, allow_hyphen_values = true)]
    pub at: Vec<Point>,
    /// The activation compared
    #[arg(long, value_name = "ID", value_parser = text_or_path())]
    pub activations: String,
    /// How
    #[arg(long, value_name = "METHOD", default_value = "grid")]
    pub method: MatchMethod,
    /// Leave channels of the source out that are much larger than the others, in all pictures, and say which
    #[arg(long)]
    pub drop_massive: bool,
    /// Folder for matches.json and a heat map per target and point
    #[arg(long, value_name = "DIR", value_parser = place())]
    pub out: PathBuf,
}

impl From<MatchMethod> for Method {
    fn from(method: MatchMethod) -> Self {
        match method {
            MatchMethod::Grid => Self::Grid,
            MatchMethod::Dift => Self::Dift,
        }
    }
}

/// One picture's activation, ready to compare.
struct Compared {
    path: PathBuf,
    framing: Framing,
    map: FeatureMap,
}

/// A correspondence found, with the scores it was found in.
struct Found {
    xy: [f64; 2],
    cell: (usize, usize),
    cosine: f32,
    heat: ScoreMap,
}

/// Finds in target pictures what corresponds to points of a source picture.
pub fn find(arguments: &MatchArguments) -> Result<()> {
    check_folder(&arguments.out)?;
    let pictures: Vec<PathBuf> = [&arguments.source]
        .into_iter()
        .chain(&arguments.target)
        .cloned()
        .collect();
    let request = arguments.run.request(pictures, &arguments.activations)?;
    let planned = job::plan(resolve(&request.model)?, &request)?;
    say_of_pictures([&planned]);
    say_what_is_not_used(&arguments.run, &planned.spec);
    check_activation(&planned)?;
    check_points(arguments, &planned)?;
    let bar = terminal::progress("matching");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(&request, open_device(request.device, request.dtype)?, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, &request));
    model.adapt(&request.settings.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    // Each picture runs alone, all with the same noise: what is found in one target does not depend on the others.
    let parts = planned.split();
    let total = parts.len() as f32;
    let mut compared = Vec::new();
    let mut records = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let mut watch = |done| watch(job::after_loading((index as f32 + done) / total));
        let extracted = part.run(&request, &mut model, &mut watch)?;
        compared.extend(maps(part, &extracted)?);
        records.push(extracted.record.ran);
    }
    let left_out = match compared.first() {
        Some(source) if arguments.drop_massive => massive_channels(&channel_figures(&source.map)),
        _ => Vec::new(),
    };
    if arguments.drop_massive {
        bar.suspend(|| say_what_is_massive(&arguments.activations, &left_out));
    }
    if !left_out.is_empty() {
        for picture in &mut compared {
            picture.map = picture.map.without_channels(&left_out)?;
        }
    }
    let Some((source, targets)) = compared.split_first() else {
        return Err(Error::usage("no picture was given"));
    };
    let written = records.first().map(|ran| request.read_in(ran)).transpose();
    let written = written.map_err(|error| Error::failed(format!("the request cannot be written down: {error}")))?;
    let record = json!({ "request": written, "ran": records, "method": Method::from(arguments.method).name(), "massive_left_out": left_out });
    write_folder(&arguments.out, |folder| {
        folder.record(REQUEST_FILE, "match", record);
        write_matches(folder, arguments, source, targets)
    })?;
    bar.suspend(|| say_what_is_special(&model));
    Ok(())
}

/// The maps of the activation compared, one per picture.
fn maps(part: &Planned, extracted: &Extracted) -> Result<Vec<Compared>> {
    let Some((_, array)) = extracted.activations.first() else {
        return Ok(Vec::new());
    };
    let pictures = part.pictures.iter().enumerate();
    pictures
        .map(|(index, (path, picture))| {
            Ok(Compared {
                path: path.clone(),
                framing: picture.framing,
                map: array.feature_map(index)?,
            })
        })
        .collect()
}

/// One feature map is compared: anything else is refused before weights are read.
fn check_activation(planned: &Planned) -> Result<()> {
    if planned.selection.len() != 1 {
        return Err(Error::usage(format!(
            "match compares one activation, {} were asked for",
            planned.selection.len()
        )));
    }
    let size = planned.spec.native_side;
    let list = planned.spec.plain_catalogue(Size::new(size, size));
    let chosen = planned.selection.last().and_then(|tap| list.entry(tap));
    match chosen.map(|entry| entry.id).filter(|id| id.is_map()) {
        Some(id) => Err(Error::usage(format!(
            "{id} is an attention map: match compares feature maps"
        ))),
        None => Ok(()),
    }
}

/// Points outside of the source, or cut off by its framing, are refused before anything runs.
fn check_points(arguments: &MatchArguments, planned: &Planned) -> Result<()> {
    let Some((path, source)) = planned.pictures.first() else {
        return Ok(());
    };
    let size = source.framing.original;
    for Point { x, y } in &arguments.at {
        let inside = (-0.5..size.width as f64 - 0.5).contains(x) && (-0.5..size.height as f64 - 0.5).contains(y);
        if !inside {
            return Err(Error::usage(format!(
                "--at {x},{y} is outside of {}, which has {size} pixels",
                path.display()
            )));
        }
        if source.framing.cell_from_original([*x, *y], Grid::new(1, 1)).is_none() {
            let [left, top, right, bottom] = source.framing.visible();
            return Err(Error::usage(format!(
                "--at {x},{y} is in a part of {} that the model does not see: it sees {left:.1} to {right:.1} across and \
                 {top:.1} to {bottom:.1} down",
                path.display()
            )));
        }
    }
    Ok(())
}

fn write_matches(
    folder: &UnfinishedFolder,
    arguments: &MatchArguments,
    source: &Compared,
    targets: &[Compared],
) -> Result<()> {
    let mut matches = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        // What does not depend on the point is made once per target.
        let enlarged = (arguments.method == MatchMethod::Dift).then(|| DiftTarget::new(&target.map));
        for (index, point) in arguments.at.iter().enumerate() {
            let at = [point.x, point.y];
            let found = match &enlarged {
                Some(enlarged) => match_enlarged(source, at, target, enlarged)?,
                None => match_cells(source, at, target)?,
            };
            matches.push(json!({
                "source": names::json(&source.path),
                "target": names::json(&target.path),
                "xy": at,
                "xy_target": found.xy,
                "cell": [found.cell.0, found.cell.1],
                "cosine": found.cosine,
                "method": Method::from(arguments.method).name(),
            }));
            let name = format!("heat-target{number}-point{index}.png");
            folder.file(&name, |file| write_heat(file, &found))?;
        }
    }
    folder.json("matches.json", &Value::Array(matches))
}

fn match_cells(source: &Compared, at: [f64; 2], target: &Compared) -> Result<Found> {
    let (row, column) = source
        .framing
        .cell_from_original(at, source.map.grid())
        .ok_or_else(|| {
            Error::usage(format!(
                "the point {at:?} is in a part of the source that the model does not see"
            ))
        })?;
    let scores = cosine_to_all(cell_vector(&source.map, row, column)?, &target.map)?;
    let grid = target.map.grid();
    let best = arg_max(&scores).ok_or_else(no_score)?;
    let cell = grid.row_column(best.position);
    Ok(Found {
        xy: target.framing.original_from_cell(cell, grid),
        cell,
        cosine: best.score,
        heat: ScoreMap::new(grid, scores)?,
    })
}

/// Features enlarged to the pixels of each original (the part of it that the model sees), then compared.
fn match_enlarged(source: &Compared, at: [f64; 2], target: &Compared, enlarged: &DiftTarget<'_>) -> Result<Found> {
    let (corner, size) = source.framing.seen_pixels();
    let pixel =
        |x: f64, corner: f64, side: usize| (x - corner).round_ties_even().clamp(0.0, side as f64 - 1.0) as usize;
    let (x, y) = (
        pixel(at[0], corner[0], size.width),
        pixel(at[1], corner[1], size.height),
    );
    let query = dift_query(&source.map, y, x, size.height, size.width)?;
    let (corner, size) = target.framing.seen_pixels();
    let scores = enlarged.heat(&query, size.height, size.width)?;
    let best = arg_max(&scores).ok_or_else(no_score)?;
    let (row, column) = size.row_column(best.position);
    let xy = [corner[0] + column as f64, corner[1] + row as f64];
    let cell = target
        .framing
        .cell_from_original(xy, target.map.grid())
        .unwrap_or_default();
    Ok(Found {
        xy,
        cell,
        cosine: best.score,
        heat: ScoreMap::new(size, scores)?,
    })
}

fn no_score() -> Error {
    Error::failed("no position of the target has a score: the activations are not finite")
}

/// The scores from the lowest to the highest, in viridis.
fn write_heat(out: &mut dyn Write, found: &Found) -> Result<()> {
    let grid = found.heat.grid();
    let style = ScoreStyle {
        map: ColourMap::Viridis,
        range: found.heat.extent().unwrap_or([0.0, 1.0]),
        opacity: 1.0,
        ..ScoreStyle::default()
    };
    let height = (HEAT_WIDTH * grid.height).div_ceil(grid.width).max(1) as u32;
    let picture = render_scores(&found.heat, &style, MapPart::WHOLE, [HEAT_WIDTH as u32, height]);
    write_png(
        out,
        [picture.width() as usize, picture.height() as usize],
        picture.as_raw(),
    )
}
