//! `featscope rank`.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    extract::{say_how_loras_act, say_of_pictures, say_of_settings, say_what_computes, say_what_is_special},
    matching::MatchMethod,
    pictures::pictures,
    run::RunArguments,
    terminal,
    told::PictureLog,
    values::text_or_path,
};
use crate::{
    activation::{Id, NotFinite},
    analysis::{
        pairs::{PointPair, parse_pairs},
        rank::{RankMade, RankOptions, RankRow, Ranking, protocol, rank_csv},
    },
    components::schedule::Timestep,
    error::{Error, Result},
    extract::{
        job::{self, Planned},
        model::Model,
        ram,
        request::{ExtractRequest, Provenance},
    },
    families::resolve,
    files::names,
    sources::{FeatureSource, open_device},
    weights::{TextKind, read_text},
};

/// Every feature map, as `extract` calls it.
const ALL: &str = "all";

/// `featscope rank`.
///
/// Each source point is looked for in the target picture, in every activation and at every timestep. Told are the mean
/// distance to where it should be, in pixels of the original target, the share of points within 0.05 and 0.1 of the
/// target's longer side (PCK, img), and what a prediction by chance is expected to do; best first: by PCK@.1, then by
/// mean distance.
#[derive(Debug, Args)]
pub struct RankArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The source and the target picture, or a folder or a pattern of these two
    #[arg(long, short, visible_alias = "images", value_name = "FILE", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// JSON: [{"source": [x, y], "target": [x, y]}, …] in pixels of the originals, or an object with source_points and
    /// target_points, [[x, y], …] each
    #[arg(long, value_name = "FILE")]
    pub pairs: PathBuf,
    /// A layer file (.json), or ids separated by commas, patterns such as 'up-*-cross-q' among them [default: every id but
    /// attention maps, or the preset's]
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path()
    )]
    pub activations: Vec<String>,
    /// Every id but attention maps, also with a preset
    #[arg(long, conflicts_with = "activations")]
    pub all: bool,
    /// How points are found: on the grid, predictions are cell centres
    #[arg(long, value_name = "METHOD", default_value = "grid")]
    pub method: MatchMethod,
    /// Leave channels of the source out that are much larger than the others, in both pictures
    #[arg(long)]
    pub drop_massive: bool,
    /// Print JSON, with every prediction and what made it
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print a table with commas
    #[arg(long)]
    pub csv: bool,
}

