//! BERT's tokenizer, equal to transformers' `BertTokenizer`: words in lower case without accents, and of each the longest pieces
//! of a vocabulary.

use std::{collections::HashMap, path::Path};

use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

use super::tokenizer::{check_prompt, clean};
use crate::{
    error::{Error, Result},
    weights::{TextKind, config::ConfigReader, read_json, read_text},
};

/// The most entries of a vocabulary: HunyuanDiT's has 47,020.
const MOST_PIECES: usize = 1 << 18;
/// The most tokens of one prompt.
const MOST_LENGTH: usize = 1024;
/// Longer words are unknown as a whole.
const MOST_WORD_CHARS: usize = 100;
/// What stands before a piece that goes on a word.
const CONTINUED: &str = "##";

const PADDING: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";
const START: &str = "[CLS]";
const END: &str = "[SEP]";
const MASK: &str = "[MASK]";

/// A prompt as tokens of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordPieces {
    /// `[CLS]`, the prompt's tokens, `[SEP]`, padding.
    pub ids: Vec<u32>,
    /// The vocabulary's text of each id; `##` stands before one that goes on a word.
    pub pieces: Vec<String>,
    /// Tokens of the prompt among the ids.
    pub kept: usize,
    /// Tokens of the prompt that did not fit.
    pub dropped: usize,
}

impl WordPieces {
    /// 1 for every token of the prompt and the two around it, 0 for padding.
    pub fn mask(&self) -> Vec<u8> {
        (0..self.ids.len())
            .map(|place| u8::from(place < self.kept + 2))
            .collect()
    }
}

/// Turns prompts into token ids.
#[derive(Debug)]
pub struct WordPieceTokenizer {
    /// The text of every id.
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
    /// Tokens that are looked for in a prompt before anything else.
    special: Vec<(&'static str, u32)>,
    unknown: u32,
    start: u32,
    end: u32,
    padding: u32,
}

impl WordPieceTokenizer {
    /// Reads `vocab.txt`, a piece on each line, and of `tokenizer_config.json` that nothing is asked for but BERT's own ways.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, is larger than any, lacks a token that every prompt has, or asks for other rules.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let config = folder.join("tokenizer_config.json");
        if config.is_file() {
            check_rules(&config)?;
        }
        let path = folder.join("vocab.txt");
        let text = read_text(&path, TextKind::Vocabulary)?;
        Self::from_lines(&text).map_err(|error| error.context(path.display()))
    }

    fn from_lines(text: &str) -> Result<Self> {
        let pieces: Vec<String> = text
            .lines()
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect();
        if pieces.len() > MOST_PIECES {
            return Err(Error::failed(format!(
                "it has {} pieces: at most {MOST_PIECES} are read",
                pieces.len()
            )));
        }
        // Of a piece that is there twice the last id counts, as in Python.
        let ids: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
        let id = |wanted: &str| {
            ids.get(wanted)
                .copied()
                .ok_or_else(|| Error::failed(format!("it lacks the token {wanted}")))
        };
        let all = [PADDING, UNKNOWN, START, END, MASK];
        let special = all.into_iter().filter_map(|text| Some((text, *ids.get(text)?)));
        Ok(Self {
            special: special.collect(),
            unknown: id(UNKNOWN)?,
            start: id(START)?,
            end: id(END)?,
            padding: id(PADDING)?,
            pieces,
            ids,
        })
    }

    /// Encodes a prompt into exactly `length` ids: `[CLS]`, its first `length` − 2 tokens, `[SEP]`, padding.
    ///
    /// # Errors
    ///
    /// Where the prompt is longer than any, and where no prompt has this length.
    pub fn encode(&self, prompt: &str, length: usize) -> Result<WordPieces> {
        if !(2..=MOST_LENGTH).contains(&length) {
            return Err(Error::usage(format!(
                "a prompt has 2 to {MOST_LENGTH} tokens, not {length}"
            )));
        }
        check_prompt(prompt)?;
        let mut of_prompt = self.prompt_ids(prompt);
        let kept = of_prompt.len().min(length - 2);
        let dropped = of_prompt.len() - kept;
        of_prompt.truncate(kept);
        let mut ids = vec![self.start];
        ids.extend(of_prompt);
        ids.push(self.end);
        ids.resize(length, self.padding);
        let piece = |id: &u32| self.pieces.get(*id as usize).cloned().unwrap_or_default();
        Ok(WordPieces {
            pieces: ids.iter().map(piece).collect(),
            ids,
            kept,
            dropped,
        })
    }

    /// All ids of a prompt, without `[CLS]` and `[SEP]`.
    fn prompt_ids(&self, prompt: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = prompt;
        while let Some((at, (text, id))) = self.next_special(rest) {
            self.extend_by_words(&mut ids, &rest[..at]);
            ids.push(id);
            rest = &rest[at + text.len()..];
        }
        self.extend_by_words(&mut ids, rest);
        ids
    }

