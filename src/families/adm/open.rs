//! Opening an ADM: a folder, a single file, or the one inside the program.

use std::path::{Path, PathBuf};

use super::config::AdmConfig;
use crate::{
    error::{Error, Result},
    weights::{Store, embedded, read_json},
};

const CONFIG: &str = "config.json";

/// Weights of a folder, the preferred one first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "model.pt"];

/// Opens an ADM: a folder with `config.json` beside `model.safetensors` or `model.pt`, or one such file under any
/// name. Without a `config.json` beside the weights the architecture is read from the tensors.
///
/// # Errors
///
/// Where there is no such file or folder, where configuration or weights cannot be read, and where tensors without a
/// configuration are none of an ADM.
pub fn open(path: &Path) -> Result<(AdmConfig, Store)> {
    if !path.exists() {
        return Err(Error::failed(format!("{} does not exist", path.display())));
    }
    let weights = if path.is_dir() {
        weights_in(path)?
    } else {
        path.to_owned()
    };
    // The configuration comes first: it is cheap to read, and what it refuses needs no tensors.
    let config_path = weights.with_file_name(CONFIG);
    let config = config_path.is_file().then(|| read_config(&config_path)).transpose()?;
    let store = Store::open(&weights)?;
    let config = config.map_or_else(|| AdmConfig::from_tensors(&store), Ok)?;
    Ok((config, store))
}

/// The configuration in a folder without weights: enough to list the activations. None where there are weights, or no
/// configuration either.
pub(crate) fn config_alone(folder: &Path) -> Result<Option<AdmConfig>> {
    let config_path = folder.join(CONFIG);
    let alone = config_path.is_file() && weights_in(folder).is_err();
    alone.then(|| read_config(&config_path)).transpose()
}

fn read_config(path: &Path) -> Result<AdmConfig> {
    AdmConfig::from_json(&read_json(path)?).map_err(|error| error.context(path.display()))
}

/// The model inside the program.
///
/// # Errors
///
/// None in practice: the model is part of the program.
pub fn open_demo() -> Result<(AdmConfig, Store)> {
    let config = AdmConfig::from_json(&embedded::demo_config()?)?;
    let store = Store::from_bytes(embedded::DEMO_WEIGHTS, "the embedded model")?;
    Ok((config, store))
}

fn weights_in(folder: &Path) -> Result<PathBuf> {
    WEIGHTS
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::failed(format!(
                "{} holds no ADM: {} was looked for",
                folder.display(),
                WEIGHTS.join(" or ")
            ))
        })
}
