//! What the workers that look at kept maps share: how they take requests, find maps and tell what came of it.

use std::{
    path::Path,
    sync::{Arc, mpsc::Receiver},
};

use super::{
    Events,
    cache::{PassInfo, SharedCache},
    comparison::ComparisonKind,
    message::{Event, PassId, Work},
    recover::recovered,
    view::{NotFiniteMap, ViewRequest},
};
use crate::{
    activation::{FeatureMap, Id},
    error::{Error, Result},
};

/// Asks whether something newer of the same kind waits, between the parts of a long answer.
pub type Overtaken<'a> = dyn FnMut() -> bool + 'a;

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
    /// Something newer of its kind waits, which tells how it fares.
    Overtaken,
    /// The map is not finite.
    NotFinite(NotFiniteMap),
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

    /// A feature map that is kept and that something can be computed from.
    pub fn map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unseen> {
        let map = self.any_map(pass, id)?;
        match NotFiniteMap::of(&map, pass, id) {
            Some(found) => Err(Unseen::NotFinite(found)),
            None => Ok(map),
        }
    }

    /// A feature map that is kept, whatever its numbers are.
    pub fn any_map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unseen> {
        if !id.has_vectors() {
            // Running again would not bring it.
            return Err(Error::usage(format!(
                "{id} is an attention map, of which only queries and keys are kept: choose a feature map"
            ))
            .into());
        }
        self.cache.lock().get(pass, id).ok_or(Unseen::Missing(id, pass))
    }

    /// The weights of one head of an attention map to text, a channel for every token.
    pub fn head(&self, pass: PassId, id: Id, head: usize) -> Result<Arc<FeatureMap>, Unseen> {
        let tokens = self.map(pass, id)?.channels();
        let heads = self
            .cache
            .lock()
            .heads(pass, id)
            .ok_or_else(|| Error::usage(format!("of {id} only the mean over heads is kept: choose the mean")))?;
        let count = heads.channels() / tokens.max(1);
        if head >= count {
            return Err(no_head(id, count, head).into());
        }
        Ok(Arc::new(heads.channel_range(head * tokens..(head + 1) * tokens)?))
    }

    /// How many heads of an attention map to text are kept.
    pub fn head_count(&self, pass: PassId, id: Id) -> Result<usize, Unseen> {
        let tokens = self.map(pass, id)?.channels();
        let heads = self.cache.lock().heads(pass, id);
        Ok(heads.map_or(0, |heads| heads.channels() / tokens.max(1)))
    }

    /// What is known of a pass; `id` is what it is asked for.
    pub fn info(&self, pass: PassId, id: Id) -> Result<Arc<PassInfo>, Unseen> {
        self.cache.lock().info(pass).ok_or(Unseen::Missing(id, pass))
    }

    /// Answers requests until the engine is dropped; what goes wrong becomes an event.
    pub fn serve(
        &self,
        inbox: Receiver<ViewRequest>,
        mut answer: impl FnMut(&ViewRequest, &mut Overtaken<'_>) -> Result<(), Unseen>,
    ) {
        let mut waiting = Waiting::new(inbox);
        while let Some(request) = waiting.next() {
            match recovered(|| answer(&request, &mut || waiting.overtakes(&request))) {
                Ok(Ok(()) | Err(Unseen::Overtaken)) => {}
                Ok(Err(Unseen::Missing(id, pass))) => self.tell(Event::Missing { id, pass }),
                Ok(Err(Unseen::NotFinite(found))) => self.tell(Event::Failed {
                    work: request.work(),
                    error: found.refusal(),
                }),
                Ok(Err(Unseen::Failed(error))) => self.tell(Event::Failed {
                    work: request.work(),
                    error,
                }),
                Err(message) => self.tell(Event::Recovered { message }),
            }
        }
    }
}

/// Why there is no such head.
pub fn no_head(id: Id, count: usize, head: usize) -> Error {
    Error::usage(format!(
        "{id} has {count} heads, number {head} (from 0) was asked for: choose another"
    ))
}

/// Requests of which only the latest counts, but for saves.
#[derive(PartialEq, Eq)]
enum Kind {
    Query,
    Matches,
    Pca,
    Channels,
    Channel,
    Compare(ComparisonKind),
    Sides,
    Rank,
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
            ViewRequest::Compare(comparison) => Self::Compare(comparison.kind()),
            ViewRequest::Sides(_) => Self::Sides,
            ViewRequest::Rank(_) => Self::Rank,
            ViewRequest::SaveMap { .. }
            | ViewRequest::SavePca { .. }
            | ViewRequest::SaveBasis { .. }
            | ViewRequest::SaveHeat { .. } => Self::Save,
        }
    }
}

