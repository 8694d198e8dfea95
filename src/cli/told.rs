//! What a command says of its passes and of what it wrote.

use std::path::Path;

use super::terminal;
use crate::{
    extract::{extracted::Written, job::Planned},
    weights::hub::bytes,
};

/// More tensors than these are counted, not named.
const MOST_NAMED: usize = 4;

/// Says which picture of a pass begins, each once, where there is no terminal to show a bar.
pub struct PictureLog {
    doing: &'static str,
    names: Vec<String>,
    /// The timestep that runs, in words; nothing of an image encoder.
    at: String,
    begun: usize,
}

impl PictureLog {
    /// The log of a pass; `doing` is "extracting" and the like.
    pub fn new(doing: &'static str, planned: &Planned) -> Self {
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned()
        };
        Self {
            doing,
            names: planned.pictures.iter().map(|(path, _)| name(path)).collect(),
            at: match planned.spec.is_encoder() {
                true => String::new(),
                false => format!(", t {}", planned.settings().t),
            },
            begun: 0,
        }
    }

    /// A picture begins, counted from 1, or goes on.
    pub fn picture(&mut self, number: usize) {
        let Self {
            doing,
            names,
            at,
            begun,
        } = self;
        if let (Some(name), true) = (names.get(number.wrapping_sub(1)), number > *begun) {
            *begun = number;
            terminal::begins(&format!("{doing} picture {number} of {} ({name}{at})", names.len()));
        }
    }
}

/// What was extracted: a few tensors with their shapes, of many how many and how much they take.
pub fn tensors(written: &Written) -> String {
    if written.tensors.len() <= MOST_NAMED {
        let each = written
            .tensors
            .iter()
            .map(|(name, shape)| format!("{name} {}", shape_text(shape)));
        return each.collect::<Vec<_>>().join(", ");
    }
    format!("{} tensors, {}", written.tensors.len(), bytes(written.bytes))
}

/// A shape as Python writes it.
pub fn shape_text(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", sides.join(", "))
}

/// So many of something: "1 picture", "3 pictures".
pub fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}
