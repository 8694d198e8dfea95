//! The worker that owns model and device. What is looked at goes first, extractions into files wait in a queue, and
//! studies go on where nothing else is to be done.

mod passes;
mod recommend;
mod runs;
mod studies;
mod survey;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
};

use super::{
    host::ExtractorHost,
    ids::{ImageSlot, TaskKind},
    layer::Layer,
    message::{Event, ModelInfo, OpenedPicture, Request},
    recover::recovered,
};
use crate::{
    device::{Compute, DeviceChoice, Devices, Precision},
    error::{Error, Result},
    extract::{
        job,
        model::{Model, fingerprint},
        request::ExtractRequest,
        self_check::Opened,
    },
    families::resolve,
    geometry::Size,
    image::{picture::Picture, source::PictureSource},
    io::writers::check_output,
    model::{LoadExtent, spec::ModelSpec},
    sources::open_device,
};
use studies::Begun;

/// Owns the model; see the [module's words](super).
pub struct Extractor {
    inbox: Receiver<Request>,
    host: ExtractorHost,
    /// Requests taken from the inbox and not yet done, in order.
    waiting: VecDeque<Request>,
    /// Whether what was under way ended because something newer waits, and not because it was cancelled.
    overtaken: bool,
    /// A run that made way for a picture or a model: it goes on after that, unless there is a later one.
    paused: Option<Request>,
    /// The study that was begun and is not under way at the moment.
    begun: Option<Begun>,
    /// Jobs of studies that were asked for before the model that is being read.
    outdated: Vec<u64>,
    model: Option<LoadedModel>,
    /// Number of the next model loaded.
    loadings: u64,
    /// Runs go through them in this order.
    pictures: BTreeMap<ImageSlot, OpenPicture>,
    closed: bool,
    /// Whether the last request failed.
    failed: bool,
    /// Why no GPU is used, where that was found out before this one began.
    trouble: Option<String>,
    /// Whether the device still computes.
    check_device: fn(&candle_core::Device) -> candle_core::Result<()>,
    /// Whether what is looked at is computed and handed over before everything else of a pass.
    shows_first: fn(&Compute) -> bool,
}

struct LoadedModel {
    /// Which loading it was: part of every pass's key.
    loading: u64,
    model: Model,
}

#[derive(Clone)]
struct OpenPicture {
    source: PictureSource,
    picture: Arc<Picture>,
    fingerprint: u64,
}

/// Whether something that waits takes the place of what is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Loading,
    Running,
    Extracting(u64),
    Studying(u64),
}

/// What is done next.
enum Next {
    Request(Request),
    /// A pass of a study.
    Study(Begun),
}

impl Extractor {
    /// A worker that has done nothing yet.
    pub(super) fn new(inbox: Receiver<Request>, host: ExtractorHost) -> Self {
        Self {
            inbox,
            host,
            waiting: VecDeque::new(),
            overtaken: false,
            paused: None,
            begun: None,
            outdated: Vec::new(),
            model: None,
            loadings: 0,
            pictures: BTreeMap::new(),
            closed: false,
            failed: false,
            trouble: None,
            check_device: candle_core::Device::synchronize,
            // A GPU takes less time for a second pass than handing over all activations of the first takes.
            shows_first: |place| !place.device.is_cpu(),
        }
    }

    /// Numbers of loaded models begin behind this.
    pub(super) fn with_loadings(self, loadings: u64) -> Self {
        Self { loadings, ..self }
    }

    /// Says why no GPU is used.
    pub(super) fn with_trouble(self, trouble: Option<String>) -> Self {
        Self { trouble, ..self }
    }

    /// As on a GPU that fails with the first thing that fails on it.
    #[cfg(test)]
    pub(super) fn failing(self) -> Self {
        Self {
            check_device: |_| Err(candle_core::Error::Msg("an illegal address".to_owned())),
            ..self
        }
    }

    /// As on a GPU, on any device.
    #[cfg(test)]
    pub(super) fn showing_first(self) -> Self {
        Self {
            shows_first: |_| true,
            ..self
        }
    }

    /// Works in the engine's own process until the engine is dropped.
    pub(super) fn run_here(&mut self) {
        if let Err(error) = self.run() {
            let message = error.to_string();
            self.host.emit(Event::Recovered { message });
        }
    }

