//! CLIP's tokenizer, equal to transformers' `CLIPTokenizer` where ftfy is not installed.

use std::{borrow::Cow, path::Path};

use tokenizers::{Model, utils::SysRegex};
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

use super::vocabulary::{END_OF_TEXT, START_OF_TEXT, Vocabulary, byte_chars};
use crate::error::{Error, Result};

/// Tokens of one encoded prompt, start and end included: what CLIP's text encoders are trained on.
pub const CONTEXT_LENGTH: usize = 77;

/// Tokens of the prompt itself that fit between start and end.
pub const MAX_PROMPT_TOKENS: usize = CONTEXT_LENGTH - 2;

/// The longest prompt that is read, in bytes: some hundred times what fits into one run of the text encoder.
const MOST_PROMPT_BYTES: usize = 32 << 10;

/// The most tokens of a prompt, which every cross-attention reads: 64 runs of the text encoder.
const MOST_TOKENS: usize = 64 * MAX_PROMPT_TOKENS;

/// Pattern of one piece: special tokens, English contractions, letters, single digits, everything else but space.
const PIECE_PATTERN: &str =
    r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// A prompt as [`CONTEXT_LENGTH`] tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedPrompt {
    /// Start, at most [`MAX_PROMPT_TOKENS`] of the prompt, end, padding: [`CONTEXT_LENGTH`] ids.
    pub ids: Vec<u32>,
    /// The vocabulary's text of each id, with `</w>` where a word ends.
    pub pieces: Vec<String>,
    /// Tokens of the prompt among the ids.
    pub kept: usize,
    /// Tokens of the prompt that did not fit.
    pub dropped: usize,
}

/// Padding of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The token that ends a prompt (OpenAI's CLIP).
    EndOfText,
    /// The token 0 (OpenCLIP).
    Zero,
}

/// The token 0 of CLIP's vocabulary.
const FIRST_TOKEN: &str = "!";

/// Turns prompts into token ids.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    /// Tokens of embeddings, each with the words for all its vectors.
    added: Vec<(String, String)>,
    pieces: SysRegex,
    /// The printable character that stands for each byte in the vocabulary.
    byte_chars: [char; 256],
}

