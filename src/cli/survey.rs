//! `featscope survey`.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::json;

use super::{
    extract,
    pictures::pictures,
    run::RunArguments,
    terminal,
    told::{self, PictureLog},
    values::{check_folder_output, place, text_or_path, whole},
};
use crate::{
    activation::Id,
    error::{Error, Result},
    extract::{
        job::{self, Planned},
        model::Model,
        request::{FramedPicture, Provenance},
    },
    families::resolve,
    files::names,
    geometry::{Grid, framing::Framing},
    image::{picture::Picture, source::PictureSource},
    io::output::{check_folder, write_folder},
    sources::{FeatureSource, open_device},
    survey::{
        Column, DEFAULT_NOISES, Measurement, PictureSurvey, Regions, SurveyInput, can_compare_noises, check_memory,
        survey_pass, write_survey,
    },
};

/// `featscope survey`.
#[derive(Debug, Args)]
pub struct SurveyArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The pictures: files, folders of them, patterns such as 'photos/*.jpg', samples such as sample:photo-cat
    #[arg(long, short, visible_alias = "images", value_name = "FILE|DIR", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// `all-maps` (every id; attention maps as the mean over their heads, at most 1024 keys after averaging neighbours), `all` (every id but attention maps), a layer
    /// file (.json), or ids separated by commas, patterns such as 'up-*-cross-q' among them
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path(),
        default_value = "all-maps"
    )]
    pub activations: Vec<String>,
    /// Noises compared; the features of single ones are measured, not their average
    #[arg(
        long,
        value_name = "K",
        default_value_t = DEFAULT_NOISES,
        value_parser = whole::<usize>,
        allow_hyphen_values = true,
        conflicts_with = "ensemble"
    )]
    pub noises: usize,
    /// A picture with a colour for each region and black elsewhere, laid over the picture whatever its size: for the
    /// locality-semantics index
    #[arg(long, value_name = "FILE")]
    pub regions: Option<PathBuf>,
    /// Figure below each thumbnail of the sheet (a column of survey.csv), by which it is sorted
    #[arg(long, value_name = "COLUMN", default_value = "order", value_parser = column)]
    pub sort: Column,
    /// Folder: survey.html (stands alone), survey.csv, survey.json, and a sheet of thumbnails for each picture
    #[arg(long, short, value_name = "DIR", value_parser = place())]
    pub out: PathBuf,
}

/// A column by its name in files or on the screen.
fn column(text: &str) -> Result<Column, String> {
    let found = Column::named(text);
    let names = || {
        Column::ALL
            .iter()
            .map(|column| column.key())
            .collect::<Vec<_>>()
            .join(", ")
    };
    found.ok_or_else(|| format!("there is no column \"{text}\": one of {}", names()))
}

/// Measures every activation.
pub fn survey(arguments: &SurveyArguments) -> Result<()> {
    check_folder_output(&arguments.out)?;
    let pictures = pictures(&arguments.image)?;
    let asked = arguments
        .run
        .outputs(&pictures, &arguments.activations.join(","), &arguments.out)?;
    let mut passes = Vec::new();
    for (mut request, out) in asked {
        let spec = resolve(&request.model)?;
        let has_noise = can_compare_noises(&spec, request.settings.inversion);
        request.settings.ensemble = if has_noise { arguments.noises } else { 1 };
        if !has_noise && passes.is_empty() {
            terminal::note("no noise is added here: one pass is measured, without figures of noise");
        }
        passes.push((job::plan_streamed(spec, &request)?, request, out));
    }
    let Some((planned, request, _)) = passes.first() else {
        return Err(Error::usage("no timestep was given"));
    };
    extract::say_of_pictures([planned]);
    for (_, picture) in &planned.pictures {
        let list = planned.spec.plain_catalogue(picture.framing.working);
        check_memory(&list, &planned.selection, request.settings.ensemble)?;
    }
    let marked = arguments.regions.as_deref().map(|path| PictureSource::of(path).read());
    let marked = marked.transpose()?;
    if let Some(note) = marked.as_ref().and_then(Picture::note) {
        terminal::note(note);
    }
    if marked.is_some() && planned.pictures.len() > 1 {
        return Err(Error::usage(
            "--regions marks regions of one picture: give one --image, or leave --regions out",
        ));
    }
    extract::say_of_settings(&arguments.run, &planned.spec);
    for (.., out) in &passes {
        check_folder(out)?;
    }
    let bar = terminal::progress("surveying");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(request, open_device(request.device, request.dtype)?, &mut watch)?;
    bar.suspend(|| extract::say_what_computes(&model, request));
    let count = passes.len() as f32;
    for (index, (planned, request, out)) in passes.iter().enumerate() {
        let started = Instant::now();
        let (surveys, ran) = measured(planned, &mut model, marked.as_ref(), &mut |done| {
            watch(job::after_loading((index as f32 + done) / count))
        })?;
        bar.suspend(|| say_what_is_not_measured(&surveys, &model.cause_of_non_finite(planned.settings(), None)));
        let request_read = request
            .read_in(&ran)
            .map_err(|error| Error::failed(format!("the request cannot be written down: {error}")))?;
        let made_by = json!({ "request": request_read, "noises": request.settings.ensemble, "ran": ran });
        write_folder(out, |folder| write_survey(folder, &surveys, &made_by, arguments.sort))?;
        let [activations, pictures] = [
            told::count(ran.ids.len(), "activation"),
            told::count(surveys.len(), "picture"),
        ];
        bar.suspend(|| terminal::wrote(out, &format!("{activations} of {pictures}"), started));
    }
    bar.suspend(|| extract::say_what_is_special(&model));
    Ok(())
}

