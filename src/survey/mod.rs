//! Every activation of one pass, measured and made small enough to be seen beside all others. In: a model and a picture.
//! Out: a [`Measurement`] per activation as the pass meets it, and what is made of them: columns of figures, an order, the
//! filter of *Not All Diffusion Model Activations Have Been Evaluated as Discriminative Features*, a sheet of thumbnails,
//! a page. Called by the background worker, the window and the command line.

mod colours;
mod column;
mod filter;
mod pass;
mod report;
mod sheet;

use serde::{Deserialize, Serialize};

pub(crate) use colours::noise_picture;
pub use colours::{agreeing, thumbnail_picture};
pub use column::Column;
pub use filter::PaperFilter;
pub(crate) use filter::fits_search;
pub use pass::{DEFAULT_NOISES, MEMORY_BOUND, MOST_KEYS, Regions, SurveyInput, can_compare_noises, survey_pass};
pub(crate) use pass::{check_memory, grid_of, map_of, measured};
pub use report::PictureSurvey;
pub(crate) use report::{write_survey, write_text};
pub use sheet::{SheetEntry, sheet};

use crate::{
    activation::{Facts, Id, Shape},
    analysis::figures::{Figures, Thumbnail},
};

/// Figures and thumbnail of one activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The activation.
    pub id: Id,
    /// Its place in execution order, counted from 0.
    pub order: usize,
    /// Its share of the way through the network, 0 to 1.
    pub depth: f64,
    /// What it is.
    pub facts: Facts,
    /// Which of the activations of its kind on its grid and in its stage, counted from 0: granularity rises with it.
    pub block: usize,
    /// Its shape for one picture; attention maps are measured as the mean over their heads, a position's vector being its
    /// weights over the keys, of which neighbouring ones are averaged where there are more than [`MOST_KEYS`].
    pub shape: Shape,
    /// Why it was not measured, in words: its numbers are not finite, or too large. Then it has neither figures nor a picture.
    #[serde(default)]
    pub unmeasured: Option<String>,
    /// Its figures.
    pub figures: Figures,
    /// A small picture of it.
    pub thumbnail: Thumbnail,
}
