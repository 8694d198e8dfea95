//! The worker that owns model and device.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};

use super::{
    Events,
    cache::{PassInfo, PassKey, SharedCache},
    message::{
        Capture, Event, Layer, ModelInfo, OpenedPicture, PassId, PictureSource, Request, RunSettings, Slot, Work,
    },
    recover::recovered,
};
use crate::{
    activation::{AttnPart, Catalogue, Id, Leaf, Selection, Shape, VitPart},
    error::{Error, Result},
    extract::{
        framing::{Plan, Prepared},
        image::{Picture, Size, WHITE},
        job,
        model::{DeviceChoice, Model, Place, Precision, fingerprint},
        pass::{Averager, Noise, PassSettings, estimated_bytes, run_pass},
        request::{ExtractRequest, FramedPicture, Provenance},
        spec::ModelSpec,
    },
    weights::embedded,
};

/// All features of a pass are kept if they take at most this share of the cache: room for every slot.
const CACHE_SHARE_PER_PASS: usize = Slot::ALL.len();

/// Owns the model; see the [module's words](super).
pub struct Extractor {
    inbox: Receiver<Request>,
    events: Events,
    cache: SharedCache,
    /// Requests taken from the inbox and not yet done, in order.
    waiting: VecDeque<Request>,
    /// Whether what was under way ended because something newer waits, and not because it was cancelled.
    overtaken: bool,
    /// A run that made way for a picture or a model: it goes on after that, unless there is a later one.
    paused: Option<Request>,
    model: Option<LoadedModel>,
    /// Number of the next model loaded.
    loadings: u64,
    pictures: HashMap<Slot, OpenPicture>,
    closed: bool,
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
}

impl Extractor {
    /// A worker that has done nothing yet.
    pub(super) fn new(inbox: Receiver<Request>, events: Events, cache: SharedCache) -> Self {
        Self {
            inbox,
            events,
            cache,
            waiting: VecDeque::new(),
            overtaken: false,
            paused: None,
            model: None,
            loadings: 0,
            pictures: HashMap::new(),
            closed: false,
        }
    }

    /// Works until the engine is dropped.
    pub(super) fn run(&mut self) {
        while let Some(request) = self.next() {
            if let Err(message) = recovered(|| self.handle(request)) {
                // What the panic left of the model cannot be trusted.
                self.model = None;
                self.events.tell(Event::Recovered { message });
            }
        }
    }