/// Scores activations by how well they find marked points again.
pub fn rank(arguments: &RankArguments) -> Result<()> {
    let pictures = pictures(&arguments.image)?;
    if pictures.len() != 2 {
        return Err(Error::usage(format!(
            "--image: a source and a target picture are needed, {} given",
            match pictures.len() {
                1 => "1 is".to_owned(),
                count => format!("{count} are"),
            }
        )));
    }
    let text = read_text(&arguments.pairs, TextKind::Pairs)?;
    let pairs = parse_pairs(&text).map_err(|error| error.context(arguments.pairs.display()))?;
    let mut activations = arguments.activations.join(",");
    if arguments.all || (activations.is_empty() && arguments.run.preset.is_none()) {
        activations = ALL.to_owned();
    }
    let requests = arguments.run.requests(&pictures, &activations)?;
    // Everything that can be wrong is found before weights are read.
    let planned = requests
        .iter()
        .map(|request| Ok(job::plan(resolve(&request.model)?, request)?.allowing_non_finite()));
    let planned = planned.collect::<Result<Vec<_>>>()?;
    say_of_pictures(&planned);
    let (Some(first), Some(first_request)) = (planned.first(), requests.first()) else {
        return Err(Error::usage("no timestep was given"));
    };
    check_activations(first, "rank")?;
    let options = RankOptions {
        method: arguments.method.into(),
        drop_massive: arguments.drop_massive,
    };
    let ranking = ranking_of(&pairs, first, options).map_err(|error| error.context(arguments.pairs.display()))?;
    let spec = first.spec.clone();
    let settings = first.settings().clone();
    say_of_settings(&arguments.run, &spec);
    let bar = terminal::progress("ranking");
    let mut watch = terminal::watch(&bar);
    let opened = open_device(first_request.device, first_request.dtype)?;
    let mut model = job::load(&spec, opened, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, first_request));
    model.adapt(&first_request.settings.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    let count = planned.len() as f32;
    let mut table = Table {
        ranking,
        rows: Vec::new(),
        unranked: Vec::new(),
        ran: Vec::new(),
    };
    for (index, (planned, request)) in planned.into_iter().zip(&requests).enumerate() {
        let mut watch = |done| watch(job::after_loading((index as f32 + done) / count));
        table.run(planned, request, &mut model, &mut watch)?;
    }
    bar.finish_and_clear();
    table.say_what_is_unranked(&model.cause_of_non_finite(&settings, None))?;
    // What is equally good stays in the order of execution.
    table.rows.sort_by(RankRow::best_first);
    let made = table.made(first_request, &model, options)?;
    if arguments.json {
        let written = requests
            .iter()
            .zip(&table.ran)
            .map(|(request, ran)| request.read_in(ran));
        let written = written.collect::<serde_json::Result<Vec<_>>>();
        let written =
            written.map_err(|error| Error::failed(format!("the requests cannot be written down: {error}")))?;
        let all = json!({
            "protocol": protocol(&made),
            "made_by": made,
            "pairs": pairs,
            "rows": table.rows,
            "not_finite": table.unranked,
            "requests": written,
            "ran": table.ran,
        });
        terminal::print_json(&format!("{all:#}\n"))?;
        say_what_is_special(&model);
        return Ok(());
    }
    terminal::print(&if arguments.csv {
        rank_csv(&table.rows, &made)
    } else {
        describe(&table.rows, &made, !spec.is_encoder())
    })?;
    say_what_is_special(&model);
    Ok(())
}

/// Attention maps are refused before weights are read.
pub(super) fn check_activations(planned: &Planned, command: &str) -> Result<()> {
    let Some((_, picture)) = planned.pictures.first() else {
        return Ok(());
    };
    let list = planned.spec.plain_catalogue(picture.framing.working);
    let mut ids = planned
        .selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .map(|entry| entry.id);
    match ids.find(|id| id.is_map()) {
        Some(id) => Err(Error::usage(format!(
            "{id} is an attention map: {command} compares feature maps"
        ))),
        None => Ok(()),
    }
}

fn ranking_of(pairs: &[PointPair], planned: &Planned, options: RankOptions) -> Result<Ranking> {
    let [(_, source), (_, target)] = planned.pictures.as_slice() else {
        return Err(Error::failed("two pictures were asked for"));
    };
    Ranking::new(pairs, [source.framing, target.framing], options)
}

/// An activation that has no score.
#[derive(Serialize)]
struct Unranked {
    /// The timestep that ran.
    t: Timestep,
    id: Id,
    /// Whose numbers are not finite, the source's or the target's.
    picture: &'static str,
    #[serde(flatten)]
    numbers: NotFinite,
}

/// What was found so far.
struct Table {
    ranking: Ranking,
    rows: Vec<RankRow>,
    unranked: Vec<Unranked>,
    ran: Vec<Provenance>,
}

