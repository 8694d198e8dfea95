//! `featscope models list`, `featscope models get`.

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
    error::Result,
    families::{
        download_plan::{self, RequiredFiles, cached_under_old_name},
        known::known_checkpoints,
        resolve,
    },
    model::{family::KnownCheckpoint, spec::ModelSpec},
    weights::{
        hub::{DownloadPlan, Hub, MAIN, Repo, RepoPart, Variant, bytes},
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
    /// A line per model, its key first
    List(ListArguments),
    /// Download a model into the cache that Python's huggingface_hub uses, and print its folder
    Get(GetArguments),
}

/// `featscope models list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `featscope models get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Model: a zoo key, or the name of a repository of the hub, as OWNER/NAME
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

/// Says which models there are, or downloads one.
pub fn models(arguments: &ModelsArguments) -> Result<()> {
    match &arguments.command {
        None => list(&arguments.list),
        Some(ModelsCommand::List(arguments)) => list(arguments),
        Some(ModelsCommand::Get(arguments)) => get(arguments),
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
        Self {
            key: entry.key,
            title: entry.title,
            is_here: spec.as_ref().is_some_and(ModelSpec::is_here),
            side: entry.side,
            default_t: (!spec.is_some_and(|spec| spec.is_encoder())).then_some(entry.default_t),
            bytes_in_cache: held,
            source,
        }
    }
}

fn list(arguments: &ListArguments) -> Result<()> {
    // Settings that make no sense are told to who downloads.
    let hub = Hub::from_env().ok();
    let listed: Vec<Listed> = known_checkpoints()
        .map(|entry| Listed::of(entry, hub.as_ref()))
        .collect();
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
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:width$} {state:9} {:5} px  {t:5}  {} ({}{held})",
            model.key, model.side, model.title, model.source
        );
    }
    terminal::print(&text)
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
