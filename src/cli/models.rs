//! `featscope models list`, `featscope models get`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand};

use super::terminal;
use crate::{
    error::Result,
    families::{
        cards::{UNKNOWN, card},
        download_plan::{self, RequiredFiles, cached_under_old_name},
        known::known_checkpoints,
        resolve,
    },
    weights::{
        hub::{DownloadPlan, Hub, MAIN, Repo, RepoPart, Variant, bytes},
        hub_snapshot,
    },
    words::visible,
};

/// `featscope models …`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// A line per model, its key first: what it is, how many parameters its network has, its licence
    List(ListArguments),
    /// Download a model into the cache that Python's huggingface_hub uses, and print its folder
    Get(GetArguments),
}

/// `featscope models list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Ask the hub how much a download of each is
    #[arg(long)]
    pub sizes: bool,
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
pub fn models(command: &ModelsCommand) -> Result<()> {
    match command {
        ModelsCommand::List(arguments) => list(arguments),
        ModelsCommand::Get(arguments) => get(arguments),
    }
}

fn list(arguments: &ListArguments) -> Result<()> {
    // Settings that make no sense are told to who downloads.
    let hub = match arguments.sizes {
        true => Some(Hub::from_env()?),
        false => Hub::from_env().ok(),
    };
    let asked = hub.as_ref().filter(|_| arguments.sizes);
    let mut text = String::new();
    let mut untold = Vec::new();
    let width = known_checkpoints()
        .map(|known| known.key.len())
        .max()
        .unwrap_or_default();
    for entry in known_checkpoints() {
        let spec = resolve(entry.key).ok();
        let state = match &spec {
            Some(spec) if spec.is_here() => "here",
            _ => "not here",
        };
        let t = match spec {
            Some(spec) if spec.is_encoder() => String::new(),
            _ => format!("t {:3}", entry.default_t),
        };
        // A repository that moved may be here under its old name.
        let source = hub_snapshot(entry.source).map_or_else(|| entry.source.to_owned(), |found| found.repository);
        let held = || hub.as_ref()?.cached(&Repo::new(&source).ok()?);
        let held = held().filter(|held| held.bytes > 0);
        let held = held.map_or_else(String::new, |held| format!(", {} in the cache", bytes(held.bytes)));
        let card = card(entry.key);
        let on_hub = asked.filter(|_| entry.is_on_the_hub());
        let told = on_hub.map(|hub| download_bytes(hub, entry.key));
        let download = match told {
            Some(Ok(told)) => Some(told),
            Some(Err(error)) => {
                untold.push(format!("{}: {error}", entry.key));
                card.download
            }
            None => card.download,
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:width$} {state:9} {:5} px  {t:5}  {} ({source}{held}); parameters {}; download {}; licence {}",
            entry.key,
            entry.side,
            entry.title,
            card.parameters_text(),
            download.map_or_else(|| UNKNOWN.to_owned(), bytes),
            card.licence_text(),
        );
    }
    // What the hub does not tell of one hides nothing of the others.
    if let Some(first) = untold.first() {
        terminal::note(&format!(
            "the hub did not tell the size of {} models, the first of them {first}",
            untold.len()
        ));
    }
    terminal::print(&text)
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
    hub.fetch(plan, &mut |progress| {
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
