//! An extractor without a model: what it calls activations are colours of the picture, so that a test knows what is
//! similar to what, and it does nothing until it is told to where its name says that it is slow. Downloads are the real
//! ones, from whatever hub a test has; what its cache holds can be loaded as if it were a model.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, mem,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
};

use featscope::{
    activation::{FeatureMap, Id},
    analysis::{
        figures::{Figures, Thumbnail, measure},
        rank::{RankOptions, Ranking},
    },
    components::schedule::Timestep,
    device::{Device, DeviceChoice, Devices, Precision},
    engine::{
        Engine, Event, ExtractorHost, FinishedPass, ImageSlot, Layer, MemberKept, OpenedPicture, PassId, PassKey,
        PictureSource, RecommendQuery, RecommendStarted, Request, RunSettings, Study, StudyEvent, SurveyQuery,
        SurveyStarted, TaskKind, Waker,
    },
    error::{Error, Result},
    extract::{finite::NotFiniteTensor, model::fingerprint, request::ExtractRequest},
    families::known::known_checkpoint,
    image::{picture::Picture, prepare::FramingPlan},
    recommend::{Ledger, Measured, MeasuredFigures, Plan},
    survey::{Measurement, thumbnail_picture},
    weights::hub::{Hub, HubSettings, Repo, RepoPart, Variant},
};

use super::model::FakeModel;

/// Enough for all maps of these tests.
const CACHE_BYTES: usize = 64 << 20;
/// Steps of which a slow piece of work consists; of a run, for each picture.
pub const STEPS: usize = 2;

/// What goes wrong with the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device has no memory left.
    OutOfMemory,
    /// A bug, caught as the real extractor does: the model is dropped.
    Bug,
    /// A bug that ends the extractor's thread.
    Death,
}

/// The words of a bug.
pub const BUG: &str = "index out of bounds, on purpose";

/// A test's end of a fake extractor.
pub struct Fake {
    /// None where everything slow may go on.
    steps: Option<Sender<()>>,
    faults: Sender<Fault>,
}

impl Fake {
    /// Starts the workers: the lanes are the real ones.
    pub fn start(waker: Waker, hub: HubSettings) -> Result<(Engine, Self)> {
        let (steps, allowed) = channel();
        let (faults, to_come) = channel();
        let place = hub.clone();
        let worker = move |inbox, host| Worker::new(inbox, host, allowed, to_come, Hub::new(hub)).work();
        let engine = Engine::with_hub(waker, CACHE_BYTES, worker, Arc::new(move || Ok(place.clone())))?;
        let steps = Some(steps);
        Ok((engine, Self { steps, faults }))
    }

    /// Lets slow work take some steps.
    pub fn go(&self, steps: usize) {
        for _ in 0..steps {
            if let Some(sender) = &self.steps {
                sender.send(()).expect("an extractor that is there");
            }
        }
    }

    /// From now on nothing waits.
    pub fn go_on(&mut self) {
        self.steps = None;
    }

    /// What happens to the next run.
    pub fn expect_fault(&self, fault: Fault) {
        self.faults.send(fault).expect("an extractor that is there");
    }
}

struct Worker {
    inbox: Receiver<Request>,
    host: ExtractorHost,
    allowed: Receiver<()>,
    faults: Receiver<Fault>,
    hub: Hub,
    waiting: VecDeque<Request>,
    closed: bool,
    loadings: u64,
    model: Option<FakeModel>,
    pictures: BTreeMap<ImageSlot, Open>,
}

#[derive(Clone)]
struct Open {
    source: PictureSource,
    picture: Arc<Picture>,
    fingerprint: u64,
}

