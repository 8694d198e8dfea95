//! Text on its way to a person: what would act on a terminal is shown instead, no message is longer than can be read, and a name
//! that is not known is answered with one that is near. In: text from anywhere. Out: text that only says something.

mod pattern;

use std::{borrow::Cow, fmt::Write};

pub use pattern::{fits, is_pattern, near_ones};

/// Most characters of a message.
pub const MOST_CHARACTERS: usize = 1900;
/// How many of them are its end, where the middle is left out.
const END_CHARACTERS: usize = 600;
/// Most characters of a name that is told in a message.
const MOST_OF_A_NAME: usize = 200;

/// Whether a character does something where text is shown, instead of being seen: control characters, line separators, and
/// what changes the direction of writing.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn shown_but(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_shown = |character: char| acts(character) && !kept(character);
    if !text.chars().any(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_shown(character) {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// One line: what would act is shown, as `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown_but(text, |_| false)
}

/// Several lines, such as a table: what would act is shown, but for the ends of lines and tabs.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    shown_but(text, |character| matches!(character, '\n' | '\t'))
}

/// A message: [`visible_lines`], and not longer than [`MOST_CHARACTERS`]; what is too much is left out of the middle.
pub fn message(text: &str) -> Cow<'_, str> {
    let text = visible_lines(text);
    let count = text.chars().count();
    if count <= MOST_CHARACTERS {
        return text;
    }
    // What stands for the middle has room beside the two ends.
    const ROOM: usize = 60;
    let start: String = text.chars().take(MOST_CHARACTERS - END_CHARACTERS - ROOM).collect();
    let end: String = text.chars().skip(count - END_CHARACTERS).collect();
    let left_out = count - (MOST_CHARACTERS - ROOM);
    Cow::Owned(format!("{start} … ({left_out} characters are left out) … {end}"))
}

/// A name from elsewhere as a message may tell it: [`visible`], and not without end.
pub fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(MOST_OF_A_NAME).collect();
    if text.chars().nth(MOST_OF_A_NAME).is_some() {
        start.push('…');
    }
    visible(&start).into_owned()
}

/// JSON that acts on no terminal and says the same: what would act is escaped, which it can only be inside of strings.
pub fn json_lines(json: &str) -> Cow<'_, str> {
    let is_escaped = |character: char| acts(character) && character != '\n';
    if !json.chars().any(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_escaped(character) {
            // No such character needs more than four digits; writing into a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// How far a name that is not known is from a known one, in letters; none where it is not near enough for that to be meant.
fn distance(unknown: &str, known: &str) -> Option<usize> {
    const LONGEST: usize = 100;
    const SHORTEST: usize = 2;
    /// One letter in so many may differ.
    const LETTERS_PER_SLIP: usize = 3;
    let length = unknown.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) || known.chars().count() > LONGEST {
        return None;
    }
    let slips = (length / LETTERS_PER_SLIP).max(1);
    let distance = strsim::damerau_levenshtein(&known.to_lowercase(), &unknown.to_lowercase());
    (distance <= slips).then_some(distance)
}

/// The name that is near enough to one that is not known to have been meant: few letters differ.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known
        .into_iter()
        .filter_map(|name| Some((distance(unknown, name)?, name)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// What is added to a message about a name that is not known, if one is near.
pub fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(unknown, known).map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        let bad = "a\x1b[31mb\u{9b}c\u{7f}d\u{202e}e\u{2066}f\u{200f}g\u{2028}h\ri\nj\tk\0";
        assert_eq!(
            visible(bad),
            "a\\u{1b}[31mb\\u{9b}c\\u{7f}d\\u{202e}e\\u{2066}f\\u{200f}g\\u{2028}h\\u{d}i\\u{a}j\\u{9}k\\u{0}"
        );
        assert!(visible_lines(bad).contains("i\nj\tk"));
        assert_eq!(visible("Übung 日本 é 🐈"), "Übung 日本 é 🐈");
        assert_eq!(visible(&visible(bad)), visible(bad));
    }

    #[test]
    fn a_long_message_keeps_its_ends() {
        let long = format!("begin {} end", "é".repeat(50_000));
        let told = message(&long);
        assert!(told.chars().count() <= MOST_CHARACTERS, "{}", told.chars().count());
        assert!(told.starts_with("begin é") && told.ends_with("é end") && told.contains("characters are left out"));
        let escaped = message(&"\u{1b}".repeat(1500)).chars().count();
        assert!(escaped <= MOST_CHARACTERS);
        let short = "x".repeat(MOST_CHARACTERS);
        assert_eq!(message(&short), short);
        assert!(shown(&"n".repeat(1000)).chars().count() <= MOST_OF_A_NAME + 1);
    }

    #[test]
    fn json_says_the_same_and_acts_on_nothing() {
        let name = "x\u{1b}\u{7f}\u{85}\u{202e}\u{2028}\n\"y\"";
        let json = serde_json::json!({ "name": name }).to_string();
        let escaped = json_lines(&json);
        assert!(escaped.is_ascii(), "{escaped}");
        let back: serde_json::Value = serde_json::from_str(&escaped).expect("it is JSON still");
        assert_eq!(back["name"], name);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["extract", "layers", "list", "sd15", "sd15-practical"];
        assert_eq!(nearest("extrat", known), Some("extract"));
        assert_eq!(nearest("lsit", known), Some("list"));
        assert_eq!(nearest("LAYERS", known), Some("layers"));
        assert_eq!(nearest("sd15-pratical", known), Some("sd15-practical"));
        assert_eq!(nearest("https://huggingface.co/x/y", known), None);
        assert_eq!(nearest("photograph", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
        assert_eq!(did_you_mean("banana", known), "");
    }
}
