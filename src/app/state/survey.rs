//! The survey that is under way or was done last.

use std::sync::Arc;

use crate::{
    engine::{SurveyQuery, SurveyStarted},
    survey::Measurement,
};

/// A survey that is under way or done.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyState {
    /// Its job.
    pub job: u64,
    /// What was asked.
    pub query: SurveyQuery,
    /// The model it is of.
    pub model: String,
    /// What the picture is called.
    pub picture: String,
    /// What runs; none before it has begun.
    pub about: Option<SurveyStarted>,
    /// What was found, in the order in which it came.
    pub findings: Vec<Arc<Measurement>>,
}

impl SurveyState {
    /// What was found of an activation, by its place.
    pub fn place_of(&self, id: crate::activation::Id) -> Option<usize> {
        self.findings.iter().position(|finding| finding.id == id)
    }

    /// A line that says what was measured.
    pub fn in_words(&self) -> String {
        let settings = &self.query.settings;
        let mut words = vec![
            self.model.clone(),
            self.picture.clone(),
            format!("t {}", settings.t),
            format!("seed {}", settings.seed),
        ];
        if let Some(about) = &self.about {
            words.push(match about.noises {
                1 => "one pass, no noise compared".to_owned(),
                noises => format!("{noises} noise samples"),
            });
            words.push(format!("{} on {}", about.ran.dtype, about.ran.device));
        }
        words.join(" · ")
    }
}