/// Why a piece of work did not come to its end.
enum Ended {
    Failed(Error),
    /// Something newer takes its place.
    Overtaken,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What there is to compute on, where a test asks.
fn devices() -> Devices {
    let device = |choice, name: &str, bytes: Option<u64>| Device {
        choice,
        name: name.to_owned(),
        free_bytes: bytes,
        total_bytes: bytes,
    };
    Devices {
        found: vec![
            device(DeviceChoice::Cuda(0), "a GPU", Some(8 << 30)),
            device(DeviceChoice::Cuda(1), "a larger GPU", Some(80 << 30)),
            device(DeviceChoice::Cpu, "the processor", None),
        ],
        trouble: Some("a third GPU does not answer".to_owned()),
    }
}

fn is_run(request: &Request) -> bool {
    matches!(request, Request::Run { .. })
}

impl Worker {
    fn new(
        inbox: Receiver<Request>,
        host: ExtractorHost,
        allowed: Receiver<()>,
        faults: Receiver<Fault>,
        hub: Hub,
    ) -> Self {
        Self {
            inbox,
            host,
            allowed,
            faults,
            hub,
            waiting: VecDeque::new(),
            closed: false,
            loadings: 0,
            model: None,
            pictures: BTreeMap::new(),
        }
    }

    fn work(mut self) {
        while let Some(request) = self.next() {
            self.handle(request);
        }
    }

