//! Answers to the questions of views, the latest of each kind.

use crate::engine::{Answer, queries::Listed};

/// Answers that no other part of the state keeps.
#[derive(Debug, Default)]
pub struct Answers(Vec<Answer>);

impl Answers {
    /// Keeps an answer in place of an earlier one of its kind.
    pub(in crate::app) fn put(&mut self, answer: Answer) {
        self.0.retain(|earlier| !earlier.is_of_kind(&answer));
        self.0.push(answer);
    }

    /// The latest answer to a question of this kind.
    pub fn of<Q: Listed>(&self) -> Option<&Q::Answer> {
        self.0.iter().find_map(Q::find)
    }

    pub(in crate::app) fn clear(&mut self) {
        self.0.clear();
    }
}