impl Tokenizer {
    /// Reads a tokenizer from `vocab.json` and `merges.txt`, or from `tokenizer.json` where these are not there, with
    /// the special tokens of `tokenizer_config.json` and `special_tokens_map.json`.
    ///
    /// # Errors
    ///
    /// Where the folder holds no vocabulary, or one that is damaged or of another kind of tokenizer.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        Self::new(Vocabulary::from_folder(folder)?)
    }

    /// CLIP's own vocabulary, which is inside the program.
    ///
    /// # Errors
    ///
    /// None in practice: the vocabulary is part of the program.
    pub fn embedded(padding: Padding) -> Result<Self> {
        Self::new(Vocabulary::embedded(match padding {
            Padding::EndOfText => END_OF_TEXT,
            Padding::Zero => FIRST_TOKEN,
        })?)
    }

    fn new(vocabulary: Vocabulary) -> Result<Self> {
        Ok(Self {
            vocabulary,
            added: Vec::new(),
            pieces: SysRegex::new(PIECE_PATTERN)
                .map_err(|error| Error::failed(format!("the pattern of CLIP's tokenizer is broken: {error}")))?,
            byte_chars: byte_chars(),
        })
    }

    /// Adds a token for an embedding of so many vectors, as transformers' `add_tokens` and diffusers' textual inversion do: it is
    /// found wherever its text is, and is read as one id after the other. Gives the first of its ids.
    ///
    /// # Errors
    ///
    /// Where the vocabulary has such a token.
    pub fn add(&mut self, token: &str, vectors: usize) -> Result<u32> {
        let first = self.vocabulary.add(token)?;
        let mut all = token.to_owned();
        for number in 1..vectors {
            let name = format!("{token}_{number}");
            self.vocabulary.add(&name)?;
            all = format!("{all} {name}");
        }
        self.added.push((token.to_owned(), all));
        Ok(first)
    }

    /// A prompt in which every vector of an embedding is named, as diffusers' `maybe_convert_prompt` makes it.
    fn with_all_vectors<'p>(&self, prompt: &'p str) -> Result<Cow<'p, str>> {
        let mut whole = Cow::Borrowed(prompt);
        let mut met: Vec<&str> = self.special_in(prompt).into_iter().map(|(_, token, _)| token).collect();
        let mut count = met.len();
        met.dedup();
        let mut done: Vec<&str> = Vec::new();
        for token in met {
            let Some((token, all)) = self.added.iter().find(|(added, _)| added == token) else {
                continue;
            };
            if done.contains(&token.as_str()) {
                continue;
            }
            // The replacement of the token is bounded before it is made.
            let vectors = all.split(' ').count();
            count = count.saturating_add(whole.matches(token.as_str()).count().saturating_mul(vectors));
            check_count(count)?;
            whole = Cow::Owned(whole.replace(token, all));
            done.push(token);
        }
        Ok(whole)
    }

    /// Encodes a prompt into exactly [`CONTEXT_LENGTH`] ids, cutting off what does not fit.
    ///
    /// # Errors
    ///
    /// Where the prompt is longer than 32 KiB or has more than 4,800 tokens, and where the vocabulary lacks a piece of
    /// it.
    pub fn encode(&self, prompt: &str) -> Result<TokenizedPrompt> {
        let tokens = self.prompt_ids(prompt)?;
        let kept = tokens.len().min(MAX_PROMPT_TOKENS);
        let ids = self.frame(tokens.get(..kept).unwrap_or(&tokens));
        let pieces = ids.iter().map(|id| self.piece(*id)).collect();
        Ok(TokenizedPrompt {
            ids,
            pieces,
            kept,
            dropped: tokens.len() - kept,
        })
    }

    /// Encodes a prompt of any length as chunks of [`CONTEXT_LENGTH`] ids, each with its own start and end; a prompt
    /// that fits gives one.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`].
    pub fn chunks(&self, prompt: &str) -> Result<Vec<Vec<u32>>> {
        let tokens = self.prompt_ids(prompt)?;
        if tokens.is_empty() {
            return Ok(vec![self.frame(&[])]);
        }
        Ok(tokens
            .chunks(MAX_PROMPT_TOKENS)
            .map(|chunk| self.frame(chunk))
            .collect())
    }

    /// All ids of a prompt between one start and one end, neither cut nor padded.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`].
    pub fn encode_whole(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut ids = vec![self.vocabulary.bos];
        ids.extend(self.prompt_ids(prompt)?);
        ids.push(self.vocabulary.eos);
        Ok(ids)
    }

    /// The id that begins a run.
    pub fn start(&self) -> u32 {
        self.vocabulary.bos
    }

    /// The id that ends a run.
    pub fn end(&self) -> u32 {
        self.vocabulary.eos
    }

    /// The vocabulary's text of an id, empty for an id it does not have.
    pub fn piece(&self, id: u32) -> String {
        let special = self.vocabulary.special.iter().find(|(_, special)| *special == id);
        match special {
            Some((token, _)) => token.clone(),
            None => self.vocabulary.bpe.id_to_token(id).unwrap_or_default(),
        }
    }

    /// Start, `tokens`, end, padding.
    fn frame(&self, tokens: &[u32]) -> Vec<u32> {
        let mut ids = Vec::with_capacity(CONTEXT_LENGTH);
        ids.push(self.vocabulary.bos);
        ids.extend_from_slice(tokens);
        ids.push(self.vocabulary.eos);
        ids.resize(CONTEXT_LENGTH, self.vocabulary.pad);
        ids
    }

    /// Ids of a prompt without start and end. One that is longer than any is refused before it takes time.
    fn prompt_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        check_prompt(prompt)?;
        let mut ids = Vec::new();
        let prompt = self.with_all_vectors(prompt)?;
        let (mut rest, mut from) = (&*prompt, 0);
        for (start, token, id) in self.special_in(&prompt) {
            let (before, after) = rest.split_at(start - from);
            self.push_text(before, &mut ids)?;
            ids.push(id);
            rest = after.strip_prefix(token).unwrap_or_default();
            from = start + token.len();
        }
        self.push_text(rest, &mut ids)?;
        check_count(ids.len())?;
        Ok(ids)
    }

    /// The special tokens in a text with their places and ids, one after the other: the first that begins, of those that begin
    /// there the longest. Each is looked for once from place to place, however many there are.
    fn special_in(&self, text: &str) -> Vec<(usize, &str, u32)> {
        let special = || self.vocabulary.special.iter().filter(|(token, _)| !token.is_empty());
        // Special tokens are sorted by length: the first of equal places is that of the longest.
        let mut next: Vec<Option<usize>> = special().map(|(token, _)| text.find(token)).collect();
        let mut found = Vec::new();
        let first = |next: &[Option<usize>]| {
            let places = next.iter().zip(special());
            let places = places.filter_map(|(place, (token, id))| Some(((*place)?, token.as_str(), *id)));
            places.min_by_key(|(place, ..)| *place)
        };
        while let Some((place, token, id)) = first(&next) {
            found.push((place, token, id));
            let from = place + token.len();
            for (next, (token, _)) in next.iter_mut().zip(special()) {
                if next.is_some_and(|place| place < from) {
                    *next = text.split_at(from).1.find(token).map(|place| from + place);
                }
            }
        }
        found
    }

    /// Appends the ids of text without special tokens.
    fn push_text(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        for word in clean(text).split_whitespace() {
            let word = word.to_lowercase();
            for (start, end) in self.pieces.find_iter(&word) {
                self.push_piece(word.get(start..end).unwrap_or_default(), ids)?;
            }
        }
        Ok(())
    }

    /// Appends the ids of one match of the pattern.
    fn push_piece(&self, piece: &str, ids: &mut Vec<u32>) -> Result<()> {
        // These two were written in other case, or the text before them would have been split at them.
        match piece {
            START_OF_TEXT => ids.push(self.vocabulary.bos),
            END_OF_TEXT => ids.push(self.vocabulary.eos),
            _ => {
                let spelled: String = piece
                    .bytes()
                    .filter_map(|byte| self.byte_chars.get(usize::from(byte)))
                    .collect();
                let tokens = self
                    .vocabulary
                    .bpe
                    .tokenize(&spelled)
                    .map_err(|error| Error::failed(format!("{piece:?} cannot be tokenized: {error}")))?;
                ids.extend(tokens.iter().map(|token| token.id));
            }
        }
        Ok(())
    }
}

