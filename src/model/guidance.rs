//! The guidance scale that distilled models are told (Flux.1 dev): a number beside the timestep, not a second pass.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Larger ones than this are in no published settings: Flux was trained on 1 to 5.
const MOST: f64 = 100.0;

/// A guidance scale, from 0 to 100; 1 is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Guidance(f64);

impl Guidance {
    /// Whether it is the one that models are told where none is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Guidance {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Guidance {
    type Error = String;

    fn try_from(scale: f64) -> Result<Self, String> {
        match (0.0..=MOST).contains(&scale) {
            // −0 becomes 0: equal scales have equal bits.
            true => Ok(Self(scale + 0.0)),
            false => Err(format!("a guidance scale is a number from 0 to {MOST}, found {scale}")),
        }
    }
}

impl From<Guidance> for f64 {
    fn from(guidance: Guidance) -> Self {
        guidance.0
    }
}

// No scale is NaN.
impl Eq for Guidance {}

impl Hash for Guidance {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Guidance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Guidance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("a guidance scale is a number from 0 to {MOST}, found \"{text}\""))?;
        Self::try_from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_scale_is_refused() {
        for text in ["", "-1", "nan", "inf", "100.5", "a"] {
            assert!(text.parse::<Guidance>().is_err(), "{text}");
        }
        assert_eq!("3.5".parse::<Guidance>().map(f64::from), Ok(3.5));
        assert_eq!(
            " 0 ".parse::<Guidance>().map(|scale| scale.to_string()),
            Ok("0".to_owned())
        );
        assert!(serde_json::from_str::<Guidance>("101").is_err());
        assert!("1".parse::<Guidance>().is_ok_and(|scale| scale.is_default()));
    }
}
