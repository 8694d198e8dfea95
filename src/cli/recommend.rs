//! `featscope recommend`.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::{Value, json};

use super::{
    extract::{say_of_pictures, say_of_settings, say_what_computes, say_what_is_special},
    pictures::pictures,
    ranking::check_activations,
    run::RunArguments,
    terminal,
    told::PictureLog,
    values::{check_folder_output, place, text_or_path, whole},
};
use crate::{
    activation::Selection,
    analysis::{
        pairs::{PointPair, parse_pairs},
        rank::{RankOptions, Ranking},
    },
    error::{Error, Result},
    extract::{
        job::{self, Planned},
        model::Model,
        request::{ExtractRequest, FramedPicture, Provenance},
        settings::RunSettings,
    },
    families::resolve,
    io::output::{check_file, check_folder, replace_file, write_error, write_folder},
    model::spec::ModelSpec,
    recommend::{
        DEFAULT_NOISES, DEFAULT_TOP, Ledger, PassInput, Plan, Recommendation, as_json, candidates, check_room,
        default_steps, extract_command, measure_pass, table, write_page,
    },
    sources::{FeatureSource, open_device},
    survey::can_compare_noises,
    weights::{TextKind, read_text},
};

/// Every feature map, as `extract` calls it.
const ALL: &str = "all";

/// `featscope recommend`.
///
/// Every activation is measured at a few timesteps, on each picture and on the same moved: how many of its places it finds
/// again, noise after a low-pass, effective rank, locality, size of its cells. The score is the mean of its ranks by these: a
/// proxy. With --pairs the share of pairs found within 0.1 of the target's longer side (PCK@.1) decides.
#[derive(Debug, Args)]
pub struct RecommendArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The pictures: files, folders of them, patterns such as 'photos/*.jpg', samples such as sample:photo-cat
    #[arg(long, short, visible_alias = "images", value_name = "FILE|DIR", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// A layer file (.json), or ids separated by commas, patterns such as 'up-*-cross-q' among them [default: every id but
    /// attention maps and the network's own input and output]
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path()
    )]
    pub activations: Vec<String>,
    /// Pairs of points of the first two pictures, JSON as `rank` takes it: PCK@.1 then decides
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
    /// Compare only what the GDF filter keeps (of U-Nets: the first half of the up stage, without what is local or an
    /// increment)
    #[arg(long)]
    pub gdf_filter: bool,
    /// How many are recommended
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TOP, value_parser = at_least_one, allow_hyphen_values = true)]
    pub top: usize,
    /// Noises compared
    #[arg(
        long,
        value_name = "K",
        default_value_t = DEFAULT_NOISES,
        value_parser = at_least_one,
        allow_hyphen_values = true,
        conflicts_with = "ensemble"
    )]
    pub noises: usize,
    /// Write everything as JSON into this file, with what made it
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub json: Option<PathBuf>,
    /// Folder: recommend.html (stands alone, with pictures) and recommend.json
    #[arg(long, short, value_name = "DIR", value_parser = place())]
    pub out: Option<PathBuf>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match whole(text)? {
        0 => Err("at least 1 is expected".to_owned()),
        number => Ok(number),
    }
}

