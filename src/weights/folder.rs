//! Which files of a hub-like folder hold the weights of one network.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    Store,
    shard_index::{MOST_BYTES, ShardIndex},
};
use crate::{
    error::{Error, Result},
    files,
};

/// Name of the weights of diffusers' networks, without variant and ending.
pub const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";

/// The ending of safetensors, and that of PyTorch's own format.
const SAFETENSORS: &str = "safetensors";
const PICKLE: &str = "bin";

/// The sets of weights that may be used, best first, by mark and ending. The marks of number formats come before `ema` and
/// `non_ema`, which are other weights than the plain ones; safetensors come before PyTorch's own format, which is slower to
/// open.
const SETS: [(&str, &str); 12] = [
    ("", SAFETENSORS),
    ("fp32", SAFETENSORS),
    ("fp16", SAFETENSORS),
    ("bf16", SAFETENSORS),
    ("", PICKLE),
    ("fp32", PICKLE),
    ("fp16", PICKLE),
    ("bf16", PICKLE),
    ("ema", SAFETENSORS),
    ("ema", PICKLE),
    ("non_ema", SAFETENSORS),
    ("non_ema", PICKLE),
];

/// A message about missing weights names at most this many of the files that are there.
const MAX_LISTED: usize = 20;

/// The weights of one network in a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct FoundWeights {
    /// One file, or all shards that an index names.
    pub files: Vec<PathBuf>,
    /// The mark in their names: `fp16`, `non_ema`; empty for plain ones.
    pub mark: &'static str,
    index: Option<(PathBuf, ShardIndex)>,
}

impl FoundWeights {
    /// Note where the weights are a variant because there are no plain ones; `network` is what they are of.
    pub fn note(&self, network: &str) -> Option<String> {
        let first = self.files.first()?.file_name()?.to_string_lossy().into_owned();
        (!self.mark.is_empty()).then(|| {
            format!(
                "the weights of {network} are the variant {} ({first}): no plainer ones are there",
                self.mark
            )
        })
    }
}

/// The files with the weights of one network in `folder`: one file, or all shards that an index names.
///
/// `stem` is `diffusion_pytorch_model` for diffusers' networks and `model` for transformers'. Plain files come before
/// variants, safetensors before PyTorch's own format. Of several sets the first that is whole counts.
///
/// # Errors
///
/// Where the folder cannot be read or holds no weights of this name, and where shards of an index are missing.
pub fn find_weights(folder: &Path, stem: &str) -> Result<FoundWeights> {
    let held = file_names(folder)?;
    let mut broken = None;
    for (mark, ending) in SETS {
        let single = single(stem, mark, ending);
        if held.contains(&single) {
            return Ok(FoundWeights {
                files: vec![folder.join(single)],
                mark,
                index: None,
            });
        }
        let indices = indices(stem, mark, ending);
        let Some(index) = indices.iter().find(|name| held.contains(name.as_str())) else {
            continue;
        };
        match shards(folder, index) {
            Ok((files, index)) => {
                return Ok(FoundWeights {
                    files,
                    mark,
                    index: Some(index),
                });
            }
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    Err(broken.unwrap_or_else(|| {
        Error::failed(format!(
            "{} holds no weights: looked for {}, {}, the index of shards of either, and the variants fp32, fp16, bf16, ema and \
             non_ema; the folder has {}",
            folder.display(),
            single(stem, "", SAFETENSORS),
            single(stem, "", PICKLE),
            listing(&held)
        ))
    }))
}

/// Opens the weights that [`find_weights`] finds. Every tensor that an index names must be in the shard that it names.
///
/// # Errors
///
/// As [`find_weights`] and [`Store::open_files`], and where a shard lacks a tensor that the index says it has.
pub fn open_weights(folder: &Path, stem: &str) -> Result<Store> {
    let found = find_weights(folder, stem)?;
    let store = Store::open_files(&found.files)?;
    if let Some((path, index)) = &found.index {
        let is_missing = |(tensor, file): &&(String, String)| !store.file_holds(&folder.join(file), tensor);
        if let Some((tensor, file)) = index.tensors.iter().find(is_missing) {
            return Err(Error::failed(format!(
                "{}: the tensor {tensor} is said to be in {file}, which lacks it; the files are not of one model, or one was \
                 not downloaded to its end",
                path.display()
            )));
        }
    }
    Ok(store)
}

/// Notes on a folder of the hub's layout whose networks have no plain weights.
pub(crate) fn variant_notes(folder: &Path) -> Vec<String> {
    const NETWORKS: [(&str, &str); 6] = [
        ("unet", DIFFUSERS_STEM),
        ("transformer", DIFFUSERS_STEM),
        ("vae", DIFFUSERS_STEM),
        ("text_encoder", "model"),
        ("text_encoder_2", "model"),
        ("text_encoder_3", "model"),
    ];
    let notes = NETWORKS.iter().filter_map(|(network, stem)| {
        let found = find_weights(&folder.join(network), stem).ok()?;
        found.note(network)
    });
    notes.collect()
}

/// Name of a stem in a format: transformers' networks have another one in PyTorch's.
fn stem_of<'a>(stem: &'a str, ending: &str) -> &'a str {
    match (stem, ending) {
        ("model", PICKLE) => "pytorch_model",
        (other, _) => other,
    }
}

