//! `featscope match`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    extract::{say_how_loras_act, say_of_pictures, say_of_settings, say_what_computes, say_what_is_special},
    pca::say_what_is_massive,
    pictures::pictures as expanded,
    run::RunArguments,
    terminal,
    told::{self, PictureLog},
    values::{Point, check_folder_output, place, text_or_path},
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
        model::Model,
        request::ExtractRequest,
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
    /// The pictures searched: files, folders of them, patterns
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., required = true)]
    pub target: Vec<PathBuf>,
    /// A point of the source, in its own pixels; may be given several times
    #[arg(long, value_name = "X,Y", required = true, allow_hyphen_values = true)]
    pub at: Vec<Point>,
    /// The activation compared
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "ID",
        value_parser = text_or_path()
    )]
    pub activations: String,
    /// How
    #[arg(long, value_name = "METHOD", default_value = "grid")]
    pub method: MatchMethod,
    /// Leave channels of the source out that are much larger than the others, in all pictures, and say which
    #[arg(long)]
    pub drop_massive: bool,
    /// Folder for matches.json and a heat map per target and point
    #[arg(long, short, value_name = "DIR", value_parser = place())]
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
    check_folder_output(&arguments.out)?;
    let mut pictures = vec![arguments.source.clone()];
    pictures.extend(expanded(&arguments.target)?);
    let asked = arguments
        .run
        .outputs(&pictures, &arguments.activations, &arguments.out)?;
    let mut passes = Vec::new();
    for (request, out) in asked {
        passes.push((job::plan(resolve(&request.model)?, &request)?, request, out));
    }
    let Some((planned, request, _)) = passes.first() else {
        return Err(Error::usage("no timestep was given"));
    };
    say_of_pictures([planned]);
    say_of_settings(&arguments.run, &planned.spec);
    check_activation(planned)?;
    check_points(arguments, planned)?;
    for (.., out) in &passes {
        check_folder(out)?;
    }
    let bar = terminal::progress("matching");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(request, open_device(request.device, request.dtype)?, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, request));
    model.adapt(&request.settings.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    let count = passes.len() as f32;
    for (index, (planned, request, out)) in passes.into_iter().enumerate() {
        let mut watch = |done| watch(job::after_loading((index as f32 + done) / count));
        let started = Instant::now();
        let (told, left_out) = matched(arguments, planned, &request, &out, &mut model, &mut watch)?;
        bar.suspend(|| {
            if arguments.drop_massive {
                say_what_is_massive(&arguments.activations, &left_out);
            }
            terminal::wrote(&out, &told, started);
        });
    }
    bar.suspend(|| say_what_is_special(&model));
    Ok(())
}

/// Runs the pictures at one timestep and writes what was found; gives what was written, in words, and the channels that were
/// left out.
fn matched(
    arguments: &MatchArguments,
    planned: Planned,
    request: &ExtractRequest,
    out: &Path,
    model: &mut Model,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<(String, Vec<usize>)> {
    let mut log = PictureLog::new("matching", &planned);
    // Each picture runs alone, all with the same noise: what is found in one target does not depend on the others.
    let parts = planned.split();
    let total = parts.len() as f32;
    let mut compared = Vec::new();
    let mut records = Vec::new();
    let mut told = String::new();
    for (index, part) in parts.iter().enumerate() {
        log.picture(index + 1);
        let extracted = part.run(request, model, &mut |done| watch((index as f32 + done) / total))?;
        if let Some((id, array)) = extracted.activations.first() {
            told = format!("{id} {}", told::shape_text(&array.shape));
        }
        compared.extend(maps(part, &extracted)?);
        records.push(extracted.record.ran);
    }
    let left_out = match compared.first() {
        Some(source) if arguments.drop_massive => massive_channels(&channel_figures(&source.map)),
        _ => Vec::new(),
    };
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
    write_folder(out, |folder| {
        folder.record(REQUEST_FILE, "match", record);
        write_matches(folder, arguments, source, targets)
    })?;
    let points = told::count(arguments.at.len(), "point");
    let targets = told::count(targets.len(), "target");
    Ok((format!("{points} of {told} in {targets}"), left_out))
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
