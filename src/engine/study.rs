//! Studies: work with the model that is loaded which goes on in the background, pass by pass. Plain data, as all
//! [messages](super::message).

use serde::{Deserialize, Serialize};

use super::{
    cells::QueryAt,
    ids::{ImageSlot, PassId},
};
use crate::{
    activation::Id,
    analysis::pairs::PointPair,
    components::schedule::Timestep,
    extract::{request::Provenance, settings::RunSettings},
    recommend::{Plan, Recommendation},
    survey::Measurement,
};

/// A task of many passes. Everything else that the extractor is asked for goes first; a study goes on after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Study {
    /// The same activations of many passes.
    Series(SeriesQuery),
    /// Every activation of one picture, measured.
    Survey(SurveyQuery),
    /// Which activation at which timestep to take for some pictures.
    Recommend(RecommendQuery),
}

/// Told while a study goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StudyEvent {
    /// One pass of a series is kept.
    Series(Box<MemberKept>),
    /// A survey has begun, or begun anew after it made way for something; what was found before counts still.
    #[serde(rename = "Surveying")]
    SurveyStarted(Box<SurveyStarted>),
    /// One activation was measured.
    Found(Box<Measurement>),
    /// A recommendation is being worked at.
    Recommending(Box<RecommendStarted>),
    /// What is recommended.
    Recommended(Box<Recommendation>),
}

/// Every activation of some pictures at some timesteps, compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommendQuery {
    /// The pictures; where there are pairs, those of source and target come first.
    pub slots: Vec<ImageSlot>,
    /// What they are run with; timestep and ensemble are not used.
    pub settings: RunSettings,
    /// The timesteps; of an image encoder none is read.
    pub steps: Vec<Timestep>,
    /// Noises compared; where no noise is added, one pass is measured.
    pub noises: usize,
    /// Pairs of points of the first two pictures.
    pub pairs: Vec<PointPair>,
    /// How many are recommended.
    pub top: usize,
}

/// A recommendation that is being worked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommendStarted {
    /// What is measured.
    pub plan: Plan,
    /// What runs, at the first timestep.
    pub ran: Provenance,
}

/// Every activation of one picture, measured in one pass over several noises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurveyQuery {
    /// The picture.
    pub slot: ImageSlot,
    /// What it is run with; its ensemble is not used.
    pub settings: RunSettings,
    /// Noises compared; where no noise is added, one pass is measured.
    pub noises: usize,
    /// Whether attention maps are measured as well, as the mean over their heads.
    pub maps: bool,
    /// Marked parts of the picture, a region each, for the locality-semantics index.
    pub regions: Vec<QueryAt>,
}

/// A survey under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurveyStarted {
    /// How many activations are measured.
    pub activations: usize,
    /// Noises that are compared.
    pub noises: usize,
    /// What runs.
    pub ran: Provenance,
}

/// The same activations of many passes: their maps are kept, and a member that is kept already costs nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesQuery {
    /// The passes, in the order in which they are made.
    pub members: Vec<SeriesMember>,
    /// What is kept of each; of an attention map its queries and keys. A pass ends behind the last of them.
    pub ids: Vec<Id>,
}

/// One pass of a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeriesMember {
    /// The picture.
    pub slot: ImageSlot,
    /// What it is run with.
    pub settings: RunSettings,
    /// Whether the latent is √ᾱ · x₀ alone, without noise.
    pub noiseless: bool,
}

/// A pass of a series whose maps are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberKept {
    /// Which member, counted from 0.
    pub index: usize,
    /// The pass.
    pub pass: PassId,
    /// What ran.
    pub ran: Provenance,
}
