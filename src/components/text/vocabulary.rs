//! The files of a CLIP tokenizer: its vocabulary, its merges and its special tokens.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{
    Model,
    models::bpe::{BPE, Merges, Vocab},
};

use crate::{
    error::{Error, Result},
    weights::{TextKind, embedded, read_json, read_text},
};

/// End of a word in CLIP's vocabulary.
const END_OF_WORD: &str = "</w>";

/// First line of `merges.txt`, which is no merge.
const MERGES_HEADER: &str = "#version";

/// The names of the special tokens where no file names others.
pub(super) const START_OF_TEXT: &str = "<|startoftext|>";
/// See [`START_OF_TEXT`].
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";

/// The most tokens and merges that are read: CLIP has 49,408.
const MOST_TOKENS: usize = 1 << 18;

/// The most tokens that are looked for in a prompt before anything else: CLIP has two, and users add some.
const MOST_SPECIAL: usize = 4096;

/// Number of byte values.
const BYTE_VALUES: usize = 256;

/// The first of the characters that stand for bytes which cannot be printed: the one after Latin-1.
const FIRST_STAND_IN: char = '\u{100}';

/// Contents of a tokenizer's files.
pub(super) struct Vocabulary {
    /// Byte-pair encoder of one piece of text.
    pub(super) bpe: BPE,
    /// Tokens that are split off before anything else, longest first, with their ids.
    pub(super) special: Vec<(String, u32)>,
    /// Id that begins every prompt.
    pub(super) bos: u32,
    /// Id that ends every prompt.
    pub(super) eos: u32,
    /// Id that fills a prompt up.
    pub(super) pad: u32,
    /// The first id that no token has.
    pub(super) next: u32,
}

