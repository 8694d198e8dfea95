//! Patterns of names: `*` stands for any letters, `?` for one. In: a pattern, names. Out: which names it fits, and how far it
//! is from the others. Selections of activations and of pictures read them.

/// Stands for any letters, also none.
const ANY: char = '*';
/// Stands for one letter.
const ONE: char = '?';
/// Most names that a message tells.
const MOST_NEAR: usize = 3;
/// No name is near a longer pattern.
const LONGEST: usize = 100;

/// Whether a text is a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains([ANY, ONE])
}

/// Whether a pattern fits a whole name.
pub fn fits(pattern: &str, name: &str) -> bool {
    letters(pattern) <= name.chars().count() && slips(pattern, name) == 0
}

/// Letters that a name needs at least to fit.
fn letters(pattern: &str) -> usize {
    pattern.chars().filter(|letter| *letter != ANY).count()
}

/// What is added to a message about a pattern that fits none of some names, if some are near.
pub fn near_ones<'a>(pattern: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match near_names(pattern, names).as_slice() {
        [] => String::new(),
        near => format!("; near are {}", near.join(", ")),
    }
}

/// The names that a pattern fits with the fewest letters changed; none where all of its letters would have to be others.
fn near_names<'a>(pattern: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let letters = letters(pattern);
    let names = names.into_iter().filter(|_| letters <= LONGEST);
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (slips(pattern, name), name))
        .filter(|(slips, _)| *slips < letters)
        .collect();
    // What is equally near stays in order.
    near.sort_by_key(|(slips, _)| *slips);
    near.into_iter().take(MOST_NEAR).map(|(_, name)| name).collect()
}

/// Letters to put in, take away or change until a pattern fits a name (Levenshtein's distance, where [`ANY`] takes any letters
/// for nothing): 0 where it fits.
fn slips(pattern: &str, name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    // Slips of the pattern so far against each start of the name.
    let mut before: Vec<usize> = (0..=name.len()).collect();
    for letter in pattern.chars() {
        let mut now = Vec::with_capacity(before.len());
        now.push(before[0] + usize::from(letter != ANY));
        for (index, other) in name.iter().enumerate() {
            let taken = before[index] + usize::from(letter != *other && letter != ONE);
            now.push(match letter {
                ANY => before[index + 1].min(now[index]),
                _ => taken.min(before[index + 1] + 1).min(now[index] + 1),
            });
        }
        before = now;
    }
    before.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, is_fit) in [
            ("b*", "b10-attn-map", true),
            ("b*", "ab", false),
            ("b?", "b1", true),
            ("b?", "b10", false),
            ("b?", "b", false),
            ("up-*-cross-q", "up-level1-repeat1-vit-block0-cross-q", true),
            ("up-*-cross-q", "up-level1-repeat1-vit-block0-cross-q2", false),
            ("*", "", true),
            ("**", "anything", true),
            ("*é?", "Wég", true),
            ("b1", "b1", true),
            ("B1", "b1", false),
        ] {
            assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
        }
        assert!(is_pattern("b*") && is_pattern("b?") && !is_pattern("b1"));
    }

    #[test]
    fn near_names_need_the_fewest_changes() {
        let names = [
            "down-level0-vit-cross-q",
            "up-level0-vit-cross-k",
            "up-level0-vit-cross-q",
            "mid",
        ];
        assert_eq!(slips("up-*-cros-q", names[2]), 1);
        assert_eq!(near_names("up-*-cros-q", names)[0], names[2]);
        assert!(near_names("zz*", ["b1", "b2"]).is_empty());
        assert!(near_names("*", []).is_empty());
    }
}
