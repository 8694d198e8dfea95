//! The worker that owns model and device.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};

use super::{
    cache::PassKey,
    host::{ExtractorHost, FinishedPass},
    message::{Event, Layer, ModelInfo, OpenedPicture, Request, RunSettings, Slot, Work},
    recover::recovered,
};
use crate::{
    activation::{AttnPart, Catalogue, FeatureMap, Grid, Id, Leaf, Selection, Shape, Tap, VitPart},
    error::{Error, Result},
    extract::{
        array::Array,
        averager::Averager,
        framing::{Plan, Prepared},
        image::{Picture, Size},
        job, memory,
        model::{DeviceChoice, Model, Place, Precision, fingerprint},
        output::check_writable,
        pass::{Noise, PassSettings, run_pass},
        request::{ExtractRequest, FramedPicture, Provenance},
        source::PictureSource,
        spec::ModelSpec,
    },
};

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
    model: Option<LoadedModel>,
    /// Number of the next model loaded.
    loadings: u64,
    /// Runs go through them in this order.
    pictures: BTreeMap<Slot, OpenPicture>,
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
    pub(super) fn new(inbox: Receiver<Request>, host: ExtractorHost) -> Self {
        Self {
            inbox,
            host,
            waiting: VecDeque::new(),
            overtaken: false,
            paused: None,
            model: None,
            loadings: 0,
            pictures: BTreeMap::new(),
            closed: false,
        }
    }

    /// Works until the engine is dropped.
    pub(super) fn run(&mut self) {
        while let Some(request) = self.next() {
            if let Err(message) = recovered(|| self.handle(request)) {
                // What the panic left of the model cannot be trusted.
                self.model = None;
                self.host.tell(Event::Recovered { message });
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
                    self.host.tell(Event::Failed {
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
    fn watch(&mut self, doing: Doing, work: Work, fraction: f32, item: Option<[usize; 2]>) -> Result<()> {
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
        self.host.tell(Event::Progress { work, fraction, item });
        Ok(())
    }

    fn handle(&mut self, request: Request) {
        tracing::debug!(?request, "taken");
        let result = match &request {
            Request::LoadModel { name, device, dtype } => self.load_model(name, *device, *dtype),
            Request::OpenPicture { slot, source } => self.open_picture(*slot, source),
            Request::ClosePicture { slot } => {
                self.pictures.remove(slot);
                self.host.tell(Event::PictureClosed { slot: *slot });
                Ok(())
            }
            Request::SwapPictures { a, b } => {
                self.swap(*a, *b);
                self.host.tell(Event::PicturesSwapped { a: *a, b: *b });
                Ok(())
            }
            Request::Run { settings, id } => {
                self.paused = None;
                self.run_pictures(settings, *id)
            }
            Request::Extract { job, request, out } => self.extract(*job, request, out),
            // Nothing is under way that could be ended, but a run may be about to go on.
            Request::Cancel if self.paused.take().is_some() => Err(Error::Cancelled),
            // Views are for the other workers.
            Request::Cancel | Request::CancelExtract { .. } | Request::View(_) | Request::Hub(_) => Ok(()),
            #[cfg(test)]
            Request::Panic => panic!("on purpose"),
        };
        match result {
            Ok(()) => {}
            // What takes its place tells how it fares.
            Err(Error::Cancelled) if mem::take(&mut self.overtaken) => {
                if request.work() == Work::Run {
                    self.paused = Some(request);
                }
            }
            Err(error) => self.host.tell(Event::of_failure(&request, error)),
        }
    }

    fn load_model(&mut self, name: &str, device: DeviceChoice, dtype: Precision) -> Result<()> {
        let spec = ModelSpec::find(name)?;
        let place = Place::open(device, dtype)?;
        // The one before goes only when the new one is there: a model that cannot be read leaves what the user had.
        let model = Model::load(&spec, place, &mut |done| {
            self.watch(Doing::Loading, Work::Model, done, None)
        })?;
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
        self.host.tell(Event::ModelLoaded(Box::new(info)));
        Ok(())
    }

    fn open_picture(&mut self, slot: Slot, source: &PictureSource) -> Result<()> {
        let picture = source.read()?;
        let fingerprint = fingerprint(&picture);
        let opened = OpenedPicture {
            source: source.clone(),
            size: picture.size(),
            rgb: picture.rgb().to_vec(),
            fingerprint,
        };
        self.pictures.insert(
            slot,
            OpenPicture {
                source: source.clone(),
                picture: Arc::new(picture),
                fingerprint,
            },
        );
        self.host.tell(Event::PictureOpened { slot, picture: opened });
        Ok(())
    }

    /// Lets two slots change their pictures, of which either may have none.
    fn swap(&mut self, a: Slot, b: Slot) {
        let pictures = [self.pictures.remove(&a), self.pictures.remove(&b)];
        for (slot, picture) in [b, a].into_iter().zip(pictures) {
            if let Some(picture) = picture {
                self.pictures.insert(slot, picture);
            }
        }
    }

    /// Makes `id` available for every open picture.
    fn run_pictures(&mut self, settings: &RunSettings, id: Id) -> Result<()> {
        let mut seconds = None;
        let pictures: Vec<(Slot, OpenPicture)> = self.pictures.clone().into_iter().collect();
        for (index, (slot, open)) in pictures.iter().enumerate() {
            let Some(mut loaded) = self.model.take() else {
                return Err(Error::usage("no model is loaded"));
            };
            let result = self.run_picture(&mut loaded, [index, pictures.len()], *slot, open, settings, id);
            self.model = Some(loaded);
            let named = |error: Error| match pictures.len() {
                1 => error,
                _ => error.context(format_args!("picture {}", slot.name())),
            };
            if let Some(taken) = result.map_err(named)? {
                seconds = Some(seconds.unwrap_or(0.0) + taken);
            }
        }
        self.host.tell(Event::RunFinished { seconds });
        Ok(())
    }

    /// One picture, number `index` of `open_count`; gives the seconds of its pass, none if everything was kept already.
    fn run_picture(
        &mut self,
        loaded: &mut LoadedModel,
        [index, open_count]: [usize; 2],
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
        let pass = self.host.pass(&PassKey {
            model: loaded.loading,
            picture: open.fingerprint,
            // A LoRA that is switched off leaves what was kept without it.
            settings: settings.acting(),
        });
        let all_kept = needed
            .iter()
            .all(|tap| list.entry(tap).is_some_and(|entry| self.host.has(pass, entry.id)));
        if all_kept && self.host.tell_kept(slot, pass) {
            return Ok(None);
        }
        let selection = self
            .selection(&list, needed, open_count)
            .map_err(|error| error.context(format_args!("{id} at {working} pixels is not run")))?;
        let started = Instant::now();
        let prepared = [Prepared {
            picture: plan.apply(&open.picture)?,
            framing: *plan.framing(),
        }];
        let pass_settings = PassSettings {
            t: settings.t,
            inversion: settings.inversion,
            compat: None,
            prompt: settings.prompt.clone(),
            noise: Noise {
                seed: settings.seed,
                given: None,
            },
            vae: settings.vae,
            ensemble: settings.ensemble,
            adapters: settings.adapters.clone(),
        };
        // Of attention to text the mean over heads is kept, as vectors of weights.
        let mut averager = Averager::new(1, settings.ensemble, |tap, array| match text_grid(&list, tap) {
            Some(grid) => token_weights(&array, grid),
            None => Ok(array),
        });
        let item = (open_count > 1).then_some([index + 1, open_count]);
        run_pass(
            &mut loaded.model,
            &prepared,
            &pass_settings,
            &selection,
            &mut |tap, rows, tensor| averager.add(tap, rows, tensor),
            None,
            &mut |done| {
                let fraction = (index as f32 + done) / open_count as f32;
                self.watch(Doing::Running, Work::Run, fraction, item)
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
        let mut maps = Vec::with_capacity(selection.len());
        for (tap, array) in averager.finish() {
            if let Some(entry) = list.entry(tap) {
                maps.push((entry.id, array.feature_map(0)?));
            }
        }
        self.host.keep(
            slot,
            FinishedPass {
                pass,
                settings: settings.acting(),
                picture: Arc::clone(&open.picture),
                framing: prepared[0].framing,
                layers: list.entries().iter().map(Layer::from).collect(),
                ran: provenance(&loaded.model, open, &prepared[0], settings, seconds)?,
                maps,
            },
        )?;
        Ok(Some(seconds))
    }

    /// What is recorded: all features where those of every open picture can be kept, otherwise only what is needed.
    fn selection(&self, list: &Catalogue, needed: Selection, open_count: usize) -> Result<Selection> {
        const MIB: usize = 1 << 20;
        let limit = self.host.limit_bytes();
        let bytes_of_all = |selection: &Selection| kept_bytes(list, selection).saturating_mul(open_count);
        let enough_memory = |bytes| memory::check(bytes, "its maps", "choose a smaller size or close pictures");
        let bytes = bytes_of_all(&needed);
        if bytes > limit {
            return Err(Error::failed(format!(
                "its maps of {open_count} picture(s) take {} MiB, more than the {} MiB that are kept: choose a smaller \
                 size or close pictures",
                bytes.div_ceil(MIB),
                limit / MIB
            )));
        }
        enough_memory(bytes)?;
        let everything = Selection::features(list);
        let bytes = bytes_of_all(&everything);
        let fits = bytes <= limit && enough_memory(bytes).is_ok();
        if !fits {
            return Ok(needed);
        }
        let mut selection = everything;
        needed.iter().for_each(|tap| selection.insert(tap));
        Ok(selection)
    }

    /// An extraction into files, with a model of its own: the one looked at stays loaded.
    fn extract(&mut self, job: u64, request: &ExtractRequest, out: &Path) -> Result<()> {
        check_writable(out)?;
        let planned = job::plan(request)?;
        planned.check_output(out)?;
        let work = Work::Extract { job };
        let mut watch = |done, item| self.watch(Doing::Extracting(job), work, done, item);
        let mut model = job::load(&planned.spec, request, &mut |done| watch(done, None))?;
        planned.write(request, &mut model, out, &mut |done, item| {
            watch(job::after_loading(done), item)
        })?;
        self.host.tell(Event::Saved {
            work,
            path: PathBuf::from(out),
        });
        Ok(())
    }
}

/// Whether a request changes which pictures are open.
fn is_of_pictures(request: &Request) -> bool {
    matches!(
        request,
        Request::OpenPicture { .. } | Request::ClosePicture { .. } | Request::SwapPictures { .. }
    )
}

/// What has to be recorded to look at an activation: itself, or the queries and keys that its attention rows come from.
fn needed_for(list: &Catalogue, id: Id) -> Result<Selection> {
    let ids = match id.leaf {
        _ if id.has_vectors() => vec![id],
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

/// The grid of positions of an attention map to text; none for other activations.
fn text_grid(list: &Catalogue, tap: Tap) -> Option<Grid> {
    let queries = list.entry(tap)?.id.cross_queries()?;
    match list.entry(list.tap(queries)?)?.shape {
        Shape::Features { grid, .. } => Some(grid),
        Shape::Attention { .. } => None,
    }
}

/// (B, heads, positions, tokens) → (B, tokens, h, w): the mean over heads, a channel for every token.
fn token_weights(map: &Array, grid: Grid) -> Result<Array> {
    let [batch, heads, positions, tokens] = *map.shape.as_slice() else {
        return Err(Error::failed(format!(
            "an attention map of the shape {:?} is not one of heads",
            map.shape
        )));
    };
    let mut weights = vec![0.0; batch * tokens * positions];
    let share = 1.0 / heads.max(1) as f32;
    for (picture, target) in weights.chunks_exact_mut((tokens * positions).max(1)).enumerate() {
        for head in 0..heads {
            let begin = (picture * heads + head) * positions * tokens;
            let rows = map.data[begin..begin + positions * tokens].chunks_exact(tokens.max(1));
            for (position, row) in rows.enumerate() {
                for (token, weight) in row.iter().enumerate() {
                    target[token * positions + position] += share * weight;
                }
            }
        }
    }
    Array::new(vec![batch, tokens, grid.height, grid.width], weights)
}

/// Bytes that the selected activations of one picture take in the cache.
fn kept_bytes(list: &Catalogue, selection: &Selection) -> usize {
    let shapes = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .map(|entry| entry.shape);
    shapes
        .map(|shape| match shape {
            Shape::Features { channels, grid } => FeatureMap::bytes_of(channels, grid),
            Shape::Attention { queries, keys, .. } => queries.saturating_mul(keys).saturating_mul(size_of::<f32>()),
        })
        .fold(0, usize::saturating_add)
}

fn model_info(model: &Model) -> ModelInfo {
    let spec = &model.spec;
    let mixtures = (0..spec.schedule.steps() as u32).filter_map(|t| spec.mixture(t).ok());
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
    let path = open.source.path();
    let pictures = vec![FramedPicture {
        path,
        framing: prepared.framing,
    }];
    Provenance::of(model, settings.t, pictures, Vec::new(), seconds)
}
