//! What the tokens of the prompt weigh at the point that was asked about last: it stays while tokens are pointed at.

use super::root::State;
use crate::{
    activation::Id,
    engine::{HeatView, PassId, QueryAt},
};

/// Weights of all tokens at one point.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenWeights {
    /// The activation, the pass and the head that they are of.
    id: Id,
    source: PassId,
    head: Option<usize>,
    /// By token.
    weights: Vec<f32>,
}

impl TokenWeights {
    /// Those of an answer about a point or a region; none of one about a token.
    pub fn of(view: &HeatView) -> Option<Self> {
        let of_point = !matches!(view.query.at, QueryAt::Word(_)) && !view.words.is_empty();
        of_point.then(|| Self {
            id: view.query.id,
            source: view.query.source,
            head: view.query.head,
            weights: view.words.clone(),
        })
    }
}

/// What is known of the tokens at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownWeights<'a> {
    /// By token.
    pub weights: &'a [f32],
    /// Whether they are of the head that is shown now; else they are good for the order alone.
    pub of_head: bool,
}

impl State {
    /// The weights at the last point, if they are of the layer and of one of the passes that are shown, and of so many tokens.
    pub fn known_token_weights(&self, count: usize) -> Option<KnownWeights<'_>> {
        let known = self.token_weights.as_ref()?;
        let passes = self.shown_passes();
        let shown = passes.iter().any(|(_, pass)| *pass == known.source);
        (Some(known.id) == self.layer() && shown && known.weights.len() == count).then_some(KnownWeights {
            weights: &known.weights,
            of_head: known.head == self.head(),
        })
    }
}
