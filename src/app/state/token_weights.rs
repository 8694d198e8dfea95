//! What the tokens of the prompt weigh at the point that was asked about last: it stays while tokens are pointed at.

use crate::{
    activation::Id,
    engine::{HeatView, PassId, QueryAt},
};

/// Weights of all tokens at one point.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenWeights {
    /// The activation that they are of.
    pub id: Id,
    /// The pass.
    pub source: PassId,
    /// The head; none: the mean over heads.
    pub head: Option<usize>,
    /// By token.
    pub weights: Vec<f32>,
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
