//! Scores as text.

/// Digits that tell scores apart.
const SIGNIFICANT_DIGITS: i32 = 3;

/// A score with as many digits as tell scores apart, without zeros at the end.
pub fn score_text(score: f32) -> String {
    text_of_digits(score, SIGNIFICANT_DIGITS)
}

/// A score in no more than `most_characters`, with as many digits as there is room for; `None` where there is room for
/// not even one.
pub fn short_score_text(score: f32, most_characters: usize) -> Option<String> {
    (1..=SIGNIFICANT_DIGITS)
        .rev()
        .map(|digits| text_of_digits(score, digits))
        .find(|text| text.chars().count() <= most_characters)
}

fn text_of_digits(score: f32, digits: i32) -> String {
    if score == 0.0 {
        // Minus zero is not told from zero.
        return "0".to_owned();
    }
    if !score.is_finite() {
        return score.to_string();
    }
    let magnitude = score.abs().log10().floor() as i32;
    if (-SIGNIFICANT_DIGITS..=SIGNIFICANT_DIGITS).contains(&magnitude) {
        let decimals = (digits - 1 - magnitude).max(0) as usize;
        let text = format!("{score:.decimals$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    } else {
        format!("{score:.0$e}", digits as usize - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_tell_scores_apart() {
        for (score, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-0.25, "-0.25"),
            (0.123_456, "0.123"),
            (12.345, "12.3"),
            (1234.0, "1234"),
            (0.000_012_34, "1.23e-5"),
            (5.0e7, "5.00e7"),
        ] {
            assert_eq!(score_text(score), text);
        }
    }

    #[test]
    fn numbers_give_up_digits_where_there_is_little_room() {
        for (score, most_characters, text) in [
            (-0.123_456, 6, Some("-0.123")),
            (-0.123_456, 5, Some("-0.12")),
            (-0.123_456, 4, Some("-0.1")),
            (-0.123_456, 3, None),
            (0.000_012_34, 5, Some("1e-5")),
            (1234.0, 4, Some("1234")),
        ] {
            assert_eq!(short_score_text(score, most_characters).as_deref(), text);
        }
    }
}
