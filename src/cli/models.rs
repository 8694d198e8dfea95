//! `featscope models list`, `featscope models get`, `featscope models rm`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::terminal;
use crate::{
    components::schedule::Timestep,
    error::{Error, Result},
    families::{
        cards::{UNKNOWN, card},
        download_plan::{self, RequiredFiles, cached_under_old_name},
        known::{known_checkpoint, known_checkpoints},
        resolve,
    },
    model::{family::KnownCheckpoint, spec::ModelSpec},
    weights::{
        hub::{DownloadPlan, Hub, MAIN, RemovalScope, Repo, RepoPart, Variant, bytes},
        hub_snapshot,
    },
    words::visible,
};

/// `featscope models`.
#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// Without a command the models are listed.
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
    /// What is listed, and how.
    #[command(flatten)]
    pub list: ListArguments,
}

/// `featscope models …`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// A line per model, its key first: what it is, how many parameters its network has, its licence
    List(ListArguments),
    /// Download a model into the cache that Python's huggingface_hub uses, and print its folder
    Get(GetArguments),
    /// Delete a model from that cache, which other programs share
    Rm(RemoveArguments),
}

/// `featscope models list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Ask the hub how much a download of each is
    #[arg(long)]
    pub sizes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `featscope models get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Model: a short name, or the name of a repository of the hub, as OWNER/NAME
    #[arg(value_name = "M")]
    pub model: String,
    /// Which weights: full, or fp16 of half the size; where only one of them exists, that one
    #[arg(long, default_value = "full", value_parser = <Variant as FromStr>::from_str)]
    pub variant: Variant,
    /// Branch, tag or commit
    #[arg(long, value_name = "R", default_value = MAIN)]
    pub revision: String,
    /// This file of the repository alone, instead of a model
    #[arg(long, value_name = "PATH", conflicts_with = "variant")]
    pub file: Option<String>,
}

/// `featscope models rm`.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// Model: a short name, or the name of a repository of the hub, as OWNER/NAME
    #[arg(value_name = "M")]
    pub model: String,
    /// The files alone whose download broke off
    #[arg(long)]
    pub begun: bool,
    /// This commit alone, with the files that no other commit has
    #[arg(long, value_name = "COMMIT", conflicts_with = "begun")]
    pub commit: Option<String>,
    /// Delete it; without, what would be deleted is said
    #[arg(long, short)]
    pub yes: bool,
}

/// Says which models there are, downloads one or deletes one.
pub fn models(arguments: &ModelsArguments) -> Result<()> {
    match &arguments.command {
        None => list(&arguments.list),
        Some(ModelsCommand::List(arguments)) => list(arguments),
        Some(ModelsCommand::Get(arguments)) => get(arguments),
        Some(ModelsCommand::Rm(arguments)) => remove(arguments),
    }
}

/// A model of the list. Fields may come, none goes.
#[derive(Serialize)]
struct Listed {
    key: &'static str,
    title: &'static str,
    /// Its name on the hub, or where its file comes from.
    source: String,
    /// Whether its weights are on this machine.
    is_here: bool,
    /// Short side of the pictures it was made for, in pixels.
    side: usize,
    /// The timestep that runs when none is given; none of an image encoder.
    default_t: Option<Timestep>,
    /// Parameters of its denoiser or encoder, where known.
    parameters: Option<u64>,
    /// What a download of it is, where known.
    download_bytes: Option<u64>,
    /// Its licence, where known.
    licence: Option<&'static str>,
    /// Whether the hub asks for its licence to be accepted first.
    is_gated: bool,
    /// What the hub's cache holds of it; none where nothing.
    bytes_in_cache: Option<u64>,
}

impl Listed {
    fn of(entry: &KnownCheckpoint, hub: Option<&Hub>) -> Self {
        let spec = resolve(entry.key).ok();
        // A repository that moved may be here under its old name.
        let source = hub_snapshot(entry.source).map_or_else(|| entry.source.to_owned(), |found| found.repository);
        let held = || hub?.cached(&Repo::new(&source).ok()?);
        let held = held().map(|held| held.bytes).filter(|bytes| *bytes > 0);
        let card = card(entry.key);
        Self {
            key: entry.key,
            title: entry.title,
            is_here: spec.as_ref().is_some_and(ModelSpec::is_here),
            side: entry.side,
            default_t: (!spec.is_some_and(|spec| spec.is_encoder())).then_some(entry.default_t),
            parameters: card.parameters,
            download_bytes: card.download,
            licence: card.licence,
            is_gated: card.is_gated,
            bytes_in_cache: held,
            source,
        }
    }
}

fn list(arguments: &ListArguments) -> Result<()> {
    // Settings that make no sense are told to who downloads.
    let hub = match arguments.sizes {
        true => Some(Hub::from_env()?),
        false => Hub::from_env().ok(),
    };
    let mut listed: Vec<Listed> = known_checkpoints()
        .map(|entry| Listed::of(entry, hub.as_ref()))
        .collect();
    if let Some(hub) = hub.as_ref().filter(|_| arguments.sizes) {
        ask_for_sizes(hub, &mut listed);
    }
    if arguments.json {
        return terminal::print_json(&format!("{:#}\n", json!({ "models": listed })));
    }
    let mut text = String::new();
    let width = listed.iter().map(|model| model.key.len()).max().unwrap_or_default();
    for model in &listed {
        let state = if model.is_here { "here" } else { "not here" };
        let t = model.default_t.map_or_else(String::new, |t| format!("t {t:3}"));
        let held = model.bytes_in_cache;
        let held = held.map_or_else(String::new, |held| format!(", {} in the cache", bytes(held)));
        let card = card(model.key);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:width$} {state:9} {:5} px  {t:5}  {} ({}{held}); parameters {}; download {}; licence {}",
            model.key,
            model.side,
            model.title,
            model.source,
            card.parameters_text(),
            model.download_bytes.map_or_else(|| UNKNOWN.to_owned(), bytes),
            card.licence_text(),
        );
    }
    terminal::print(&text)
}

/// Puts what the hub says of downloads in the place of what is known without it. What it does not tell of one model hides
/// nothing of the others.
fn ask_for_sizes(hub: &Hub, listed: &mut [Listed]) {
    let mut untold = Vec::new();
    let on_hub = known_checkpoints().filter(|entry| entry.is_on_the_hub());
    for key in on_hub.map(|entry| entry.key) {
        let Some(model) = listed.iter_mut().find(|model| model.key == key) else {
            continue;
        };
        match download_bytes(hub, key) {
            Ok(told) => model.download_bytes = Some(told),
            Err(error) => untold.push(format!("{key}: {error}")),
        }
    }
    if let Some(first) = untold.first() {
        terminal::note(&format!(
            "the hub did not tell the size of {} models, the first of them {first}",
            untold.len()
        ));
    }
}

/// How much the hub says that a model is.
fn download_bytes(hub: &Hub, key: &str) -> Result<u64> {
    let parts = download_plan::required_files(hub, key, MAIN, Variant::Full)?;
    let mut plans = parts
        .iter()
        .map(|part| hub.plan(&part.repo, &part.wanted, &mut |_| Ok(())));
    plans.try_fold(0_u64, |sum, plan| Ok(sum.saturating_add(plan?.bytes_total)))
}

fn get(arguments: &GetArguments) -> Result<()> {
    let hub = Hub::from_env()?;
    if arguments.file.is_none()
        && arguments.revision == MAIN
        && let Some(held) = cached_under_old_name(&hub, &arguments.model)
    {
        terminal::note(&format!(
            "{} is in the cache already, as {}: nothing to download",
            arguments.model, held.repository
        ));
        return terminal::print(&format!("{}\n", held.folder.display()));
    }
    let mut parts = download_plan::required_files(&hub, &arguments.model, &arguments.revision, arguments.variant)?;
    if let (Some(file), Some(own)) = (&arguments.file, parts.first()) {
        // A file is asked for by itself.
        parts = vec![RequiredFiles {
            wanted: RepoPart::File(file.clone()),
            ..own.clone()
        }];
    }
    if let Some(own) = parts.first()
        && arguments.model.contains('/')
        && own.repo.id() != arguments.model
    {
        terminal::note(&format!("{} moved: it is {} now", arguments.model, own.repo.id()));
    }
    let mut path = None;
    for part in &parts {
        if path.is_some() {
            terminal::note(&format!(
                "{} is put into {}, which is not here yet",
                arguments.model, part.repo
            ));
        }
        let fetched = fetched(&hub, &part.repo, &part.wanted)?;
        path.get_or_insert(fetched);
    }
    let path = path.unwrap_or_default();
    terminal::print_path(&path)
}

/// Deletes a model from the cache, or says what that would delete.
fn remove(arguments: &RemoveArguments) -> Result<()> {
    let hub = Hub::from_env()?;
    let name = &arguments.model;
    let known = known_checkpoint(name);
    if known.is_some_and(|entry| !entry.is_on_the_hub()) {
        return Err(Error::usage(format!(
            "{name} is not in the hub's cache: nothing to delete"
        )));
    }
    let source = known.map_or(name.as_str(), |entry| entry.source);
    // A repository that moved may be here under its old name.
    let repository = match hub.cached(&Repo::new(source)?) {
        Some(_) => source.to_owned(),
        None => hub_snapshot(source).map_or_else(|| source.to_owned(), |found| found.repository),
    };
    let scope = match &arguments.commit {
        Some(commit) => RemovalScope::Snapshot(commit.clone()),
        None if arguments.begun => RemovalScope::Begun,
        None => RemovalScope::Whole,
    };
    let removal = hub.removal(&Repo::new(&repository)?, scope)?;
    let what = format!(
        "{} files of {repository}, {}, in {}",
        removal.files,
        bytes(removal.bytes),
        removal.folder.display()
    );
    if !arguments.yes {
        return Err(Error::usage(format!(
            "{what} would be deleted, for all programs that use this cache: say so with --yes"
        )));
    }
    hub.remove(&removal)?;
    terminal::note(&format!("deleted {what}"));
    Ok(())
}

/// Downloads what is missing, and gives the folder, or the file where one was wanted.
fn fetched(hub: &Hub, repo: &Repo, wanted: &RepoPart) -> Result<PathBuf> {
    let offline = hub.settings().offline;
    let folder = match hub.local(repo, wanted).filter(|_| offline) {
        Some(folder) => folder,
        None => {
            let asking = terminal::progress("asking");
            let plan = hub.plan(repo, wanted, &mut |_| Ok(()))?;
            drop(asking);
            downloaded(hub, &plan)?
        }
    };
    Ok(match wanted {
        RepoPart::Model(_) => folder,
        RepoPart::File(file) => folder.join(Path::new(file)),
    })
}

fn downloaded(hub: &Hub, plan: &DownloadPlan) -> Result<PathBuf> {
    let (count, all) = (plan.files.len(), bytes(plan.bytes_total));
    let rest = match plan.is_complete() {
        true => "all in the cache".to_owned(),
        false => format!("{} to download", bytes(plan.bytes_missing)),
    };
    terminal::note(&format!("{}: {count} files of {all}, {rest}", plan.repo));
    let bar = terminal::download(plan.bytes_total);
    let mut begun = false;
    let mut file = String::new();
    hub.fetch(plan, &mut |progress| {
        if progress.file != file {
            file.clone_from(&progress.file);
            let number = progress.files_done + 1;
            terminal::begins(&format!(
                "downloading file {number} of {count} ({file}, {})",
                bytes(progress.file_total)
            ));
        }
        bar.set_position(progress.bytes_done);
        bar.set_message(visible(&progress.describe()).into_owned());
        if progress.bytes_received > 0 && !begun {
            // What was there before has not been downloaded in no time.
            bar.reset_eta();
            begun = true;
        }
        Ok(())
    })
}
