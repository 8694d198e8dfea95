//! Which files of a repository the program needs: one variant of the weights of each network it runs, with the
//! configurations beside them. Names follow diffusers and transformers:
//! `unet/diffusion_pytorch_model.fp16.safetensors`, `text_encoder/model-00001-of-00002.safetensors`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::repo::shown;
use crate::error::{Error, Result};

/// The file that names the parts of a model of several networks.
pub(crate) const MODEL_INDEX: &str = "model_index.json";
/// How an image encoder's pixels become numbers, beside its configuration.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// The folders of denoisers, of which a model has one.
pub(crate) const DENOISERS: [&str; 2] = ["unet", "transformer"];
/// A message about missing files names at most this many of those that are there.
const MAX_LISTED: usize = 8;

/// Preferred number format of the weights. A repository without it gives another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The plain files, most often f32.
    #[default]
    Full,
    /// The files marked `fp16`: half the size.
    Fp16,
}

impl Variant {
    /// The marks of acceptable files, best first; "" is that of plain files. `ema` and `non_ema` come last, because those
    /// are other weights and not only other numbers.
    fn marks(self) -> [&'static str; 6] {
        match self {
            Self::Full => ["", "fp32", "fp16", "bf16", "ema", "non_ema"],
            Self::Fp16 => ["fp16", "", "fp32", "bf16", "ema", "non_ema"],
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Fp16 => "fp16",
        })
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "full" => Ok(Self::Full),
            "fp16" => Ok(Self::Fp16),
            other => Err(Error::usage(format!(
                "there is no variant \"{}\" of weights: it is full or fp16",
                shown(other)
            ))),
        }
    }
}

/// The part of a repository to find or download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepoPart {
    /// A whole model: one of several networks, such as a Stable Diffusion, or of one: a ControlNet, an image encoder.
    Model(Variant),
    /// One file alone, as the repository names it.
    File(String),
}

/// The weights that were chosen for one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// The network's folder in the repository; empty for the repository's own folder.
    pub folder: String,
    /// The files' mark: `fp16`, or empty for the plain files.
    pub mark: String,
    /// Whether they are safetensors rather than PyTorch's own format.
    pub safetensors: bool,
}

/// The files to download.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Their names, configurations before weights within each folder.
    pub files: Vec<String>,
    /// Which weights those are.
    pub weights: Vec<Weights>,
}

/// Chooses among a repository's files, given by their names.
///
/// Of a model of several networks: `model_index.json`, and of `unet` or `transformer`, `vae`, `text_encoder…`, `tokenizer…` and
/// `scheduler` the configurations and one set of weights. Of a ControlNet or an image encoder: `config.json`, of the encoder
/// `preprocessor_config.json` too, and one set of weights.
/// Weights of the preferred variant come before others, safetensors before PyTorch's own format.
///
/// # Errors
///
/// Where the repository lacks a file without which the program cannot use it; the message says which, and what is there.
pub fn choose<'a>(files: impl IntoIterator<Item = &'a str>, wanted: &RepoPart) -> Result<Choice> {
    let files: BTreeSet<&str> = files.into_iter().collect();
    match wanted {
        RepoPart::File(path) if files.contains(path.as_str()) => Ok(Choice {
            files: vec![path.clone()],
            weights: Vec::new(),
        }),
        RepoPart::File(path) => Err(no_such_file(path, &files)),
        RepoPart::Model(variant) => {
            let folders = Folders::new(&files);
            if DENOISERS.iter().any(|folder| folders.has(folder, "config.json")) {
                pipeline(&folders, *variant)
            } else if folders.has("", "config.json") && folders.names("").any(|name| WeightFile::parse(name).is_some())
            {
                let mut choice = Choice::default();
                if folders.has("", PREPROCESSOR) {
                    choice.files.push(PREPROCESSOR.to_owned());
                }
                network(&folders, "", *variant, &mut choice)?;
                Ok(choice)
            } else {
                Err(no_model(&files))
            }
        }
    }
}

/// The files of a repository by folder, without deeper ones.
struct Folders<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Folders<'a> {
    fn new(files: &BTreeSet<&'a str>) -> Self {
        let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for file in files {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            folders.entry(folder).or_default().insert(name);
        }
        Self(folders)
    }

    fn has(&self, folder: &str, name: &str) -> bool {
        self.0.get(folder).is_some_and(|names| names.contains(name))
    }

    fn names(&self, folder: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(folder).into_iter().flatten().copied()
    }
}

/// Kind of a pipeline's folder, as far as the program uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Network,
    Tokenizer,
    Scheduler,
}

