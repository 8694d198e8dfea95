//! Passes whose maps may still be kept: those that are shown now, and those that were shown before at other timesteps,
//! of other pictures or of another model.

use super::state::State;
use crate::{
    activation::Id,
    engine::{Capture, PassId, PictureSource, Slot},
};

/// The most passes that are remembered; whether their maps are still kept, only the workers know.
const MOST_PASSES: usize = 64;

/// A pass, and what it was of.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPass {
    /// The pass and what of it was kept when it was told.
    pub capture: Capture,
    /// The slot it was run in.
    pub slot: Slot,
    /// The picture.
    pub source: PictureSource,
    /// Tells pictures of other pixels apart.
    pub fingerprint: u64,
    /// The model, as the user named it.
    pub model: String,
    /// Which loading of a model it was.
    pub generation: u64,
    /// The feature maps that were kept, in the order of execution.
    pub features: Vec<Id>,
}

/// Passes, the one told last at the end.
#[derive(Debug, Default)]
pub struct KeptPasses(Vec<KeptPass>);

impl KeptPasses {
    /// Every pass, in the order they were told last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &KeptPass> {
        self.0.iter()
    }

    /// A pass by its number.
    pub fn get(&self, pass: PassId) -> Option<&KeptPass> {
        self.0.iter().find(|kept| kept.capture.pass == pass)
    }

    /// Takes a pass away whose maps are no longer kept.
    pub fn forget(&mut self, pass: PassId) {
        self.0.retain(|kept| kept.capture.pass != pass);
    }

    fn add(&mut self, kept: KeptPass) {
        self.forget(kept.capture.pass);
        if self.0.len() >= MOST_PASSES {
            self.0.remove(0);
        }
        self.0.push(kept);
    }
}

impl State {
    /// Remembers a pass that was told.
    pub fn remember_pass(&mut self, slot: Slot, capture: &Capture) {
        let (Some(picture), Some(model)) = (&self.slot(slot).picture, &self.model.info) else {
            return;
        };
        let layers = capture.layers.iter().map(|layer| layer.id);
        // The ids that are kept come in the order of the vocabulary.
        let features = layers.filter(|id| !id.is_map() && capture.ids.binary_search(id).is_ok());
        let kept = KeptPass {
            slot,
            source: picture.source.clone(),
            fingerprint: picture.fingerprint,
            model: model.name.clone(),
            generation: self.model.generation,
            features: features.collect(),
            capture: capture.clone(),
        };
        self.kept.add(kept);
    }

    /// The passes of the picture of a slot with the loaded model and what is set, at any timestep, by timestep.
    pub fn kept_over_t(&self, slot: Slot) -> Vec<&KeptPass> {
        let Some(picture) = &self.slot(slot).picture else { return Vec::new() };
        let settings = self.document.settings.acting();
        let mut passes: Vec<&KeptPass> = self
            .kept
            .iter()
            .filter(|kept| kept.generation == self.model.generation && kept.fingerprint == picture.fingerprint)
            .filter(|kept| {
                let mut other = kept.capture.settings.acting();
                other.t = settings.t;
                other == settings
            })
            .collect();
        passes.sort_by_key(|kept| kept.capture.settings.t);
        passes
    }
}
