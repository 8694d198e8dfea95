//! What an extractor has of the engine around it: the way for events, and the cache of maps that the lanes read. The extractor of this process uses it, and so does one that passes requests on to another process or machine; there
//! it is a line to this one.

use std::sync::Arc;

use super::{
    Events,
    cache::{PassInfo, PassKey, SharedCache},
    ids::{ImageSlot, PassId},
    layer::Layer,
    message::{Capture, Event},
    transport::{Answer, EngineLine, Question},
};
use crate::{
    activation::{FeatureMap, Id},
    error::{Error, Result},
    extract::{request::Provenance, settings::RunSettings},
    geometry::framing::Framing,
    image::picture::Picture,
};

/// What an extractor has of the engine around it.
#[derive(Clone)]
pub struct ExtractorHost(Engine);

/// Where the engine is.
#[derive(Clone)]
enum Engine {
    /// In this process.
    Here { events: Events, cache: SharedCache },
    /// In another.
    Elsewhere(Arc<EngineLine>),
}

/// A pass that is over: everything that the views of its maps need.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedPass {
    /// Its number, as [`ExtractorHost::pass`] gives it. A number stands for the same values for ever: views may keep what
    /// they computed from them.
    pub pass: PassId,
    /// The settings it ran with.
    pub settings: RunSettings,
    /// The picture as read: heat maps are saved over it.
    pub picture: Arc<Picture>,
    /// The picture's place in the working picture.
    pub framing: Framing,
    /// Every activation of the model with its shape at this working size; the shape of an attention map says how many
    /// heads its queries and keys have.
    pub layers: Vec<Layer>,
    /// What ran.
    pub ran: Provenance,
    /// The maps to be kept; for an attention map its queries and keys.
    pub maps: Vec<(Id, FeatureMap)>,
    /// Of attention maps to text among them, the weights of every head: heads · tokens channels, head by head. Without
    /// them only the mean over heads can be shown.
    pub heads: Vec<(Id, FeatureMap)>,
}

impl ExtractorHost {
    pub(super) fn new(events: Events, cache: SharedCache) -> Self {
        Self(Engine::Here { events, cache })
    }

    /// One whose engine is at the other end of a line.
    pub(super) fn elsewhere(line: EngineLine) -> Self {
        Self(Engine::Elsewhere(Arc::new(line)))
    }

    /// Sends an event to whoever holds the engine.
    pub fn emit(&self, event: Event) {
        match &self.0 {
            Engine::Here { events, .. } => events.emit(event),
            Engine::Elsewhere(line) => line.emit(event),
        }
    }

    /// The number of a pass, a new one if it never ran.
    pub fn pass(&self, key: &PassKey) -> PassId {
        /// What a worker that is about to end goes on with.
        const NO_PASS: PassId = PassId(0);
        match &self.0 {
            Engine::Here { cache, .. } => cache.lock().pass(key),
            Engine::Elsewhere(line) => match line.ask(Question::Pass(key.clone())) {
                Some(Answer::Pass(pass)) => pass,
                _ => NO_PASS,
            },
        }
    }

    /// Whether a map of a pass is kept: then it does not have to run again.
    pub fn has(&self, pass: PassId, id: Id) -> bool {
        match &self.0 {
            Engine::Here { cache, .. } => cache.lock().has(pass, id),
            Engine::Elsewhere(line) => line.ask(Question::Has(pass, id)) == Some(Answer::Yes(true)),
        }
    }

    /// Most bytes of maps that are kept; with more, those unused for longest go.
    pub fn limit_bytes(&self) -> usize {
        match &self.0 {
            Engine::Here { cache, .. } => cache.lock().limit_bytes(),
            Engine::Elsewhere(line) => line.keeps_bytes(),
        }
    }

    /// Keeps the maps of a pass and reports them ([`Event::Captured`]).
    ///
    /// # Errors
    ///
    /// Where none of the maps can be kept, or the engine is gone.
    pub fn keep(&self, slot: ImageSlot, finished: FinishedPass) -> Result<()> {
        match &self.0 {
            Engine::Here { events, cache } => {
                let pass = finished.pass;
                put(cache, finished)?;
                report_kept(events, cache, slot, pass);
                Ok(())
            }
            Engine::Elsewhere(line) => line.keep(Some(slot), finished),
        }
    }

    /// Keeps the maps of a pass that no picture is shown from.
    ///
    /// # Errors
    ///
    /// Where none of the maps can be kept, or the engine is gone.
    pub fn keep_unseen(&self, finished: FinishedPass) -> Result<()> {
        match &self.0 {
            Engine::Here { cache, .. } => put(cache, finished),
            Engine::Elsewhere(line) => line.keep(None, finished),
        }
    }

    /// Counts the maps of a pass as used; gives what ran, if any of them are kept.
    pub fn look_at(&self, pass: PassId) -> Option<Provenance> {
        match &self.0 {
            Engine::Here { cache, .. } => {
                let mut cache = cache.lock();
                cache.touch(pass);
                cache.info(pass).map(|info| info.ran.clone())
            }
            Engine::Elsewhere(line) => match line.ask(Question::LookAt(pass)) {
                Some(Answer::Ran(ran)) => ran.map(|ran| *ran),
                _ => None,
            },
        }
    }

    /// Reports the maps of a pass, if any are kept: what a run does that has nothing to compute. They count as
    /// looked at.
    pub fn report_kept(&self, slot: ImageSlot, pass: PassId) -> bool {
        match &self.0 {
            Engine::Here { events, cache } => report_kept(events, cache, slot, pass),
            Engine::Elsewhere(line) => line.ask(Question::ReportKept(slot, pass)) == Some(Answer::Yes(true)),
        }
    }
}

fn put(cache: &SharedCache, finished: FinishedPass) -> Result<()> {
    let FinishedPass {
        pass,
        settings,
        picture,
        framing,
        layers,
        ran,
        maps,
        heads,
    } = finished;
    // Before anybody waits for the cache.
    for (_, map) in maps.iter().chain(&heads) {
        map.not_finite();
    }
    let info = PassInfo {
        settings,
        picture,
        framing,
        layers,
        ran,
    };
    let mut cache = cache.lock();
    cache.put(pass, info, maps, heads);
    if cache.info(pass).is_some() {
        return Ok(());
    }
    const MIB: usize = 1 << 20;
    Err(Error::failed(format!(
        "no map of this pass fits into the {} MiB of maps that are kept: choose a smaller size",
        cache.limit_bytes() / MIB
    )))
}

fn report_kept(events: &Events, cache: &SharedCache, slot: ImageSlot, pass: PassId) -> bool {
    let mut cache = cache.lock();
    cache.touch(pass);
    let Some(info) = cache.info(pass) else { return false };
    let capture = Capture {
        pass,
        settings: info.settings.clone(),
        kept_bytes: cache.bytes(),
        framing: info.framing,
        layers: info.layers.clone(),
        ids: cache.ids(pass),
        not_finite: cache.not_finite(pass),
        ran: info.ran.clone(),
    };
    drop(cache);
    events.emit(Event::Captured {
        slot,
        capture: Box::new(capture),
    });
    true
}