impl Vocabulary {
    /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json`, and the special tokens of the JSON files beside them.
    pub(super) fn from_folder(folder: &Path) -> Result<Self> {
        Self::new(Words::from_folder(folder)?, SpecialNames::from_folder(folder)?)
    }

    /// CLIP's own vocabulary, which is inside the program, with `pad` as the padding token.
    pub(super) fn embedded(pad: &str) -> Result<Self> {
        let names = SpecialNames {
            bos: START_OF_TEXT.to_owned(),
            eos: END_OF_TEXT.to_owned(),
            pad: pad.to_owned(),
            unknown: END_OF_TEXT.to_owned(),
            added: HashMap::new(),
        };
        Self::new(Words::embedded()?, names)
    }

    fn new(words: Words, names: SpecialNames) -> Result<Self> {
        let Words {
            source,
            mut vocab,
            merges,
            mut added,
        } = words;
        added.extend(names.added);
        let bounds = [
            ("tokens", vocab.len(), MOST_TOKENS),
            ("merges", merges.len(), MOST_TOKENS),
            ("added tokens", added.len(), MOST_SPECIAL),
        ];
        if let Some((what, count, most)) = bounds.iter().find(|(_, count, most)| count > most) {
            return Err(Error::failed(format!(
                "{source} has {count} {what}: at most {most} are read"
            )));
        }

        let id_of = |role: &str, token: &str| {
            added
                .get(token)
                .or_else(|| vocab.get(token))
                .copied()
                .ok_or_else(|| Error::failed(format!("{source} lacks the {role} token {token:?}")))
        };
        let (bos, eos, pad, unknown) = (
            id_of("start", &names.bos)?,
            id_of("end", &names.eos)?,
            id_of("padding", &names.pad)?,
            id_of("unknown", &names.unknown)?,
        );
        let mut special = added.clone();
        special.extend([
            (names.bos, bos),
            (names.eos, eos),
            (names.pad, pad),
            (names.unknown.clone(), unknown),
        ]);
        let mut special: Vec<_> = special.into_iter().collect();
        special.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));

        let ids = vocab.values().chain(added.values()).copied();
        let next = ids.max().unwrap_or_default().saturating_add(1);
        // The encoder looks the unknown token up in its own vocabulary.
        vocab.insert(names.unknown.clone(), unknown);
        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
            .end_of_word_suffix(END_OF_WORD.to_owned())
            .unk_token(names.unknown)
            // The encoder's cache outlives it and prompts are short.
            .cache_capacity(0)
            .build()
            .map_err(|error| Error::failed(format!("{source}: vocabulary and merges do not fit: {error}")))?;
        Ok(Self {
            bpe,
            special,
            bos,
            eos,
            pad,
            next,
        })
    }

    /// Adds a token that is split off before anything else; gives its id.
    pub(super) fn add(&mut self, token: &str) -> Result<u32> {
        let known = self.special.iter().any(|(special, _)| special == token);
        if known || self.bpe.token_to_id(token).is_some() {
            return Err(Error::usage(format!(
                "\"{token}\" is a token of the vocabulary already, and cannot stand for an embedding: give another as \
                 FILE=TOKEN"
            )));
        }
        let id = self.next;
        self.next = id.saturating_add(1);
        let place = self
            .special
            .partition_point(|(special, _)| special.len() >= token.len());
        self.special.insert(place, (token.to_owned(), id));
        Ok(id)
    }
}

/// Vocabulary and merges as the files have them.
struct Words {
    /// The file or files, for messages.
    source: String,
    vocab: HashMap<String, u32>,
    merges: Merges,
    /// Tokens outside the byte-pair encoding.
    added: HashMap<String, u32>,
}

/// The parts of `tokenizer.json` that are used.
#[derive(Deserialize)]
struct FastTokenizer {
    model: FastModel,
    #[serde(default)]
    added_tokens: Vec<FastToken>,
}

#[derive(Deserialize)]
struct FastModel {
    vocab: HashMap<String, u32>,
    merges: Vec<FastMerge>,
}

/// Older files write a merge as `"a b"`, newer ones as `["a", "b"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum FastMerge {
    Line(String),
    Pair(String, String),
}

#[derive(Deserialize)]
struct FastToken {
    id: u32,
    content: String,
}

impl Words {
    fn from_folder(folder: &Path) -> Result<Self> {
        let (vocab, merges, fast) = (
            folder.join("vocab.json"),
            folder.join("merges.txt"),
            folder.join("tokenizer.json"),
        );
        if vocab.is_file() && merges.is_file() {
            return Self::from_files(&vocab, &merges);
        }
        if fast.is_file() {
            return Self::from_fast(&fast);
        }
        Err(Error::failed(format!(
            "{} holds no CLIP tokenizer: looked for vocab.json with merges.txt, and for tokenizer.json",
            folder.display()
        )))
    }

    fn from_files(vocab_file: &Path, merges_file: &Path) -> Result<Self> {
        let vocab = serde_json::from_str(&read_text(vocab_file, TextKind::Vocabulary)?).map_err(|error| {
            Error::failed(format!(
                "{} is not a vocabulary, a JSON object from tokens to ids: {error}",
                vocab_file.display()
            ))
        })?;
        let merges = parse_merges(&read_text(merges_file, TextKind::Vocabulary)?)
            .map_err(|error| error.context(merges_file.display()))?;
        Ok(Self {
            source: format!("{} with {}", vocab_file.display(), merges_file.display()),
            vocab,
            merges,
            added: HashMap::new(),
        })
    }

    /// The vocabulary follows from the merges: every byte, every byte at the end of a word, every merge, then the two
    /// special tokens.
    fn embedded() -> Result<Self> {
        let merges = parse_merges(&embedded::clip_merges()?)?;
        let alphabet: Vec<char> = {
            let mut bytes: Vec<(bool, char)> = byte_chars().into_iter().map(|c| (c >= FIRST_STAND_IN, c)).collect();
            // Characters that stand for themselves come first.
            bytes.sort_unstable();
            bytes.into_iter().map(|(_, c)| c).collect()
        };
        let single = alphabet.iter().map(char::to_string);
        let ending = alphabet.iter().map(|c| format!("{c}{END_OF_WORD}"));
        let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
        let special = [START_OF_TEXT, END_OF_TEXT].map(str::to_owned);
        let tokens = single.chain(ending).chain(merged).chain(special);
        Ok(Self {
            source: "CLIP's vocabulary inside the program".to_owned(),
            vocab: tokens.zip(0..).collect(),
            merges,
            added: HashMap::new(),
        })
    }

    fn from_fast(file: &Path) -> Result<Self> {
        let fast: FastTokenizer = serde_json::from_str(&read_text(file, TextKind::Vocabulary)?).map_err(|error| {
            Error::failed(format!(
                "{} is not a byte-pair tokenizer with model.vocab and model.merges: {error}",
                file.display()
            ))
        })?;
        let merges = fast
            .model
            .merges
            .into_iter()
            .map(|merge| match merge {
                FastMerge::Pair(left, right) => Ok((left, right)),
                FastMerge::Line(line) => parse_merge(&line).ok_or_else(|| {
                    Error::failed(format!(
                        "{}: {line:?} in model.merges is not a merge of two tokens",
                        file.display()
                    ))
                }),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            source: file.display().to_string(),
            vocab: fast.model.vocab,
            merges,
            added: fast
                .added_tokens
                .into_iter()
                .filter(|token| !token.content.is_empty())
                .map(|token| (token.content, token.id))
                .collect(),
        })
    }
}

/// The lines of a `merges.txt`.
fn parse_merges(text: &str) -> Result<Merges> {
    text.lines()
        .enumerate()
        .filter(|(number, line)| !(line.trim().is_empty() || *number == 0 && line.starts_with(MERGES_HEADER)))
        .map(|(number, line)| {
            parse_merge(line)
                .ok_or_else(|| Error::failed(format!("line {} is not a merge of two tokens: {line:?}", number + 1)))
        })
        .collect()
}

fn parse_merge(line: &str) -> Option<(String, String)> {
    let mut parts = line.split_whitespace();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(left), Some(right), None) => Some((left.to_owned(), right.to_owned())),
        _ => None,
    }
}

