//! The downloader: looks what is on this machine, asks the hub, and downloads one model after the other. It has a thread of
//! its own, so that nothing else waits for the network; plans, which are short, have one each, so that no download holds
//! them up.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use super::{
    Events,
    download::{DownloadProgress, HubEvent, HubRequest},
    ids::TaskKind,
    message::Event,
    recover::recovered,
    spawn,
};
use crate::{
    error::{Error, Result},
    families::{
        download_plan::{DownloadOption, download_options},
        inventory::LocalModels,
    },
    weights::hub::{DownloadPlan, Hub, HubSettings, TransferProgress},
};

/// Between events of progress: more of them nobody can read.
const EMIT_EVERY: Duration = Duration::from_millis(100);
/// The time over which bytes per second are counted, and the least over which they mean anything.
const RATE_OVER: Duration = Duration::from_secs(4);
const LEAST_RATE_OVER: Duration = Duration::from_millis(500);

/// Where the hub and its cache are. Asked anew for each piece of work: the user may have signed in since.
pub type HubPlace = Arc<dyn Fn() -> Result<HubSettings> + Send + Sync>;

/// The downloader's end of everything.
pub struct Downloader {
    inbox: Receiver<HubRequest>,
    events: Events,
    place: HubPlace,
    /// Downloads that wait.
    waiting: VecDeque<(u64, DownloadOption)>,
    /// Plans that are being made, and their ends.
    planning: BTreeMap<u64, Arc<AtomicBool>>,
    /// Whether the engine was dropped.
    closed: bool,
}

impl Downloader {
    pub fn new(inbox: Receiver<HubRequest>, events: Events, place: HubPlace) -> Self {
        Self {
            inbox,
            events,
            place,
            waiting: VecDeque::new(),
            planning: BTreeMap::new(),
            closed: false,
        }
    }

    /// Does what is asked until the engine is dropped.
    pub fn run(mut self) {
        while let Some((job, offer)) = self.next() {
            let done = recovered(|| self.download(job, &offer)).unwrap_or_else(|words| Err(bug(&words)));
            if !self.closed {
                report(&self.events, job, done.map(|folder| HubEvent::Done { job, folder }));
            }
        }
        for end in self.planning.values() {
            end.store(true, Ordering::Relaxed);
        }
    }

    /// The next download, as soon as there is one; none when no more can come.
    fn next(&mut self) -> Option<(u64, DownloadOption)> {
        loop {
            self.receive(None);
            if self.closed {
                return None;
            }
            if let Some(next) = self.waiting.pop_front() {
                return Some(next);
            }
            match self.inbox.recv() {
                Ok(request) => {
                    self.on_request(request, None);
                }
                Err(_) => self.closed = true,
            }
        }
    }

    /// Takes what has come; gives whether the job under way is to end.
    fn receive(&mut self, current: Option<u64>) -> bool {
        let mut ends = false;
        loop {
            match self.inbox.try_recv() {
                Ok(request) => ends |= self.on_request(request, current),
                Err(TryRecvError::Empty) => return ends,
                Err(TryRecvError::Disconnected) => {
                    self.closed = true;
                    return true;
                }
            }
        }
    }

    /// Takes one request; gives whether it ends the job under way.
    fn on_request(&mut self, request: HubRequest, current: Option<u64>) -> bool {
        match request {
            HubRequest::Look => self.look(),
            HubRequest::Plan { job, name } => self.plan(job, name),
            HubRequest::Download { job, offer } => self.waiting.push_back((job, *offer)),
            HubRequest::PlanRemoval { job, repo, scope } => self.beside("removal", job, move |hub| {
                let removal = Box::new(hub.removal(&repo, scope)?);
                Ok(HubEvent::Removable { job, removal })
            }),
            HubRequest::Remove { job, removal } => self.beside("removal", job, move |hub| {
                let bytes = hub.remove(&removal)?;
                Ok(HubEvent::Removed { job, bytes })
            }),
            HubRequest::Cancel { job } if current == Some(job) => return true,
            HubRequest::Cancel { job } => {
                if let Some(end) = self.planning.get(&job) {
                    end.store(true, Ordering::Relaxed);
                }
                let before = self.waiting.len();
                self.waiting.retain(|(other, _)| *other != job);
                if self.waiting.len() < before {
                    report(&self.events, job, Err(Error::Cancelled));
                }
            }
        }
        false
    }