impl Table {
    /// Runs both pictures at one timestep, each alone and with the same noise, and scores every activation.
    fn run(
        &mut self,
        planned: Planned,
        request: &ExtractRequest,
        model: &mut Model,
        watch: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<()> {
        let mut log = PictureLog::new("ranking", &planned);
        let parts = planned.split();
        ram::check(
            parts
                .iter()
                .map(Planned::estimated_bytes)
                .fold(0, usize::saturating_add),
            "the activations of both pictures",
            "ask for fewer, or for a smaller --size",
        )?;
        let total = parts.len() as f32;
        let mut extracted = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            log.picture(index + 1);
            let mut watch = |done| watch((index as f32 + done) / total);
            extracted.push(part.run(request, model, &mut watch)?);
        }
        let t = extracted
            .first()
            .and_then(|part| part.record.ran.t_ran())
            .unwrap_or_default();
        let mut each = extracted.into_iter().map(|part| {
            self.ran.push(part.record.ran);
            part.activations
        });
        let (sources, targets) = (each.next().unwrap_or_default(), each.next().unwrap_or_default());
        for ((id, source), (_, target)) in sources.into_iter().zip(targets) {
            let found = [("source", &source), ("target", &target)]
                .into_iter()
                .find_map(|(picture, array)| Some((picture, NotFinite::among(&array.data)?)));
            if let Some((picture, numbers)) = found {
                self.unranked.push(Unranked {
                    t,
                    id,
                    picture,
                    numbers,
                });
                continue;
            }
            let score = self
                .ranking
                .score(&source.feature_map(0)?, &target.feature_map(0)?)
                .map_err(|error| error.context(id))?;
            self.rows.push(RankRow { t, id, score });
        }
        Ok(())
    }

    /// One line if activations have no score; an error if none has one.
    fn say_what_is_unranked(&self, cause: &str) -> Result<()> {
        let Some(first) = self.unranked.first() else {
            return Ok(());
        };
        let words = format!(
            "{} of {} activations have no score, the first of them {} at t {}: in the {} {}; {cause}",
            self.unranked.len(),
            self.unranked.len() + self.rows.len(),
            first.id,
            first.t,
            first.picture,
            first.numbers
        );
        match self.rows.is_empty() {
            true => Err(Error::failed(words)),
            false => {
                terminal::note(&words);
                Ok(())
            }
        }
    }

    fn made(&self, request: &ExtractRequest, model: &Model, options: RankOptions) -> Result<RankMade> {
        let mut pictures = request.pictures.iter().map(names::text);
        let framing = self
            .ran
            .iter()
            .filter_map(|ran| ran.pictures.first())
            .nth(1)
            .ok_or_else(|| Error::failed("two pictures were run"))?
            .framing;
        Ok(RankMade {
            model: request.model.clone(),
            pictures: [pictures.next().unwrap_or_default(), pictures.next().unwrap_or_default()],
            target_size: [framing.original.width, framing.original.height],
            longer_side_px: self.ranking.longer_side(),
            pairs: [self.ranking.pairs(), self.ranking.unseen()],
            options,
            seed: request.settings.seed,
            ensemble: request.settings.ensemble,
            working_size: [framing.working.width, framing.working.height],
            dtype: model.place.dtype_name().to_owned(),
        })
    }
}

/// The table as a person reads it.
fn describe(rows: &[RankRow], made: &RankMade, has_t: bool) -> String {
    let width = rows.iter().map(|row| row.id.to_string().len()).max().unwrap_or(0);
    let mut text = format!("{}\n", protocol(made));
    let t_column = |t: &str| if has_t { format!("{t:>4}  ") } else { String::new() };
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "{:>4}  {}{:width$}  {:>6}  {:>6}  {:>8}   by chance: {:>6}  {:>6}  {:>8}",
        "",
        t_column("t"),
        "activation",
        "pck@.1",
        "pck@.05",
        "mean px",
        "pck@.1",
        "pck@.05",
        "mean px"
    );
    for (index, row) in rows.iter().enumerate() {
        let (found, chance) = (&row.score.figures, &row.score.chance);
        let _ = writeln!(
            text,
            "{:4}  {}{:width$}  {:6.3}  {:7.3}  {:8.2}              {:6.3}  {:7.3}  {:8.2}",
            index + 1,
            t_column(&row.t.to_string()),
            row.id.to_string(),
            found.pck_10,
            found.pck_05,
            found.mean_distance_px,
            chance.pck_10,
            chance.pck_05,
            chance.mean_distance_px
        );
    }
    text
}
