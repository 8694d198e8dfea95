//! Lanes: threads that answer queries about the maps that are kept. A query goes by how long its answer takes, so that
//! nothing quick waits for something long.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::{
    Events,
    ids::TaskKind,
    map_store::{MapStore, Unavailable},
    message::Event,
    queries::{Lane, Memory, Outcome, Step, ViewRequest},
    recover::recovered,
    spawn,
};
use crate::error::Result;

/// The ways to all lanes.
pub struct Lanes {
    instant: Sender<Asked>,
    colours: Sender<Asked>,
    ranking: Sender<Asked>,
    long: Sender<Asked>,
}

/// A request on its way, and the number that [`Event::Answered`] has at its end.
#[derive(Debug, PartialEq)]
struct Asked {
    request: ViewRequest,
    number: Option<u64>,
}

impl Lanes {
    /// Starts a thread for every lane.
    pub fn start(events: &Events, maps: &MapStore) -> Result<Self> {
        let start = |name: &str| start(name, events.clone(), maps.clone());
        Ok(Self {
            instant: start("instant views")?,
            colours: start("colours")?,
            ranking: start("ranking")?,
            long: start("long views")?,
        })
    }

    /// Sends a request to its lane; gives it back where that has ended.
    pub fn send(&self, request: ViewRequest, number: Option<u64>) -> Result<(), Box<ViewRequest>> {
        let lane = match request.lane() {
            Lane::Instant => &self.instant,
            Lane::Colours => &self.colours,
            Lane::Ranking => &self.ranking,
            Lane::Long => &self.long,
        };
        lane.send(Asked { request, number })
            .map_err(|refused| Box::new(refused.0.request))
    }
}

fn start(name: &str, events: Events, maps: MapStore) -> Result<Sender<Asked>> {
    let (sender, inbox) = channel();
    spawn(name, move || {
        let mut memory = Memory::default();
        serve(&events, inbox, |request, step| {
            request.answer(&maps, &mut memory, step, &mut |outcome| events.emit(event_of(outcome)))
        });
    })?;
    Ok(sender)
}

fn event_of(outcome: Outcome) -> Event {
    match outcome {
        Outcome::Answer(answer) => Event::Answer(answer),
        Outcome::Saved(path) => Event::Saved {
            work: TaskKind::Save,
            path,
        },
    }
}

