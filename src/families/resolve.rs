//! From a model's name to its configuration.

use std::path::Path;

use super::{
    FAMILIES,
    known::{how_to_get, known_checkpoint},
    name::{ModelName, unknown},
};
use crate::{
    error::{Error, Result},
    files::names,
    image::decode,
    model::{
        family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint, KnownFiles},
        spec::ModelSpec,
    },
    weights::{Store, hub::Repo, hub_file, hub_snapshot, in_cache::not_downloaded},
};

/// Finds a model by short name, folder, file or its name on the hub and reads its configuration. Behind it may stand
/// networks in the place of its own: `MODEL+FILE` has the denoiser of a file or a folder, `MODEL+vae=FILE` its
/// autoencoder, `MODEL+text=FILE` its text encoder. Nothing is downloaded.
///
/// # Errors
///
/// Where there is no such model, or it is broken or of no family that this program knows.
pub fn resolve(name: &str) -> Result<ModelSpec> {
    let ModelName { base, given } = ModelName::parse(name)?;
    let spec = base_model(&base, given)?;
    Ok(ModelSpec {
        name: name.to_owned(),
        ..spec
    })
}

fn base_model(name: &str, given: GivenNetworks) -> Result<ModelSpec> {
    if let Some(known) = known_checkpoint(name) {
        return by_short_name(known, given);
    }
    let path = &*names::path(name);
    if path.is_dir() {
        return in_folder(name, path, given);
    }
    if path.exists() {
        // Pipes and devices are refused by their kind.
        decode::refuse_as("a model; pictures are given with --image", path)?;
        let layout = CheckpointLayout::File(path.to_owned(), Store::open(path)?);
        return of_its_family(Checkpoint {
            name: name.to_owned(),
            layout,
            given,
        });
    }
    if name.contains('/') && Repo::new(name).is_ok() {
        let snapshot = hub_snapshot(name).ok_or_else(|| not_downloaded(name))?;
        let spec = in_folder(name, &snapshot.folder, given)?;
        return Ok(spec.noting(snapshot.moved_in_words(name)));
    }
    Err(unknown(name))
}

fn in_folder(name: &str, folder: &Path, given: GivenNetworks) -> Result<ModelSpec> {
    of_its_family(Checkpoint {
        name: name.to_owned(),
        layout: CheckpointLayout::Folder(folder.to_owned()),
        given,
    })
}

fn of_its_family(checkpoint: Checkpoint) -> Result<ModelSpec> {
    if let Some(family) = FAMILIES.iter().find(|family| family.recognises(&checkpoint)) {
        return family.configure(checkpoint);
    }
    let looked_for: Vec<&str> = FAMILIES.iter().map(|family| family.looks_for()).collect();
    let path = checkpoint.path().unwrap_or(Path::new(&checkpoint.name));
    Err(Error::failed(format!(
        "{} is no model this program knows: {}",
        path.display(),
        looked_for.join(", ")
    )))
}

fn by_short_name(known: &'static KnownCheckpoint, given: GivenNetworks) -> Result<ModelSpec> {
    let here = match known.files {
        KnownFiles::Hub => of_hub(known, known.source, given.clone())?,
        KnownFiles::DropIn { bases, file } => {
            if given.denoiser.is_some() {
                return Err(Error::usage(format!(
                    "{} is a U-Net itself, put into a model: give that model with the other U-Net instead",
                    known.key
                )));
            }
            let sources = bases.iter().filter_map(|key| Some(known_checkpoint(key)?.source));
            let base = sources.into_iter().find(|source| hub_snapshot(source).is_some());
            match (base, hub_file(known.source, file)) {
                (Some(base), Some(file)) => {
                    let given = GivenNetworks {
                        denoiser: Some(file),
                        ..given.clone()
                    };
                    let put_in = of_hub(known, base, given)?;
                    Some(put_in.ok_or_else(|| not_downloaded(base))?)
                }
                _ => None,
            }
        }
        KnownFiles::Embedded | KnownFiles::Elsewhere => None,
    };
    let spec = match here {
        Some(spec) => spec,
        None => {
            let configured = of_its_family(Checkpoint {
                name: known.key.to_owned(),
                layout: CheckpointLayout::Known(known),
                given,
            })?;
            ModelSpec {
                how_to_get: Some(how_to_get(known)),
                ..configured
            }
        }
    };
    Ok(ModelSpec {
        native_side: known.side,
        default_t: known.default_t,
        ..spec
    })
}

fn of_hub(known: &KnownCheckpoint, source: &str, given: GivenNetworks) -> Result<Option<ModelSpec>> {
    let Some(snapshot) = hub_snapshot(source) else {
        return Ok(None);
    };
    let spec = in_folder(known.key, &snapshot.folder, given)?;
    Ok(Some(spec.noting(snapshot.moved_in_words(source))))
}
