//! What goes to the workers and what comes back: plain data, so that they could as well be another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    download::{HubEvent, HubRequest},
    ids::{ImageSlot, PassId, TaskKind},
    layer::Layer,
    queries::{Answer, ViewRequest},
    study::{Study, StudyEvent},
};
use crate::{
    activation::{Id, NotFinite},
    components::schedule::{FlowSchedule, Mixture, Timestep},
    device::{DeviceChoice, Devices, Precision},
    error::Error,
    extract::{
        request::{ExtractRequest, Provenance},
        settings::{RunSettings, SettingsRead},
    },
    geometry::{
        Size,
        framing::{Framing, SizeRule},
    },
    image::source::PictureSource,
    model::classes::Classes,
};

/// Asked of the workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Reads a model; the one before is let go.
    LoadModel {
        /// Zoo key, folder or file.
        name: String,
        /// Where it computes.
        device: DeviceChoice,
        /// What it computes in.
        dtype: Precision,
    },
    /// Says which devices there are.
    LookForDevices,
    /// Reads a picture into a slot.
    OpenPicture {
        /// The slot.
        slot: ImageSlot,
        /// The picture.
        source: PictureSource,
    },
    /// Empties a slot.
    ClosePicture {
        /// The slot.
        slot: ImageSlot,
    },
    /// Lets two slots change their pictures.
    SwapPictures {
        /// One of them.
        a: ImageSlot,
        /// The other.
        b: ImageSlot,
    },
    /// Makes an activation of all open pictures available. The latest of these wins.
    Run {
        /// Everything besides model and pictures.
        settings: RunSettings,
        /// The selected activation; others are captured with it where memory allows.
        id: Id,
    },
    /// Ends the run or loading that is under way.
    Cancel,
    /// Writes activations into a file or folder; these wait for each other.
    Extract {
        /// Chosen by the sender; events name it.
        job: u64,
        /// What is extracted.
        request: Box<ExtractRequest>,
        /// File or folder.
        #[serde(with = "crate::files::names")]
        out: PathBuf,
    },
    /// Ends an extraction, or takes it out of the queue.
    CancelExtract {
        /// The job.
        job: u64,
    },
    /// Takes many passes with the model that is loaded, whenever nothing else is to be done. It is about the pictures that
    /// are open when it begins.
    Study {
        /// Chosen by the sender; events name it.
        job: u64,
        /// What is done.
        study: Box<Study>,
    },
    /// Ends a study, or takes it out of the queue.
    CancelStudy {
        /// The job.
        job: u64,
    },
    /// Asked about the maps that are kept; it is answered while the model runs.
    View(ViewRequest),
    /// Asked of the worker that downloads models.
    Hub(HubRequest),
    /// A panic on purpose: what a bug in a worker would do.
    #[cfg(test)]
    Panic,
}

impl Request {
    /// Whether it ends something that is under way.
    pub(super) fn is_cancel(&self) -> bool {
        matches!(
            self,
            Self::Cancel | Self::CancelExtract { .. } | Self::CancelStudy { .. }
        )
    }

    /// The kind of work this is.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::LoadModel { .. } | Self::LookForDevices => TaskKind::Model,
            Self::OpenPicture { slot, .. } | Self::ClosePicture { slot } | Self::SwapPictures { a: slot, .. } => {
                TaskKind::Picture(*slot)
            }
            Self::Run { .. } | Self::Cancel => TaskKind::Run,
            Self::Extract { job, .. } | Self::CancelExtract { job } => TaskKind::Extract { job: *job },
            Self::Study { job, .. } | Self::CancelStudy { job } => TaskKind::Study { job: *job },
            Self::View(view) => view.task(),
            Self::Hub(hub) => hub.task(),
            #[cfg(test)]
            Self::Panic => TaskKind::Run,
        }
    }
}

/// Emitted by the workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// How far the work of a kind is.
    Progress {
        /// What is done.
        work: TaskKind,
        /// 0 to 1.
        fraction: f32,
        /// Of how many pictures it is which, counted from 1, where it is about pictures.
        item: Option<[usize; 2]>,
    },
    /// The devices there are.
    Devices(Devices),
    /// A model is ready.
    ModelLoaded(Box<ModelInfo>),
    /// A picture is open.
    PictureOpened {
        /// Its slot.
        slot: ImageSlot,
        /// The picture.
        picture: OpenedPicture,
    },
    /// A slot is empty.
    PictureClosed {
        /// The slot.
        slot: ImageSlot,
    },
    /// Two slots have changed their pictures.
    PicturesSwapped {
        /// One of them.
        a: ImageSlot,
        /// The other.
        b: ImageSlot,
    },
    /// Activations of a picture are there.
    Captured {
        /// Its slot.
        slot: ImageSlot,
        /// The pass they belong to.
        capture: Box<Capture>,
    },
    /// Every picture's activations are there.
    RunFinished {
        /// Seconds the passes took; none where everything was there already.
        seconds: Option<f64>,
    },
    /// Something of a study is there.
    Study {
        /// Its job.
        job: u64,
        /// What.
        #[serde(rename = "news")]
        event: StudyEvent,
    },
    /// Everything of a study is there.
    StudyFinished {
        /// Its job.
        job: u64,
    },
    /// What a query came to, as far as it is known.
    Answer(Answer),
    /// Nothing more comes to a question that was asked under a number: it is answered, has failed, or gave way to a newer.
    Answered {
        /// Chosen by the sender.
        number: u64,
    },
    /// What is on this machine, and how downloads are.
    Hub(HubEvent),
    /// A map that was asked about is no longer kept: it has to be run again.
    Missing {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
    },
    /// A file was written.
    Saved {
        /// What kind of work wrote it.
        work: TaskKind,
        /// The file or folder.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
    },
    /// A model could not be read.
    ModelFailed {
        /// How it was asked for: something else may be wanted by now.
        name: String,
        /// Why.
        error: Error,
    },
    /// Anything else could not be done.
    Failed {
        /// What.
        work: TaskKind,
        /// Why.
        error: Error,
    },
    /// A worker met a bug and went on with the next request.
    Recovered {
        /// What the panic said.
        message: String,
    },
}