    /// The first special token in a text, and where it is.
    fn next_special(&self, text: &str) -> Option<(usize, (&'static str, u32))> {
        let found = self
            .special
            .iter()
            .filter_map(|special| Some((text.find(special.0)?, *special)));
        found.min_by_key(|(at, _)| *at)
    }

    fn extend_by_words(&self, ids: &mut Vec<u32>, text: &str) {
        for word in clean(text).split_whitespace() {
            let plain: String = word.to_lowercase().nfd().filter(|c| !is_accent(*c)).collect();
            for part in split_at_punctuation(&plain) {
                self.extend_by_pieces(ids, part);
            }
        }
    }

    /// The longest pieces one after the other; a word that has none somewhere is unknown as a whole.
    fn extend_by_pieces(&self, ids: &mut Vec<u32>, word: &str) {
        let before = ids.len();
        let mut rest = word;
        while !rest.is_empty() {
            let prefix = if rest.len() == word.len() { "" } else { CONTINUED };
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
            let longest = ends.rev().find_map(|end| {
                let id = self.ids.get(&format!("{prefix}{}", &rest[..end]))?;
                Some((end, *id))
            });
            match longest {
                Some((end, id)) if word.chars().count() <= MOST_WORD_CHARS => {
                    ids.push(id);
                    rest = &rest[end..];
                }
                _ => {
                    ids.truncate(before);
                    ids.push(self.unknown);
                    return;
                }
            }
        }
    }
}

/// Refuses rules that are not BERT's own.
fn check_rules(path: &Path) -> Result<()> {
    let json = read_json(path)?;
    let label = path.display().to_string();
    let config = ConfigReader::new(&json, &label)?;
    for key in [
        "do_lower_case",
        "do_basic_tokenize",
        "tokenize_chinese_chars",
        "strip_accents",
    ] {
        config.only(key, &serde_json::json!(true))?;
    }
    Ok(())
}

fn is_accent(c: char) -> bool {
    get_general_category(c) == GeneralCategory::NonspacingMark
}

/// Every punctuation by itself, and what lies between.
fn split_at_punctuation(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in word.char_indices().filter(|(_, c)| is_punctuation(*c)) {
        let end = at + c.len_utf8();
        parts.extend([&word[start..at], &word[at..end]]);
        start = end;
    }
    parts.push(&word[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// What Unicode calls punctuation, and all of ASCII that is neither letter, digit nor blank.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(
            get_general_category(c),
            GeneralCategory::ConnectorPunctuation
                | GeneralCategory::DashPunctuation
                | GeneralCategory::OpenPunctuation
                | GeneralCategory::ClosePunctuation
                | GeneralCategory::InitialPunctuation
                | GeneralCategory::FinalPunctuation
                | GeneralCategory::OtherPunctuation
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Result<WordPieceTokenizer> {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a cat ##s ##at c 的 猫 , ! cafe un ##able ，";
        WordPieceTokenizer::from_lines(&words.replace(' ', "\n"))
    }

    fn pieces(prompt: &str) -> Result<Vec<String>> {
        let found = tokenizer()?.encode(prompt, 12)?;
        Ok(found.pieces[1..=found.kept].to_vec())
    }

    #[test]
    fn words_become_their_longest_pieces() -> Result<()> {
        for (prompt, wanted) in [
            ("", &[][..]),
            ("A CATS", &["a", "cat", "##s"]),
            ("cat,cat!", &["cat", ",", "cat", "!"]),
            ("a猫的cat", &["a", "猫", "的", "cat"]),
            ("Café", &["cafe"]),
            ("cafe\u{301}\u{200b}", &["cafe"]),
            ("unable cax", &["un", "##able", "[UNK]"]),
            ("猫，cat", &["猫", "，", "cat"]),
            ("a[SEP]cat [sep]", &["a", "[SEP]", "cat", "[UNK]", "[UNK]", "[UNK]"]),
            ("dog \t\n", &["[UNK]"]),
        ] {
            assert_eq!(pieces(prompt)?, wanted, "{prompt:?}");
        }
        let long = "a".repeat(MOST_WORD_CHARS + 1);
        assert_eq!(pieces(&long)?, ["[UNK]"]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_the_rest_is_padding() -> Result<()> {
        let found = tokenizer()?.encode("a cat cats a a", 5)?;
        assert_eq!(found.pieces, ["[CLS]", "a", "cat", "cat", "[SEP]"]);
        assert_eq!((found.kept, found.dropped), (3, 3));
        let found = tokenizer()?.encode("a", 5)?;
        assert_eq!(found.ids, [2, 5, 3, 0, 0]);
        assert_eq!(found.mask(), [1, 1, 1, 0, 0]);
        assert!(tokenizer()?.encode("a", 1).is_err());
        assert!(tokenizer()?.encode("a", 1 << 20).is_err());
        Ok(())
    }

    #[test]
    fn a_vocabulary_without_what_every_prompt_has_is_refused() {
        for missing in [UNKNOWN, START, END, PADDING] {
            let lines = [PADDING, UNKNOWN, START, END]
                .into_iter()
                .filter(|token| *token != missing);
            let error = WordPieceTokenizer::from_lines(&lines.collect::<Vec<_>>().join("\n"));
            let error = error.expect_err(missing).to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
