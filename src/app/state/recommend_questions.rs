//! What a recommendation compares, and whether it is of what is open now.

use super::{recommend::RecommendState, root::State, work::Job};
use crate::{
    app::document::pairs::point_pairs,
    engine::{ImageSlot, RecommendQuery, RunSettings},
    recommend::{DEFAULT_NOISES, DEFAULT_TOP, default_steps},
};

impl State {
    /// What a recommendation for the open pictures compares; none where there is no picture or no model. Where pins make
    /// pairs, the pictures of source and target come first.
    pub fn recommend_query(&self) -> Option<RecommendQuery> {
        let info = self.model.info.as_ref()?;
        let [source, target] = self.document.rank.slots;
        let is_open = |slot: ImageSlot| self.slot(slot).picture.is_some();
        let pairs = match is_open(source) && is_open(target) {
            true => point_pairs(&self.document),
            false => Vec::new(),
        };
        let mut slots: Vec<ImageSlot> = match pairs.is_empty() {
            true => Vec::new(),
            false => vec![source, target],
        };
        let others: Vec<ImageSlot> = self.open_slots().filter(|slot| !slots.contains(slot)).collect();
        slots.extend(others);
        (!slots.is_empty()).then(|| RecommendQuery {
            slots,
            settings: RunSettings {
                t: info.default_t,
                ensemble: 1,
                ..self.settings_read()
            },
            steps: default_steps(info.default_t, |t| info.mixture(t).is_some()),
            noises: DEFAULT_NOISES,
            pairs,
            top: DEFAULT_TOP,
        })
    }

    /// Tells the pictures of some slots from others.
    pub fn fingerprints_of(&self, slots: &[ImageSlot]) -> Vec<u64> {
        let pictures = slots.iter().filter_map(|slot| self.slot(*slot).picture.as_ref());
        pictures.map(|picture| picture.fingerprint).collect()
    }

    /// Why a recommendation is not of what is open now; none where it is.
    pub fn recommendation_is_of_something_else(&self, recommend: &RecommendState) -> Option<&'static str> {
        let model = self.model.info.as_ref().map(|info| info.name.as_str());
        if model != Some(recommend.model.as_str()) {
            return Some("of another model");
        }
        let now = self.recommend_query()?;
        let then = &recommend.query;
        if now.slots != then.slots || self.fingerprints_of(&now.slots) != recommend.fingerprints {
            return Some("of other pictures");
        }
        if now.pairs != then.pairs {
            return Some("of other pairs of pins");
        }
        (!now.settings.same_pass(&then.settings)).then_some("with other settings")
    }

    /// The job of the recommendation, as long as it is under way.
    pub fn recommends_now(&self) -> Option<&Job> {
        let job = self.recommend.as_ref()?.job;
        self.studies.iter().find(|study| study.number == job)
    }
}
