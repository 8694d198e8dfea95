//! Reading a model's `config.json`: defaults where the key is missing, limits before anything is allocated.

use serde_json::Value;

use crate::error::{Error, Result};

/// Wider layers than this are in no model; a configuration that asks for one is broken.
pub(crate) const MAX_WIDTH: usize = 1 << 16;
/// More repeats in a level, or blocks in a transformer, than this are in no model.
pub(crate) const MAX_LAYERS: usize = 64;
/// Longer lists (one entry per level) than this are in no model.
pub(crate) const MAX_LEVELS: usize = 8;

/// Messages show so much of a value: lists in files can be of any length.
const MOST_SHOWN: usize = 80;
/// Whole numbers up to this have no others beside them in a float.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The whole number that a value is, written as 3 or as 3.0: JSON makes no difference, and programs write both.
pub(crate) fn whole_number(value: &Value) -> Option<usize> {
    let of_float = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (0.0..=MAX_EXACT).contains(&number).then_some(number as u64)
    };
    usize::try_from(value.as_u64().or_else(of_float)?).ok()
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let count = text.chars().count();
    if count <= MOST_SHOWN {
        return text;
    }
    let start: String = text.chars().take(MOST_SHOWN).collect();
    format!("{start}… ({count} characters)")
}

/// One `config.json`, with its name for messages.
pub struct ConfigReader<'a> {
    json: &'a Value,
    name: &'a str,
}

impl<'a> ConfigReader<'a> {
    /// A reader of `json`, called `name` in messages.
    pub fn new(json: &'a Value, name: &'a str) -> Result<Self> {
        if !json.is_object() {
            return Err(Error::failed(format!("{name} is not a JSON object")));
        }
        Ok(Self { json, name })
    }

    /// The value of a key that is there and not null.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there and null: to some keys that is a value of its own.
    pub fn is_null(&self, key: &str) -> bool {
        self.json.get(key).is_some_and(Value::is_null)
    }

    /// An error about a key: what was found and what is allowed.
    pub fn refuse(&self, key: &str, allowed: &str) -> Error {
        let found = self.value(key).map_or("nothing".to_owned(), shown);
        Error::failed(format!("{}: \"{key}\" is {found}; allowed: {allowed}", self.name))
    }

    /// A whole number between `least` and `most`.
    pub fn count(&self, key: &str, default: Option<usize>, least: usize, most: usize) -> Result<usize> {
        let found = match self.value(key) {
            None => default,
            Some(value) => whole_number(value),
        };
        found
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.refuse(key, &format!("a whole number from {least} to {most}")))
    }

    /// A finite number.
    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|x| x.is_finite())
                .ok_or_else(|| self.refuse(key, "a finite number")),
        }
    }

    /// A finite number that may be missing.
    pub(crate) fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.value(key).map(|_| self.number(key, 0.0)).transpose()
    }

    /// true or false.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.refuse(key, "true or false")),
        }
    }

    /// A text.
    pub fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.refuse(key, "a text")),
        }
    }

    /// A text out of a few.
    pub fn choice(&self, key: &str, default: &'a str, allowed: &[&str]) -> Result<&'a str> {
        let found = self.text(key, default)?;
        if allowed.contains(&found) {
            return Ok(found);
        }
        Err(self.refuse(key, &allowed.join(", ")))
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let list = value
            .as_array()
            .filter(|list| list.len() <= MAX_LEVELS)
            .and_then(|list| list.iter().map(Value::as_str).collect());
        list.map(Some).ok_or_else(|| self.refuse(key, "a list of texts"))
    }

    /// A list of whole numbers between `least` and `most`; one number stands for `repeat` equal ones.
    pub fn counts(&self, key: &str, default: &[usize], repeat: usize, least: usize, most: usize) -> Result<Vec<usize>> {
        let allowed = || {
            let times = if repeat > 0 {
                format!(" or {repeat} of them")
            } else {
                String::new()
            };
            self.refuse(key, &format!("a whole number from {least} to {most}{times}"))
        };
        let in_range = |value: &Value| whole_number(value).filter(|n| (least..=most).contains(n));
        let list = match self.value(key) {
            None => default.to_vec(),
            Some(Value::Array(list)) if !list.is_empty() && list.len() <= MAX_LEVELS => {
                list.iter().map(in_range).collect::<Option<_>>().ok_or_else(allowed)?
            }
            Some(value) => vec![in_range(value).ok_or_else(allowed)?],
        };
        match list.as_slice() {
            [one] if repeat > 0 => Ok(vec![*one; repeat]),
            several if repeat > 0 && several.len() != repeat => Err(allowed()),
            _ => Ok(list),
        }
    }

    /// Refuses a configuration in which `key` has another value than the one this program computes.
    pub fn only(&self, key: &str, supported: &Value) -> Result<()> {
        let same = |found: &Value| match (found.as_f64(), supported.as_f64()) {
            (Some(found), Some(supported)) => found == supported,
            _ => found == supported,
        };
        match self.value(key) {
            Some(found) if !same(found) => Err(self.refuse(key, &supported.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses a configuration in which `key` is set at all: null, false, or false for every level is as if it were not.
    pub fn absent(&self, key: &str) -> Result<()> {
        let unset = |value: &Value| *value == Value::Bool(false);
        match self.value(key) {
            None => Ok(()),
            Some(found) if unset(found) => Ok(()),
            Some(Value::Array(list)) if list.iter().all(unset) => Ok(()),
            Some(_) => Err(self.refuse(key, "nothing: such networks are not supported")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_the_same_with_and_without_a_point() -> Result<()> {
        let json = json!({"whole": 3.0, "float": 1, "list": [2, 2.0], "half": 2.5, "less": -1.0, "huge": 1e300});
        let config = ConfigReader::new(&json, "the test")?;
        assert_eq!(config.count("whole", None, 1, 9)?, 3);
        assert_eq!(config.number("float", 0.0)?, 1.0);
        assert_eq!(config.counts("list", &[], 0, 1, 9)?, [2, 2]);
        config.only("whole", &json!(3))?;
        config.only("float", &json!(1.0))?;
        assert!(config.only("float", &json!(2.0)).is_err());
        for key in ["half", "less", "huge"] {
            assert!(config.count(key, None, 0, usize::MAX).is_err(), "{key}");
        }
        Ok(())
    }

    #[test]
    fn a_long_value_is_told_in_short() -> Result<()> {
        let json = json!({"betas": vec![0.000_123; 1000], "flags": [false, false], "some": [false, true]});
        let config = ConfigReader::new(&json, "the test")?;
        let message = config.absent("betas").expect_err("set").to_string();
        assert!(message.contains("\"betas\"") && message.len() < 300, "{message}");
        config.absent("flags")?;
        assert!(config.absent("some").is_err());
        Ok(())
    }
}
