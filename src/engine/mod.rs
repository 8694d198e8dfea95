//! The background workers. In: requests. Out: events. Both are plain data, so that the workers could be another process.
//!
//! Six threads. The *extractor* owns model and device and makes feature maps; [`Engine::with_extractor`] puts another
//! one in its place, such as one that asks another machine. The *analyst* compares the maps that are kept (heat maps,
//! matches, channels) and does only what is quick, so that hovering answers while the model runs. The *colourist* makes
//! PCA colours and comparisons of two maps, which take longer: a heat map does not wait for them. The *ranker* scores every
//! kept activation by marked points, and the *statistician* compares many maps with each other, which takes longer still.
//! These five share the cache of maps, which has a bound. The *downloader* says which models are on this machine and
//! brings those that are not.
//!
//! Of several runs the latest wins; so does the latest view of each kind, and every save is done. A panic in a worker is
//! told as an event, and the worker goes on.

mod analyst;
mod basis;
mod cache;
mod colourist;
mod comparison;
mod desk;
mod download;
mod downloader;
mod extractor;
mod host;
mod message;
pub mod process;
mod ranker;
mod recover;
mod reduced;
mod region;
mod sides;
mod statistician;
mod study;
#[cfg(test)]
mod tests;
mod view;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

pub use basis::SavedBasis;
pub use cache::PassKey;
pub use comparison::{
    CkaDone, CkaItem, CkaQuery, CkaRow, Compared, Comparison, ComparisonKind, ShiftQuery, ShiftView, StripFrame,
    StripQuery, StripView,
};
pub use download::{DownloadProgress, HubEvent, HubRequest};
pub use downloader::HubPlace;
pub use host::{ExtractorHost, FinishedPass};
pub use message::{Capture, Event, Layer, ModelInfo, OpenedPicture, PassId, Request, Slot, Work};
pub use study::{MemberKept, SeriesMember, SeriesQuery, Study, StudyNews, SurveyQuery, Surveying};
pub use view::{
    Agreement, BasisChoice, ChannelQuery, ChannelView, ChannelsView, CompareQuery, CompareView, ComparedMap, HeatView,
    Match, MatchesQuery, MatchesView, NotFiniteMap, PcaQuery, PcaSettings, PcaView, PinMatches, PinQuery, Query,
    QueryAt, RankPasses, RankQuery, RankView, RankedMatch, TargetHeat, TargetMatches, ViewRequest,
};

use crate::{
    device::driver_files,
    error::{Error, Result},
    weights::hub::HubSettings,
};
pub use crate::{extract::settings::RunSettings, image::source::PictureSource};
use analyst::Analyst;
use cache::SharedCache;
use colourist::Colourist;
use desk::Desk;
pub(crate) use desk::check_extension;
use downloader::Downloader;
use extractor::Extractor;
use process::{GPU_WORKER, Launch};
use ranker::Ranker;
pub(crate) use recover::recovered;
use statistician::Statistician;

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
    /// Tells an event. A window that is gone needs no news.
    fn tell(&self, event: Event) {
        let _ = self.sender.send(event);
        (self.waker)();
    }
}

/// The workers, as whoever asks them holds them. Dropped, they end after what they are doing; a download ends at once.
pub struct Engine {
    extractor: Sender<Request>,
    analyst: Sender<ViewRequest>,
    colourist: Sender<ViewRequest>,
    statistician: Sender<ViewRequest>,
    ranker: Sender<ViewRequest>,
    downloader: Sender<HubRequest>,
    told: Events,
    events: Receiver<Event>,
}

impl Engine {
    /// Starts the workers; `waker` is called after each event, `cache_bytes` bounds the feature maps kept. The extractor is
    /// a process of its own where one for GPUs lies beside this program ([`process`]), else a thread of this one.
    pub fn start(waker: Waker, cache_bytes: usize) -> Result<Self> {
        Self::with_extractor(waker, cache_bytes, |requests, host| match Launch::find() {
            Some(launch) => process::relay(launch, requests, host),
            None => Extractor::new(requests, host).with_trouble(unused_gpu()).run_here(),
        })
    }

    /// Starts the workers with another extractor: `worker` runs on the extractor's thread, takes every request that is no
    /// view, and answers by way of the host. It is how another process or machine is put behind this engine.
    ///
    /// It should return when the receiver is disconnected. Should it return or panic before, requests that it has not
    /// taken are lost, and later ones are answered with an error.
    pub fn with_extractor(
        waker: Waker,
        cache_bytes: usize,
        worker: impl FnOnce(Receiver<Request>, ExtractorHost) + Send + 'static,
    ) -> Result<Self> {
        Self::with_hub(waker, cache_bytes, worker, Arc::new(HubSettings::from_env))
    }

    /// The same with another hub than the one that the environment names.
    pub fn with_hub(
        waker: Waker,
        cache_bytes: usize,
        worker: impl FnOnce(Receiver<Request>, ExtractorHost) + Send + 'static,
        place: HubPlace,
    ) -> Result<Self> {
        let (sender, events) = channel();
        let told = Events { sender, waker };
        let cache = SharedCache::new(cache_bytes);
        let host = ExtractorHost::new(told.clone(), cache.clone());
        let (extractor, requests) = channel();
        spawn("extractor", move || {
            if let Err(message) = recovered(|| worker(requests, host.clone())) {
                host.tell(Event::Recovered { message });
            }
        })?;
        let desk = Desk::new(told.clone(), cache);
        let (analyst, views) = channel();
        let (at, mut worker) = (desk.clone(), Analyst::new(desk.clone()));
        spawn("analyst", move || {
            at.serve(views, |request, overtaken| worker.answer(request, overtaken))
        })?;
        let (colourist, views) = channel();
        let (at, mut worker) = (desk.clone(), Colourist::new(desk.clone()));
        spawn("colourist", move || {
            at.serve(views, |request, overtaken| worker.answer(request, overtaken))
        })?;
        let (ranker, views) = channel();
        let (at, worker) = (desk.clone(), Ranker::new(desk.clone()));
        spawn("ranker", move || {
            at.serve(views, |request, overtaken| worker.answer(request, overtaken))
        })?;
        let (statistician, views) = channel();
        let mut worker = Statistician::new(desk.clone());
        spawn("statistician", move || {
            desk.serve(views, |request, overtaken| worker.answer(request, overtaken))
        })?;
        let (downloader, requests) = channel();
        let worker = Downloader::new(requests, told.clone(), place);
        spawn("downloader", move || worker.run())?;
        Ok(Self {
            extractor,
            analyst,
            colourist,
            statistician,
            ranker,
            downloader,
            told,
            events,
        })
    }

    /// Asks for something. The answer is an event.
    pub fn send(&self, request: Request) {
        let refused = match request {
            Request::View(view) => {
                let worker = match view {
                    ViewRequest::Pca(_)
                    | ViewRequest::Sides(_)
                    | ViewRequest::SavePca { .. }
                    | ViewRequest::SaveBasis { .. } => &self.colourist,
                    ViewRequest::Rank(_) => &self.ranker,
                    ViewRequest::Compare(_) => &self.statistician,
                    _ => &self.analyst,
                };
                worker.send(view).map_err(|refused| Request::View(refused.0))
            }
            Request::Hub(request) => {
                let sent = self.downloader.send(request);
                sent.map_err(|refused| Request::Hub(refused.0))
            }
            other => self.extractor.send(other).map_err(|refused| refused.0),
        };
        if let Err(request) = refused {
            let error = Error::failed("the worker that does this has ended: start the program anew");
            self.told.tell(Event::of_failure(&request, error));
        }
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