/// Refuses a prompt of more tokens than are read.
fn check_count(count: usize) -> Result<()> {
    match count > MOST_TOKENS {
        true => Err(Error::usage(format!(
            "the prompt has {count} tokens: at most {MOST_TOKENS} are read"
        ))),
        false => Ok(()),
    }
}

/// Refuses a prompt that is longer than any, before a model is read for it.
pub(crate) fn check_prompt(prompt: &str) -> Result<()> {
    match prompt.len() {
        bytes if bytes > MOST_PROMPT_BYTES => Err(Error::usage(format!(
            "the prompt has {bytes} bytes: at most {MOST_PROMPT_BYTES} are read"
        ))),
        _ => Ok(()),
    }
}

/// Drops what is not text, makes every space a plain one, sets ideographs apart, and composes accents.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => cleaned.push(' '),
            char::REPLACEMENT_CHARACTER => {}
            c => match get_general_category(c) {
                GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned => {}
                GeneralCategory::SpaceSeparator => cleaned.push(' '),
                _ if is_ideograph(c) => cleaned.extend([' ', c, ' ']),
                _ => cleaned.push(c),
            },
        }
    }
    cleaned.nfc().collect()
}

/// The blocks of CJK ideographs that BERT's and CLIP's tokenizers set apart; kana and hangul are words as others.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}'
        | '\u{2B740}'..='\u{2B81F}'
        | '\u{2B820}'..='\u{2CEAF}'
        | '\u{2F800}'..='\u{2FA1F}')
}