/// One line if activations were not measured.
fn say_what_is_not_measured(surveys: &[PictureSurvey], cause: &str) {
    let measurements = || surveys.iter().flat_map(|survey| &survey.measurements);
    let mut unmeasured =
        measurements().filter_map(|measurement| Some((measurement.id, measurement.unmeasured.as_ref()?)));
    let Some((first, why)) = unmeasured.next() else { return };
    terminal::note(&format!(
        "{} of {} activations have no figures, the first of them {first}: {why}; {cause}",
        1 + unmeasured.count(),
        measurements().count()
    ));
}

/// The survey of each picture, and what ran.
fn measured(
    planned: &Planned,
    model: &mut Model,
    marked: Option<&Picture>,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<(Vec<PictureSurvey>, Provenance)> {
    let started = Instant::now();
    let count = planned.pictures.len();
    let mut surveys: Vec<PictureSurvey> = Vec::with_capacity(count);
    let mut log = PictureLog::new("surveying", planned);
    for (index, (path, picture)) in planned.pictures.iter().enumerate() {
        log.picture(index + 1);
        let framing = picture.framing;
        let regions = marked.map(|marked| move |grid: Grid| regions_of(marked, &framing, grid));
        let mut measurements: Vec<Measurement> = Vec::new();
        survey_pass(
            model,
            &SurveyInput {
                picture,
                settings: planned.settings(),
                selection: &planned.selection,
                regions: regions.as_ref().map(|regions| regions as &Regions<'_>),
            },
            &mut |measurement| {
                measurements.push(measurement);
                Ok(())
            },
            &mut |done| watch((index as f32 + done) / count as f32),
        )?;
        let taken: Vec<String> = surveys.iter().map(|survey| survey.picture.clone()).collect();
        let picture = names::distinct_name(path, &taken);
        surveys.push(PictureSurvey { picture, measurements });
    }
    let pictures = planned.pictures.iter().map(|(path, picture)| FramedPicture {
        path: path.clone(),
        framing: picture.framing,
    });
    let ids: Vec<Id> = surveys[0]
        .measurements
        .iter()
        .map(|measurement| measurement.id)
        .collect();
    let ids = ids.iter().map(Id::to_string).collect();
    let seconds = started.elapsed().as_secs_f64();
    let ran = model.provenance(planned.settings(), pictures.collect(), ids, seconds);
    Ok((surveys, ran))
}

/// The region that the middle of each cell lies in: a colour is a region, black is none.
fn regions_of(marked: &Picture, framing: &Framing, grid: Grid) -> Vec<Option<usize>> {
    let (size, original) = (marked.size(), framing.original);
    (0..grid.positions())
        .map(|position| {
            let [x, y] = framing.original_from_cell(grid.row_column(position), grid);
            let place = |at: f64, from: usize, to: usize| {
                let share = (at + 0.5) / from as f64 * to as f64;
                (share.floor().max(0.0) as usize).min(to - 1)
            };
            let (column, row) = (
                place(x, original.width, size.width),
                place(y, original.height, size.height),
            );
            let start = 3 * (row * size.width + column);
            let number = marked.rgb()[start..start + 3]
                .iter()
                .fold(0, |number, part| number << 8 | usize::from(*part));
            (number > 0).then_some(number)
        })
        .collect()
}