    /// Works until the engine is dropped. An error where the device computes no more: what has failed on a GPU in this way
    /// fails with everything else of the process.
    pub(super) fn run(&mut self) -> Result<()> {
        if self.trouble.is_some() {
            self.report_devices();
        }
        while let Some(next) = self.next() {
            let study = match &next {
                Next::Study(begun) => Some(begun.job),
                Next::Request(_) => None,
            };
            let done = recovered(|| match next {
                Next::Request(request) => self.handle(request),
                Next::Study(begun) => self.go_on(begun),
            });
            if let Err(message) = done {
                // What the panic left of the model cannot be trusted.
                self.model = None;
                if let Some(job) = study {
                    let error = Error::failed("a bug ended it: load the model again");
                    let work = TaskKind::Study { job };
                    self.host.emit(Event::Failed { work, error });
                }
                self.host.emit(Event::Recovered { message });
            }
            if mem::take(&mut self.failed)
                && let Some(loaded) = &self.model
                && let Err(error) = (self.check_device)(&loaded.model.place.device)
            {
                let device = loaded.model.place.device_name();
                self.model = None;
                return Err(Error::from(error).context(format_args!("{device} computes no more")));
            }
        }
        Ok(())
    }

    /// What is next: interactive requests first, of several runs the latest, then extractions in order, then studies.
    fn next(&mut self) -> Option<Next> {
        loop {
            self.take_mail();
            if let Some(place) = self.waiting.iter().position(is_interactive) {
                if let Request::LoadModel { .. } = self.waiting[place] {
                    let earlier = self.waiting.iter().take(place).filter_map(job_of_study);
                    let begun = self.begun.iter().map(|begun| begun.job);
                    self.outdated = begun.chain(earlier).collect();
                }
                let Some(request) = self.waiting.remove(place) else {
                    continue;
                };
                let is_run = |request: &Request| matches!(request, Request::Run { .. });
                if is_run(&request) && self.waiting.iter().any(is_run) {
                    continue;
                }
                return Some(Next::Request(request));
            }
            if let Some(paused) = self.paused.take() {
                return Some(Next::Request(paused));
            }
            let is_extraction = |request: &Request| matches!(request, Request::Extract { .. });
            if let Some(place) = self.waiting.iter().position(is_extraction) {
                return self.waiting.remove(place).map(Next::Request);
            }
            if let Some(begun) = self.begun.take() {
                return Some(Next::Study(begun));
            }
            if let Some(request) = self.waiting.pop_front() {
                return Some(Next::Request(request));
            }
            if self.closed {
                return None;
            }
            match self.inbox.recv() {
                Ok(request) => self.waiting.push_back(request),
                Err(_) => self.closed = true,
            }
        }
    }

    /// Takes what has come; what is cancelled while it waits never begins.
    fn take_mail(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Request::CancelExtract { job }) if self.drop_waiting(job) => {
                    self.host.emit(Event::Failed {
                        work: TaskKind::Extract { job },
                        error: Error::Cancelled,
                    });
                }
                Ok(Request::CancelStudy { job }) if self.drop_study(job) => {
                    self.host.emit(Event::Failed {
                        work: TaskKind::Study { job },
                        error: Error::Cancelled,
                    });
                }
                Ok(request) => self.waiting.push_back(request),
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn drop_waiting(&mut self, job: u64) -> bool {
        let before = self.waiting.len();
        self.waiting
            .retain(|waiting| !matches!(waiting, Request::Extract { job: other, .. } if *other == job));
        self.waiting.len() < before
    }