impl Part {
    fn of(folder: &str) -> Option<Self> {
        let numbered = |stem: &str| {
            folder
                .strip_prefix(stem)
                .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_').is_some_and(is_number))
        };
        if DENOISERS.contains(&folder) || folder == "vae" || numbered("text_encoder") {
            Some(Self::Network)
        } else if numbered("tokenizer") {
            Some(Self::Tokenizer)
        } else if folder == "scheduler" {
            Some(Self::Scheduler)
        } else {
            None
        }
    }
}

/// Whether the program uses this folder of a pipeline.
pub(super) fn is_used(folder: &str) -> bool {
    Part::of(folder).is_some()
}

fn pipeline(folders: &Folders<'_>, variant: Variant) -> Result<Choice> {
    let mut choice = Choice::default();
    if folders.has("", MODEL_INDEX) {
        choice.files.push(MODEL_INDEX.to_owned());
    }
    for &folder in folders.0.keys() {
        match Part::of(folder) {
            Some(Part::Network) => network(folders, folder, variant, &mut choice)?,
            Some(Part::Tokenizer) => {
                let texts = folders.names(folder).filter(|name| is_tokenizer_file(name));
                choice.files.extend(texts.map(|name| format!("{folder}/{name}")));
            }
            Some(Part::Scheduler) => {
                let configs = folders
                    .names(folder)
                    .filter(|name| ["scheduler_config.json", "config.json"].contains(name));
                choice.files.extend(configs.map(|name| format!("{folder}/{name}")));
            }
            None => {}
        }
    }
    Ok(choice)
}

fn is_tokenizer_file(name: &str) -> bool {
    name.ends_with(".json") || name.ends_with(".txt") || name.ends_with(".model")
}

/// Adds the configuration and one set of weights of the network in `folder`.
fn network(folders: &Folders<'_>, folder: &str, variant: Variant, choice: &mut Choice) -> Result<()> {
    let path = |name: &str| match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    let whole = if folder.is_empty() { "the repository" } else { folder };
    if !folders.has(folder, "config.json") {
        return Err(Error::failed(format!(
            "{whole} has no config.json, which says what network its weights are of"
        )));
    }
    choice.files.push(path("config.json"));
    let sets = weight_sets(folders.names(folder));
    let best = variant
        .marks()
        .into_iter()
        .flat_map(|mark| [(mark, true), (mark, false)])
        .find_map(|(mark, safetensors)| Some((mark, safetensors, sets.get(&(mark, safetensors))?)));
    let Some((mark, safetensors, names)) = best else {
        let names: BTreeSet<&str> = folders.names(folder).collect();
        return Err(Error::failed(format!(
            "{whole} has no weights that this program reads (*.safetensors or *.bin, all shards with their index); it has {}",
            listed(names.iter().copied())
        )));
    };
    choice.files.extend(names.iter().map(|name| path(name)));
    choice.weights.push(Weights {
        folder: folder.to_owned(),
        mark: mark.to_owned(),
        safetensors,
    });
    Ok(())
}

/// A file that holds weights, or the index of files that do, read from its name.
#[derive(Debug, PartialEq, Eq)]
struct WeightFile<'a> {
    mark: &'a str,
    safetensors: bool,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Single,
    /// One of `of` files, counted from 1.
    Shard {
        number: usize,
        of: usize,
    },
    Index,
}

impl<'a> WeightFile<'a> {
    /// Reads `STEM[.MARK][-NUMBER-of-COUNT][.MARK].FORMAT` and `STEM[.MARK].FORMAT.index[.MARK].json`.
    fn parse(name: &'a str) -> Option<Self> {
        // The longer stem first: neither is a beginning of the other, but both may follow "pytorch_".
        let (rest, stem) = ["diffusion_pytorch_model", "pytorch_model", "model"]
            .into_iter()
            .find_map(|stem| Some((name.strip_prefix(stem)?, stem)))?;
        let (before, after, safetensors) = match (rest.split_once(".safetensors"), rest.split_once(".bin")) {
            (Some((before, after)), _) if stem != "pytorch_model" => (before, after, true),
            (None, Some((before, after))) if stem != "model" => (before, after, false),
            _ => return None,
        };
        let (first_mark, kind, second_mark) = match before.split_once('-') {
            None => (before, Kind::Single, ""),
            Some((first_mark, numbers)) => {
                let (numbers, second_mark) = match numbers.find('.') {
                    Some(dot) => numbers.split_at(dot),
                    None => (numbers, ""),
                };
                let (number, of) = numbers.split_once("-of-")?;
                let count = |text: &str| if is_number(text) { text.parse().ok() } else { None };
                let shard = Kind::Shard {
                    number: count(number)?,
                    of: count(of)?,
                };
                (first_mark, shard, second_mark)
            }
        };
        let (kind, third_mark) = match after {
            "" => (kind, ""),
            index => {
                let mark = index.strip_prefix(".index")?.strip_suffix(".json")?;
                (if kind == Kind::Single { Kind::Index } else { return None }, mark)
            }
        };
        let mut mark = "";
        for part in [first_mark, second_mark, third_mark]
            .into_iter()
            .filter(|part| !part.is_empty())
        {
            let part = part.strip_prefix('.')?;
            if part.is_empty() || !mark.is_empty() {
                return None;
            }
            mark = part;
        }
        Some(Self {
            mark,
            safetensors,
            kind,
        })
    }
}

