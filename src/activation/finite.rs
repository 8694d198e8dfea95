//! Numbers that are not finite, counted. One pass over numbers that are in memory anyway: NaN and infinity are those whose
//! exponent has all its bits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The bits of an `f32` that are its exponent.
const EXPONENT: u32 = 0x7f80_0000;
/// Numbers checked in one go: vector instructions need a loop without an early exit.
const BLOCK: usize = 4096;

/// How many of some numbers are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct NotFinite {
    /// NaN.
    pub nan: usize,
    /// Infinite, of either sign.
    pub infinite: usize,
    /// Of how many numbers.
    pub of: usize,
}

impl NotFinite {
    /// Counts the numbers that are not finite; none where all are finite.
    pub fn among(numbers: &[f32]) -> Option<Self> {
        let is_sound = |block: &[f32]| {
            // Without a way out inside of the block, so that vector instructions do it.
            let found = block
                .iter()
                .fold(0, |found, x| found | u32::from(x.to_bits() & EXPONENT == EXPONENT));
            found == 0
        };
        if numbers.chunks(BLOCK).all(is_sound) {
            return None;
        }
        let nan = numbers.iter().filter(|x| x.is_nan()).count();
        let infinite = numbers.iter().filter(|x| x.is_infinite()).count();
        Some(Self {
            nan,
            infinite,
            of: numbers.len(),
        })
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nan, infinite, of } = self;
        match (nan, infinite) {
            (nan, 0) => write!(f, "{nan} of {of} numbers are NaN"),
            (0, infinite) => write!(f, "{infinite} of {of} numbers are infinite"),
            (nan, infinite) => write!(f, "{nan} of {of} numbers are NaN and {infinite} are infinite"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_looked_at_and_large_numbers_are_finite() {
        let mut numbers = vec![f32::MAX; 3 * BLOCK + 5];
        numbers[7] = f32::MIN_POSITIVE / 2.0;
        assert_eq!(NotFinite::among(&numbers), None);
        assert_eq!(NotFinite::among(&[]), None);
        let of = numbers.len();
        for place in [0, BLOCK - 1, BLOCK, 2 * BLOCK, of - 1] {
            for (bad, nan, infinite) in [(f32::NAN, 1, 0), (f32::INFINITY, 0, 1), (f32::NEG_INFINITY, 0, 1)] {
                let sound = std::mem::replace(&mut numbers[place], bad);
                assert_eq!(
                    NotFinite::among(&numbers),
                    Some(NotFinite { nan, infinite, of }),
                    "{place}"
                );
                numbers[place] = sound;
            }
        }
    }

    #[test]
    fn it_is_told_in_words() {
        let words = |nan, infinite| NotFinite { nan, infinite, of: 9 }.to_string();
        assert_eq!(words(2, 0), "2 of 9 numbers are NaN");
        assert_eq!(words(0, 9), "9 of 9 numbers are infinite");
        assert_eq!(words(1, 3), "1 of 9 numbers are NaN and 3 are infinite");
    }
}