fn single(stem: &str, mark: &str, ending: &str) -> String {
    let stem = stem_of(stem, ending);
    match mark {
        "" => format!("{stem}.{ending}"),
        mark => format!("{stem}.{mark}.{ending}"),
    }
}

/// Names of the index of shards.
fn indices(stem: &str, mark: &str, ending: &str) -> Vec<String> {
    let stem = stem_of(stem, ending);
    match mark {
        "" => vec![format!("{stem}.{ending}.index.json")],
        // Versions of the libraries differ in where they put the variant.
        mark => vec![
            format!("{stem}.{ending}.index.{mark}.json"),
            format!("{stem}.{ending}.{mark}.index.json"),
            format!("{stem}.{mark}.{ending}.index.json"),
        ],
    }
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

/// The shards that an index names, in the order of their names, and the index.
fn shards(folder: &Path, index_name: &str) -> Result<(Vec<PathBuf>, (PathBuf, ShardIndex))> {
    let path = folder.join(index_name);
    let wrong = |problem: String| Error::failed(format!("{}: {problem}", path.display()));
    let index = ShardIndex::parse(&files::read(&path, MOST_BYTES, "an index of shards")?).map_err(wrong)?;
    if let Some(name) = index.files.iter().find(|name| !is_shard_name(name)) {
        return Err(wrong(format!(
            "it names the file {name:?}, which is not the name of a file of weights beside the index"
        )));
    }
    let files: Vec<PathBuf> = index.files.iter().map(|name| folder.join(name)).collect();
    match files.iter().find(|file| !file.is_file()) {
        Some(missing) => Err(wrong(format!("its file {} is not there", missing.display()))),
        None => Ok((files, (path, index))),
    }
}

/// Whether an index may name this file: it must lie in the index's own folder, whatever a hostile index says.
fn is_shard_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let ending = name.rsplit('.').next().unwrap_or_default();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':'])
        && [SAFETENSORS, PICKLE].contains(&ending)
}

#[cfg(test)]
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
        let found = find_weights(folder.path(), stem)?;
        Ok(found
            .files
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
    fn variants_are_used_where_nothing_plainer_is_there_and_said() {
        for stem in ["model", "diffusion_pytorch_model"] {
            let names: Vec<String> = SETS.iter().map(|(mark, ending)| single(stem, mark, ending)).collect();
            for (kept, (mark, _)) in SETS.iter().enumerate() {
                let files: Vec<_> = names[kept..].iter().map(|name| (name.as_str(), "")).collect();
                let folder = folder_with(&files);
                let found = find_weights(folder.path(), stem).expect("weights");
                assert_eq!(found.files, [folder.path().join(&names[kept])]);
                let note = found.note("unet");
                assert_eq!(note.is_none(), mark.is_empty(), "{note:?}");
                assert!(note.is_none_or(|note| note.contains(mark) && note.contains(&names[kept])));
            }
        }
    }

    #[test]
    fn shards_that_are_not_all_there_give_way_to_what_is_whole() {
        let index = r#"{"weight_map": {"a": "model-1.safetensors"}}"#;
        let folder = folder_with(&[("model.safetensors.index.json", index), ("pytorch_model.bin", "")]);
        assert_eq!(found(&folder, "model"), Ok(vec!["pytorch_model.bin".to_owned()]));
    }

    #[test]
    fn every_shard_of_an_index_is_found_once() {
        let index =
            r#"{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}"#;
        for name in [
            "model.safetensors.index.json",
            "pytorch_model.bin.index.json",
            "pytorch_model.bin.index.non_ema.json",
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
        assert!(is_shard_name("pytorch_model-00001-of-00002.bin"));
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
