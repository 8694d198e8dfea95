//! How the work of a pass is shared between its parts, for its progress.

use super::{
    inversion::{self, Inversion},
    model::Model,
    settings::PassSettings,
};
use crate::{
    activation::{Cost, Selection},
    image::prepare::PreparedImage,
};

/// What reading a text encoder and encoding a prompt takes, in the unit of [`Cost`].
const PROMPT_WORK: f64 = 1e10;

/// Where the parts of a pass end, as shares of its work: the pictures' encoding, the prompt's, then the passes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgressShares {
    pub(super) pictures: f32,
    pub(super) prompt: f32,
}

impl ProgressShares {
    /// For one pass over pictures of one size.
    pub(crate) fn of(
        model: &Model,
        pictures: &[PreparedImage],
        settings: &PassSettings,
        selection: &Selection,
    ) -> Self {
        let Some(first) = pictures.first() else {
            return Self {
                pictures: 0.0,
                prompt: 0.0,
            };
        };
        let cost = Cost::of(&model.spec.plain_catalogue(first.framing.working));
        let one = selection.last().map_or_else(|| cost.total(), |last| cost.until(last));
        let before = match settings.run.inversion {
            Inversion::None => 0.0,
            Inversion::Ddim => inversion::timesteps(settings.t).len() as f64 * cost.total(),
        };
        let passes = (one + before) * (pictures.len() * settings.run.ensemble) as f64;
        let encoding: f64 = pictures.iter().map(|picture| model.encode_cost(&picture.picture)).sum();
        let prompt = if model.spec.reads_prompt() { PROMPT_WORK } else { 0.0 };
        let all = (passes + encoding + prompt).max(1.0);
        Self {
            pictures: (encoding / all) as f32,
            prompt: ((encoding + prompt) / all) as f32,
        }
    }

    /// Which of the pictures of a pass is at work when `done` of it is watched, counted from 0: first each is encoded, then
    /// each runs.
    pub(super) fn picture_at(self, done: f32, pictures: usize) -> usize {
        let share = match done {
            _ if done < self.pictures => done / self.pictures,
            _ => (done - self.prompt) / (1.0 - self.prompt),
        };
        ((share * pictures as f32) as usize).min(pictures.saturating_sub(1))
    }
}
