//! Names of models as the user gives them, with files of other networks behind them; and the error where there is none.

use std::path::{Path, PathBuf};

use super::known::{known_checkpoint, known_checkpoints};
use crate::{
    error::{Error, Result},
    files::names,
    model::family::GivenNetworks,
    weights::{hub::Repo, hub_snapshot},
    words::{did_you_mean, shown},
};

/// Separator of a model and the file of another network for it.
const JOINT: char = '+';
/// Prefixes of the file of an autoencoder, and of a text encoder; that of a U-Net has none.
const VAE: &str = "vae=";
const TEXT: &str = "text=";

/// A model, and the networks that stand in the place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ModelName {
    pub(super) base: String,
    pub(super) given: GivenNetworks,
}

impl ModelName {
    /// # Errors
    ///
    /// Where two networks are given for one place.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let mut read = Self::default();
        let mut rest = name;
        // A path may have the sign in it.
        while !is_here(rest)
            && let Some((before, part)) = last_part(rest)
        {
            read.take(part)?;
            rest = before;
        }
        rest.clone_into(&mut read.base);
        Ok(read)
    }

    /// Takes a part; they come from the last to the first.
    fn take(&mut self, part: &str) -> Result<()> {
        let twice = |what: &str| Error::usage(format!("two {what} are given for one model: give one"));
        if let Some(path) = part.strip_prefix(VAE).and_then(path_of) {
            match self.given.vae.replace(path) {
                Some(_) => Err(twice("autoencoders")),
                None => Ok(()),
            }
        } else if let Some(path) = part.strip_prefix(TEXT).and_then(path_of) {
            self.given.text.insert(0, path);
            Ok(())
        } else {
            match self
                .given
                .denoiser
                .replace(path_of(part).unwrap_or_else(|| names::path(part)))
            {
                Some(_) => Err(twice("U-Nets")),
                None => Ok(()),
            }
        }
    }
}

/// A model's name with the files of other networks behind it, as [`resolve`](super::resolve) reads it.
///
/// # Errors
///
/// Where a file is not there.
pub fn with_files(model: &str, vae: Option<&Path>, text: &[PathBuf]) -> Result<String> {
    let mut name = model.to_owned();
    let vae = vae.map(|path| ("--vae-file", VAE, path));
    let text = text.iter().map(|path| ("--text-encoder", TEXT, path.as_path()));
    for (option, role, path) in vae.into_iter().chain(text) {
        let written = names::text(path);
        if path_of(&written).is_none() {
            let shown = path.display();
            return Err(Error::usage(format!(
                "{option}: {shown} is neither a file nor a folder here"
            )));
        }
        name.push(JOINT);
        name.push_str(role);
        name.push_str(&written);
    }
    Ok(name)
}

/// Whether a name is a model's by itself.
fn is_here(name: &str) -> bool {
    known_checkpoint(name).is_some() || path_of(name).is_some()
}

/// Location of a name: a path, or a repository in the hub's cache.
fn path_of(name: &str) -> Option<PathBuf> {
    let path = names::path(name);
    if path.exists() {
        return Some(path);
    }
    let is_repository = name.contains('/') && Repo::new(name).is_ok();
    is_repository
        .then(|| hub_snapshot(name))?
        .map(|snapshot| snapshot.folder)
}

/// The last network behind a model's name, and what stands before it.
fn last_part(name: &str) -> Option<(&str, &str)> {
    let splits = name
        .rmatch_indices(JOINT)
        .map(|(at, _)| (&name[..at], &name[at + JOINT.len_utf8()..]));
    splits.filter(|(before, _)| !before.is_empty()).find(|(_, part)| {
        let bare = part.strip_prefix(VAE).or_else(|| part.strip_prefix(TEXT));
        path_of(part).is_some() || bare.is_some_and(|bare| path_of(bare).is_some())
    })
}

/// Error about a name under which there is nothing.
pub(super) fn unknown(name: &str) -> Error {
    let told = shown(&names::shown(name));
    if let Some((_, address)) = name.split_once("://") {
        // huggingface.co/OWNER/NAME, and what follows of a file in it.
        let parts: Vec<&str> = address.split(['/', '?', '#']).collect();
        let repository = match parts.as_slice() {
            [_, owner, name, ..] => Repo::new(&format!("{owner}/{name}")).ok(),
            _ => None,
        };
        let example = repository.map_or_else(|| "OWNER/NAME".to_owned(), |repository| repository.id().to_owned());
        return Error::failed(format!(
            "\"{told}\" is a web address, and a model is none: it is named as on the hub, here {example}, once \
             `featscope models get {example}` has downloaded it"
        ));
    }
    if let Some((model, revision)) = name.rsplit_once('@')
        && (known_checkpoint(model).is_some() || model.contains('/') && Repo::new(model).is_ok())
    {
        let revision = shown(revision);
        return Error::failed(format!(
            "there is no model \"{told}\": a revision is no part of a model's name; `featscope models get {model} \
             --revision {revision}` downloads that one and prints its folder, which is a model's name"
        ));
    }
    if let Some((before, part)) = name.rsplit_once(JOINT)
        && !before.is_empty()
    {
        let part = part
            .strip_prefix(VAE)
            .or_else(|| part.strip_prefix(TEXT))
            .unwrap_or(part);
        if path_of(part).is_none() && ModelName::parse(before).is_ok_and(|before| is_here(&before.base)) {
            let part = shown(&names::shown(part));
            return Error::failed(format!(
                "there is no model \"{told}\": \"{part}\", behind the {JOINT}, is neither a file nor a folder here, nor \
                 in the hub's cache"
            ));
        }
    }
    let keys: Vec<&str> = known_checkpoints().map(|entry| entry.key).collect();
    let hint = did_you_mean(name, keys.iter().copied());
    Error::failed(format!(
        "there is no model \"{told}\": it is neither a folder nor a file here, nor one of {}{hint}",
        keys.join(", ")
    ))
}
