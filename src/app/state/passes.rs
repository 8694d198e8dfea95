//! What the index of passes is asked, and what is put into it.

use super::{pass_index::KeptPass, root::State};
use crate::{
    activation::Id,
    engine::{Capture, ImageSlot, MemberKept, PassId, RunSettings, SeriesMember},
    extract::request::Provenance,
};

impl State {
    /// Remembers the pass that a picture is shown from.
    pub fn remember_pass(&mut self, slot: ImageSlot, capture: &Capture) {
        let layers = capture.layers.iter().map(|layer| layer.id);
        // The ids that are kept come in the order of the vocabulary.
        let features = layers.filter(|id| !id.is_map() && capture.ids.binary_search(id).is_ok());
        let features = features.collect();
        let kept = self.kept_pass(slot, capture.pass, &capture.settings, &capture.ran, features);
        if let Some(kept) = kept {
            self.passes.put(KeptPass {
                ids: capture.ids.clone(),
                not_finite: capture.not_finite.clone(),
                ..kept
            });
        }
    }

    /// Remembers a pass of a series that keeps some activations, in the order of execution.
    pub fn remember_member(&mut self, member: &SeriesMember, kept: &MemberKept, ids: &[Id]) {
        let features = ids.iter().copied().filter(|id| !id.is_map()).collect();
        let pass = self.kept_pass(member.slot, kept.pass, &member.settings, &kept.ran, features);
        if let Some(pass) = pass {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            self.passes.put_member(KeptPass {
                ids,
                noiseless: member.noiseless,
                ..pass
            });
        }
    }

    fn kept_pass(
        &self,
        slot: ImageSlot,
        pass: PassId,
        settings: &RunSettings,
        ran: &Provenance,
        features: Vec<Id>,
    ) -> Option<KeptPass> {
        let (picture, model) = (self.slot(slot).picture.as_ref()?, self.model.info.as_ref()?);
        Some(KeptPass {
            pass,
            settings: settings.clone(),
            acting: settings.acting(),
            noiseless: false,
            framing: ran.pictures.first()?.framing,
            dtype: ran.dtype.clone(),
            slot,
            source: picture.source.clone(),
            fingerprint: picture.fingerprint,
            model: model.name.clone(),
            generation: self.model.generation,
            features,
            ids: Vec::new(),
            not_finite: (ran.not_finite.iter())
                .filter_map(|tensor| Some((tensor.name.parse().ok()?, tensor.numbers)))
                .collect(),
            ran: ran.clone(),
        })
    }

    /// The pass of a member of a series, where its activations are known to be kept.
    pub(in crate::app) fn known(&self, member: &SeriesMember, ids: &[Id]) -> Option<(PassId, Provenance)> {
        let fingerprint = self.slot(member.slot).picture.as_ref()?.fingerprint;
        let acting = member.settings.acting();
        let known = self.passes.find(|known| {
            known.fingerprint == fingerprint
                && known.generation == self.model.generation
                && known.noiseless == member.noiseless
                && known.acting == acting
        })?;
        let all = ids.iter().all(|id| known.ids.contains(id));
        all.then(|| (known.pass, known.ran.clone()))
    }

    /// The passes of the picture of a slot with the loaded model and what is set, at any timestep, by timestep.
    pub fn kept_over_t(&self, slot: ImageSlot) -> Vec<&KeptPass> {
        let Some(picture) = &self.slot(slot).picture else {
            return Vec::new();
        };
        let settings = self.settings_read().acting();
        let mut passes: Vec<&KeptPass> = self
            .passes
            .iter()
            .filter(|kept| kept.generation == self.model.generation && kept.fingerprint == picture.fingerprint)
            .filter(|kept| {
                let mut other = kept.acting.clone();
                other.t = settings.t;
                other == settings
            })
            .collect();
        passes.sort_by_key(|kept| kept.settings.t);
        passes
    }
}