/// Says which activation at which timestep to take.
pub fn recommend(arguments: &RecommendArguments) -> Result<()> {
    let started = Instant::now();
    if arguments.run.noise.is_some() {
        return Err(Error::usage(
            "--noise gives one noise, and recommend compares noises of its own: leave it out, or choose --seed",
        ));
    }
    if let Some(out) = &arguments.out {
        check_folder_output(out)?;
    }
    if let Some(file) = &arguments.json {
        check_file(file)?;
    }
    let pictures = pictures(&arguments.image)?;
    let pairs = arguments.pairs.as_ref().map(|file| -> Result<Vec<PointPair>> {
        let text = read_text(file, TextKind::Pairs)?;
        parse_pairs(&text).map_err(|error| error.context(file.display()))
    });
    let pairs = pairs.transpose()?;
    if pairs.is_some() && pictures.len() < 2 {
        return Err(Error::usage(
            "--pairs is of points of the first two pictures, and 1 is given: give a source and a target picture",
        ));
    }
    // Everything that can be wrong is found before weights are read.
    let asked = Asked::new(arguments, &pictures)?;
    let Some((first, first_request)) = asked.passes.first() else {
        return Err(Error::usage("no timestep was given"));
    };
    say_of_pictures(asked.passes.iter().take(1).map(|(planned, _)| planned));
    if !arguments.activations.is_empty() {
        check_activations(first, "recommend")?;
    }
    let ranking = match (&pairs, first.pictures.as_slice(), &arguments.pairs) {
        (Some(pairs), [(_, source), (_, target), ..], Some(file)) => {
            let ranking = Ranking::new(pairs, [source.framing, target.framing], RankOptions::default());
            Some(ranking.map_err(|error| error.context(file.display()))?)
        }
        _ => None,
    };
    for (_, picture) in &first.pictures {
        let list = first.spec.plain_catalogue(picture.framing.working);
        let selection = asked.selection(first, &list);
        check_room(&list, &selection, asked.plan.rows(), pairs.as_ref().map_or(0, Vec::len))?;
    }
    if asked.own_steps {
        say_of_settings(&arguments.run, &first.spec);
    }
    let spec = first.spec.clone();
    terminal::note(&format!("comparing {}", asked.plan.cost_in_words()));
    let bar = terminal::progress("comparing");
    let mut watch = terminal::watch(&bar);
    let opened = open_device(first_request.device, first_request.dtype)?;
    let mut model = job::load(&spec, opened, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, first_request));
    model.adapt(&first_request.settings.adapters)?;
    let (found, ran) = asked.run(ranking, &mut model, arguments.top, &mut watch)?;
    bar.finish_and_clear();
    if found.best.is_empty() {
        return Err(nothing_found(
            &found,
            &model.cause_of_non_finite(first.settings(), None),
        ));
    }
    let commands = asked.commands(&found, &pictures);
    let made_by = asked.made_by(&ran, pairs.as_deref())?;
    if let Some(file) = &arguments.json {
        let written = as_json(&found, &commands, &made_by)?;
        replace_file(file, |out| writeln!(out, "{written:#}").map_err(write_error))?;
    }
    if let Some(out) = &arguments.out {
        check_folder(out)?;
        write_folder(out, |folder| write_page(folder, &found, &commands, &made_by))?;
    }
    terminal::print(&table(&found, &commands))?;
    for out in arguments.json.iter().chain(&arguments.out) {
        terminal::wrote(out, &format!("the best {} and why", found.best.len()), started);
    }
    say_what_is_special(&model);
    Ok(())
}

/// Why nothing is recommended.
fn nothing_found(found: &Recommendation, cause: &str) -> Error {
    match found.unmeasured.first() {
        Some((t, id, why)) => Error::failed(format!(
            "none of {} activations has figures, the first of them {id} at t {t}: {why}; {cause}",
            found.unmeasured.len()
        )),
        None => Error::usage("the GDF filter keeps none of the activations: leave --gdf-filter out"),
    }
}

/// What is to be done, checked.
struct Asked {
    plan: Plan,
    /// One for each timestep.
    passes: Vec<(Planned, ExtractRequest)>,
    /// Whether ids were named; else all that can be features are compared.
    named: bool,
    /// Whether timesteps were given, or none are read.
    own_steps: bool,
}