/// What the window needs to know of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// As the user named it.
    pub name: String,
    /// Where the weights came from.
    pub weights: String,
    /// Kind of network.
    pub family: String,
    /// Whether a prompt changes anything.
    pub reads_prompt: bool,
    /// The classes that it can be told; none where it reads none.
    #[serde(default)]
    pub classes: Option<Classes>,
    /// Whether an autoencoder makes a latent of the picture.
    pub has_autoencoder: bool,
    /// Whether LoRAs, ControlNets and embeddings can be put on it.
    pub takes_adapters: bool,
    /// Whether a guidance scale changes anything.
    #[serde(default)]
    pub reads_guidance: bool,
    /// Whether nominal timesteps go through a shift of its schedule.
    #[serde(default)]
    pub shifts_t: bool,
    /// Whether its timesteps are 1000 times the share of noise, fractions too.
    #[serde(default)]
    pub flows: bool,
    /// Side it was made for.
    pub native_side: usize,
    /// Timestep to begin with.
    pub default_t: Timestep,
    /// Working sizes it takes.
    pub size_rule: SizeRule,
    /// (√ā, √(1−ā)) of every timestep; none of an image encoder.
    pub mixtures: Vec<[f64; 2]>,
    /// Every activation in execution order, with its shape at the native size.
    pub layers: Vec<Layer>,
    /// What encoding a picture of the native size takes, in the unit of [`Cost`](crate::activation::Cost).
    pub encode_cost: f64,
    /// Device it computes on.
    pub device: String,
    /// Format it computes in.
    pub dtype: String,
    /// What is special about it, and why no GPU is used where one was looked for.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl ModelInfo {
    /// Whether it is a denoiser, which runs at a timestep and with noise; an image encoder reads of all settings the size alone.
    pub fn is_denoiser(&self) -> bool {
        !self.mixtures.is_empty()
    }

    /// The shares of picture and noise at timestep `t`; none where it is none of the model's.
    pub fn mixture(&self, t: Timestep) -> Option<Mixture> {
        let [signal, noise] = match (self.flows, t.whole()) {
            (true, _) => {
                let mixture = FlowSchedule.mixture(t).ok()?;
                [mixture.signal, mixture.noise]
            }
            (false, Some(whole)) => *self.mixtures.get(whole as usize)?,
            (false, None) => return None,
        };
        Some(Mixture { signal, noise })
    }

    /// The settings with what it does not read as it is by default.
    pub fn read(&self, settings: &RunSettings) -> RunSettings {
        match self.is_denoiser() {
            true => settings.clone(),
            false => SettingsRead::SIZE.of(settings),
        }
    }

    /// What the time of a pass depends on besides its work: the same key, the same seconds per unit.
    pub fn rate_key(&self) -> String {
        let Self {
            name, device, dtype, ..
        } = self;
        format!("{name} on {device} in {dtype}")
    }
}

/// A picture as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedPicture {
    /// Where it came from.
    pub source: PictureSource,
    /// Its own size.
    pub size: Size,
    /// (rows, columns, 3), row-major.
    pub rgb: Vec<u8>,
    /// Tells pictures of other pixels apart, today and on another machine.
    pub fingerprint: u64,
    /// What there is to say about the file it was read from.
    #[serde(default)]
    pub note: Option<String>,
}

/// The activations of one picture that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// The pass they belong to.
    pub pass: PassId,
    /// The settings it ran with.
    pub settings: RunSettings,
    /// Bytes of all maps that are kept, of every pass.
    pub kept_bytes: usize,
    /// The picture's place in the working picture.
    pub framing: Framing,
    /// Every activation with its shape at this working size.
    pub layers: Vec<Layer>,
    /// Those that are kept.
    pub ids: Vec<Id>,
    /// Those of them that are not finite, in execution order: nothing can be computed from them.
    pub not_finite: Vec<(Id, NotFinite)>,
    /// What ran.
    pub ran: Provenance,
}

impl Event {
    /// The event of a request that could not be done.
    pub(super) fn of_failure(request: &Request, error: Error) -> Self {
        match request {
            Request::LoadModel { name, .. } => Self::ModelFailed {
                name: name.clone(),
                error,
            },
            request => Self::Failed {
                work: request.task(),
                error,
            },
        }
    }
}
