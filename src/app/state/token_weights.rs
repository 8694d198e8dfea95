//! What the tokens of the prompt weigh at the point that was asked about last: it stays while tokens are pointed at.

use crate::{
    activation::Id,
    engine::{HeatView, ImageSlot, PassId, QueryAt},
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

    /// The weights, if they are of the layer and of one of the passes that are shown, and of so many tokens.
    pub fn known(
        &self,
        layer: Option<Id>,
        passes: &[(ImageSlot, PassId)],
        head: Option<usize>,
        count: usize,
    ) -> Option<KnownWeights<'_>> {
        let shown = passes.iter().any(|(_, pass)| *pass == self.source);
        (Some(self.id) == layer && shown && self.weights.len() == count).then_some(KnownWeights {
            weights: &self.weights,
            of_head: self.head == head,
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
