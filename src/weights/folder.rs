//! Which files of a hub-like folder hold the weights of one network.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{Store, read_json};
use crate::error::{Error, Result};

/// Half-precision variant of the hub: used where the plain file is not there.
const VARIANT: &str = "fp16";

/// Name of the weights of diffusers' networks, without variant and ending.
pub const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";

/// Extension of PyTorch's own format.
const PICKLE_EXTENSION: &str = "bin";

/// A message about missing weights names at most this many of the files that are there.
const MAX_LISTED: usize = 20;

/// The files with the weights of one network in `folder`: one file, or all shards that an index names.
///
/// `stem` is `diffusion_pytorch_model` for diffusers' networks and `model` for transformers'. Safetensors come before
/// PyTorch's own format, which is slower to open, and full precision before the `fp16` variant.
pub fn find_weights(folder: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    let held = file_names(folder)?;
    let names = candidates(stem);
    match names.iter().find(|name| held.contains(name.as_str())) {
        Some(name) if name.ends_with(".json") => shards(folder, name),
        Some(name) => Ok(vec![folder.join(name)]),
        None => Err(Error::failed(format!(
            "{} holds no weights: looked for {}; the folder has {}",
            folder.display(),
            names.join(", "),
            listing(&held)
        ))),
    }
}

/// Opens the weights that [`find_weights`] finds.
pub fn open_weights(folder: &Path, stem: &str) -> Result<Store> {
    let files = find_weights(folder, stem)?;
    match files.as_slice() {
        [file] => Store::open(file),
        files => Store::open_safetensors(files),
    }
}

/// File names that may hold the weights or index their shards, best first.
fn candidates(stem: &str) -> Vec<String> {
    let pickle_stem = match stem {
        "model" => "pytorch_model",
        other => other,
    };
    vec![
        format!("{stem}.safetensors"),
        format!("{stem}.safetensors.index.json"),
        format!("{stem}.{VARIANT}.safetensors"),
        // Versions of the libraries differ in where they put the variant.
        format!("{stem}.safetensors.index.{VARIANT}.json"),
        format!("{stem}.safetensors.{VARIANT}.index.json"),
        format!("{stem}.{VARIANT}.safetensors.index.json"),
        format!("{pickle_stem}.{PICKLE_EXTENSION}"),
        format!("{pickle_stem}.{VARIANT}.{PICKLE_EXTENSION}"),
    ]
}

/// The names of the files in a folder. A link that leads nowhere, as an interrupted download leaves it, is none.
fn file_names(folder: &Path) -> Result<BTreeSet<String>> {
    let read_error = |error| Error::io("read the folder", folder, &error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if let Some(name) = path.file_name().and_then(OsStr::to_str)
            && path.is_file()
        {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

fn listing(held: &BTreeSet<String>) -> String {
    if held.is_empty() {
        return "no files".to_owned();
    }
    let shown: Vec<&str> = held.iter().take(MAX_LISTED).map(String::as_str).collect();
    match held.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The shards that an index (`{"weight_map": {tensor: file}}`) names, in the order of their names.
fn shards(folder: &Path, index_name: &str) -> Result<Vec<PathBuf>> {
    let index = folder.join(index_name);
    let wrong = |problem: String| Error::failed(format!("{}: {problem}", index.display()));
    let json = read_json(&index)?;
    let map = json
        .get("weight_map")
        .and_then(|map| map.as_object())
        .ok_or_else(|| wrong("there is no object \"weight_map\" from tensors to files".to_owned()))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let name = file
            .as_str()
            .ok_or_else(|| wrong(format!("the file of tensor {tensor} is not a name: {file}")))?;
        if !is_shard_name(name) {
            return Err(wrong(format!(
                "the tensor {tensor} is said to be in {name:?}, which is not the name of a safetensors file beside the index"
            )));
        }
        names.insert(name);
    }
    if names.is_empty() {
        return Err(wrong("\"weight_map\" names no file".to_owned()));
    }
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    match files.iter().find(|file| !file.is_file()) {
        Some(missing) => Err(wrong(format!("its file {} is not there", missing.display()))),
        None => Ok(files),
    }
}

/// Whether an index may name this file: it must lie in the index's own folder, whatever a hostile index says.
fn is_shard_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':'])
        && name.ends_with(".safetensors")
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file in it");
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, stem: &str) -> Result<Vec<String>> {
        let files = find_weights(folder.path(), stem)?;
        Ok(files
            .iter()
            .filter_map(|file| file.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    #[test]
    fn full_precision_safetensors_come_first() {
        let names = ["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"];
        for kept in 0..names.len() {
            let files: Vec<_> = names[kept..].iter().map(|name| (*name, "")).collect();
            assert_eq!(found(&folder_with(&files), "model"), Ok(vec![names[kept].to_owned()]));
        }
        let diffusers = folder_with(&[("diffusion_pytorch_model.bin", "")]);
        assert_eq!(
            found(&diffusers, "diffusion_pytorch_model"),
            Ok(vec!["diffusion_pytorch_model.bin".to_owned()])
        );
    }

    #[test]
    fn every_shard_of_an_index_is_found_once() {
        let index =
            r#"{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}"#;
        for name in [
            "model.safetensors.index.json",
            "model.safetensors.index.fp16.json",
            "model.safetensors.fp16.index.json",
            "model.fp16.safetensors.index.json",
        ] {
            let folder = folder_with(&[(name, index), ("model-1.safetensors", ""), ("model-2.safetensors", "")]);
            assert_eq!(
                found(&folder, "model"),
                Ok(vec!["model-1.safetensors".to_owned(), "model-2.safetensors".to_owned()])
            );
        }
    }

    #[test]
    fn an_index_cannot_lead_out_of_its_folder() {
        for name in [
            "../model.safetensors",
            "/model.safetensors",
            "sub/model.safetensors",
            "..\\model.safetensors",
            "C:model.safetensors",
            "./model.safetensors",
            "model.py",
            "",
        ] {
            assert!(!is_shard_name(name), "{name}");
        }
        assert!(is_shard_name("model.fp16-00001-of-00002.safetensors"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = folder_with(&[("config.json", "{}")]);
        let message = find_weights(folder.path(), "model")
            .expect_err("no weights")
            .to_string();
        assert!(
            message.contains("model.safetensors") && message.contains("config.json"),
            "{message}"
        );

        let index = r#"{"weight_map": {"a": "model-1.safetensors"}}"#;
        let folder = folder_with(&[("model.safetensors.index.json", index)]);
        let message = find_weights(folder.path(), "model").expect_err("no shard").to_string();
        assert!(message.contains("model-1.safetensors is not there"), "{message}");

        for broken in [
            "[]",
            "{\"weight_map\": 3}",
            "{\"weight_map\": {}}",
            "{\"weight_map\": {\"a\": 1}}",
            "{",
        ] {
            let folder = folder_with(&[("model.safetensors.index.json", broken)]);
            assert!(find_weights(folder.path(), "model").is_err(), "{broken}");
        }
        assert!(find_weights(&folder.path().join("absent"), "model").is_err());
    }
}
