//! The background workers. In: requests. Out: events. Both are plain data, so that the workers could be another process.
//!
//! The *extractor* owns model and device and makes feature maps; [`Engine::with_extractor`] puts another one in its place,
//! such as one that asks another machine. Four *lanes* answer queries about the maps that are kept, by how long an answer
//! takes: instant ones (heat maps, matches, channels) follow the pointer while the model runs, colours need a fit, a ranking
//! scores every activation, and long ones compare many maps with each other. These five share the cache of maps, which has
//! a bound. The *downloader* says which models are on this machine and brings those that are not.
//!
//! Of several runs the latest wins; so does the latest query of each kind, and every save is done. A panic in a worker
//! becomes an event, and the worker goes on.

mod basis;
mod cache;
mod cells;
mod channel_mask;
mod download;
mod downloader;
mod extractor;
mod host;
mod ids;
mod lanes;
mod layer;
mod map_store;
mod message;
pub(crate) mod queries;
mod recover;
mod study;
#[cfg(test)]
mod tests;
pub mod transport;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

pub use basis::{BasisChoice, PcaSettings, SavedBasis};
pub use cache::PassKey;
pub use cells::QueryAt;
pub use download::{DownloadProgress, HubEvent, HubRequest};
pub use downloader::HubPlace;
pub use host::{ExtractorHost, FinishedPass};
pub use ids::{ComparisonKind, ImageSlot, PassId, TaskKind};
pub use layer::Layer;
pub use map_store::NotFiniteMap;
pub use message::{Capture, Event, ModelInfo, OpenedPicture, Request};
pub use queries::{
    Answer, ViewRequest,
    channel::{ChannelQuery, ChannelView},
    channels::{ChannelsQuery, ChannelsView},
    cka::{CkaAnswer, CkaDone, CkaItem, CkaQuery, CkaRow},
    compare::{Agreement, CompareQuery, CompareView, ComparedMap},
    content_shift::{ShiftQuery, ShiftView},
    heat::{HeatQuery, HeatView, Match, TargetHeat},
    matches::{MatchesQuery, MatchesView, PinMatches, PinQuery, RankedMatch, TargetMatches},
    pca::{PcaQuery, PcaView},
    rank::{RankPasses, RankQuery, RankView},
    save_basis::SaveBasis,
    save_heat::SaveHeat,
    save_map::SaveMap,
    save_page::SavePage,
    save_pca::SavePca,
    strip::{StripFrame, StripQuery, StripView},
};
pub use study::{
    MemberKept, RecommendQuery, RecommendStarted, SeriesMember, SeriesQuery, Study, StudyEvent, SurveyQuery,
    SurveyStarted,
};

use crate::{
    device::driver_files,
    error::{Error, Result},
    weights::hub::HubSettings,
};
pub use crate::{extract::settings::RunSettings, image::source::PictureSource};
use cache::SharedCache;
use downloader::Downloader;
use extractor::Extractor;
use lanes::Lanes;
use map_store::MapStore;
pub(crate) use recover::recovered;
use transport::{GPU_WORKER, Launcher};

/// Feature maps kept by default: two pictures of an SD1.5 at 512 with all their activations.
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
    /// Sends an event. A window that is gone needs none.
    fn emit(&self, event: Event) {
        let _ = self.sender.send(event);
        (self.waker)();
    }
}

/// The workers, as whoever asks them holds them. Dropped, they end after what they are doing; a download ends at once.
pub struct Engine {
    extractor: Sender<Request>,
    lanes: Lanes,
    downloader: Sender<HubRequest>,
    events: Events,
    inbox: Receiver<Event>,
}

impl Engine {
    /// Starts the workers; `waker` is called after each event, `cache_bytes` bounds the feature maps kept. The extractor is
    /// a process of its own where one for GPUs lies beside this program ([`transport`]), else a thread of this one.
    ///
    /// # Errors
    ///
    /// Where the system starts no thread.
    pub fn start(waker: Waker, cache_bytes: usize) -> Result<Self> {
        Self::with_extractor(waker, cache_bytes, |requests, host| match Launcher::find() {
            Some(launch) => transport::supervise(launch, requests, host),
            None => Extractor::new(requests, host).with_trouble(unused_gpu()).run_here(),
        })
    }

