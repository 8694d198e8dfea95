//! Qwen's tokenizer, equal to transformers' `Qwen2TokenizerFast`: byte pairs of pieces of a text in Unicode's composed form.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use tokenizers::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    models::bpe::{BPE, Vocab},
    normalizers::NFC,
    pre_tokenizers::{
        byte_level::ByteLevel,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

use super::tokenizer::check_prompt;
use crate::{
    error::{Error, Result, clipped},
    files,
};

/// The largest `tokenizer.json` in bytes: Qwen3's has 11 MB.
const MOST_JSON_BYTES: u64 = 24 << 20;
/// The most tokens and merges that are read: Qwen3 has 151,936.
const MOST_TOKENS: usize = 1 << 18;
/// The most tokens that are looked for in a text before anything else: Qwen3 has 26.
const MOST_SPECIAL: usize = 4096;
/// What the text is cut into before its byte pairs.
const PIECES: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Turns prompts into token ids.
pub struct QwenTokenizer {
    bpe: BPE,
    split: Split,
    bytes: ByteLevel,
    /// Tokens that are split off before anything else, the longest first.
    special: Vec<(String, u32)>,
}

/// A token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QwenToken {
    /// Its id.
    pub id: u32,
    /// The vocabulary's text of it; `▁` stands for a blank.
    pub piece: String,
}

impl QwenTokenizer {
    /// Reads `tokenizer.json`: its vocabulary, its merges and its added tokens. What cuts a text into pieces is Qwen's own.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is broken, larger than any, or of another tokenizer.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let text = files::read_text(&path, MOST_JSON_BYTES, "a tokenizer")?;
        Self::from_json(&text).map_err(|error| error.context(path.display()))
    }

    fn from_json(text: &str) -> Result<Self> {
        let broken = |problem: String| Error::failed(clipped(&problem));
        let file: TokenizerFile = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        if file.model.kind != "BPE" || file.model.byte_fallback {
            return Err(Error::failed(format!(
                "its model is {:?}: only \"BPE\" of bytes is supported",
                clipped(&file.model.kind)
            )));
        }
        let bounds = [
            ("tokens", file.model.vocab.len(), MOST_TOKENS),
            ("merges", file.model.merges.len(), MOST_TOKENS),
            ("added tokens", file.added_tokens.len(), MOST_SPECIAL),
        ];
        if let Some((what, count, most)) = bounds.iter().find(|(_, count, most)| count > most) {
            return Err(Error::failed(format!("it has {count} {what}: at most {most} are read")));
        }
        let merges = file.model.merges.into_iter().map(Merge::pair).collect::<Result<_>>()?;
        let bpe = BPE::builder()
            .vocab_and_merges(file.model.vocab.into_iter().collect::<Vocab>(), merges)
            // The encoder's cache outlives it and prompts are short.
            .cache_capacity(0)
            .build()
            .map_err(|error| broken(format!("vocabulary and merges do not fit: {error}")))?;
        let split = Split::new(
            SplitPattern::Regex(PIECES.to_owned()),
            SplitDelimiterBehavior::Isolated,
            false,
        );
        let special = file.added_tokens.into_iter().map(|token| (token.content, token.id));
        let mut special: Vec<_> = special.filter(|(token, _)| !token.is_empty()).collect();
        special.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(Self {
            bpe,
            split: split.map_err(|error| broken(error.to_string()))?,
            bytes: ByteLevel::new(false, true, false),
            special,
        })
    }

    /// All tokens of a text; special tokens in it are their own.
    ///
    /// # Errors
    ///
    /// Where the text is longer than any prompt, or has a byte that the vocabulary lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<QwenToken>> {
        check_prompt(text)?;
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((before, token, after)) = self.next_special(rest) {
            self.push_text(before, &mut tokens)?;
            tokens.push(token);
            rest = after;
        }
        self.push_text(rest, &mut tokens)?;
        Ok(tokens)
    }

    /// The id of a token that is split off before anything else.
    ///
    /// # Errors
    ///
    /// Where there is none of that text.
    pub(crate) fn special(&self, text: &str) -> Result<u32> {
        let found = self.special.iter().find(|(token, _)| token == text);
        let id = found.map(|(_, id)| *id);
        id.ok_or_else(|| {
            Error::failed(format!(
                "the tokenizer has no token \"{text}\": it is not that of a Qwen"
            ))
        })
    }

    /// The first special token in a text, with the text before and behind it.
    fn next_special<'t>(&self, text: &'t str) -> Option<(&'t str, QwenToken, &'t str)> {
        text.char_indices().find_map(|(place, _)| {
            let (before, rest) = text.split_at(place);
            self.special.iter().find_map(|(piece, id)| {
                let token = QwenToken {
                    id: *id,
                    piece: piece.clone(),
                };
                Some((before, token, rest.strip_prefix(piece.as_str())?))
            })
        })
    }

    fn push_text(&self, text: &str, tokens: &mut Vec<QwenToken>) -> Result<()> {
        let wrong = |error: tokenizers::Error| Error::failed(format!("the prompt cannot be encoded: {error}"));
        let mut normal = NormalizedString::from(text);
        NFC.normalize(&mut normal).map_err(wrong)?;
        let mut pieces = PreTokenizedString::from(normal);
        self.split.pre_tokenize(&mut pieces).map_err(wrong)?;
        self.bytes.pre_tokenize(&mut pieces).map_err(wrong)?;
        for (piece, ..) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            let found = self.bpe.tokenize(piece).map_err(wrong)?;
            tokens.extend(found.into_iter().map(|token| QwenToken {
                id: token.id,
                // The character that stands for a blank among bytes.
                piece: token.value.replace('\u{120}', "▁").replace('\u{10a}', "\n"),
            }));
        }
        Ok(())
    }
}

/// The parts of `tokenizer.json` that are used.
#[derive(Deserialize)]
struct TokenizerFile {
    model: ModelPart,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct ModelPart {
    #[serde(rename = "type", default)]
    kind: String,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
}

/// Two parts that become one, as one text or as two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Apart((String, String)),
}

impl Merge {
    fn pair(self) -> Result<(String, String)> {
        match self {
            Self::Apart(pair) => Ok(pair),
            Self::Joined(text) => {
                let pair = text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
                pair.ok_or_else(|| Error::failed(format!("its merge {:?} has no two parts", clipped(&text))))
            }
        }
    }
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}