    /// The next request: interactive ones first, of several runs the latest, extractions in order.
    fn next(&mut self) -> Option<Request> {
        loop {
            self.take_mail();
            let interactive = self
                .waiting
                .iter()
                .position(|request| !matches!(request, Request::Extract { .. }));
            if interactive.is_none() && self.paused.is_some() {
                return self.paused.take();
            }
            if let Some(request) = self.waiting.remove(interactive.unwrap_or(0)) {
                let later_run = || self.waiting.iter().any(|later| matches!(later, Request::Run { .. }));
                if matches!(request, Request::Run { .. }) && later_run() {
                    continue;
                }
                return Some(request);
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
                    self.events.tell(Event::Failed {
                        work: Work::Extract { job },
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
    fn watch(&mut self, doing: Doing, work: Work, fraction: f32) -> Result<()> {
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
            (Request::CancelExtract { job }, Doing::Extracting(current)) => *job != current,
            _ => true,
        });
        let cancelled = self.waiting.len() < before;
        let overtaken = self.waiting.iter().any(|waiting| match doing {
            Doing::Loading => matches!(waiting, Request::LoadModel { .. }),
            Doing::Running => {
                matches!(waiting, Request::Run { .. } | Request::LoadModel { .. }) || is_of_pictures(waiting)
            }
            Doing::Extracting(_) => false,
        });
        if cancelled || overtaken || self.closed {
            self.overtaken = overtaken && !cancelled;
            return Err(Error::Cancelled);
        }
        self.events.tell(Event::Progress { work, fraction });
        Ok(())
    }

    fn handle(&mut self, request: Request) {
        tracing::debug!(?request, "taken");
        let (work, result) = match &request {
            Request::LoadModel { name, device, dtype } => (Work::Model, self.load_model(name, *device, *dtype)),
            Request::OpenPicture { slot, source } => (Work::Picture(*slot), self.open_picture(*slot, source)),
            Request::ClosePicture { slot } => {
                self.pictures.remove(slot);
                self.events.tell(Event::PictureClosed { slot: *slot });
                return;
            }
            Request::SwapPictures => {
                let pictures = mem::take(&mut self.pictures).into_iter();
                self.pictures = pictures.map(|(slot, picture)| (slot.other(), picture)).collect();
                self.events.tell(Event::PicturesSwapped);
                return;
            }
            Request::Run { settings, id } => {
                self.paused = None;
                (Work::Run, self.run_pictures(settings, *id))
            }
            Request::Extract { job, request, out } => (Work::Extract { job: *job }, self.extract(*job, request, out)),
            // Nothing is under way that could be ended, but a run may be about to go on.
            Request::Cancel if self.paused.take().is_some() => (Work::Run, Err(Error::Cancelled)),
            // Views are the analyst's.
            Request::Cancel | Request::CancelExtract { .. } | Request::View(_) => return,
            #[cfg(test)]
            Request::Panic => panic!("on purpose"),
        };
        match result {
            Ok(()) => {}
            // What takes its place tells how it fares.
            Err(Error::Cancelled) if mem::take(&mut self.overtaken) => {
                if work == Work::Run {
                    self.paused = Some(request);
                }
            }
            Err(error) => self.events.tell(Event::Failed { work, error }),
        }
    }

    fn load_model(&mut self, name: &str, device: DeviceChoice, dtype: Precision) -> Result<()> {
        let spec = ModelSpec::find(name)?;
        let place = Place::open(device, dtype)?;
        // The one before goes only when the new one is there: a model that cannot be read leaves what the user had.
        let model = Model::load(&spec, place, &mut |done| self.watch(Doing::Loading, Work::Model, done))?;
        self.loadings += 1;
        // It was asked for with the activations of the model before.
        self.paused = None;
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
        self.events.tell(Event::ModelLoaded(Box::new(info)));
        Ok(())
    }

    fn open_picture(&mut self, slot: Slot, source: &PictureSource) -> Result<()> {
        let picture = match source {
            PictureSource::File(path) => Picture::read(path, WHITE)?,
            PictureSource::Sample(name) => {
                let sample = embedded::sample(name)
                    .ok_or_else(|| Error::usage(format!("there is no sample picture \"{name}\"")))?;
                Picture::decode(sample.bytes, WHITE, name)?
            }
        };
        let opened = OpenedPicture {
            source: source.clone(),
            size: picture.size(),
            rgb: picture.rgb().to_vec(),
        };
        let fingerprint = fingerprint(&picture);
        self.pictures.insert(
            slot,
            OpenPicture {
                source: source.clone(),
                picture: Arc::new(picture),
                fingerprint,
            },
        );
        self.events.tell(Event::PictureOpened { slot, picture: opened });
        Ok(())
    }

    /// Makes `id` available for every open picture.
    fn run_pictures(&mut self, settings: &RunSettings, id: Id) -> Result<()> {
        let mut seconds = None;
        for slot in Slot::ALL {
            let Some(open) = self.pictures.get(&slot).cloned() else {
                continue;
            };
            let Some(mut loaded) = self.model.take() else {
                return Err(Error::usage("no model is loaded"));
            };
            let result = self.run_picture(&mut loaded, slot, &open, settings, id);
            self.model = Some(loaded);
            if let Some(taken) = result? {
                seconds = Some(seconds.unwrap_or(0.0) + taken);
            }
        }
        self.events.tell(Event::RunFinished { seconds });
        Ok(())
    }

    /// One picture; gives the seconds of its pass, none if everything was kept already.
    fn run_picture(
        &mut self,
        loaded: &mut LoadedModel,
        slot: Slot,
        open: &OpenPicture,
        settings: &RunSettings,
        id: Id,
    ) -> Result<Option<f64>> {
        let spec = &loaded.model.spec;
        let plan = Plan::new(open.picture.size(), &settings.size, spec.size_rule())?;
        let working = plan.framing().working;
        let list = spec.plain_catalogue(working);
        let needed = needed_for(&list, id)?;
        let key = PassKey {
            model: loaded.loading,
            picture: open.fingerprint,
            settings: settings.clone(),
        };
        let (pass, limit) = {
            let mut cache = self.cache.lock();
            let pass = cache.pass(&key);
            let all_kept = needed
                .iter()
                .all(|tap| list.entry(tap).is_some_and(|entry| cache.has(pass, entry.id)));
            if all_kept {
                drop(cache);
                self.tell_captured(slot, pass, settings, &list);
                return Ok(None);
            }
            (pass, cache.limit_bytes())
        };
        let bytes = estimated_bytes(&list, &needed, 1);
        if bytes > limit {
            const MIB: usize = 1 << 20;
            return Err(Error::failed(format!(
                "{id} takes {} MiB at {working} pixels, more than the {} MiB of maps that are kept: choose a smaller size",
                bytes / MIB,
                limit / MIB
            )));
        }
        let everything = Selection::features(&list);
        let bytes = estimated_bytes(&list, &everything, 1);
        let selection = if bytes <= limit / CACHE_SHARE_PER_PASS {
            everything
        } else {
            needed
        };
        let started = Instant::now();
        let prepared = [Prepared {
            picture: plan.apply(&open.picture)?,
            framing: *plan.framing(),
        }];
        let pass_settings = PassSettings {
            t: settings.t,
            prompt: settings.prompt.clone(),
            noise: Noise {
                seed: settings.seed,
                given: None,
            },
            vae: settings.vae,
            ensemble: settings.ensemble,
        };
        let mut averager = Averager::new(1, settings.ensemble, |_, array| Ok(array));
        run_pass(
            &mut loaded.model,
            &prepared,
            &pass_settings,
            &selection,
            &mut |tap, rows, tensor| averager.add(tap, rows, tensor),
            None,
            &mut |done| {
                self.watch(
                    Doing::Running,
                    Work::Run,
                    (slot.index() as f32 + done) / Slot::ALL.len() as f32,
                )
            },
        )?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(
            slot = slot.name(),
            ?settings,
            recorded = selection.len(),
            seconds,
            "pass"
        );
        let ran = provenance(&loaded.model, open, &prepared[0], settings, seconds)?;
        let info = PassInfo {
            framing: prepared[0].framing,
            ran,
            picture: Arc::clone(&open.picture),
            heads: Arc::new(heads(&list)),
        };
        let mut maps = Vec::new();
        for (tap, array) in averager.finish() {
            if let Some(entry) = list.entry(tap) {
                maps.push((entry.id, array.feature_map(0)?));
            }
        }
        {
            let mut cache = self.cache.lock();
            cache.put_info(pass, info);
            for (id, map) in maps {
                cache.put(pass, id, map);
            }
        }
        self.tell_captured(slot, pass, settings, &list);
        Ok(Some(seconds))
    }

    fn tell_captured(&self, slot: Slot, pass: PassId, settings: &RunSettings, list: &Catalogue) {
        let cache = self.cache.lock();
        let Some(info) = cache.info(pass) else { return };
        let capture = Capture {
            pass,
            settings: settings.clone(),
            kept_bytes: cache.bytes(),
            framing: info.framing,
            layers: list.entries().iter().map(Layer::from).collect(),
            ids: cache.ids(pass),
            ran: info.ran.clone(),
        };
        drop(cache);
        self.events.tell(Event::Captured {
            slot,
            capture: Box::new(capture),
        });
    }

    /// An extraction into files; the interactive model serves it where it is the same one.
    fn extract(&mut self, job: u64, request: &ExtractRequest, out: &Path) -> Result<()> {
        crate::extract::output::check_writable(out)?;
        let planned = job::plan(request)?;
        if !planned.has_one_size() {
            return Err(Error::usage(format!(
                "the pictures have different working sizes ({}): give one size for all",
                planned.sizes()
            )));
        }
        let work = Work::Extract { job };
        let mut watch = |done: f32| self.watch(Doing::Extracting(job), work, done);
        let mut model = job::load(&planned.spec, request, &mut watch)?;
        let extracted = planned.run(request, &mut model, &mut |done| watch(job::after_loading(done)))?;
        extracted.write(out, request.store)?;
        self.events.tell(Event::Saved {
            path: PathBuf::from(out),
        });
        Ok(())
    }
}

/// Whether a request changes which pictures are open.
fn is_of_pictures(request: &Request) -> bool {
    matches!(
        request,
        Request::OpenPicture { .. } | Request::ClosePicture { .. } | Request::SwapPictures
    )
}

/// What has to be recorded to look at an activation: itself, or the queries and keys that its attention rows come from.
fn needed_for(list: &Catalogue, id: Id) -> Result<Selection> {
    let ids = match id.leaf {
        _ if !id.is_map() => vec![id],
        _ => match attention_sources(id) {
            Some(sources) => sources.to_vec(),
            None => {
                return Err(Error::usage(format!(
                    "{id} is attention to text: it is shown by `featscope extract` alone"
                )));
            }
        },
    };
    ids.into_iter()
        .map(|needed| {
            list.tap(needed)
                .ok_or_else(|| Error::usage(format!("this model has no activation \"{needed}\"")))
        })
        .collect()
}

/// The queries and keys that a self-attention map is made of.
pub fn attention_sources(map: Id) -> Option<[Id; 2]> {
    let leaves = match map.leaf {
        Leaf::Vit {
            block,
            part: VitPart::SelfMap,
        } => [VitPart::SelfQ, VitPart::SelfK].map(|part| Leaf::Vit { block, part }),
        Leaf::Attn(AttnPart::Map) => [Leaf::Attn(AttnPart::Q), Leaf::Attn(AttnPart::K)],
        _ => return None,
    };
    Some(leaves.map(|leaf| Id::new(map.place, leaf)))
}

fn heads(list: &Catalogue) -> HashMap<Id, usize> {
    let heads = list.entries().iter().filter_map(|entry| match entry.shape {
        Shape::Attention { heads, .. } => Some((entry.id, heads)),
        Shape::Features { .. } => None,
    });
    heads.collect()
}

fn model_info(model: &Model) -> ModelInfo {
    let spec = &model.spec;
    let mixtures = (0..spec.schedule.steps() as u32).filter_map(|t| spec.schedule.at(t).ok());
    let native = Size::new(spec.native_side, spec.native_side);
    ModelInfo {
        name: spec.name.clone(),
        weights: spec.weights_label(),
        family: spec.family(),
        reads_prompt: spec.reads_prompt(),
        native_side: spec.native_side,
        default_t: spec.default_t,
        size_rule: spec.size_rule(),
        mixtures: mixtures.map(|mixture| [mixture.signal, mixture.noise]).collect(),
        layers: spec.plain_catalogue(native).entries().iter().map(Layer::from).collect(),
        device: model.place.device_name().to_owned(),
        dtype: model.place.dtype_name().to_owned(),
    }
}

fn provenance(
    model: &Model,
    open: &OpenPicture,
    prepared: &Prepared,
    settings: &RunSettings,
    seconds: f64,
) -> Result<Provenance> {
    let path = match &open.source {
        PictureSource::File(path) => path.clone(),
        PictureSource::Sample(name) => PathBuf::from(format!("sample:{name}")),
    };
    let pictures = vec![FramedPicture {
        path,
        framing: prepared.framing,
    }];
    Provenance::of(model, settings.t, pictures, Vec::new(), seconds)
}
