//! Whether what the tokens of the prompt weighed at the last point is still good for what is shown.

use super::root::State;

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
