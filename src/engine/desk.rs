//! What the workers that look at kept maps share: how they take requests, find maps and tell what came of it.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
};

use super::{
    Events,
    cache::{PassInfo, SharedCache},
    message::{Event, PassId, ViewRequest, Work},
    recover::recovered,
};
use crate::{
    activation::{FeatureMap, Id},
    error::{Error, Result},
};

/// Where such a worker works.
#[derive(Clone)]
pub struct Desk {
    events: Events,
    cache: SharedCache,
}

/// Why a view was not made.
pub enum Unseen {
    /// The map is not kept (any more).
    Missing(Id, PassId),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unseen {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Desk {
    /// A desk with nothing on it.
    pub(super) fn new(events: Events, cache: SharedCache) -> Self {
        Self { events, cache }
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// A feature map that is kept.
    pub fn map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unseen> {
        if id.is_map() {
            // Running again would not make it: of attention, queries and keys are kept.
            return Err(Error::usage(format!(
                "{id} is an attention map, not a feature map: click for its rows, or take the query or key beside it"
            ))
            .into());
        }
        self.cache.lock().get(pass, id).ok_or(Unseen::Missing(id, pass))
    }

    /// What is known of a pass; `id` is what it is asked for.
    pub fn info(&self, pass: PassId, id: Id) -> Result<PassInfo, Unseen> {
        self.cache.lock().info(pass).cloned().ok_or(Unseen::Missing(id, pass))
    }

    /// Answers requests until the engine is dropped; what goes wrong becomes an event.
    pub fn serve(&self, inbox: &Receiver<ViewRequest>, mut answer: impl FnMut(&ViewRequest) -> Result<(), Unseen>) {
        let mut waiting = Waiting::default();
        while let Some(request) = waiting.next_from(inbox) {
            match recovered(|| answer(&request)) {
                Ok(Ok(())) => {}
                Ok(Err(Unseen::Missing(id, pass))) => self.tell(Event::Missing { id, pass }),
                Ok(Err(Unseen::Failed(error))) => self.tell(Event::Failed {
                    work: request.work(),
                    error,
                }),
                Err(message) => self.tell(Event::Recovered { message }),
            }
        }
    }
}

/// Requests of which only the latest counts, but for saves.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// First in line: it follows the pointer.
    Query,
    Matches,
    Pca,
    Channels,
    Channel,
    /// Every save is done.
    Save,
}

impl Kind {
    fn of(request: &ViewRequest) -> Self {
        match request {
            ViewRequest::Query(_) => Self::Query,
            ViewRequest::Matches(_) => Self::Matches,
            ViewRequest::Pca(_) => Self::Pca,
            ViewRequest::Channels { .. } => Self::Channels,
            ViewRequest::Channel(_) => Self::Channel,
            ViewRequest::SaveMap { .. }
            | ViewRequest::SavePca { .. }
            | ViewRequest::SaveBasis { .. }
            | ViewRequest::SaveHeat { .. } => Self::Save,
        }
    }
}

/// Requests that wait, in the order they came.
#[derive(Default)]
struct Waiting(Vec<ViewRequest>);

impl Waiting {
    /// The next request, as soon as there is one; none when no more can come.
    fn next_from(&mut self, inbox: &Receiver<ViewRequest>) -> Option<ViewRequest> {
        loop {
            match inbox.try_recv() {
                Ok(request) => self.push(request),
                Err(TryRecvError::Empty) if self.0.is_empty() => self.push(inbox.recv().ok()?),
                Err(_) => return self.take(),
            }
        }
    }

    /// Takes the place of an earlier request of its kind.
    fn push(&mut self, request: ViewRequest) {
        let kind = Kind::of(&request);
        if kind != Kind::Save {
            self.0.retain(|earlier| Kind::of(earlier) != kind);
        }
        self.0.push(request);
    }

    /// A query goes first, then what came first.
    fn take(&mut self) -> Option<ViewRequest> {
        let query = self.0.iter().position(|request| Kind::of(request) == Kind::Query);
        let next = query.unwrap_or(0);
        (next < self.0.len()).then(|| self.0.remove(next))
    }
}

/// What is told of a file that was written.
pub fn saved(path: &Path) -> Event {
    Event::Saved {
        work: Work::Save,
        path: path.to_owned(),
    }
}

/// A file whose name promises another format than it holds helps nobody.
pub fn check_extension(path: &Path, known: &[&str]) -> Result<()> {
    let extension = path.extension().unwrap_or_default();
    if known.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "cannot write {}: the name has to end in .{}",
        path.display(),
        known.join(" or .")
    )))
}
