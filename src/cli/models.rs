//! `featscope models list`, `featscope models get`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{
    args::{GetArguments, ModelsCommand},
    terminal,
};
use crate::{
    error::{Error, Result},
    extract::spec::ModelSpec,
    weights::{
        ZOO, ZooEntry, ZooKind,
        hub::{Hub, Plan, Progress, Repo, Stage, Wanted, bytes},
        hub_folder, zoo_entry,
    },
};

/// Says which models there are, or downloads one.
pub fn models(command: &ModelsCommand) -> Result<()> {
    match command {
        ModelsCommand::List => list(),
        ModelsCommand::Get(arguments) => get(arguments),
    }
}

fn list() -> Result<()> {
    // Settings that make no sense are told to who downloads.
    let hub = Hub::from_env().ok();
    let mut text = String::new();
    for entry in ZOO {
        let here = ModelSpec::find(entry.key).is_ok_and(|spec| spec.is_here());
        let state = if here { "here" } else { "not here" };
        let held = || hub.as_ref()?.held(&Repo::new(entry.source).ok()?);
        let held = held().filter(|held| held.bytes > 0);
        let held = held.map_or_else(String::new, |held| format!(", {} in the cache", bytes(held.bytes)));
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:14} {state:9} {:5} px  t {:3}  {} ({}{held})",
            entry.key, entry.side, entry.default_t, entry.title, entry.source
        );
    }
    terminal::print(&text)
}

fn get(arguments: &GetArguments) -> Result<()> {
    let hub = Hub::from_env()?;
    let wanted = match &arguments.file {
        Some(file) => Wanted::File(file.clone()),
        None => Wanted::Model(arguments.variant),
    };
    let path = match zoo_entry(&arguments.model) {
        Some(entry) => zoo_model(&hub, entry, arguments, &wanted)?,
        None => fetched(&hub, &Repo::new(&arguments.model)?.at(&arguments.revision)?, &wanted)?,
    };
    terminal::print(&format!("{}\n", path.display()))
}

/// Downloads a model with a short name, and what it cannot run without; or one file of its repository.
fn zoo_model(hub: &Hub, entry: &ZooEntry, arguments: &GetArguments, wanted: &Wanted) -> Result<PathBuf> {
    let repo = || Repo::new(entry.source)?.at(&arguments.revision);
    match (entry.kind, wanted) {
        (ZooKind::DropIn { bases, file, .. }, Wanted::Model(_)) => {
            let unet = fetched(hub, &repo()?, &Wanted::File(file.to_owned()))?;
            let mut bases = bases.iter().filter_map(|key| zoo_entry(key));
            if bases.clone().all(|base| hub_folder(base.source).is_none())
                && let Some(base) = bases.next()
            {
                terminal::note(&format!(
                    "{} is put into {}, which is not here yet",
                    entry.key, base.title
                ));
                fetched(hub, &Repo::new(base.source)?, wanted)?;
            }
            Ok(unet)
        }
        (ZooKind::StableDiffusion { .. } | ZooKind::DropIn { .. }, _) => fetched(hub, &repo()?, wanted),
        (ZooKind::Embedded, _) => Err(Error::usage(format!(
            "{} is inside the program: nothing to download",
            entry.key
        ))),
        (ZooKind::Adm { .. }, _) => Err(Error::usage(format!(
            "{} is not on the hub: {}; give the downloaded file as the model",
            entry.key, entry.title
        ))),
    }
}

/// Downloads what is missing, and gives the folder, or the file where one was wanted.
fn fetched(hub: &Hub, repo: &Repo, wanted: &Wanted) -> Result<PathBuf> {
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
        Wanted::Model(_) => folder,
        Wanted::File(file) => folder.join(Path::new(file)),
    })
}

fn downloaded(hub: &Hub, plan: &Plan) -> Result<PathBuf> {
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
        bar.set_message(said(progress));
        if progress.bytes_received > 0 && !begun {
            // What was there before has not been downloaded in no time.
            bar.reset_eta();
            begun = true;
        }
        Ok(())
    })
}

fn said(progress: &Progress) -> String {
    let file = &progress.file;
    match &progress.stage {
        Stage::Asking | Stage::Downloading => file.clone(),
        Stage::Checking => format!("{file}: reading what an earlier download has left"),
        Stage::Locked => format!("{file}: another program downloads it"),
        Stage::Waiting { seconds, reason } => format!("{file}: {reason}; again in {seconds} s"),
    }
}
