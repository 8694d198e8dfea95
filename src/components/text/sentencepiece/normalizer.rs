//! SentencePiece's normaliser: rewriting rules of the model's file (NFKC and more), and what becomes of blanks.
//!
//! As in SentencePiece's own `normalizer.cc`: at every place of the text the longest rule that begins there applies, else
//! one character is taken as it is.

use crate::error::{Error, Result};

/// The mark of a blank in pieces: U+2581.
pub(super) const BLANK: &str = "\u{2581}";

/// The longest text that a normalised prompt becomes, in bytes: what the longest rule of NFKC makes of a prompt is less.
const MOST_BYTES: usize = 1 << 20;
/// The longest left and right sides of a rule, in bytes: some ten times the longest of NFKC.
const MOST_RULE_BYTES: usize = 256;

/// How a text becomes what pieces are looked for in.
#[derive(Debug, Default)]
pub(super) struct Normalizer {
    /// None where no character is rewritten.
    pub(super) rules: Option<Rules>,
    /// Whether a blank is put before the text.
    pub(super) add_dummy_prefix: bool,
    /// Whether blanks at both ends go, and several become one.
    pub(super) remove_extra_whitespaces: bool,
    /// Whether blanks become [`BLANK`].
    pub(super) escape_whitespaces: bool,
    /// Pieces that no rule rewrites, the longest first.
    pub(super) untouched: Vec<String>,
}

impl Normalizer {
    /// The normalised text.
    ///
    /// # Errors
    ///
    /// Where the rules are broken, and where the text becomes longer than any prompt.
    pub(super) fn normalize(&self, text: &str) -> Result<String> {
        let mut rest = text;
        while self.remove_extra_whitespaces && !rest.is_empty() {
            let (normal, after) = self.first(rest)?;
            if normal != " " {
                break;
            }
            rest = after;
        }
        let mut whole = String::with_capacity(rest.len() + BLANK.len());
        if rest.is_empty() {
            return Ok(whole);
        }
        if self.add_dummy_prefix {
            self.push(&mut whole, " ");
        }
        let mut behind_blank = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (mut normal, after) = self.first(rest)?;
            if behind_blank {
                normal = normal.trim_start_matches(' ');
            }
            if !normal.is_empty() {
                self.push(&mut whole, normal);
                behind_blank = self.remove_extra_whitespaces && normal.ends_with(' ');
            }
            if whole.len() > MOST_BYTES {
                return Err(Error::usage(format!(
                    "the tokenizer makes more than {MOST_BYTES} bytes of the prompt: it is too long"
                )));
            }
            rest = after;
        }
        if self.remove_extra_whitespaces {
            let blank = if self.escape_whitespaces { BLANK } else { " " };
            whole.truncate(whole.trim_end_matches(blank).len());
        }
        Ok(whole)
    }

    /// The normalised beginning of a text that is not empty, and the text behind it.
    fn first<'t>(&'t self, text: &'t str) -> Result<(&'t str, &'t str)> {
        let untouched = self.untouched.iter().find(|piece| text.starts_with(piece.as_str()));
        if let Some(piece) = untouched {
            return Ok(text.split_at(piece.len()));
        }
        if let Some(rules) = &self.rules
            && let Some((length, start)) = rules.longest(text.as_bytes())
            && let Some(after) = text.get(length..)
        {
            return Ok((rules.replacement(start)?, after));
        }
        Ok(text.split_at(text.chars().next().map_or(0, char::len_utf8)))
    }

    fn push(&self, whole: &mut String, normal: &str) {
        for (index, part) in normal.split(' ').enumerate() {
            if index > 0 {
                whole.push_str(if self.escape_whitespaces { BLANK } else { " " });
            }
            whole.push_str(part);
        }
    }
}

/// Rewriting rules: a trie of their left sides as a double array (of Darts-clone), and the right sides one after the other.
#[derive(Debug)]
pub(super) struct Rules {
    units: Vec<u32>,
    /// Each right side ends with a 0.
    replacements: String,
}