/// Which tokens are special, as `tokenizer_config.json` and `special_tokens_map.json` say.
struct SpecialNames {
    bos: String,
    eos: String,
    pad: String,
    unknown: String,
    /// Tokens that the configuration adds, with their ids.
    added: HashMap<String, u32>,
}

impl SpecialNames {
    fn from_folder(folder: &Path) -> Result<Self> {
        let config_file = folder.join("tokenizer_config.json");
        let config = read_if_there(&config_file)?;
        let map = read_if_there(&folder.join("special_tokens_map.json"))?;
        let decoder = config.get("added_tokens_decoder").and_then(Value::as_object);
        // A configuration without this table is of the older kind, which the map overrides: there the padding token of
        // Stable Diffusion 2 is in the map alone.
        let order = if decoder.is_some() {
            [&config, &map]
        } else {
            [&map, &config]
        };
        let name = |key: &str| order.into_iter().find_map(|json| token_name(json.get(key)?));

        let eos = name("eos_token").unwrap_or_else(|| END_OF_TEXT.to_owned());
        let mut added = HashMap::new();
        for (id, token) in decoder.into_iter().flatten() {
            let (Ok(id), Some(token)) = (id.parse(), token_name(token)) else {
                return Err(Error::failed(format!(
                    "{}: the entry {id:?} of \"added_tokens_decoder\" is not a token with its id",
                    config_file.display()
                )));
            };
            added.insert(token, id);
        }
        Ok(Self {
            bos: name("bos_token").unwrap_or_else(|| START_OF_TEXT.to_owned()),
            pad: name("pad_token").unwrap_or_else(|| eos.clone()),
            unknown: name("unk_token").unwrap_or_else(|| eos.clone()),
            eos,
            added,
        })
    }
}

/// A token is written as a string or as an object with its content.
fn token_name(token: &Value) -> Option<String> {
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

fn read_if_there(file: &Path) -> Result<Value> {
    if file.is_file() {
        read_json(file)
    } else {
        Ok(Value::Null)
    }
}

/// The byte-level alphabet: printable bytes of Latin-1 stand for themselves, the others, in order, for the characters
/// after Latin-1.
pub(super) fn byte_chars() -> [char; BYTE_VALUES] {
    let mut others = FIRST_STAND_IN..;
    std::array::from_fn(|value| match u8::try_from(value) {
        Ok(byte @ (b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)) => char::from(byte),
        _ => others.next().unwrap_or(char::REPLACEMENT_CHARACTER),
    })
}
