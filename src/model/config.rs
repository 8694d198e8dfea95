//! Reading a model's `config.json`: defaults where the key is missing, limits before anything is allocated.

use serde_json::Value;

use crate::error::{Error, Result};

/// Wider layers than this are in no model; a configuration that asks for one is broken.
pub const MAX_WIDTH: usize = 1 << 16;
/// More repeats in a level, or blocks in a transformer, than this are in no model.
pub const MAX_LAYERS: usize = 64;
/// Longer lists (one entry per level) than this are in no model.
pub const MAX_LEVELS: usize = 8;

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

    /// An error about a key: what was found and what is allowed.
    pub fn refuse(&self, key: &str, allowed: &str) -> Error {
        let found = self.value(key).map_or("nothing".to_owned(), Value::to_string);
        Error::failed(format!("{}: \"{key}\" is {found}; allowed: {allowed}", self.name))
    }

    /// A whole number between `least` and `most`.
    pub fn count(&self, key: &str, default: Option<usize>, least: usize, most: usize) -> Result<usize> {
        let found = match self.value(key) {
            None => default,
            Some(value) => value.as_u64().and_then(|n| usize::try_from(n).ok()),
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
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.value(key).map(|_| self.number(key, 0.0)).transpose()
    }

    /// true or false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
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
        let in_range = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (least..=most).contains(n))
        };
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
        match self.value(key) {
            Some(found) if found != supported => Err(self.refuse(key, &supported.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses a configuration in which `key` is set at all.
    pub fn absent(&self, key: &str) -> Result<()> {
        match self.value(key) {
            Some(found) if *found != Value::Bool(false) => {
                Err(self.refuse(key, "nothing: such networks are not supported"))
            }
            _ => Ok(()),
        }
    }
}
