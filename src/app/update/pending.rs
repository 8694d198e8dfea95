//! What was asked about pictures and not answered yet. Answers come in the order of the questions.

use std::collections::VecDeque;

use crate::engine::ImageSlot;

/// Who asked for a picture to be opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user, who sees what comes of it when it is there: the document changes with the answer.
    User,
    /// The document, which says already what is to come.
    Document,
}

/// Sent about the slots, the oldest first.
#[derive(Debug, Default)]
pub struct PendingPictures(VecDeque<Question>);

#[derive(Debug)]
enum Question {
    /// A slot is to be filled or emptied.
    Picture { slot: ImageSlot, by: Origin },
    /// Two slots are to change what they hold.
    Swap {
        slots: [ImageSlot; 2],
        /// Whether another document was put in place since: it says where its pictures are.
        overtaken: bool,
    },
}

impl Question {
    /// Where this question takes what `slot` holds.
    fn moves(&self, slot: ImageSlot) -> ImageSlot {
        match self {
            Self::Swap { slots: [a, b], .. } if slot == *a => *b,
            Self::Swap { slots: [a, b], .. } if slot == *b => *a,
            _ => slot,
        }
    }
}

impl PendingPictures {
    /// Notes a question.
    pub fn ask(&mut self, slot: ImageSlot, by: Origin) {
        self.0.push_back(Question::Picture { slot, by });
    }

    /// Takes the answer to the oldest question about a slot; gives whether it still counts: where the document has asked for
    /// something else since, there or where swaps take it, it does not.
    pub fn answer(&mut self, slot: ImageSlot) -> bool {
        let is_asked =
            |question: &Question| matches!(question, Question::Picture { slot: asked, .. } if *asked == slot);
        let Some(index) = self.0.iter().position(is_asked) else {
            return true;
        };
        self.0.remove(index);
        let mut place = slot;
        for question in self.0.range(index..) {
            if matches!(question, Question::Picture { slot, by: Origin::Document } if *slot == place) {
                return false;
            }
            place = question.moves(place);
        }
        true
    }

    /// Notes that two slots are to change what they hold.
    pub fn ask_swap(&mut self, a: ImageSlot, b: ImageSlot) {
        self.0.push_back(Question::Swap {
            slots: [a, b],
            overtaken: false,
        });
    }

    /// Takes the answer to the oldest swap; gives whether the document follows it.
    pub fn answer_swap(&mut self) -> bool {
        let oldest = self
            .0
            .iter()
            .position(|question| matches!(question, Question::Swap { .. }));
        let answered = oldest.and_then(|index| self.0.remove(index));
        !matches!(answered, Some(Question::Swap { overtaken: true, .. }))
    }

    /// Another document is put in place: no swap that is still to come is one of its own.
    pub fn overtake_swaps(&mut self) {
        for question in &mut self.0 {
            if let Question::Swap { overtaken, .. } = question {
                *overtaken = true;
            }
        }
    }

    /// Whether a slot will hold what another holds.
    pub fn is_swapping(&self, slot: ImageSlot) -> bool {
        self.0.iter().any(|question| question.moves(slot) != slot)
    }

    /// Where the swaps to come take what the document has in `slot`.
    pub fn place_of(&self, slot: ImageSlot) -> ImageSlot {
        self.0.iter().fold(slot, |place, question| match question {
            Question::Swap { overtaken: true, .. } => place,
            question => question.moves(place),
        })
    }

    /// Whether an answer about a slot is still to come.
    pub fn is_open(&self, slot: ImageSlot) -> bool {
        self.0
            .iter()
            .any(|question| matches!(question, Question::Picture { slot: asked, .. } if *asked == slot))
    }

    /// Whether any answer is still to come.
    pub fn is_any_open(&self) -> bool {
        !self.0.is_empty()
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
    fn a_picture_that_moves_before_it_is_closed_is_closed_where_it_is_then() {
        let mut asked = PendingPictures::default();
        asked.ask(ImageSlot::B, Origin::User);
        asked.ask_swap(ImageSlot::A, ImageSlot::B);
        let place = asked.place_of(ImageSlot::A);
        assert_eq!(place, ImageSlot::B);
        asked.ask(place, Origin::Document);
        assert!(
            asked.answer(ImageSlot::B),
            "what is opened in B is in A when B is emptied"
        );
        assert!(asked.answer_swap() && asked.answer(ImageSlot::B) && !asked.is_any_open());
    }

    #[test]
    fn a_document_that_overtakes_a_swap_does_not_follow_it() {
        let mut asked = PendingPictures::default();
        asked.ask_swap(ImageSlot::A, ImageSlot::B);
        assert!(asked.is_any_open() && asked.is_swapping(ImageSlot::B));
        asked.overtake_swaps();
        assert_eq!(asked.place_of(ImageSlot::A), ImageSlot::A);
        asked.ask_swap(ImageSlot::A, ImageSlot::B);
        assert!(!asked.answer_swap());
        assert!(asked.answer_swap());
        assert!(!asked.is_any_open() && !asked.is_swapping(ImageSlot::A));
    }
}