    /// Told how far the work is; ends it when it is cancelled or something newer takes its place.
    fn watch(&mut self, doing: Doing, work: TaskKind, fraction: f32, item: Option<[usize; 2]>) -> Result<()> {
        self.take_mail();
        if doing != Doing::Running {
            // Nothing that takes minutes depends on them: they are seen at once.
            let (pictures, others): (VecDeque<_>, _) =
                mem::take(&mut self.waiting).into_iter().partition(is_of_pictures);
            self.waiting = others;
            pictures.into_iter().for_each(|request| self.handle(request));
        }
        let before = self.waiting.len();
        self.waiting.retain(|waiting| match (waiting, doing) {
            (Request::Cancel, Doing::Loading | Doing::Running) => false,
            (Request::CancelExtract { job }, Doing::Extracting(current))
            | (Request::CancelStudy { job }, Doing::Studying(current)) => *job != current,
            _ => true,
        });
        let cancelled = self.waiting.len() < before;
        let overtaken = self.waiting.iter().any(|waiting| match doing {
            Doing::Loading => matches!(waiting, Request::LoadModel { .. }),
            Doing::Running => {
                matches!(waiting, Request::Run { .. } | Request::LoadModel { .. }) || is_of_pictures(waiting)
            }
            Doing::Extracting(_) => false,
            Doing::Studying(_) => matches!(
                waiting,
                Request::Run { .. } | Request::LoadModel { .. } | Request::Extract { .. }
            ),
        });
        if cancelled || overtaken || self.closed {
            self.overtaken = overtaken && !cancelled;
            return Err(Error::Cancelled);
        }
        self.host.emit(Event::Progress { work, fraction, item });
        Ok(())
    }

    fn handle(&mut self, request: Request) {
        tracing::debug!(?request, "taken");
        let result = match &request {
            Request::LoadModel { name, device, dtype } => self.load_model(name, *device, *dtype),
            Request::LookForDevices => {
                self.report_devices();
                Ok(())
            }
            Request::OpenPicture { slot, source } => self.open_picture(*slot, source),
            Request::ClosePicture { slot } => {
                self.pictures.remove(slot);
                self.host.emit(Event::PictureClosed { slot: *slot });
                Ok(())
            }
            Request::SwapPictures { a, b } => {
                self.swap(*a, *b);
                self.host.emit(Event::PicturesSwapped { a: *a, b: *b });
                Ok(())
            }
            Request::Run { settings, id } => {
                self.paused = None;
                self.run_pictures(settings, *id)
            }
            Request::Extract { job, request, out } => self.extract(*job, request, out),
            Request::Study { job, study } => {
                self.begin_study(*job, (**study).clone());
                Ok(())
            }
            // It came between two passes.
            Request::CancelStudy { job } if self.drop_study(*job) => Err(Error::Cancelled),
            // Nothing is under way that could be ended, but a run may be about to go on.
            Request::Cancel if self.paused.take().is_some() => Err(Error::Cancelled),
            // Views are for the other workers.
            Request::Cancel
            | Request::CancelExtract { .. }
            | Request::CancelStudy { .. }
            | Request::View(_)
            | Request::Hub(_) => Ok(()),
            #[cfg(test)]
            Request::Panic => panic!("on purpose"),
        };
        match result {
            Ok(()) => {}
            // What takes its place tells how it fares.
            Err(Error::Cancelled) if mem::take(&mut self.overtaken) => {
                if request.task() == TaskKind::Run {
                    self.paused = Some(request);
                }
            }
            Err(error) => {
                self.failed = error != Error::Cancelled;
                self.host.emit(Event::of_failure(&request, error));
            }
        }
    }

    fn load_model(&mut self, name: &str, device: DeviceChoice, dtype: Precision) -> Result<()> {
        let spec = resolve(name)?;
        let Opened { place, note } = open_device(device, dtype)?;
        // The one before goes only when the new one is there: a model that cannot be read leaves what the user had.
        let mut model = match self.read_model(&spec, &place) {
            // A GPU that cannot hold two models at a time may hold this one alone.
            Err(error) if error.is_out_of_memory() && self.model.take().is_some() => {
                tracing::info!(%error, "the model before was let go");
                let after = "; the model before was let go to make room, and has to be loaded again";
                self.read_model(&spec, &place)
                    .map_err(|error| error.followed_by(after))?
            }
            read => read?,
        };
        model.spec.notes.extend(note);
        self.loadings += 1;
        // They were asked for with the activations of the model before.
        self.paused = None;
        let outdated = mem::take(&mut self.outdated);
        self.end_studies(&outdated);
        let info = model_info(&model);
        tracing::info!(
            model = name,
            weights = info.weights,
            device = info.device,
            dtype = info.dtype,
            "loaded"
        );
        self.model = Some(LoadedModel {
            loading: self.loadings,
            model,
        });
        self.host.emit(Event::ModelLoaded(Box::new(info)));
        Ok(())
    }

