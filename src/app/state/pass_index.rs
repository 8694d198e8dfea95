//! The index of passes whose maps may still be kept: those that are shown now, those that were shown before at other
//! timesteps, of other pictures or of another model, and those of series.

use crate::{
    activation::{Id, NotFinite},
    app::document::compare::PassRef,
    engine::{ImageSlot, PassId, PictureSource, RunSettings},
    extract::request::Provenance,
    geometry::framing::Framing,
};

/// The most passes that are remembered; whether their maps are still kept, only the workers know.
const MOST_PASSES: usize = 512;
/// The most of them that are listed.
const MOST_LISTED: usize = 64;

/// A pass, and what it was of.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPass {
    /// Its number.
    pub pass: PassId,
    /// The settings it ran with.
    pub settings: RunSettings,
    /// Those of them that act.
    pub acting: RunSettings,
    /// Whether no noise was added: a reference, which is not listed.
    pub noiseless: bool,
    /// The picture's place in the working picture.
    pub framing: Framing,
    /// Number format it was computed in.
    pub dtype: String,
    /// The slot it was run in.
    pub slot: ImageSlot,
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
    /// Every activation that was kept, in the order of the vocabulary.
    pub ids: Vec<Id>,
    /// Those of them that are not finite: nothing can be computed from them.
    pub not_finite: Vec<(Id, NotFinite)>,
    /// What ran.
    pub ran: Provenance,
}

impl KeptPass {
    /// What it is of: enough to find it again, or to run it again.
    pub fn reference(&self) -> PassRef {
        PassRef {
            model: self.model.clone(),
            slot: self.slot,
            source: self.source.clone(),
            fingerprint: self.fingerprint,
            settings: self.settings.clone(),
        }
    }

    /// Whether it is the pass that a comparison names.
    pub fn is(&self, named: &PassRef) -> bool {
        self.model == named.model && self.fingerprint == named.fingerprint && self.settings.same_pass(&named.settings)
    }

    fn add_ids(&mut self, ids: &[Id]) {
        self.ids.extend(ids);
        self.ids.sort_unstable();
        self.ids.dedup();
    }
}

/// Passes, the one reported last at the end.
#[derive(Debug, Default)]
pub struct PassIndex(Vec<KeptPass>);

impl PassIndex {
    /// The passes that are listed, in the order they were reported last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &KeptPass> {
        let listed: Vec<&KeptPass> = self
            .0
            .iter()
            .rev()
            .filter(|kept| !kept.noiseless)
            .take(MOST_LISTED)
            .collect();
        listed.into_iter().rev()
    }

    /// A pass by its number.
    pub fn get(&self, pass: PassId) -> Option<&KeptPass> {
        self.0.iter().find(|kept| kept.pass == pass)
    }

    /// The first of all passes, listed or not, that is like this.
    pub fn find(&self, is_wanted: impl Fn(&KeptPass) -> bool) -> Option<&KeptPass> {
        self.0.iter().find(|kept| is_wanted(kept))
    }

    /// Takes a pass away whose maps are no longer kept.
    pub fn forget(&mut self, pass: PassId) {
        self.0.retain(|kept| kept.pass != pass);
    }

    /// Adds a pass, or what is kept of it now.
    pub fn put(&mut self, mut kept: KeptPass) {
        if let Some(place) = self.0.iter().position(|other| other.pass == kept.pass) {
            let before = self.0.remove(place);
            kept.add_ids(&before.ids);
        }
        if self.0.len() >= MOST_PASSES {
            self.0.remove(0);
        }
        self.0.push(kept);
    }

    /// Adds a pass of a series. One of which more feature maps are known already stays as it is and where it is, and has
    /// these as well.
    pub fn put_member(&mut self, kept: KeptPass) {
        let known = self.0.iter_mut().find(|known| known.pass == kept.pass);
        match known.filter(|known| known.features.len() >= kept.features.len()) {
            Some(known) => known.add_ids(&kept.ids),
            None => self.put(kept),
        }
    }
}
