//! T5's tokenizer, equal to transformers' `T5Tokenizer`: a unigram vocabulary with `</s>` behind the prompt.

use std::{collections::HashMap, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    sentencepiece::{Piece, PieceKind, SentencePiece},
    tokenizer::check_prompt,
};
use crate::{
    error::{Error, Result, clipped},
    files,
    weights::read_json,
};

/// The largest `spiece.model` in bytes: mT5's has 4.3 MB.
const MOST_MODEL_BYTES: u64 = 16 << 20;
/// The largest `tokenizer.json` in bytes: mT5's has 16.3 MB.
const MOST_JSON_BYTES: u64 = 24 << 20;
/// The most tokens that are looked for in a prompt before anything else: T5 has 103.
const MOST_SPECIAL: usize = 4096;
/// The most tokens of one prompt, padding included: models read 77 to 512.
const MOST_LENGTH: usize = 1024;

const END: &str = "</s>";
const PADDING: &str = "<pad>";

/// The prompt as the tokenizer of PixArt and DeepFloyd IF gets it: in lower case, without blanks at its ends, as diffusers' pipelines
/// have it.
pub fn prepare_prompt(prompt: &str) -> String {
    // Python counts the separators of ASCII as blanks.
    let is_blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    prompt.to_lowercase().trim_matches(is_blank).to_owned()
}

/// A prompt as tokens of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct T5Tokens {
    /// The prompt's tokens, `</s>`, padding.
    pub ids: Vec<u32>,
    /// The vocabulary's text of each id; `▁` stands for a blank.
    pub pieces: Vec<String>,
    /// Tokens of the prompt among the ids.
    pub kept: usize,
    /// Tokens of the prompt that did not fit.
    pub dropped: usize,
}

impl T5Tokens {
    /// 1 for every token of the prompt and for `</s>`, 0 for padding.
    pub fn mask(&self) -> Vec<u8> {
        (0..self.ids.len()).map(|place| u8::from(place <= self.kept)).collect()
    }
}

/// Turns prompts into token ids.
#[derive(Debug)]
pub struct T5Tokenizer {
    model: SentencePiece,
    /// Tokens that are split off before anything else, the longest first.
    special: Vec<(String, u32)>,
    end: u32,
    padding: u32,
}

impl T5Tokenizer {
    /// Reads `spiece.model` with `added_tokens.json` or `tokenizer_config.json`, or `tokenizer.json` where that is all there is.
    ///
    /// The model's file comes first, since it has its normaliser in it. Of `tokenizer.json` only vocabulary, rules and added
    /// tokens are taken: those that programs made of `spiece.model` differ in whether a blank is put before the text
    /// (`prepend_scheme`), and T5 was trained with one.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, is broken or larger than any, or has no `</s>`.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let (spiece, json) = (folder.join("spiece.model"), folder.join("tokenizer.json"));
        if spiece.exists() || !json.exists() {
            let bytes = files::read(&spiece, MOST_MODEL_BYTES, "a SentencePiece model")?;
            let label = spiece.display().to_string();
            let model = SentencePiece::from_bytes(&bytes, &label)?;
            return Self::new(model, added_tokens(folder)?).map_err(|error| error.context(label));
        }
        let text = files::read_text(&json, MOST_JSON_BYTES, "a tokenizer")?;
        Self::from_json(&text).map_err(|error| error.context(json.display()))
    }

    fn from_json(text: &str) -> Result<Self> {
        let fast: FastTokenizer = serde_json::from_str(text).map_err(|error| no_unigram(text, &error))?;
        if fast.model.kind != "Unigram" || fast.model.byte_fallback {
            return Err(Error::failed(format!(
                "its model is {:?}{}; only \"Unigram\" without byte_fallback is supported",
                clipped(&fast.model.kind),
                if fast.model.byte_fallback {
                    " with byte_fallback"
                } else {
                    ""
                }
            )));
        }
        let charsmap = fast.normalizer.as_ref().and_then(charsmap_of).unwrap_or_default();
        let charsmap = BASE64_STANDARD
            .decode(charsmap)
            .map_err(|error| Error::failed(format!("its precompiled_charsmap is no base64: {error}")))?;
        let added: HashMap<String, u32> = fast
            .added_tokens
            .into_iter()
            .map(|token| (token.content, token.id))
            .collect();
        let pieces = (0..).zip(fast.model.vocab).map(|(id, (text, score))| Piece {
            kind: match added.get(&text) {
                _ if fast.model.unk_id == Some(id) => PieceKind::Unknown,
                Some(added) if *added == id => PieceKind::Control,
                _ => PieceKind::Normal,
            },
            text,
            score: score as f32,
        });
        Self::new(SentencePiece::from_pieces(pieces.collect(), &charsmap)?, added)
    }

    fn new(model: SentencePiece, added: HashMap<String, u32>) -> Result<Self> {
        let id_of = |wanted: &str| {
            let own = || (0..).zip(model.pieces()).find(|(_, piece)| piece.text == wanted);
            added.get(wanted).copied().or_else(|| own().map(|(id, _)| id))
        };
        let end =
            id_of(END).ok_or_else(|| Error::failed(format!("it lacks the token {END:?}, which ends a prompt")))?;
        let padding = id_of(PADDING).unwrap_or(0);
        let is_special = |piece: &Piece| matches!(piece.kind, PieceKind::Control | PieceKind::Unknown);
        let own = (0..).zip(model.pieces()).filter(|(_, piece)| is_special(piece));
        let mut special: HashMap<String, u32> = own.map(|(id, piece)| (piece.text.clone(), id)).collect();
        special.extend(added);
        special.remove("");
        if special.len() > MOST_SPECIAL {
            return Err(Error::failed(format!(
                "it has {} special and added tokens: at most {MOST_SPECIAL} are read",
                special.len()
            )));
        }
        let mut special: Vec<_> = special.into_iter().collect();
        special.sort_unstable_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(Self {
            model,
            special,
            end,
            padding,
        })
    }

    /// Encodes a prompt into exactly `length` ids: its first `length` − 1 tokens, `</s>`, padding.
    ///
    /// # Errors
    ///
    /// Where the prompt is longer than any, and where no prompt has this length.
    pub fn encode(&self, prompt: &str, length: usize) -> Result<T5Tokens> {
        if !(1..=MOST_LENGTH).contains(&length) {
            return Err(Error::usage(format!(
                "a prompt has 1 to {MOST_LENGTH} tokens, not {length}"
            )));
        }
        let mut ids = self.prompt_ids(prompt)?;
        let kept = ids.len().min(length - 1);
        let dropped = ids.len() - kept;
        ids.truncate(kept);
        ids.push(self.end);
        ids.resize(length, self.padding);
        let pieces = ids.iter().map(|id| self.piece(*id)).collect();
        Ok(T5Tokens {
            ids,
            pieces,
            kept,
            dropped,
        })
    }

    /// The vocabulary's text of an id, empty for an id it does not have.
    pub fn piece(&self, id: u32) -> String {
        let special = self.special.iter().find(|(_, special)| *special == id);
        let own = || self.model.pieces().get(id as usize).map(|piece| &piece.text);
        special.map(|(text, _)| text).or_else(own).cloned().unwrap_or_default()
    }

    /// All ids of a prompt, without `</s>`.
    fn prompt_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        check_prompt(prompt)?;
        let mut ids = Vec::new();
        let mut rest = prompt;
        while let Some((before, id, after)) = self.next_special(rest) {
            ids.extend(self.model.encode(before)?);
            ids.push(id);
            rest = after;
        }
        ids.extend(self.model.encode(rest)?);
        Ok(ids)
    }

    /// The first special token in a text, with the text before and behind it.
    fn next_special<'t>(&self, text: &'t str) -> Option<(&'t str, u32, &'t str)> {
        text.char_indices().find_map(|(place, _)| {
            let (before, rest) = text.split_at(place);
            let at_place = |(token, id): &(String, u32)| Some((before, *id, rest.strip_prefix(token.as_str())?));
            self.special.iter().find_map(at_place)
        })
    }
}

