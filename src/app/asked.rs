//! What was asked about pictures and not answered yet. Answers come in the order of the questions.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::Slot;

/// Who asked for a picture to be opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The user, who sees what comes of it when it is there: the document changes with the answer.
    User,
    /// The document, which says already what is to come.
    Document,
}

/// Questions about each slot, the oldest first.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<Slot, VecDeque<By>>);

impl Asked {
    /// Notes a question.
    pub fn ask(&mut self, slot: Slot, by: By) {
        self.0.entry(slot).or_default().push_back(by);
    }

    /// Takes the answer to the oldest question; gives whether it still counts: where the document has asked for something
    /// else since, it does not.
    pub fn answer(&mut self, slot: Slot) -> bool {
        let Some(questions) = self.0.get_mut(&slot) else {
            return true;
        };
        questions.pop_front();
        !questions.contains(&By::Document)
    }

    /// Whether an answer is still to come.
    pub fn is_open(&self, slot: Slot) -> bool {
        self.0.get(&slot).is_some_and(|questions| !questions.is_empty())
    }

    /// Whether any answer is still to come.
    pub fn is_any_open(&self) -> bool {
        self.0.values().any(|questions| !questions.is_empty())
    }

    /// No answer comes any more.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_unless_the_document_says_otherwise_by_now() {
        let mut asked = Asked::default();
        for by in [By::User, By::User, By::Document, By::User] {
            asked.ask(Slot::A, by);
        }
        asked.ask(Slot::B, By::Document);
        let counts: Vec<bool> = (0..4).map(|_| asked.answer(Slot::A)).collect();
        assert_eq!(counts, [false, false, true, true]);
        assert!(asked.answer(Slot::B) && asked.answer(Slot::B));
        asked.ask(Slot::A, By::Document);
        assert!(asked.is_open(Slot::A) && !asked.is_open(Slot::B) && asked.is_any_open());
        asked.ask(Slot::A, By::Document);
        asked.forget();
        assert!(!asked.is_any_open());
        assert!(asked.answer(Slot::A));
    }
}