    /// Folders may lie on a slow disk: neither a download nor a plan waits for them.
    fn look(&self) {
        let (events, place) = (self.events.clone(), Arc::clone(&self.place));
        let looking = spawn("shelf", move || {
            events.emit(match recovered(|| LocalModels::look(place())) {
                Ok(shelf) => Event::Hub(HubEvent::Shelf(Box::new(shelf))),
                Err(words) => Event::Failed {
                    work: TaskKind::Shelf,
                    error: bug(&words),
                },
            });
        });
        if let Err(error) = looking {
            let work = TaskKind::Shelf;
            self.events.emit(Event::Failed { work, error });
        }
    }

    /// Does something in the cache that no download waits for.
    fn beside(&self, name: &str, job: u64, work: impl FnOnce(&Hub) -> Result<HubEvent> + Send + 'static) {
        let (events, place) = (self.events.clone(), Arc::clone(&self.place));
        let begun = spawn(name, move || {
            let done = recovered(|| work(&Hub::new(place()?)));
            report(&events, job, done.unwrap_or_else(|words| Err(bug(&words))));
        });
        if let Err(error) = begun {
            report(&self.events, job, Err(error));
        }
    }

    fn plan(&mut self, job: u64, name: String) {
        // One that is over is held by nobody else.
        self.planning.retain(|_, end| Arc::strong_count(end) > 1);
        let end = Arc::new(AtomicBool::new(false));
        self.planning.insert(job, Arc::clone(&end));
        let (events, place) = (self.events.clone(), Arc::clone(&self.place));
        let planning = spawn("plan", move || {
            let planned = recovered(|| download_options(&Hub::new(place()?), &name, &mut |_| go_on(&end)));
            let planned = planned.unwrap_or_else(|words| Err(bug(&words)));
            // It may have been ended since the hub's last answer.
            let planned = planned.and_then(|offers| go_on(&end).map(|()| offers));
            report(&events, job, planned.map(|offers| HubEvent::Planned { job, offers }));
        });
        if let Err(error) = planning {
            report(&self.events, job, Err(error));
        }
    }

    /// Downloads one repository after the other; gives the first one's folder.
    fn download(&mut self, job: u64, offer: &DownloadOption) -> Result<PathBuf> {
        let hub = Hub::new((self.place)()?);
        let mut teller = Teller::new(offer);
        let mut own = None;
        for plan in &offer.plans {
            let folder = hub.fetch(plan, &mut |progress| {
                if let Some(progress) = teller.due(progress, Instant::now()) {
                    let progress = Box::new(progress);
                    self.events.emit(Event::Hub(HubEvent::Progress { job, progress }));
                }
                match self.receive(Some(job)) {
                    true => Err(Error::Cancelled),
                    false => Ok(()),
                }
            })?;
            teller.finish(plan);
            own.get_or_insert(folder);
        }
        own.ok_or_else(|| Error::usage("the download names no repository: ask for a plan first"))
    }
}

/// Whether to go on, until the flag is set.
fn go_on(end: &AtomicBool) -> Result<()> {
    match end.load(Ordering::Relaxed) {
        true => Err(Error::Cancelled),
        false => Ok(()),
    }
}

fn bug(words: &str) -> Error {
    Error::failed(format!("a bug in the downloader was caught: {words}"))
}

fn report(events: &Events, job: u64, came: Result<HubEvent>) {
    let work = TaskKind::Download { job };
    events.emit(came.map_or_else(|error| Event::Failed { work, error }, Event::Hub));
}

/// Sums up over repositories, and tells now and then.
struct Teller {
    files_total: usize,
    bytes_total: u64,
    /// Of the repositories that are complete.
    files_done: usize,
    bytes_done: u64,
    bytes_received: u64,
    /// Bytes that the repository in work has received.
    receiving: u64,
    emitted: Option<Instant>,
    /// Bytes received, and when that was.
    received: VecDeque<(Instant, u64)>,
}

impl Teller {
    fn new(offer: &DownloadOption) -> Self {
        Self {
            files_total: offer.files(),
            bytes_total: offer.bytes_total(),
            files_done: 0,
            bytes_done: 0,
            bytes_received: 0,
            receiving: 0,
            emitted: None,
            received: VecDeque::new(),
        }
    }