/// The tokens beside a `spiece.model`, as either file has them; none where neither is there.
fn added_tokens(folder: &Path) -> Result<HashMap<String, u32>> {
    let id_of = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let added = folder.join("added_tokens.json");
    if added.exists() {
        let json = read_json(&added)?;
        let entries = json.as_object().into_iter().flatten();
        return Ok(entries
            .filter_map(|(text, id)| Some((text.clone(), id_of(id)?)))
            .collect());
    }
    let config = folder.join("tokenizer_config.json");
    if !config.exists() {
        return Ok(HashMap::new());
    }
    let json = read_json(&config)?;
    let entries = json.get("added_tokens_decoder").and_then(Value::as_object);
    let token = |(id, token): (&String, &Value)| Some((token.get("content")?.as_str()?.to_owned(), id.parse().ok()?));
    Ok(entries.into_iter().flatten().filter_map(token).collect())
}

/// The base64 of the rules in a normaliser, which may be one of several in a row.
fn charsmap_of(normalizer: &Value) -> Option<&str> {
    match normalizer.get("type")?.as_str()? {
        "Precompiled" => normalizer.get("precompiled_charsmap")?.as_str(),
        "Sequence" => normalizer.get("normalizers")?.as_array()?.iter().find_map(charsmap_of),
        _ => None,
    }
}

/// Why a `tokenizer.json` could not be read: one of another kind is told by its kind, any other by what is wrong with it.
fn no_unigram(text: &str, error: &serde_json::Error) -> Error {
    #[derive(Deserialize)]
    struct Model {
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    match serde_json::from_str::<File>(text) {
        Ok(file) if file.model.kind != "Unigram" => Error::failed(format!(
            "its model is {:?}, as of another text encoder; a T5 needs one of \"Unigram\"",
            clipped(&file.model.kind)
        )),
        _ => Error::failed(clipped(&error.to_string())),
    }
}

/// The parts of `tokenizer.json` that are used.
#[derive(Deserialize)]
struct FastTokenizer {
    model: FastModel,
    normalizer: Option<Value>,
    #[serde(default)]
    added_tokens: Vec<FastToken>,
}

#[derive(Deserialize)]
struct FastModel {
    #[serde(rename = "type", default)]
    kind: String,
    unk_id: Option<u32>,
    vocab: Vec<(String, f64)>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
struct FastToken {
    id: u32,
    content: String,
}
