//! Questions about the maps that are kept: which are wanted, which were asked, and which are answered.

use std::mem;

use crate::engine::ViewRequest;

/// The questions of what is shown. One is asked when it differs from the last of its kind; one that is no longer wanted is
/// forgotten, so that it is asked again when it is wanted again.
#[derive(Default)]
pub struct Questions {
    /// Those of this frame.
    wanted: Vec<ViewRequest>,
    asked: Vec<Question>,
    /// Whether something was done since they were last taken: others may be wanted now.
    is_stale: bool,
    /// How many were asked.
    count: u64,
}

struct Question {
    request: ViewRequest,
    number: u64,
    is_answered: bool,
}

impl Questions {
    /// Wants the answer to a question. Where two of a kind are wanted, the first counts.
    pub fn want(&mut self, question: impl Into<ViewRequest>) {
        let question = question.into();
        if !self.wanted.iter().any(|other| other.is_of_kind(&question)) {
            self.wanted.push(question);
        }
    }

    /// The questions that were asked last, one of each kind at most.
    pub fn asked(&self) -> impl Iterator<Item = &ViewRequest> {
        self.asked.iter().map(|question| &question.request)
    }

    /// Takes what was wanted since the last call; gives the questions that are to be asked, each under a new number.
    pub fn take_new(&mut self) -> Vec<(u64, ViewRequest)> {
        let wanted = mem::take(&mut self.wanted);
        self.is_stale = false;
        self.asked.retain(|question| wanted.contains(&question.request));
        let is_new = |request: &ViewRequest| !self.asked().any(|asked| asked == request);
        let new: Vec<ViewRequest> = wanted.into_iter().filter(is_new).collect();
        let number = |request: ViewRequest| {
            self.count += 1;
            self.asked.push(Question {
                request: request.clone(),
                number: self.count,
                is_answered: false,
            });
            (self.count, request)
        };
        new.into_iter().map(number).collect()
    }

    /// Notes that nothing more comes to a question.
    pub fn on_answered(&mut self, number: u64) {
        let mut asked = self.asked.iter_mut();
        if let Some(question) = asked.find(|question| question.number == number) {
            question.is_answered = true;
        }
    }

    /// Notes that something was done: until the next frame nobody knows what is wanted.
    pub fn on_change(&mut self) {
        self.is_stale = true;
    }

    /// Whether an answer is still to come, or may be.
    pub fn are_open(&self) -> bool {
        self.is_stale || self.asked.iter().any(|question| !question.is_answered)
    }

    /// Forgets what was asked: it is asked again as far as it is wanted.
    pub fn forget(&mut self) {
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::Id,
        engine::{ChannelsQuery, PassId},
    };

    fn channels(pass: u64) -> ViewRequest {
        let pass = PassId(pass);
        ViewRequest::Channels(ChannelsQuery { id: Id::VAE_OUT, pass })
    }

    #[test]
    fn a_question_is_asked_once_and_again_when_it_was_not_wanted() {
        let mut questions = Questions::default();
        questions.want(channels(1));
        questions.want(channels(2));
        assert_eq!(questions.take_new(), [(1, channels(1))], "of a kind the first counts");
        questions.want(channels(1));
        assert!(questions.take_new().is_empty());
        assert!(questions.take_new().is_empty() && questions.asked().next().is_none());
        questions.want(channels(1));
        assert_eq!(questions.take_new(), [(2, channels(1))]);
        questions.forget();
        questions.want(channels(1));
        assert_eq!(questions.take_new(), [(3, channels(1))]);
    }

    #[test]
    fn a_question_is_open_until_its_own_answer_has_come() {
        let mut questions = Questions::default();
        questions.want(channels(1));
        questions.take_new();
        questions.want(channels(2));
        let asked = questions.take_new();
        questions.on_answered(1);
        assert!(questions.are_open(), "that was of the question before");
        questions.on_answered(asked[0].0);
        assert!(!questions.are_open());
        questions.on_change();
        assert!(questions.are_open(), "the next frame knows");
        questions.want(channels(2));
        assert!(questions.take_new().is_empty() && !questions.are_open());
    }
}
