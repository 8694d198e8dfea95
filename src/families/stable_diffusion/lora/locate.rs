//! Where an adapter lies: a file, a folder as PEFT or diffusers write it, or a repository in the hub's cache.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    weights::hub::{Hub, Repo},
};

/// The names that PEFT and diffusers give the file in a folder, without its ending.
const STEMS: [&str; 2] = [PEFT_STEM, "pytorch_lora_weights"];
/// PEFT's name.
pub(super) const PEFT_STEM: &str = "adapter_model";
/// Endings of files that an adapter may lie in, best first: of one name, safetensors are taken.
const ENDINGS: [&str; 2] = ["safetensors", "bin"];
/// Messages name at most so many files.
const MAX_NAMED: usize = 8;

/// The file of an adapter that the user gave as a file, a folder, or `OWNER/NAME`.
pub(super) fn locate(given: &Path) -> Result<PathBuf> {
    if given.is_dir() {
        return in_folder(given);
    }
    let name = given.to_str().filter(|name| name.contains('/'));
    match name.and_then(|name| Repo::new(name).ok()) {
        Some(repo) if !given.exists() => in_cache(given, &repo),
        _ => Ok(given.to_owned()),
    }
}

fn in_cache(given: &Path, repo: &Repo) -> Result<PathBuf> {
    let hub = Hub::from_env()?;
    let held = hub.cached(repo);
    let snapshot = held.as_ref().and_then(|held| held.snapshots.first());
    match snapshot {
        Some(snapshot) => in_folder(&snapshot.folder).map_err(|error| error.context(given.display())),
        None => Err(Error::failed(format!(
            "\"{0}\" is neither a file nor a folder here, and the hub's cache {1} does not hold it: `featscope models get {0} \
             --file {2}.{3}` downloads it, if its file has this name",
            given.display(),
            hub.settings().cache.display(),
            STEMS[1],
            ENDINGS[0],
        ))),
    }
}

/// The adapter in a folder: one of the names that are written there, else the only safetensors file.
fn in_folder(folder: &Path) -> Result<PathBuf> {
    let best = |stem: &str| {
        let files = ENDINGS.iter().map(|ending| folder.join(format!("{stem}.{ending}")));
        files.into_iter().find(|file| file.is_file())
    };
    let known: Vec<PathBuf> = STEMS.iter().filter_map(|stem| best(stem)).collect();
    let candidates = match known.is_empty() {
        true => others(folder)?,
        false => known,
    };
    match candidates.as_slice() {
        [file] => Ok(file.clone()),
        [] => Err(Error::failed(format!(
            "{} holds no LoRA: {} was looked for, or one .{} file",
            folder.display(),
            STEMS.map(|stem| format!("{stem}.{}", ENDINGS.join(" or ."))).join(", "),
            ENDINGS[0]
        ))),
        several => {
            let names: Vec<String> = several
                .iter()
                .take(MAX_NAMED)
                .filter_map(|file| Some(file.file_name()?.display().to_string()))
                .collect();
            let more = several.len() - names.len();
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            Err(Error::failed(format!(
                "{} holds several files that may be the LoRA: {}{more}; give one of them",
                folder.display(),
                names.join(", ")
            )))
        }
    }
}

fn others(folder: &Path) -> Result<Vec<PathBuf>> {
    let unread = |error| Error::io("read the folder", folder, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let is_safetensors = path.extension().and_then(OsStr::to_str) == Some(ENDINGS[0]);
        if is_safetensors && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn folder_with(names: &[&str]) -> std::io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for name in names {
            fs::write(folder.path().join(name), "")?;
        }
        Ok(folder)
    }

    #[test]
    fn the_file_in_a_folder_is_the_one_that_is_written_there() -> TestResult {
        for (names, wanted) in [
            (
                &["adapter_model.safetensors", "adapter_model.bin", "x.safetensors"][..],
                "adapter_model.safetensors",
            ),
            (&["adapter_model.bin", "optimizer.bin"], "adapter_model.bin"),
            (
                &["pytorch_lora_weights.safetensors"],
                "pytorch_lora_weights.safetensors",
            ),
            (&["my style.safetensors", "README.md"], "my style.safetensors"),
        ] {
            let folder = folder_with(names)?;
            assert_eq!(locate(folder.path())?, folder.path().join(wanted));
        }
        Ok(())
    }

    #[test]
    fn a_folder_with_several_or_none_is_refused_by_its_names() -> TestResult {
        for (names, words) in [
            (
                &["adapter_model.safetensors", "pytorch_lora_weights.bin"][..],
                "adapter_model.safetensors, pytorch",
            ),
            (&["a.safetensors", "b.safetensors"], "a.safetensors, b.safetensors"),
            (&["README.md"], "holds no LoRA"),
        ] {
            let folder = folder_with(names)?;
            let message = locate(folder.path()).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        Ok(())
    }
}
