//! JSON and text beside the weights.

use std::{fs, path::Path};

use serde_json::Value;

use crate::error::{Error, Result};

/// Larger configurations and vocabularies than this are not read: no model has one.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Reads a text file.
pub fn read_text(path: &Path) -> Result<String> {
    let meta = fs::metadata(path).map_err(|error| Error::io("read", path, &error))?;
    if !meta.is_file() {
        return Err(Error::failed(format!(
            "cannot read {}: it is not a file",
            path.display()
        )));
    }
    if meta.len() > MAX_TEXT_BYTES {
        return Err(Error::failed(format!(
            "{} has {} bytes; a configuration or vocabulary of more than {MAX_TEXT_BYTES} is not read",
            path.display(),
            meta.len()
        )));
    }
    fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Result<Value> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| Error::failed(format!("{} is not valid JSON: {error}", path.display())))
}