    /// Starts the workers with another extractor: `worker` runs on the extractor's thread, takes every request that is no
    /// view, and answers by way of the host. It is how another process or machine is put behind this engine.
    ///
    /// It should return when the receiver is disconnected. Should it return or panic before, requests that it has not
    /// taken are lost, and later ones are answered with an error.
    ///
    /// # Errors
    ///
    /// Where the system starts no thread.
    pub fn with_extractor(
        waker: Waker,
        cache_bytes: usize,
        worker: impl FnOnce(Receiver<Request>, ExtractorHost) + Send + 'static,
    ) -> Result<Self> {
        Self::with_hub(waker, cache_bytes, worker, Arc::new(HubSettings::from_env))
    }

    /// The same with another hub than the one that the environment names.
    ///
    /// # Errors
    ///
    /// Where the system starts no thread.
    pub fn with_hub(
        waker: Waker,
        cache_bytes: usize,
        worker: impl FnOnce(Receiver<Request>, ExtractorHost) + Send + 'static,
        place: HubPlace,
    ) -> Result<Self> {
        let (sender, inbox) = channel();
        let events = Events { sender, waker };
        let cache = SharedCache::new(cache_bytes);
        let host = ExtractorHost::new(events.clone(), cache.clone());
        let (extractor, requests) = channel();
        spawn("extractor", move || {
            if let Err(message) = recovered(|| worker(requests, host.clone())) {
                host.emit(Event::Recovered { message });
            }
        })?;
        let lanes = Lanes::start(&events, &MapStore::new(cache))?;
        let (downloader, requests) = channel();
        let worker = Downloader::new(requests, events.clone(), place);
        spawn("downloader", move || worker.run())?;
        Ok(Self {
            extractor,
            lanes,
            downloader,
            events,
            inbox,
        })
    }

    /// Asks for something. The answer is an event.
    pub fn send(&self, request: Request) {
        let refused = match request {
            Request::View(view) => self.lanes.send(view, None).map_err(|view| Request::View(*view)),
            Request::Hub(request) => {
                let sent = self.downloader.send(request);
                sent.map_err(|refused| Request::Hub(refused.0))
            }
            other => self.extractor.send(other).map_err(|refused| refused.0),
        };
        if let Err(request) = refused {
            self.refuse(&request);
        }
    }

    /// Asks about the maps that are kept. The answers are events, and so is their end, which has the `number`.
    pub fn ask(&self, number: u64, question: impl Into<ViewRequest>) {
        if let Err(question) = self.lanes.send(question.into(), Some(number)) {
            self.refuse(&Request::View(*question));
            self.events.emit(Event::Answered { number });
        }
    }

    fn refuse(&self, request: &Request) {
        let error = Error::failed("the worker that does this has ended: start the program anew");
        self.events.emit(Event::of_failure(request, error));
    }

    /// The next event, if there is one.
    pub fn poll(&self) -> Option<Event> {
        self.inbox.try_recv().ok()
    }

    /// Waits for the next event.
    pub fn wait(&self, timeout: std::time::Duration) -> Option<Event> {
        self.inbox.recv_timeout(timeout).ok()
    }
}

/// Why a GPU that seems to be there is not used.
fn unused_gpu() -> Option<String> {
    let driver = driver_files().into_iter().next()?;
    let can = cfg!(feature = "cuda") || cfg!(feature = "metal");
    (!can).then(|| {
        format!(
            "there is an NVIDIA driver ({}), but no {GPU_WORKER} beside this program: it is part of the download for GPUs",
            driver.display()
        )
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned
        .map(drop)
        .map_err(|error| Error::failed(format!("the worker thread cannot be started: {error}")))
}