/// Answers requests until the engine is dropped; what goes wrong becomes an event.
fn serve(
    events: &Events,
    inbox: Receiver<Asked>,
    mut answer: impl FnMut(&ViewRequest, &mut Step<'_>) -> Result<(), Unavailable>,
) {
    let mut waiting = Waiting::new(inbox);
    while let Some(Asked { request, number }) = waiting.next() {
        let mut step = || match waiting.supersedes(&request) {
            true => Err(Unavailable::Superseded),
            false => Ok(()),
        };
        let failed = |error| Event::Failed {
            work: request.task(),
            error,
        };
        match recovered(|| answer(&request, &mut step)) {
            Ok(Ok(()) | Err(Unavailable::Superseded)) => {}
            Ok(Err(Unavailable::Missing(id, pass))) => events.emit(Event::Missing { id, pass }),
            Ok(Err(Unavailable::NotFinite(found))) => events.emit(failed(found.refusal())),
            Ok(Err(Unavailable::Failed(error))) => events.emit(failed(error)),
            Err(message) => events.emit(Event::Recovered { message }),
        }
        for number in waiting.gave_way.drain(..).chain(number) {
            events.emit(Event::Answered { number });
        }
    }
}

/// Requests that wait, in the order they came. Of each kind the latest counts, but every save is done.
struct Waiting {
    inbox: Receiver<Asked>,
    requests: Vec<Asked>,
    /// Numbers of those that gave way to a newer one before they were begun.
    gave_way: Vec<u64>,
}

impl Waiting {
    fn new(inbox: Receiver<Asked>) -> Self {
        Self {
            inbox,
            requests: Vec::new(),
            gave_way: Vec::new(),
        }
    }

    /// The next request, as soon as there is one: what follows the pointer before all others, which go in the order they
    /// came. None when no more can come.
    fn next(&mut self) -> Option<Asked> {
        self.receive();
        if self.requests.is_empty() {
            let first = self.inbox.recv().ok()?;
            self.push(first);
            self.receive();
        }
        let next = self
            .requests
            .iter()
            .position(|asked| asked.request.goes_first())
            .unwrap_or(0);
        Some(self.requests.remove(next))
    }

    /// Whether a request waits that takes the place of `current`.
    fn supersedes(&mut self, current: &ViewRequest) -> bool {
        self.receive();
        self.requests.iter().any(|asked| asked.request.replaces(current))
    }

    fn receive(&mut self) {
        while let Ok(request) = self.inbox.try_recv() {
            self.push(request);
        }
    }

    fn push(&mut self, asked: Asked) {
        let gives_way = |earlier: &mut Asked| asked.request.replaces(&earlier.request);
        let replaced = self.requests.extract_if(.., gives_way);
        self.gave_way.extend(replaced.filter_map(|earlier| earlier.number));
        self.requests.push(asked);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use super::*;
    use crate::{
        activation::Id,
        engine::{ChannelQuery, ChannelsQuery, HeatQuery, PassId, QueryAt, SaveMap, TaskKind},
        error::Error,
    };

    fn id() -> Id {
        "b1".parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn query(source: u64) -> ViewRequest {
        ViewRequest::Heat(HeatQuery {
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
        ViewRequest::Channels(ChannelsQuery {
            id: id(),
            pass: PassId(1),
        })
    }

    fn save(name: &str) -> ViewRequest {
        ViewRequest::SaveMap(SaveMap {
            id: id(),
            pass: PassId(1),
            path: PathBuf::from(name),
        })
    }

    fn plain(request: ViewRequest) -> Asked {
        Asked { request, number: None }
    }

    fn waiting() -> (Sender<Asked>, Waiting) {
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
            sender.send(plain(request))?;
        }
        drop(sender);
        let order: Vec<_> = std::iter::from_fn(|| waiting.next())
            .map(|asked| asked.request)
            .collect();
        assert_eq!(order, [query(2), save("a"), channels(), save("b"), channel_of(2)]);
        Ok(())
    }

    #[test]
    fn a_newer_request_of_its_kind_overtakes_but_never_a_save() -> Result<(), Box<dyn std::error::Error>> {
        let (sender, mut waiting) = waiting();
        sender.send(plain(query(1)))?;
        sender.send(plain(save("a")))?;
        assert!(!waiting.supersedes(&channel_of(1)));
        assert!(!waiting.supersedes(&save("b")));
        sender.send(plain(channel_of(2)))?;
        assert!(waiting.supersedes(&channel_of(1)));
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
        requests.send(plain(save("a")))?;
        requests.send(Asked {
            request: save("b"),
            number: Some(7),
        })?;
        drop(requests);
        let mut answered = 0;
        serve(&events, inbox, |_, _| {
            answered += 1;
            assert!(answered > 1, "on purpose");
            Err(Error::Cancelled.into())
        });
        let message = "on purpose".to_owned();
        assert_eq!(told.recv()?, Event::Recovered { message });
        assert!(matches!(
            told.recv()?,
            Event::Failed {
                work: TaskKind::Save,
                ..
            }
        ));
        assert_eq!(told.recv()?, Event::Answered { number: 7 });
        Ok(())
    }

    #[test]
    fn a_number_ends_even_where_its_question_gave_way_before_it_was_begun() -> Result<(), Box<dyn std::error::Error>> {
        let (sender, told) = channel();
        let events = Events {
            sender,
            waker: Arc::new(|| {}),
        };
        let (requests, inbox) = channel();
        for number in [1, 2] {
            requests.send(Asked {
                request: query(number),
                number: Some(number),
            })?;
        }
        drop(requests);
        serve(&events, inbox, |request, _| {
            assert_eq!(*request, query(2), "only the newer one is answered");
            Ok(())
        });
        drop(events);
        let ended: Vec<Event> = told.iter().collect();
        assert_eq!(ended, [1, 2].map(|number| Event::Answered { number }));
        Ok(())
    }
}
