//! Passes whose maps may still be kept: those that are shown now, and those that were shown before at other timesteps,
//! of other pictures or of another model.

use super::state::State;
use crate::{
    activation::{Id, NotFinite},
    engine::{Capture, MemberKept, PassId, PictureSource, RunSettings, SeriesMember, Slot},
    extract::request::Provenance,
    geometry::framing::Framing,
};

/// The most passes that are remembered; whether their maps are still kept, only the workers know.
const MOST_PASSES: usize = 64;

/// A pass, and what it was of.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPass {
    /// Its number.
    pub pass: PassId,
    /// The settings it ran with.
    pub settings: RunSettings,
    /// The picture's place in the working picture.
    pub framing: Framing,
    /// Format it was computed in.
    pub dtype: String,
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
    /// Those of them that are not finite: nothing can be computed from them.
    pub not_finite: Vec<(Id, NotFinite)>,
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
        self.0.iter().find(|kept| kept.pass == pass)
    }

    /// Takes a pass away whose maps are no longer kept.
    pub fn forget(&mut self, pass: PassId) {
        self.0.retain(|kept| kept.pass != pass);
    }

    fn add(&mut self, kept: KeptPass) {
        self.forget(kept.pass);
        if self.0.len() >= MOST_PASSES {
            self.0.remove(0);
        }
        self.0.push(kept);
    }
}

impl State {
    /// Remembers a pass that was told.
    pub fn remember_pass(&mut self, slot: Slot, capture: &Capture) {
        let layers = capture.layers.iter().map(|layer| layer.id);
        // The ids that are kept come in the order of the vocabulary.
        let features = layers.filter(|id| !id.is_map() && capture.ids.binary_search(id).is_ok());
        let features = features.collect();
        self.remember(slot, capture.pass, &capture.settings, &capture.ran, features);
        if let Some(kept) = self.kept.0.last_mut().filter(|kept| kept.pass == capture.pass) {
            kept.not_finite.clone_from(&capture.not_finite);
        }
    }

    /// Remembers a pass of a series that keeps some activations, in the order of execution.
    pub fn remember_member(&mut self, member: &SeriesMember, kept: &MemberKept, ids: &[Id]) {
        let known = self.kept.get(kept.pass).map(|known| known.features.len());
        // A pass of which more is kept already stays as it is.
        if !member.noiseless && known.is_none_or(|count| count < ids.len()) {
            let features = ids.iter().copied().filter(|id| !id.is_map()).collect();
            self.remember(member.slot, kept.pass, &member.settings, &kept.ran, features);
        }
    }

    fn remember(&mut self, slot: Slot, pass: PassId, settings: &RunSettings, ran: &Provenance, features: Vec<Id>) {
        let (Some(picture), Some(model)) = (&self.slot(slot).picture, &self.model.info) else {
            return;
        };
        let Some(framing) = ran.pictures.first().map(|picture| picture.framing) else {
            return;
        };
        let kept = KeptPass {
            pass,
            settings: settings.clone(),
            framing,
            dtype: ran.dtype.clone(),
            slot,
            source: picture.source.clone(),
            fingerprint: picture.fingerprint,
            model: model.name.clone(),
            generation: self.model.generation,
            features,
            not_finite: (ran.not_finite.iter())
                .filter_map(|tensor| Some((tensor.name.parse().ok()?, tensor.numbers)))
                .collect(),
        };
        self.kept.add(kept);
    }

    /// The passes of the picture of a slot with the loaded model and what is set, at any timestep, by timestep.
    pub fn kept_over_t(&self, slot: Slot) -> Vec<&KeptPass> {
        let Some(picture) = &self.slot(slot).picture else {
            return Vec::new();
        };
        let settings = self.document.settings.acting();
        let mut passes: Vec<&KeptPass> = self
            .kept
            .iter()
            .filter(|kept| kept.generation == self.model.generation && kept.fingerprint == picture.fingerprint)
            .filter(|kept| {
                let mut other = kept.settings.acting();
                other.t = settings.t;
                other == settings
            })
            .collect();
        passes.sort_by_key(|kept| kept.settings.t);
        passes
    }
}