    /// What is to be emitted now, if anything is.
    fn due(&mut self, of_repository: &TransferProgress, now: Instant) -> Option<DownloadProgress> {
        self.receiving = of_repository.bytes_received;
        let is_due = |emitted: Instant| now.saturating_duration_since(emitted) >= EMIT_EVERY;
        if !self.emitted.is_none_or(is_due) {
            return None;
        }
        self.emitted = Some(now);
        let progress = TransferProgress {
            files_done: self.files_done + of_repository.files_done,
            files_total: self.files_total,
            bytes_done: self.bytes_done.saturating_add(of_repository.bytes_done),
            bytes_total: self.bytes_total,
            bytes_received: self.bytes_received.saturating_add(of_repository.bytes_received),
            ..of_repository.clone()
        };
        let bytes_per_sec = self.rate(progress.bytes_received, now);
        Some(DownloadProgress {
            progress,
            bytes_per_sec,
        })
    }

    fn rate(&mut self, received: u64, now: Instant) -> Option<f64> {
        self.received.push_back((now, received));
        let since = |at: Instant| now.saturating_duration_since(at);
        while self.received.front().is_some_and(|(at, _)| since(*at) > RATE_OVER) {
            self.received.pop_front();
        }
        let (at, before) = *self.received.front()?;
        let over = since(at);
        (over >= LEAST_RATE_OVER).then(|| received.saturating_sub(before) as f64 / over.as_secs_f64())
    }

    /// A repository is complete.
    fn finish(&mut self, plan: &DownloadPlan) {
        self.files_done += plan.files.len();
        self.bytes_done = self.bytes_done.saturating_add(plan.bytes_total);
        self.bytes_received = self.bytes_received.saturating_add(self.receiving);
        self.receiving = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::hub::{Repo, TransferStage, Variant};

    fn plan(files: usize, bytes_total: u64) -> Result<DownloadPlan> {
        let file = r#"{"path": "f", "size": 1, "checksum": "0123456789abcdef0123456789abcdef01234567", "present": false,
            "begun": 0}"#;
        let file = serde_json::from_str(file).map_err(|error| Error::failed(error.to_string()))?;
        Ok(DownloadPlan {
            repo: Repo::new("owner/name")?,
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            weights: Vec::new(),
            files: vec![file; files],
            bytes_total,
            bytes_missing: bytes_total,
        })
    }

    fn at(files_done: usize, bytes: u64) -> TransferProgress {
        TransferProgress {
            stage: TransferStage::Downloading,
            file: "f".to_owned(),
            file_done: 0,
            file_total: 1,
            files_done,
            files_total: 2,
            bytes_done: bytes,
            bytes_total: 1000,
            bytes_received: bytes,
        }
    }

    #[test]
    fn several_repositories_are_one_download_told_ten_times_a_second() -> Result<()> {
        let plans = vec![plan(2, 1000)?, plan(3, 9000)?];
        let mut teller = Teller::new(&DownloadOption {
            variant: Variant::Full,
            plans: plans.clone(),
        });
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let first = teller
            .due(&at(0, 0), begin)
            .map(|emitted| (emitted.progress.files_total, emitted.bytes_per_sec));
        assert_eq!(first, Some((5, None)));
        assert_eq!(teller.due(&at(1, 400), after(99)), None);
        assert!(teller.due(&at(1, 400), after(100)).is_some());
        // What came last before the end of a repository counts, also if it was not emitted.
        assert_eq!(teller.due(&at(2, 1000), after(150)), None);
        teller.finish(&plans[0]);
        let emitted = teller
            .due(&at(1, 3000), after(1000))
            .map(|emitted| (emitted.progress, emitted.bytes_per_sec));
        let (progress, rate) = emitted.ok_or_else(|| Error::failed("it is due"))?;
        assert_eq!((progress.files_done, progress.bytes_done), (3, 4000));
        assert_eq!((progress.bytes_total, progress.bytes_received), (10_000, 4000));
        assert_eq!(rate, Some(4000.0));
        // An hour later the rate is not that of the hour.
        let emitted = teller
            .due(&at(1, 3000), after(3_600_000))
            .and_then(|emitted| emitted.bytes_per_sec);
        assert_eq!(emitted, None);
        Ok(())
    }
}
