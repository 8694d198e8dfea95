//! Which activation at which timestep: one answer with its reasons. In: a model, pictures, and pairs of points where the
//! user has any. Out: a [`Recommendation`]: the best few, what each was measured to be, what speaks against it, and the
//! command line that extracts it. `docs/recommending.md` says what the score is, where it comes from and how far it goes.
//!
//! Without pairs the order is that of [`analysis::choice`](crate::analysis::choice): a proxy, for nobody has told what the
//! features are for. With pairs PCK@.1 decides, which is no proxy.
//!
//! Every figure is computed where a pass meets the activation, and the maps are let go: of each activation a few numbers
//! stay, the vectors of the pairs' points until the second picture has been run, and a small picture of the first
//! [`MOST_SHOWN`] pictures.

mod command;
mod ledger;
mod pass;
mod plan;
mod report;
mod words;

use serde::{Deserialize, Serialize};

pub use command::extract_command;
pub use ledger::Ledger;
pub use pass::{Measured, MeasuredFigures, PassInput, measure_pass};
pub(crate) use plan::check_room;
pub use plan::{Plan, candidates, default_steps, moved};
pub(crate) use report::{as_json, page, table, write_page};
pub use words::{PROXY, PROXY_OF_ENCODER, decided_by_pairs, figures_in_words};

use crate::{
    activation::{Facts, Id, Shape},
    analysis::{
        choice::{ChoiceFigures, ChoiceScore},
        colour::RgbPicture,
        rank::PairFigures,
    },
    components::schedule::Timestep,
};

/// How many are recommended where no number is given.
pub const DEFAULT_TOP: usize = 5;
/// Noises that are compared where no number is given.
pub const DEFAULT_NOISES: usize = 2;
/// Pictures of which small pictures of the activations are kept.
pub const MOST_SHOWN: usize = 2;

/// The best activations, each at its best timestep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The best first.
    pub best: Vec<Recommended>,
    /// What was measured.
    pub plan: Plan,
    /// Activations that were compared, each at every timestep.
    pub activations: usize,
    /// Activations whose numbers are not finite at a timestep, with the words of the first of them.
    pub unmeasured: Vec<(Timestep, Id, String)>,
    /// Pairs that count, and pairs that the model does not see; none where no pairs were given.
    pub pairs: Option<[usize; 2]>,
}

/// One activation at one timestep, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// The activation.
    pub id: Id,
    /// The timestep asked for; 0 of an image encoder.
    pub t: Timestep,
    /// What it is.
    pub facts: Facts,
    /// Its shape for the first picture.
    pub shape: Shape,
    /// Its ranks among all candidates.
    pub score: ChoiceScore,
    /// The figures behind them, as means over the pictures.
    pub figures: ChoiceFigures,
    /// Massive channels, the most of any picture.
    pub massive: usize,
    /// How it finds the pairs; none where there are none.
    pub pairs: Option<FoundPairs>,
    /// Whether the GDF filter keeps it.
    pub kept_by_filter: bool,
    /// What speaks against it, in words.
    pub against: Vec<String>,
    /// Activations of the same numbers.
    pub same_as: Vec<Id>,
    /// Its scores at the other timesteps (PCK@.1 where pairs decide).
    pub other_steps: Vec<(Timestep, f64)>,
    /// PCA of each of the first pictures.
    #[serde(default)]
    pub pictures: Vec<RgbPicture>,
}

/// How an activation finds pairs of points again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoundPairs {
    /// What was found.
    pub figures: PairFigures,
    /// What a prediction by chance is expected to find.
    pub chance: PairFigures,
}
