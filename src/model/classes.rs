//! Classes that a class-conditional network is told in the place of a prompt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Longer names of classes are cut.
const MOST_NAME_CHARS: usize = 200;

/// The classes of a network, numbered from 0, and no class behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    count: u32,
    /// The names that are known, by number.
    names: BTreeMap<u32, String>,
}

/// The class that a network was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTold {
    /// Its row in the network's table.
    pub row: u32,
    /// Its name; `null` where no class was told.
    pub name: Option<String>,
}

impl Classes {
    /// So many classes without names.
    pub fn new(count: u32) -> Self {
        Self {
            count,
            names: BTreeMap::new(),
        }
    }

    /// The same classes with the names that `id2label` of a `model_index.json` has for them: an object of number → name.
    pub fn named_by(self, id2label: Option<&Value>) -> Self {
        let names = id2label.and_then(Value::as_object).into_iter().flatten();
        let names = names.filter_map(|(number, name)| {
            let number: u32 = number.parse().ok().filter(|number| *number < self.count)?;
            Some((number, name.as_str()?.chars().take(MOST_NAME_CHARS).collect()))
        });
        Self {
            names: names.collect(),
            ..self
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The name of a class, if it is known.
    pub fn name(&self, class: u32) -> Option<&str> {
        self.names.get(&class).map(String::as_str)
    }

    /// What the network of `model` is told where `asked` is asked for: the row behind all classes where none is.
    ///
    /// # Errors
    ///
    /// Where the network has no such class.
    pub fn told(&self, asked: Option<u32>, model: &str) -> Result<ClassTold> {
        let row = asked.unwrap_or(self.count);
        if row > self.count {
            return Err(Error::usage(format!(
                "{model} has no class {row}: its classes are 0 to {}, and {} or null tells it none",
                self.count.saturating_sub(1),
                self.count
            )));
        }
        let name = match row == self.count {
            true => Some("null"),
            false => self.name(row),
        };
        Ok(ClassTold {
            row,
            name: name.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_row_behind_all_classes_is_no_class() -> Result<()> {
        let labels = json!({"0": "tench", "9": "ostrich", "10": "none of these", "x": "nor this", "1": 3});
        let classes = Classes::new(10).named_by(Some(&labels));
        let told = |asked| classes.told(asked, "a model");
        assert_eq!(
            (told(Some(9))?.row, told(Some(9))?.name.as_deref()),
            (9, Some("ostrich"))
        );
        assert_eq!(told(Some(1))?.name, None);
        assert_eq!(told(None)?, told(Some(10))?);
        assert_eq!((told(None)?.row, told(None)?.name.as_deref()), (10, Some("null")));
        let error = told(Some(11)).expect_err("no such class").to_string();
        assert!(error.contains("no class 11") && error.contains("0 to 9"), "{error}");
        Ok(())
    }
}