/// The sets of weights that are whole, by mark and format: a single file, or an index with all its shards.
fn weight_sets<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<(&'a str, bool), Vec<&'a str>> {
    #[derive(Default)]
    struct Found<'a> {
        single: Option<&'a str>,
        index: Option<&'a str>,
        shards: BTreeMap<usize, BTreeMap<usize, &'a str>>,
    }
    let mut found: BTreeMap<(&str, bool), Found<'_>> = BTreeMap::new();
    for name in names {
        let Some(file) = WeightFile::parse(name) else { continue };
        let found = found.entry((file.mark, file.safetensors)).or_default();
        match file.kind {
            Kind::Single => found.single = Some(name),
            Kind::Index => found.index = Some(name),
            Kind::Shard { number, of } => {
                found.shards.entry(of).or_default().insert(number, name);
            }
        }
    }
    let whole = |found: Found<'a>| -> Option<Vec<&'a str>> {
        if let Some(single) = found.single {
            return Some(vec![single]);
        }
        let index = found.index?;
        let (_, shards) = found.shards.into_iter().find(|(of, shards)| {
            *of > 0 && shards.len() == *of && shards.keys().next() == Some(&1) && shards.keys().next_back() == Some(of)
        })?;
        Some([index].into_iter().chain(shards.into_values()).collect())
    };
    found
        .into_iter()
        .filter_map(|(key, found)| Some((key, whole(found)?)))
        .collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn no_such_file(path: &str, files: &BTreeSet<&str>) -> Error {
    let extension = |path: &str| path.rsplit_once('.').map(|(_, extension)| extension.to_owned());
    let alike = files.iter().copied().filter(|file| extension(file) == extension(path));
    let alike: Vec<&str> = alike.collect();
    let (what, names) = match alike.is_empty() {
        true => ("", files.iter().copied().collect()),
        false => ("of this kind ", alike),
    };
    Error::failed(format!(
        "the repository has no file \"{}\"; {what}it has {}",
        shown(path),
        listed(names.into_iter())
    ))
}

fn no_model(files: &BTreeSet<&str>) -> Error {
    Error::failed(format!(
        "the repository is no model this program knows: one of several networks has unet/config.json or transformer/config.json, a ControlNet or an image encoder has \
         config.json beside its weights; it has {}",
        listed(files.iter().copied())
    ))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return "no files".to_owned();
    }
    let named: Vec<String> = names.iter().take(MAX_LISTED).map(|name| shown(name)).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Option<(&str, bool, Kind)> {
        WeightFile::parse(name).map(|file| (file.mark, file.safetensors, file.kind))
    }

    #[test]
    fn names_of_weights_are_read() {
        let shard = |number, of| Kind::Shard { number, of };
        for (name, expected) in [
            ("diffusion_pytorch_model.safetensors", ("", true, Kind::Single)),
            ("diffusion_pytorch_model.fp16.safetensors", ("fp16", true, Kind::Single)),
            ("diffusion_pytorch_model.non_ema.bin", ("non_ema", false, Kind::Single)),
            ("model-00001-of-00002.safetensors", ("", true, shard(1, 2))),
            ("model.fp16-00002-of-00002.safetensors", ("fp16", true, shard(2, 2))),
            ("model-00001-of-00002.fp16.safetensors", ("fp16", true, shard(1, 2))),
            ("model.safetensors.index.json", ("", true, Kind::Index)),
            ("model.safetensors.index.fp16.json", ("fp16", true, Kind::Index)),
            ("pytorch_model.fp16.bin.index.json", ("fp16", false, Kind::Index)),
            ("pytorch_model.bin", ("", false, Kind::Single)),
        ] {
            assert_eq!(parsed(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn other_names_are_no_weights() {
        for name in [
            "openvino_model.bin",
            "flax_model.msgpack",
            "diffusion_flax_model.msgpack",
            "model.onnx",
            "model.onnx_data",
            "model.bin",
            "config.json",
            "model.safetensors.bak",
            "model..safetensors",
            "model-1-of-x.safetensors",
            "model-99999999999999999999-of-1.safetensors",
            "model.fp16-00001-of-00002.fp16.safetensors",
            "modelfp16.safetensors",
            "sd_xl_base_1.0.safetensors",
            "",
        ] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }
}
