//! How well something fits what is typed: words by their beginnings, their parts, their initials, with a letter wrong.

use strsim::osa_distance;

/// What a word counts that fits in one way or another.
const WHOLE: u32 = 100;
const BEGINS: u32 = 90;
const INSIDE: u32 = 70;
const INITIALS: u32 = 65;
const MISTYPED: u32 = 55;
const SCATTERED: u32 = 35;
/// What all that is typed counts besides, where it is the whole name or its beginning, or another name or its beginning.
const IS_NAME: u32 = 120;
const BEGINS_NAME: u32 = 60;
const IS_ALIAS: u32 = 80;
const BEGINS_ALIAS: u32 = 25;
/// Shares, in percent, of what a word counts in the name, in another name, in its place, and in what explains it.
const IN_NAME: u32 = 100;
const IN_ALIAS: u32 = 90;
const IN_PLACE: u32 = 50;
const IN_HINT: u32 = 35;
const PERCENT: u32 = 100;
/// Letters from which on one of them may be wrong, and those from which on they may be scattered.
const LEAST_MISTYPED: usize = 4;
const LEAST_SCATTERED: usize = 3;
/// Letters of a name that cost a point: of two that fit, the shorter one is meant.
const LETTERS_PER_POINT: usize = 4;

/// What can be found.
#[derive(Debug, Clone, Copy)]
pub struct Findable<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What else it is called, in small letters.
    pub aliases: &'a [&'a str],
    /// Where it is.
    pub place: &'a str,
    /// What explains it.
    pub hint: &'a str,
}

/// How well something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit<'a> {
    /// The more the better.
    pub score: u32,
    /// The other name that is meant, where it is not the name itself.
    pub alias: Option<&'a str>,
}

/// How well something fits what is typed, in small letters; none where a word fits nowhere.
pub fn fit<'a>(typed: &str, of: &Findable<'a>) -> Option<Fit<'a>> {
    let typed = typed.trim();
    let name = of.name.to_lowercase();
    let (place, hint) = (of.place.to_lowercase(), of.hint.to_lowercase());
    let (mut score, mut alias, mut alias_score) = (0, None, 0);
    for word in typed.split_whitespace() {
        let in_name = word_in(word, &name).map_or(0, |fit| fit * IN_NAME);
        let in_alias = of
            .aliases
            .iter()
            .filter_map(|alias| Some((word_in(word, alias)?, *alias)));
        // Of those that fit alike, the first is the usual one.
        let best = in_alias.rev_max();
        let by_alias = best.map_or(0, |(fit, _)| fit * IN_ALIAS);
        let in_place = plain_word_in(word, &place).map_or(0, |fit| fit * IN_PLACE);
        let in_hint = plain_word_in(word, &hint).map_or(0, |fit| fit * IN_HINT);
        let most = in_name.max(by_alias).max(in_place).max(in_hint);
        if most == 0 {
            return None;
        }
        if by_alias > in_name && by_alias == most && by_alias > alias_score {
            (alias, alias_score) = (best.map(|(_, alias)| alias), by_alias);
        }
        score += most / PERCENT;
    }
    let bare = name.trim_end_matches('…');
    let by_name = if bare == typed {
        IS_NAME
    } else if bare.starts_with(typed) {
        BEGINS_NAME
    } else {
        0
    };
    let whole = of.aliases.iter().find(|alias| **alias == typed);
    let begun = || of.aliases.iter().find(|alias| alias.starts_with(typed));
    let by_alias = match (whole, begun()) {
        (Some(_), _) => IS_ALIAS,
        (None, Some(_)) => BEGINS_ALIAS,
        (None, None) => 0,
    };
    if by_alias > by_name {
        alias = whole.or_else(begun).copied().or(alias);
    }
    let length = (bare.chars().count() / LETTERS_PER_POINT) as u32;
    let score = (score + by_name.max(by_alias)).saturating_sub(length).max(1);
    Some(Fit { score, alias })
}

/// The greatest by its number, of equal ones the first.
trait FirstGreatest<T> {
    fn rev_max(self) -> Option<(u32, T)>;
}

impl<T, I: Iterator<Item = (u32, T)>> FirstGreatest<T> for I {
    fn rev_max(self) -> Option<(u32, T)> {
        self.reduce(|best, next| if next.0 > best.0 { next } else { best })
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|part| !part.is_empty())
}

