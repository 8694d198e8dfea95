//! What was asked about pictures and not answered yet. Answers come in the order of the questions.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::ImageSlot;

/// Who asked for a picture to be opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user, who sees what comes of it when it is there: the document changes with the answer.
    User,
    /// The document, which says already what is to come.
    Document,
}

/// Sent about each slot, the oldest first.
#[derive(Debug, Default)]
pub struct PendingPictures {
    pictures: BTreeMap<ImageSlot, VecDeque<Origin>>,
    swaps: VecDeque<Swap>,
}

/// Two slots that are to change what they hold.
#[derive(Debug)]
struct Swap {
    slots: [ImageSlot; 2],
    /// Whether another document was put in place since: it says where its pictures are.
    overtaken: bool,
}

impl PendingPictures {
    /// Notes a question.
    pub fn ask(&mut self, slot: ImageSlot, by: Origin) {
        self.pictures.entry(slot).or_default().push_back(by);
    }

    /// Takes the answer to the oldest question; gives whether it still counts: where the document has asked for something
    /// else since, it does not.
    pub fn answer(&mut self, slot: ImageSlot) -> bool {
        let Some(questions) = self.pictures.get_mut(&slot) else {
            return true;
        };
        questions.pop_front();
        !questions.contains(&Origin::Document)
    }

    /// Notes that two slots are to change what they hold.
    pub fn ask_swap(&mut self, a: ImageSlot, b: ImageSlot) {
        self.swaps.push_back(Swap {
            slots: [a, b],
            overtaken: false,
        });
    }

    /// Takes the answer to the oldest swap; gives whether the document follows it.
    pub fn answer_swap(&mut self) -> bool {
        self.swaps.pop_front().is_none_or(|swap| !swap.overtaken)
    }

    /// Another document is put in place: no swap that is still to come is one of its own.
    pub fn overtake_swaps(&mut self) {
        self.swaps.iter_mut().for_each(|swap| swap.overtaken = true);
    }

    /// Whether a slot will hold what another holds.
    pub fn is_swapping(&self, slot: ImageSlot) -> bool {
        self.swaps.iter().any(|swap| swap.slots.contains(&slot))
    }

    /// Whether an answer is still to come.
    pub fn is_open(&self, slot: ImageSlot) -> bool {
        self.pictures.get(&slot).is_some_and(|questions| !questions.is_empty())
    }

    /// Whether any answer is still to come.
    pub fn is_any_open(&self) -> bool {
        !self.swaps.is_empty() || self.pictures.values().any(|questions| !questions.is_empty())
    }

    /// No answer comes any more.
    pub fn forget(&mut self) {
        self.pictures.clear();
        self.swaps.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_unless_the_document_says_otherwise_by_now() {
        let mut asked = PendingPictures::default();
        for by in [Origin::User, Origin::User, Origin::Document, Origin::User] {
            asked.ask(ImageSlot::A, by);
        }
        asked.ask(ImageSlot::B, Origin::Document);
        let counts: Vec<bool> = (0..4).map(|_| asked.answer(ImageSlot::A)).collect();
        assert_eq!(counts, [false, false, true, true]);
        assert!(asked.answer(ImageSlot::B) && asked.answer(ImageSlot::B));
        asked.ask(ImageSlot::A, Origin::Document);
        assert!(asked.is_open(ImageSlot::A) && !asked.is_open(ImageSlot::B) && asked.is_any_open());
        asked.ask(ImageSlot::A, Origin::Document);
        asked.forget();
        assert!(!asked.is_any_open());
        assert!(asked.answer(ImageSlot::A));
    }
    #[test]
    fn a_document_that_overtakes_a_swap_does_not_follow_it() {
        let mut asked = PendingPictures::default();
        asked.ask_swap(ImageSlot::A, ImageSlot::B);
        assert!(asked.is_any_open() && asked.is_swapping(ImageSlot::B));
        asked.overtake_swaps();
        asked.ask_swap(ImageSlot::A, ImageSlot::B);
        assert!(!asked.answer_swap());
        assert!(asked.answer_swap());
        assert!(!asked.is_any_open() && !asked.is_swapping(ImageSlot::A));
    }
}
