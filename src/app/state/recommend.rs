//! The recommendation that is under way or was made last.

use std::{path::PathBuf, sync::Arc};

use crate::{
    engine::{RecommendQuery, RecommendStarted, RunSettings},
    recommend::{Recommendation, Recommended, extract_command},
};

/// A recommendation that is under way or made.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendState {
    /// Its job.
    pub job: u64,
    /// What was asked.
    pub query: RecommendQuery,
    /// The model it is of.
    pub model: String,
    /// Tells its pictures from others, in the order of the query's slots.
    pub fingerprints: Vec<u64>,
    /// Where the pictures are.
    pub pictures: Vec<PathBuf>,
    /// What runs; none before it has begun.
    pub about: Option<RecommendStarted>,
    /// What is recommended; none before it is made.
    pub found: Option<Arc<Recommendation>>,
}

impl RecommendState {
    /// The command line that extracts one of what is recommended.
    pub fn command(&self, recommended: &Recommended) -> String {
        let settings = RunSettings {
            t: recommended.t,
            ..self.query.settings.clone()
        };
        let is_encoder = self.about.as_ref().is_some_and(|about| about.plan.is_encoder);
        extract_command(&self.model, &settings, &self.pictures, recommended.id, is_encoder)
    }
}