/// What a word counts in a text that has it, or a word that begins with it.
fn plain_word_in(word: &str, text: &str) -> Option<u32> {
    if parts(text).any(|part| part == word) {
        return Some(WHOLE);
    }
    if parts(text).any(|part| part.starts_with(word)) {
        return Some(BEGINS);
    }
    text.contains(word).then_some(INSIDE)
}

/// The same, and what it counts as initials, with a letter wrong, or scattered over the text.
fn word_in(word: &str, text: &str) -> Option<u32> {
    let count = word.chars().count();
    let plain = plain_word_in(word, text);
    if plain.is_some() {
        return plain;
    }
    let initials: String = parts(text).filter_map(|part| part.chars().next()).collect();
    if count > 1 && initials.starts_with(word) {
        return Some(INITIALS);
    }
    if count >= LEAST_MISTYPED && parts(text).any(|part| is_mistyped(word, part)) {
        return Some(MISTYPED);
    }
    (count >= LEAST_SCATTERED && is_scattered(word, text)).then_some(SCATTERED)
}

/// Whether one letter of a word, or of the beginning of one, is wrong, missing, too much, or has changed places.
fn is_mistyped(word: &str, part: &str) -> bool {
    let count = word.chars().count();
    let same_first = word.chars().next() == part.chars().next();
    (count - 1..=count + 1).any(|length| {
        let begun: String = part.chars().take(length).collect();
        same_first && begun.chars().count() == length && osa_distance(word, &begun) <= 1
    })
}

/// Whether the letters of a word come in this order, each next to the one before or at the beginning of a word.
fn is_scattered(word: &str, text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let begins = |index: usize| index == 0 || !letters[index - 1].is_alphanumeric();
    // Where the letters so far may have ended.
    let mut ends: Vec<usize> = Vec::new();
    for (place, wanted) in word.chars().enumerate() {
        let reached = |index: usize| {
            let next_to = index > 0 && ends.contains(&(index - 1));
            let after = ends.iter().any(|end| *end < index);
            if place == 0 {
                begins(index)
            } else {
                next_to || (after && begins(index))
            }
        };
        let found: Vec<usize> = (0..letters.len())
            .filter(|index| letters[*index] == wanted && reached(*index))
            .collect();
        ends = found;
        if ends.is_empty() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(typed: &str, name: &str, aliases: &[&str]) -> Option<u32> {
        let findable = Findable {
            name,
            aliases,
            place: "View",
            hint: "Lines between the cells of the layer.",
        };
        fit(typed, &findable).map(|fit| fit.score)
    }

    #[test]
    fn a_name_comes_before_other_names_and_these_before_explanations() {
        let in_name = score("grid", "Cell grid", &[]);
        let in_alias = score("grid", "Cells", &["lattice grid"]);
        let in_hint = score("layer", "Cells", &[]);
        assert!(
            in_name > in_alias && in_alias > in_hint && in_hint.is_some(),
            "{in_name:?} {in_alias:?} {in_hint:?}"
        );
    }

    #[test]
    fn a_letter_may_be_wrong_and_words_may_be_begun() {
        for typed in ["overlya", "overly", "ovrelay", "overla", "over"] {
            assert!(score(typed, "Overlay", &[]).is_some(), "{typed}");
        }
        for typed in ["ncm", "next co", "nexcol", "map next"] {
            assert!(score(typed, "Next colour map", &[]).is_some(), "{typed}");
        }
        for typed in ["zzz", "overt night", "mapx", "xoverlay"] {
            assert_eq!(score(typed, "Overlay", &[]), None, "{typed}");
        }
    }

    #[test]
    fn the_other_name_that_is_meant_is_told() {
        let findable = Findable {
            name: "Quit",
            aliases: &["exit", "leave"],
            place: "File",
            hint: "Close the window.",
        };
        assert_eq!(fit("exi", &findable).and_then(|fit| fit.alias), Some("exit"));
        assert_eq!(fit("quit", &findable).and_then(|fit| fit.alias), None);
        assert_eq!(fit("window", &findable).and_then(|fit| fit.alias), None);
    }
}