    fn read_model(&mut self, spec: &ModelSpec, place: &Compute) -> Result<Model> {
        Model::load(spec, place.clone(), LoadExtent::Whole, &mut |done| {
            self.watch(Doing::Loading, TaskKind::Model, done, None)
        })
    }

    fn report_devices(&self) {
        let mut devices = Devices::look();
        devices.trouble = devices.trouble.or_else(|| self.trouble.clone());
        self.host.emit(Event::Devices(devices));
    }

    fn open_picture(&mut self, slot: ImageSlot, source: &PictureSource) -> Result<()> {
        let picture = source.read()?;
        let fingerprint = fingerprint(&picture);
        let opened = OpenedPicture {
            source: source.clone(),
            size: picture.size(),
            rgb: picture.rgb().to_vec(),
            fingerprint,
            note: picture.note().map(str::to_owned),
        };
        self.pictures.insert(
            slot,
            OpenPicture {
                source: source.clone(),
                picture: Arc::new(picture),
                fingerprint,
            },
        );
        self.host.emit(Event::PictureOpened { slot, picture: opened });
        Ok(())
    }

    /// Lets two slots change their pictures, of which either may have none.
    fn swap(&mut self, a: ImageSlot, b: ImageSlot) {
        let pictures = [self.pictures.remove(&a), self.pictures.remove(&b)];
        for (slot, picture) in [b, a].into_iter().zip(pictures) {
            if let Some(picture) = picture {
                self.pictures.insert(slot, picture);
            }
        }
    }

    /// An extraction into files, with a model of its own: the one looked at stays loaded.
    fn extract(&mut self, job: u64, request: &ExtractRequest, out: &Path) -> Result<()> {
        check_output(out)?;
        let planned = job::plan(resolve(&request.model)?, request)?;
        planned.check_output(request, out)?;
        let work = TaskKind::Extract { job };
        let mut watch = |done, item| self.watch(Doing::Extracting(job), work, done, item);
        let opened = open_device(request.device, request.dtype)?;
        let mut model = planned.load(request, opened, &mut |done| watch(done, None))?;
        planned.write(request, &mut model, out, &mut |done, item| {
            watch(job::after_loading(done), item)
        })?;
        self.host.emit(Event::Saved {
            work,
            path: PathBuf::from(out),
        });
        Ok(())
    }
}

/// Whether somebody waits for what is asked.
fn is_interactive(request: &Request) -> bool {
    !matches!(request, Request::Extract { .. } | Request::Study { .. })
}

fn job_of_study(request: &Request) -> Option<u64> {
    match request {
        Request::Study { job, .. } => Some(*job),
        _ => None,
    }
}

/// Whether a request changes which pictures are open.
fn is_of_pictures(request: &Request) -> bool {
    matches!(
        request,
        Request::OpenPicture { .. } | Request::ClosePicture { .. } | Request::SwapPictures { .. }
    )
}

fn model_info(model: &Model) -> ModelInfo {
    let spec = &model.spec;
    let timesteps = spec.schedule.whole_timesteps().filter(|_| !spec.is_encoder());
    let mixtures = timesteps.filter_map(|t| spec.mixture(t).ok());
    let native = Size::new(spec.native_side, spec.native_side);
    ModelInfo {
        name: spec.name.clone(),
        weights: spec.weights_label(),
        family: spec.family.to_owned(),
        reads_prompt: spec.reads_prompt(),
        classes: spec.classes().cloned(),
        has_autoencoder: spec.has_autoencoder(),
        takes_adapters: spec.network.takes_adapters(),
        reads_guidance: spec.reads_guidance(),
        shifts_t: spec.shifts(native),
        flows: spec.schedule.flows(),
        native_side: spec.native_side,
        default_t: spec.default_t,
        size_rule: spec.size_rule(),
        mixtures: mixtures.map(|mixture| [mixture.signal, mixture.noise]).collect(),
        layers: spec.plain_catalogue(native).entries().iter().map(Layer::from).collect(),
        encode_cost: spec.encode_cost(native),
        device: model.place.device_name(),
        dtype: model.place.dtype_name().to_owned(),
        notes: spec.notes.clone(),
    }
}