impl Asked {
    fn new(arguments: &RecommendArguments, pictures: &[PathBuf]) -> Result<Self> {
        let run = &arguments.run;
        let named = !arguments.activations.is_empty();
        let activations = match named {
            true => arguments.activations.join(","),
            false => ALL.to_owned(),
        };
        let mut requests = run.requests(pictures, &activations)?;
        let Some(first) = requests.first().cloned() else {
            return Err(Error::usage("no timestep was given"));
        };
        let spec = resolve(&first.model)?;
        let given = !run.t.is_empty() || run.nominal_t.is_some();
        if !given && !spec.is_encoder() {
            // A preset's timestep stands for the model's own.
            let steps = default_steps(first.settings.t, |t| spec.mixture(t).is_ok());
            let at = |t| ExtractRequest {
                settings: RunSettings {
                    t,
                    ..first.settings.clone()
                },
                ..first.clone()
            };
            requests = steps.into_iter().map(at).collect();
        }
        let noises = match can_compare_noises(&spec, first.settings.inversion) {
            true => arguments.noises,
            false => 1,
        };
        let mut passes = Vec::with_capacity(requests.len());
        for mut request in requests {
            request.settings.ensemble = noises;
            passes.push((
                job::plan_streamed(spec.clone(), &request)?.allowing_non_finite(),
                request,
            ));
        }
        Ok(Self {
            plan: Plan {
                steps: passes.iter().map(|(_, request)| request.settings.t).collect(),
                noises,
                pictures: pictures.len(),
                is_encoder: spec.is_encoder(),
                filtered: arguments.gdf_filter,
            },
            passes,
            named,
            own_steps: given || spec.is_encoder(),
        })
    }

    /// What is compared.
    fn selection(&self, planned: &Planned, list: &crate::activation::Catalogue) -> Selection {
        match self.named {
            true => planned.selection.clone(),
            false => candidates(list),
        }
    }

    /// Every pass, and the recommendation that comes of them.
    fn run(
        &self,
        ranking: Option<Ranking>,
        model: &mut Model,
        top: usize,
        watch: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<(Recommendation, Vec<Provenance>)> {
        let mut ledger = Ledger::new(self.plan.clone(), ranking);
        let (count, mut done) = (self.plan.passes() as f32, 0);
        let mut ran = Vec::new();
        for (step, (planned, _)) in self.passes.iter().enumerate() {
            let started = Instant::now();
            let mut log = PictureLog::new("comparing", planned);
            for (index, (_, picture)) in planned.pictures.iter().enumerate() {
                log.picture(index + 1);
                let working = picture.framing.working;
                let list = model.catalogue(working);
                let selection = self.selection(planned, &list);
                let input = PassInput {
                    picture,
                    settings: planned.settings(),
                    selection: &selection,
                };
                ledger.begin();
                measure_pass(
                    model,
                    &input,
                    &mut |measured, map| ledger.add(step, index, measured, map),
                    &mut |share| watch(job::after_loading((done as f32 + share) / count)),
                )?;
                ledger.end(index);
                done += 1;
            }
            let framed = planned.pictures.iter().map(|(path, picture)| FramedPicture {
                path: path.clone(),
                framing: picture.framing,
            });
            let seconds = started.elapsed().as_secs_f64();
            ran.push(model.provenance(planned.settings(), framed.collect(), Vec::new(), seconds));
        }
        Ok((ledger.recommendation(top), ran))
    }

    /// The command line that extracts each of what is recommended.
    fn commands(&self, found: &Recommendation, pictures: &[PathBuf]) -> Vec<String> {
        let of = |best: &crate::recommend::Recommended| {
            let mut passes = self.passes.iter();
            let (planned, request) = passes.find(|(_, request)| request.settings.t == best.t)?;
            let settings = RunSettings {
                ensemble: 1,
                ..request.settings.clone()
            };
            let ModelSpec { name, .. } = &planned.spec;
            Some(extract_command(
                name,
                &settings,
                pictures,
                best.id,
                self.plan.is_encoder,
            ))
        };
        found.best.iter().filter_map(of).collect()
    }

    /// What was asked and what ran.
    fn made_by(&self, ran: &[Provenance], pairs: Option<&[PointPair]>) -> Result<Value> {
        let requests = self
            .passes
            .iter()
            .zip(ran)
            .map(|((_, request), ran)| request.read_in(ran));
        let requests = requests.collect::<serde_json::Result<Vec<_>>>();
        let requests =
            requests.map_err(|error| Error::failed(format!("the requests cannot be written down: {error}")))?;
        Ok(json!({ "requests": requests, "noises": self.plan.noises, "pairs": pairs, "ran": ran }))
    }
}
