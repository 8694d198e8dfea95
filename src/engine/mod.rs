//! The background workers. In: requests. Out: events. Both are plain data, so that the workers could be another process.
//!
//! Two threads: the *extractor* owns model and device and makes feature maps; the *analyst* looks at the maps that are
//! kept, so that hovering answers while the model runs. They share the cache of maps, which has a bound.

mod analyst;
mod cache;
mod extractor;
mod message;
mod recover;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

pub use message::{
    Capture, Event, HeatView, Layer, Match, ModelInfo, OpenedPicture, PassId, PcaView, PictureSource, Query, Request,
    RunSettings, Slot, TargetHeat, ViewRequest, Work,
};

use crate::error::{Error, Result};
use analyst::Analyst;
use cache::SharedCache;
use extractor::Extractor;
pub use extractor::attention_sources;
pub(crate) use recover::recovered;

/// Feature maps kept by default: both pictures of an SD1.5 at 512 with all their activations.
pub const DEFAULT_CACHE_BYTES: usize = 2 << 30;

/// Called after each event: the window's way to be painted again.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The worker's end of the events.
#[derive(Clone)]
struct Events {
    sender: Sender<Event>,
    waker: Waker,
}

impl Events {
    /// Tells an event. A window that is gone needs no news.
    fn tell(&self, event: Event) {
        let _ = self.sender.send(event);
        (self.waker)();
    }
}

/// The workers, as whoever asks them holds them. Dropped, they end after what they are doing.
pub struct Engine {
    extractor: Sender<Request>,
    analyst: Sender<ViewRequest>,
    events: Receiver<Event>,
}

impl Engine {
    /// Starts the workers; `waker` is called after each event, `cache_bytes` bounds the feature maps kept.
    pub fn start(waker: Waker, cache_bytes: usize) -> Result<Self> {
        let (sender, events) = channel();
        let told = Events { sender, waker };
        let cache = SharedCache::new(cache_bytes);
        let (extractor, requests) = channel();
        let (analyst, views) = channel();
        let failed = |error| Error::failed(format!("the worker thread cannot be started: {error}"));
        let mut worker = Extractor::new(requests, told.clone(), cache.clone());
        thread::Builder::new()
            .name("extractor".into())
            .spawn(move || worker.run())
            .map_err(failed)?;
        let mut worker = Analyst::new(views, told, cache);
        thread::Builder::new()
            .name("analyst".into())
            .spawn(move || worker.run())
            .map_err(failed)?;
        Ok(Self {
            extractor,
            analyst,
            events,
        })
    }

    /// Asks for something. The answer is an event.
    pub fn send(&self, request: Request) {
        // The workers end only with the engine itself: a panic is caught inside of them.
        let _ = match request {
            Request::View(view) => self.analyst.send(view).map_err(drop),
            other => self.extractor.send(other).map_err(drop),
        };
    }

    /// The next event, if there is one.
    pub fn poll(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Waits for the next event.
    pub fn wait(&self, timeout: std::time::Duration) -> Option<Event> {
        self.events.recv_timeout(timeout).ok()
    }
}