/// Requests that wait, in the order they came.
struct Waiting {
    inbox: Receiver<ViewRequest>,
    requests: Vec<ViewRequest>,
}

impl Waiting {
    fn new(inbox: Receiver<ViewRequest>) -> Self {
        Self {
            inbox,
            requests: Vec::new(),
        }
    }

    /// The next request, as soon as there is one: a query before all others, which go in the order they came. None when
    /// no more can come.
    fn next(&mut self) -> Option<ViewRequest> {
        self.take_mail();
        if self.requests.is_empty() {
            let first = self.inbox.recv().ok()?;
            self.push(first);
            self.take_mail();
        }
        let is_query = |request: &ViewRequest| Kind::of(request) == Kind::Query;
        let next = self.requests.iter().position(is_query).unwrap_or(0);
        Some(self.requests.remove(next))
    }

    /// Whether a request waits that takes the place of `current`.
    fn overtakes(&mut self, current: &ViewRequest) -> bool {
        self.take_mail();
        let kind = Kind::of(current);
        kind != Kind::Save && self.requests.iter().any(|request| Kind::of(request) == kind)
    }

    fn take_mail(&mut self) {
        while let Ok(request) = self.inbox.try_recv() {
            self.push(request);
        }
    }

    /// A request takes the place of an earlier one of its kind.
    fn push(&mut self, request: ViewRequest) {
        let kind = Kind::of(&request);
        if kind != Kind::Save {
            self.requests.retain(|earlier| Kind::of(earlier) != kind);
        }
        self.requests.push(request);
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

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::mpsc::{Sender, channel},
    };

    use super::*;
    use crate::engine::{ChannelQuery, Query, QueryAt};

    fn id() -> Id {
        "b1".parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn query(source: u64) -> ViewRequest {
        ViewRequest::Query(Query {
            id: id(),
            source: PassId(source),
            at: QueryAt::Point([0.0, 0.0]),
            targets: Vec::new(),
            drop_massive: false,
            head: None,
        })
    }

    fn channel_of(channel: usize) -> ViewRequest {
        ViewRequest::Channel(ChannelQuery {
            id: id(),
            channel,
            passes: Vec::new(),
        })
    }

    fn channels() -> ViewRequest {
        ViewRequest::Channels {
            id: id(),
            pass: PassId(1),
        }
    }

    fn save(name: &str) -> ViewRequest {
        ViewRequest::SaveMap {
            id: id(),
            pass: PassId(1),
            path: PathBuf::from(name),
        }
    }

    fn waiting() -> (Sender<ViewRequest>, Waiting) {
        let (sender, inbox) = channel();
        (sender, Waiting::new(inbox))
    }

    #[test]
    fn the_latest_of_each_kind_counts_queries_go_first_and_every_save_is_done() -> Result<(), Box<dyn std::error::Error>>
    {
        let (sender, mut waiting) = waiting();
        for request in [
            save("a"),
            channel_of(1),
            query(1),
            channels(),
            save("b"),
            channel_of(2),
            query(2),
        ] {
            sender.send(request)?;
        }
        drop(sender);
        let order: Vec<_> = std::iter::from_fn(|| waiting.next()).collect();
        assert_eq!(order, [query(2), save("a"), channels(), save("b"), channel_of(2)]);
        Ok(())
    }

    #[test]
    fn a_newer_request_of_its_kind_overtakes_but_never_a_save() -> Result<(), Box<dyn std::error::Error>> {
        let (sender, mut waiting) = waiting();
        sender.send(query(1))?;
        sender.send(save("a"))?;
        assert!(!waiting.overtakes(&channel_of(1)));
        assert!(!waiting.overtakes(&save("b")));
        sender.send(channel_of(2))?;
        assert!(waiting.overtakes(&channel_of(1)));
        Ok(())
    }

    #[test]
    fn a_panic_is_told_and_the_next_request_is_answered() -> Result<(), Box<dyn std::error::Error>> {
        let (sender, told) = channel();
        let events = Events {
            sender,
            waker: Arc::new(|| {}),
        };
        let (requests, inbox) = channel();
        requests.send(save("a"))?;
        requests.send(save("b"))?;
        drop(requests);
        let mut answered = 0;
        Desk::new(events, SharedCache::new(0)).serve(inbox, |_, _| {
            answered += 1;
            assert!(answered > 1, "on purpose");
            Err(Error::Cancelled.into())
        });
        let message = "on purpose".to_owned();
        assert_eq!(told.recv()?, Event::Recovered { message });
        assert!(matches!(told.recv()?, Event::Failed { work: Work::Save, .. }));
        Ok(())
    }
}