    /// Extractions wait for everything else, and of several runs the latest counts.
    fn next(&mut self) -> Option<Request> {
        loop {
            self.take_mail();
            let quick = |request: &Request| !matches!(request, Request::Extract { .. } | Request::Study { .. });
            let place = self.waiting.iter().position(quick).unwrap_or(0);
            if let Some(request) = self.waiting.remove(place) {
                if is_run(&request) && self.waiting.iter().any(is_run) {
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

    fn take_mail(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(request) => self.waiting.push_back(request),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn handle(&mut self, request: Request) {
        let work = request.task();
        let mut model = None;
        let ended = match request {
            Request::LoadModel { name, device, dtype } => {
                model = Some(name.clone());
                self.load(name, device, dtype)
            }
            Request::LookForDevices => {
                self.host.emit(Event::Devices(devices()));
                Ok(())
            }
            Request::OpenPicture { slot, source } => self.open(slot, source),
            Request::ClosePicture { slot } => {
                self.pictures.remove(&slot);
                self.host.emit(Event::PictureClosed { slot });
                Ok(())
            }
            Request::SwapPictures { a, b } => {
                self.swap(a, b);
                Ok(())
            }
            Request::Run { settings, id } => match self.run(&settings, id) {
                Err(Ended::Overtaken) => {
                    // It goes on after what made it wait, unless that is another run.
                    if !self.waiting.iter().any(is_run) {
                        self.waiting.push_back(Request::Run { settings, id });
                    }
                    Ok(())
                }
                other => other,
            },
            Request::Study { job, study } => match self.study(job, &study) {
                Err(Ended::Overtaken) => {
                    // What is kept of it is not done again.
                    self.waiting.push_back(Request::Study { job, study });
                    Ok(())
                }
                other => other,
            },
            Request::CancelStudy { job } => self.drop_job(job),
            Request::Extract { job, request, out } => self.extract(job, &request, &out),
            Request::CancelExtract { job } => self.drop_job(job),
            Request::Cancel | Request::View(_) | Request::Hub(_) => Ok(()),
        };
        if let Err(Ended::Failed(error)) = ended {
            self.host.emit(match model {
                Some(name) => Event::ModelFailed { name, error },
                None => Event::Failed { work, error },
            });
        }
    }

    /// Tells how far the work is and waits until it may go on; ends it where it is cancelled or overtaken.
    fn step(&mut self, work: TaskKind, fraction: f32, item: Option<[usize; 2]>, slow: bool) -> Result<(), Ended> {
        self.host.emit(Event::Progress { work, fraction, item });
        if slow {
            // Once the test is over, nothing waits.
            let _ = self.allowed.recv();
        }
        self.take_mail();
        let is_end = |waiting: &Request| match work {
            TaskKind::Extract { job } => matches!(waiting, Request::CancelExtract { job: other } if *other == job),
            TaskKind::Study { job } => matches!(waiting, Request::CancelStudy { job: other } if *other == job),
            _ => *waiting == Request::Cancel,
        };
        let before = self.waiting.len();
        self.waiting.retain(|waiting| !is_end(waiting));
        if self.waiting.len() < before || self.closed {
            return Err(Error::Cancelled.into());
        }
        let overtakes = |waiting: &Request| match work {
            TaskKind::Model => matches!(waiting, Request::LoadModel { .. }),
            TaskKind::Run | TaskKind::Study { .. } => {
                matches!(waiting.task(), TaskKind::Model | TaskKind::Run | TaskKind::Picture(_))
            }
            _ => false,
        };
        if self.waiting.iter().any(overtakes) {
            return Err(Ended::Overtaken);
        }
        Ok(())
    }

    fn load(&mut self, name: String, device: DeviceChoice, dtype: Precision) -> Result<(), Ended> {
        let model = self.find(&name)?;
        for step in 0..STEPS {
            self.step(TaskKind::Model, step as f32 / STEPS as f32, None, model.is_slow())?;
        }
        self.loadings += 1;
        let mut info = model.info();
        if device.is_gpu() {
            (info.device, info.dtype) = (device.to_string(), dtype.name().to_owned());
        }
        self.host.emit(Event::ModelLoaded(Box::new(info)));
        self.model = Some(model);
        Ok(())
    }

    /// A model of the hub is there if the cache holds it, whatever is inside.
    fn find(&self, name: &str) -> Result<FakeModel> {
        let source = known_checkpoint(name).map_or(name, |entry| entry.source);
        let repo = Repo::new(source).ok().filter(|_| source.contains('/'));
        let whole = RepoPart::Model(Variant::Full);
        match repo.and_then(|repo| self.hub.local(&repo, &whole)) {
            Some(_) => Ok(FakeModel::called(name, self.loadings + 1)),
            None => FakeModel::find(name, self.loadings + 1),
        }
    }

    fn open(&mut self, slot: ImageSlot, source: PictureSource) -> Result<(), Ended> {
        let picture = source.read()?;
        let fingerprint = fingerprint(&picture);
        let opened = OpenedPicture {
            source: source.clone(),
            size: picture.size(),
            rgb: picture.rgb().to_vec(),
            fingerprint,
            note: picture.note().map(str::to_owned),
        };
        let picture = Arc::new(picture);
        self.pictures.insert(
            slot,
            Open {
                source,
                picture,
                fingerprint,
            },
        );
        self.host.emit(Event::PictureOpened { slot, picture: opened });
        Ok(())
    }

    fn swap(&mut self, a: ImageSlot, b: ImageSlot) {
        let pictures = mem::take(&mut self.pictures);
        let other = |slot| match slot {
            slot if slot == a => b,
            slot if slot == b => a,
            slot => slot,
        };
        self.pictures = pictures.into_iter().map(|(slot, open)| (other(slot), open)).collect();
        self.host.emit(Event::PicturesSwapped { a, b });
    }

    fn run(&mut self, settings: &RunSettings, id: Id) -> Result<(), Ended> {
        match self.faults.try_recv() {
            Ok(Fault::OutOfMemory) => {
                let error = Error::failed("the device has no memory left for 3000 MiB: choose a smaller size");
                return Err(error.into());
            }
            Ok(Fault::Bug) => {
                self.model = None;
                self.host.emit(Event::Recovered {
                    message: BUG.to_owned(),
                });
                return Ok(());
            }
            Ok(Fault::Death) => panic!("{BUG}"),
            Err(_) => {}
        }
        let open: Vec<(ImageSlot, Open)> = self.pictures.clone().into_iter().collect();
        let mut seconds = None;
        for (index, (slot, open_picture)) in open.iter().enumerate() {
            let Some(model) = self.model.clone() else {
                return Err(Error::usage("no model is loaded").into());
            };
            if let Some(taken) = self.run_picture(&model, [index, open.len()], *slot, open_picture, settings, id)? {
                seconds = Some(seconds.unwrap_or(0.0) + taken);
            }
        }
        self.host.emit(Event::RunFinished { seconds });
        Ok(())
    }

    fn run_picture(
        &mut self,
        model: &FakeModel,
        [index, count]: [usize; 2],
        slot: ImageSlot,
        open: &Open,
        settings: &RunSettings,
        id: Id,
    ) -> Result<Option<f64>, Ended> {
        let planned = Planned::new(model, open, settings, &self.host, false)?;
        let needed = planned.needed(&[id])?;
        let pass = planned.pass;
        if needed.iter().all(|id| self.host.has(pass, *id)) && self.host.report_kept(slot, pass) {
            return Ok(None);
        }
        let item = (count > 1).then_some([index + 1, count]);
        for step in 0..STEPS {
            let done = step as f32 / STEPS as f32;
            let fraction = (index as f32 + done) / count as f32;
            self.step(TaskKind::Run, fraction, item, model.is_slow())?;
        }
        self.host.keep(slot, planned.finished(model, open, settings)?)?;
        Ok(Some(model.seconds()))
    }

    /// A study as the real extractor does it: what is kept already costs no step.
    fn study(&mut self, job: u64, study: &Study) -> Result<(), Ended> {
        let query = match study {
            Study::Series(query) => query,
            Study::Survey(query) => return self.survey(job, query),
            Study::Recommend(query) => return self.recommend(job, query),
        };
        let work = TaskKind::Study { job };
        let Some(model) = self.model.clone() else {
            return Err(Error::usage("no model is loaded").into());
        };
        let count = query.members.len();
        for (index, member) in query.members.iter().enumerate() {
            let Some(open) = self.pictures.get(&member.slot).cloned() else {
                return Err(Error::usage("no picture is open there").into());
            };
            let planned = Planned::new(&model, &open, &member.settings, &self.host, member.noiseless)?;
            let needed = planned.needed(&query.ids)?;
            // The noise of this model grows with t alone.
            let noiseless = RunSettings {
                t: 0.into(),
                ..member.settings.clone()
            };
            let settings = if member.noiseless { &noiseless } else { &member.settings };
            let finished = planned.finished(&model, &open, settings)?;
            let (pass, ran) = (planned.pass, finished.ran.clone());
            if !needed.iter().all(|id| self.host.has(pass, *id)) {
                let fraction = index as f32 / count as f32;
                self.step(work, fraction, Some([index + 1, count]), model.is_slow())?;
                self.host.keep_unseen(finished)?;
            }
            let event = StudyEvent::Series(Box::new(MemberKept { index, pass, ran }));
            self.host.emit(Event::Study { job, event });
        }
        self.host.emit(Event::StudyFinished { job });
        Ok(())
    }

    /// Compares every feature map of every picture at every timestep, noises as in a survey; nothing is moved.
    fn recommend(&mut self, job: u64, query: &RecommendQuery) -> Result<(), Ended> {
        let Some(model) = self.model.clone() else {
            return Err(Error::usage("no model is loaded").into());
        };
        let plan = Plan {
            steps: query.steps.clone(),
            noises: query.noises,
            pictures: query.slots.len(),
            is_encoder: false,
            filtered: false,
        };
        let count = plan.passes();
        let mut ledger: Option<Ledger> = None;
        for (step, t) in query.steps.iter().enumerate() {
            for (index, slot) in query.slots.iter().enumerate() {
                let done = step * query.slots.len() + index;
                let item = Some([done + 1, count]);
                self.step(
                    TaskKind::Study { job },
                    done as f32 / count as f32,
                    item,
                    model.is_slow(),
                )?;
                let Some(open) = self.pictures.get(slot).cloned() else {
                    return Err(Error::usage("no picture is open there").into());
                };
                let at = |noise: usize| RunSettings {
                    t: t.later(noise as f64, Timestep::of(u32::MAX)),
                    ..query.settings.clone()
                };
                let planned = Planned::new(&model, &open, &at(0), &self.host, false)?;
                let passes: Vec<FinishedPass> = (0..query.noises)
                    .map(|noise| planned.finished(&model, &open, &at(noise)))
                    .collect::<Result<_>>()?;
                if ledger.is_none() {
                    let ranking = match (query.pairs.is_empty(), query.slots.get(1)) {
                        (false, Some(target)) => {
                            let other = self.pictures.get(target).cloned();
                            let other = other.ok_or_else(|| Error::usage("no picture is open there"))?;
                            let target = Planned::new(&model, &other, &at(0), &self.host, false)?;
                            let target = target.finished(&model, &other, &at(0))?.framing;
                            let framings = [passes[0].framing, target];
                            Some(Ranking::new(&query.pairs, framings, RankOptions::default())?)
                        }
                        _ => None,
                    };
                    ledger = Some(Ledger::new(plan.clone(), ranking));
                    let event = StudyEvent::Recommending(Box::new(RecommendStarted {
                        plan: plan.clone(),
                        ran: passes[0].ran.clone(),
                    }));
                    self.host.emit(Event::Study { job, event });
                }
                let Some(ledger) = &mut ledger else { continue };
                ledger.begin();
                for (order, (id, map)) in passes[0].maps.iter().enumerate() {
                    let about = passes[0].layers.iter().find(|layer| layer.id == *id);
                    let about = about.ok_or_else(|| Error::failed("a map of no layer"))?;
                    let map_of = |noise: usize| Ok(passes[noise].maps[order].1.clone());
                    let figures = match map.not_finite() {
                        Some(numbers) => Err(numbers.to_string()),
                        None => {
                            let (figures, thumbnail) = measure(query.noises, &map_of, None)?;
                            let picture = thumbnail_picture(&thumbnail);
                            Ok(MeasuredFigures::new(
                                &figures,
                                about.facts.kind,
                                about.shape,
                                None,
                                picture,
                            ))
                        }
                    };
                    let measured = Measured {
                        id: *id,
                        order,
                        facts: about.facts,
                        shape: about.shape,
                        figures,
                    };
                    ledger.add(
                        step,
                        index,
                        measured,
                        Some(map).filter(|map| map.not_finite().is_none()),
                    )?;
                }
                ledger.end(index);
            }
        }
        if let Some(ledger) = ledger {
            let event = StudyEvent::Recommended(Box::new(ledger.recommendation(query.top)));
            self.host.emit(Event::Study { job, event });
        }
        self.host.emit(Event::StudyFinished { job });
        Ok(())
    }

    /// Measures every feature map, each noise at a t of its own: the noise of this model grows with t alone.
    fn survey(&mut self, job: u64, query: &SurveyQuery) -> Result<(), Ended> {
        let Some(model) = self.model.clone() else {
            return Err(Error::usage("no model is loaded").into());
        };
        let Some(open) = self.pictures.get(&query.slot).cloned() else {
            return Err(Error::usage("no picture is open there").into());
        };
        let planned = Planned::new(&model, &open, &query.settings, &self.host, false)?;
        let passes = (0..query.noises as u32)
            .map(|noise| {
                let settings = RunSettings {
                    t: query.settings.t.later(noise.into(), Timestep::of(u32::MAX)),
                    ..query.settings.clone()
                };
                planned.finished(&model, &open, &settings)
            })
            .collect::<Result<Vec<_>>>()?;
        let event = StudyEvent::SurveyStarted(Box::new(SurveyStarted {
            activations: passes[0].maps.len(),
            noises: query.noises,
            ran: passes[0].ran.clone(),
        }));
        self.host.emit(Event::Study { job, event });
        let count = passes[0].maps.len();
        for (order, (id, _)) in passes[0].maps.iter().enumerate() {
            self.step(
                TaskKind::Study { job },
                order as f32 / count as f32,
                Some([order + 1, count]),
                model.is_slow(),
            )?;
            let map_of = |noise: usize| Ok(passes[noise].maps[order].1.clone());
            let first = &passes[0].maps[order].1;
            let unmeasured = first.not_finite().map(|numbers| numbers.to_string());
            let (figures, thumbnail) = match unmeasured {
                None => measure(query.noises, &map_of, None)?,
                Some(_) => (
                    Figures::unmeasured(query.noises, first.grid()),
                    Thumbnail::black(first.grid()),
                ),
            };
            let layer = planned.layers.iter().find(|layer| layer.id == *id);
            let layer = layer.ok_or_else(|| Error::failed("a map without a layer"))?;
            let finding = Measurement {
                id: *id,
                order,
                depth: order as f64 / count as f64,
                facts: layer.facts,
                block: 0,
                shape: layer.shape,
                unmeasured,
                figures,
                thumbnail,
            };
            let event = StudyEvent::Found(Box::new(finding));
            self.host.emit(Event::Study { job, event });
        }
        self.host.emit(Event::StudyFinished { job });
        Ok(())
    }

    /// Writes what was asked for as JSON: enough to see that it was done.
    fn extract(&mut self, job: u64, request: &ExtractRequest, out: &Path) -> Result<(), Ended> {
        let work = TaskKind::Extract { job };
        let slow = FakeModel::find(&request.model, 0)?.is_slow();
        let count = request.pictures.len();
        for picture in 0..count {
            for step in 0..STEPS {
                let fraction = (picture * STEPS + step) as f32 / (count * STEPS) as f32;
                self.step(work, fraction, Some([picture + 1, count]), slow)?;
            }
        }
        let json = serde_json::to_vec(request).map_err(|error| Error::failed(error.to_string()))?;
        fs::write(out, json).map_err(|error| Error::io("write", out, &error))?;
        let path = out.to_owned();
        self.host.emit(Event::Saved { work, path });
        Ok(())
    }

    /// Takes a job that waits out of the queue.
    fn drop_job(&mut self, job: u64) -> Result<(), Ended> {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| {
            waiting.task() != (TaskKind::Extract { job }) && waiting.task() != (TaskKind::Study { job })
        });
        if self.waiting.len() < before {
            return Err(Error::Cancelled.into());
        }
        Ok(())
    }
}

/// A map as one that is not finite, where it is.
fn not_finite((id, map): &(Id, FeatureMap)) -> Option<NotFiniteTensor> {
    Some(NotFiniteTensor {
        name: id.to_string(),
        numbers: map.not_finite()?,
    })
}

/// A pass before it is made.
struct Planned {
    plan: FramingPlan,
    layers: Vec<Layer>,
    pass: PassId,
}

impl Planned {
    fn new(
        model: &FakeModel,
        open: &Open,
        settings: &RunSettings,
        host: &ExtractorHost,
        noiseless: bool,
    ) -> Result<Self> {
        let size = settings
            .size
            .ok_or_else(|| Error::failed("the window names a working size"))?;
        let plan = FramingPlan::new(open.picture.size(), &size, FakeModel::SIZE_RULE)?;
        let pass = host.pass(&PassKey {
            model: model.loading,
            picture: open.fingerprint,
            settings: settings.clone(),
            noiseless,
        });
        let layers = model.layers(plan.framing().working);
        Ok(Self { plan, layers, pass })
    }

    /// What has to be kept for some activations to be looked at.
    fn needed(&self, ids: &[Id]) -> Result<Vec<Id>> {
        let layer = |id: &Id| self.layers.iter().find(|layer| layer.id == *id);
        let needed = ids.iter().flat_map(|id| layer(id).map_or(vec![*id], Layer::shown_from));
        let needed: Vec<Id> = needed.collect();
        let unknown = needed
            .iter()
            .find(|id| self.layers.iter().all(|layer| layer.id != **id));
        match unknown {
            Some(unknown) => Err(Error::usage(format!("this model has no activation \"{unknown}\""))),
            None => Ok(needed),
        }
    }

    fn finished(&self, model: &FakeModel, open: &Open, settings: &RunSettings) -> Result<FinishedPass> {
        let framing = *self.plan.framing();
        let working = self.plan.apply(&open.picture)?;
        let maps = model.maps(&self.layers, &working, settings)?;
        let mut ran = model.provenance(settings, open.source.path(), framing);
        ran.not_finite = maps.iter().filter_map(not_finite).collect();
        Ok(FinishedPass {
            pass: self.pass,
            settings: settings.clone(),
            picture: Arc::clone(&open.picture),
            framing,
            ran,
            maps,
            heads: model.heads(&self.layers, &working)?,
            layers: self.layers.clone(),
        })
    }
}