impl Rules {
    /// Reads a `precompiled_charsmap`: the trie's size in bytes, the trie, the right sides. An empty one has no rules.
    pub(super) fn new(charsmap: &[u8]) -> Result<Option<Self>> {
        let broken = || Error::failed("the rules of its normaliser (precompiled_charsmap) are cut off or broken");
        if charsmap.is_empty() {
            return Ok(None);
        }
        let (size, rest) = charsmap.split_first_chunk().ok_or_else(broken)?;
        let size = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| broken())?;
        let (trie, replacements) = rest.split_at_checked(size).ok_or_else(broken)?;
        let (units, odd) = trie.as_chunks();
        if units.is_empty() || !odd.is_empty() {
            return Err(broken());
        }
        Ok(Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: std::str::from_utf8(replacements).map_err(|_| broken())?.to_owned(),
        }))
    }

    /// The longest left side at the beginning of `text`: its length, and where its right side begins.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut longest = None;
        let mut place = offset(*self.units.first()?);
        for (index, byte) in text.iter().take(MOST_RULE_BYTES).enumerate() {
            place ^= usize::from(*byte);
            let Some(unit) = self.units.get(place).filter(|unit| label(**unit) == u32::from(*byte)) else {
                break;
            };
            place ^= offset(*unit);
            if has_leaf(*unit)
                && let Some(leaf) = self.units.get(place)
            {
                longest = Some((index + 1, value(*leaf)));
            }
        }
        longest
    }

    /// The right side that begins at `start`.
    fn replacement(&self, start: usize) -> Result<&str> {
        let broken = || Error::failed("the rules of the tokenizer's normaliser lead outside of it");
        let rest = self.replacements.get(start..).ok_or_else(broken)?;
        let end = rest.bytes().take(MOST_RULE_BYTES).position(|byte| byte == 0);
        rest.get(..end.ok_or_else(broken)?).ok_or_else(broken)
    }
}

/// Whether a unit of the trie has a value, which lies where its offset leads.
fn has_leaf(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

fn value(unit: u32) -> usize {
    (unit & 0x7fff_ffff) as usize
}

/// The byte that leads to a unit; a leaf has a bit beside it that no byte has.
fn label(unit: u32) -> u32 {
    unit & 0x8000_00ff
}

/// How far the units behind a unit are from it, to be combined with a place by exclusive or.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trie with the rules `ﬁ` → `fi` and tab → blank, made by hand: every unit is at the place of its path.
    fn rules() -> Rules {
        let mut units = vec![0_u32; 1024];
        let unit = |offset: u32, leaf: bool, byte: u8| offset << 10 | u32::from(leaf) << 8 | u32::from(byte);
        let mut place = 256;
        units[0] = unit(256, false, 0);
        let path = "ﬁ".as_bytes();
        for (index, byte) in path.iter().enumerate() {
            place ^= usize::from(*byte);
            let next = 512 + 128 * index;
            units[place] = unit((place ^ next) as u32, index + 1 == path.len(), *byte);
            place = next;
        }
        units[place] = 0x8000_0000;
        let tab = 256 ^ usize::from(b'\t');
        units[tab] = unit((tab ^ 1000) as u32, true, b'\t');
        units[1000] = 0x8000_0000 | 3;
        Rules {
            units,
            replacements: "fi\0 \0".to_owned(),
        }
    }

    fn normalizer(rules: Option<Rules>) -> Normalizer {
        Normalizer {
            rules,
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            untouched: Vec::new(),
        }
    }

    #[test]
    fn blanks_are_one_each_and_none_at_the_ends() -> Result<()> {
        let normalizer = normalizer(Some(rules()));
        for (text, wanted) in [
            ("", ""),
            ("   ", ""),
            ("\t a \tﬁb  ", "▁a▁fib"),
            ("a\u{a0}b", "▁a\u{a0}b"),
            ("日本", "▁日本"),
        ] {
            assert_eq!(normalizer.normalize(text)?, wanted, "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn each_of_the_settings_can_be_off() -> Result<()> {
        let plain = Normalizer {
            untouched: vec!["ﬁ".to_owned()],
            rules: Some(rules()),
            ..Normalizer::default()
        };
        assert_eq!(plain.normalize(" \tﬁ  b ")?, "  ﬁ  b ");
        assert_eq!(normalizer(None).normalize("ﬁ")?, "▁ﬁ");
        Ok(())
    }

    #[test]
    fn broken_rules_are_errors() -> Result<()> {
        assert!(Rules::new(&[])?.is_none());
        let refused: [&[u8]; 5] = [
            &[1],
            &[4, 0, 0, 0, 1],
            &[0, 0, 0, 0],
            &[3, 0, 0, 0, 1, 1, 1],
            &[4, 0, 0, 0, 1, 1, 1, 1, 0xff],
        ];
        for charsmap in refused {
            assert!(Rules::new(charsmap).is_err(), "{charsmap:?}");
        }
        let mut outside = rules();
        outside.replacements = "fi".to_owned();
        let error = normalizer(Some(outside)).normalize("ﬁ").expect_err("outside");
        assert!(error.to_string().contains("lead outside"), "{error}");
        Ok(())
    }

    /// A rule that makes much of every character.
    #[test]
    fn a_text_does_not_grow_beyond_its_bound() {
        let mut rules = rules();
        rules.replacements = format!("{}\0", "x".repeat(200));
        let text = "ﬁ".repeat(10_000);
        let error = normalizer(Some(rules)).normalize(&text).expect_err("too long");
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
