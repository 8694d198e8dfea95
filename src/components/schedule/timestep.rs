//! Timesteps as models count them.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A timestep as the model counts it, at least 0: whole for discrete schedules, fractions too for flow models (1000·σ).
/// In files a whole number stands as one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timestep(f64);

/// The largest that is read: no schedule is longer, and all whole numbers up to it have an exact float.
const LARGEST: f64 = u32::MAX as f64;

impl Timestep {
    /// A whole timestep.
    pub const fn of(t: u32) -> Self {
        Self(t as f64)
    }

    /// A timestep by its tenths: 1955 for 195.5.
    pub const fn of_tenths(tenths: u32) -> Self {
        Self(tenths as f64 / 10.0)
    }

    /// A timestep.
    ///
    /// # Errors
    ///
    /// Where `t` is negative, no number or larger than any schedule.
    pub fn new(t: f64) -> Result<Self> {
        match (0.0..=LARGEST).contains(&t) {
            // −0 becomes 0: equal timesteps have equal bits.
            true => Ok(Self(t + 0.0)),
            false => Err(Error::usage(format!(
                "a timestep is a number from 0 to {LARGEST}, found {t}"
            ))),
        }
    }

    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// The number where it is whole.
    pub fn whole(self) -> Option<u32> {
        (self.0.fract() == 0.0).then_some(self.0 as u32)
    }

    /// The timestep `by` later, at most `last`.
    pub fn later(self, by: f64, last: Self) -> Self {
        Self((self.0 + by).clamp(0.0, last.0))
    }
}

impl From<u32> for Timestep {
    fn from(t: u32) -> Self {
        Self::of(t)
    }
}

impl From<Timestep> for f64 {
    fn from(t: Timestep) -> Self {
        t.0
    }
}

impl PartialEq for Timestep {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Timestep {}

impl PartialEq<u32> for Timestep {
    fn eq(&self, other: &u32) -> bool {
        *self == Self::of(*other)
    }
}

impl Hash for Timestep {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl PartialOrd for Timestep {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestep {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Timestep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timestep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("a timestep is a number from 0 to {LARGEST}, found \"{text}\""))?;
        Self::new(number).map_err(|error| error.to_string())
    }
}

impl Serialize for Timestep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(whole) => serializer.serialize_u32(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Timestep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::new(number).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stand_in_files_as_such() -> Result<(), Box<dyn std::error::Error>> {
        for (t, text) in [(0.0, "0"), (261.0, "261"), (195.5, "195.5")] {
            let t = Timestep::new(t)?;
            assert_eq!(serde_json::to_string(&t)?, text);
            assert_eq!(serde_json::from_str::<Timestep>(text)?, t);
            assert_eq!(rmp_serde::from_slice::<Timestep>(&rmp_serde::to_vec(&t)?)?, t);
            assert_eq!(t.to_string(), text);
            assert_eq!(text.parse(), Ok(t));
        }
        assert_eq!(serde_json::from_str::<Timestep>("261.0")?.whole(), Some(261));
        Ok(())
    }

    #[test]
    fn what_is_no_timestep_is_refused() {
        for text in ["", "-1", "nan", "inf", "1e300", "a"] {
            assert!(text.parse::<Timestep>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Timestep>("-1").is_err());
        assert_eq!(Timestep::new(-0.0).map(|t| t.0.to_bits()).ok(), Some(0));
    }

    #[test]
    fn they_are_ordered_as_numbers() {
        let steps = [0.0, 0.5, 1.0, 9.0, 10.0, 1000.0].map(|t| Timestep::new(t).expect("a timestep"));
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
