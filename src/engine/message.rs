//! What goes to the workers and what comes back: plain data, so that they could as well be another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    comparison::{Compared, ComparisonKind},
    download::{HubEvent, HubRequest},
    study::{Study, StudyNews},
    view::{ChannelView, ChannelsView, CompareView, HeatView, MatchesView, PcaView, RankView, ViewRequest},
};
use crate::{
    activation::{CatalogueEntry, Facts, Id, NotFinite, Shape},
    components::schedule::Timestep,
    device::{DeviceChoice, Devices, Precision},
    error::Error,
    extract::{
        request::{ExtractRequest, Provenance},
        settings::RunSettings,
    },
    geometry::{
        Size,
        framing::{Framing, SizeRule},
    },
    image::source::PictureSource,
};

/// One of the pictures looked at: A, B, C and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(u8);

/// The letters that slots are called by.
const SLOT_NAMES: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Slot {
    /// The first picture: the one a fresh window's queries are put to.
    pub const A: Self = Self(0);
    /// The second picture.
    pub const B: Self = Self(1);
    /// How many there can be.
    pub const MOST: usize = SLOT_NAMES.len();

    /// Every slot, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::MOST as u8).map(Self)
    }

    /// The slot of a place, counted from 0.
    pub fn nth(index: usize) -> Option<Self> {
        (index < Self::MOST).then_some(Self(index as u8))
    }

    /// Its letter.
    pub fn name(self) -> &'static str {
        &SLOT_NAMES[self.index()..=self.index()]
    }

    /// Its place, counted from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<String> for Slot {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::all()
            .find(|slot| slot.name() == name)
            .ok_or_else(|| format!("a picture is called by a letter from A to Z, found \"{name}\""))
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.name().to_owned()
    }
}

/// Number of a pass whose activations are kept: one picture, one model, one set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassId(pub u64);

/// Asked of the worker that owns model and device.
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
        slot: Slot,
        /// The picture.
        source: PictureSource,
    },
    /// Empties a slot.
    ClosePicture {
        /// The slot.
        slot: Slot,
    },
    /// Lets two slots change their pictures.
    SwapPictures {
        /// One of them.
        a: Slot,
        /// The other.
        b: Slot,
    },
    /// Makes an activation of all open pictures available. The latest of these wins.
    Run {
        /// Everything besides model and pictures.
        settings: RunSettings,
        /// The activation that is looked at; others are captured with it where memory allows.
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
    /// Asked of the workers that look at captured maps; they answer while the model runs.
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
    pub fn work(&self) -> Work {
        match self {
            Self::LoadModel { .. } | Self::LookForDevices => Work::Model,
            Self::OpenPicture { slot, .. } | Self::ClosePicture { slot } | Self::SwapPictures { a: slot, .. } => {
                Work::Picture(*slot)
            }
            Self::Run { .. } | Self::Cancel => Work::Run,
            Self::Extract { job, .. } | Self::CancelExtract { job } => Work::Extract { job: *job },
            Self::Study { job, .. } | Self::CancelStudy { job } => Work::Study { job: *job },
            Self::View(view) => view.work(),
            Self::Hub(hub) => hub.work(),
            #[cfg(test)]
            Self::Panic => Work::Run,
        }
    }
}

/// Told by the workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// How far the work of a kind is.
    Progress {
        /// What is done.
        work: Work,
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
        slot: Slot,
        /// The picture.
        picture: OpenedPicture,
    },
    /// A slot is empty.
    PictureClosed {
        /// The slot.
        slot: Slot,
    },
    /// Two slots have changed their pictures.
    PicturesSwapped {
        /// One of them.
        a: Slot,
        /// The other.
        b: Slot,
    },
    /// Activations of a picture are there.
    Captured {
        /// Its slot.
        slot: Slot,
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
        news: StudyNews,
    },
    /// Everything of a study is there.
    StudyFinished {
        /// Its job.
        job: u64,
    },
    /// PCA colours of a picture.
    Pca(PcaView),
    /// Similarities to a point or a region.
    Heat(HeatView),
    /// Matches of all pins.
    Matches(MatchesView),
    /// Figures of every channel of a map.
    Channels(ChannelsView),
    /// One channel.
    Channel(ChannelView),
    /// Many maps, compared with each other.
    Compared(Compared),
    /// Two maps compared.
    Sides(Box<CompareView>),
    /// How well activations find marked points again, as far as it is known.
    Rank(Box<RankView>),
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
        work: Work,
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
        work: Work,
        /// Why.
        error: Error,
    },
    /// A worker met a bug and went on with the next request.
    Recovered {
        /// What the panic said.
        message: String,
    },
}

/// A kind of work, for progress and errors: it says where they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Work {
    /// Reading a model.
    Model,
    /// Reading a picture.
    Picture(Slot),
    /// Running the model.
    Run,
    /// Computing PCA colours or similarities.
    View,
    /// Comparing many maps.
    Comparison(ComparisonKind),
    /// Writing a file.
    Save,
    /// An extraction.
    Extract {
        /// Its job.
        job: u64,
    },
    /// A study.
    Study {
        /// Its job.
        job: u64,
    },
    /// Looking which models are on this machine.
    Shelf,
    /// Asking for a model on the hub, or downloading it.
    Download {
        /// Its job.
        job: u64,
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
    /// Whether LoRAs, ControlNets and embeddings can be put on it.
    pub takes_adapters: bool,
    /// Side it was made for.
    pub native_side: usize,
    /// Timestep to begin with.
    pub default_t: Timestep,
    /// Working sizes it takes.
    pub size_rule: SizeRule,
    /// (√ā, √(1−ā)) of every timestep.
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
    /// What the time of a pass depends on besides its work: the same key, the same seconds per unit.
    pub fn rate_key(&self) -> String {
        let Self {
            name, device, dtype, ..
        } = self;
        format!("{name} on {device} in {dtype}")
    }
}

/// One activation of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub id: Id,
    /// Its shape for one picture.
    pub shape: Shape,
    /// What it is.
    pub facts: Facts,
}

impl Layer {
    /// Whether it can be looked at: attention whose rows cannot be made of what is kept has nothing to show.
    pub fn can_be_shown(&self) -> bool {
        self.id.has_vectors() || self.facts.map_sources().is_some()
    }

    /// What has to be kept of a pass to look at it: itself, or the queries and keys that its rows are made of.
    pub fn shown_from(&self) -> Vec<Id> {
        let sources = self.facts.map_sources().filter(|_| !self.id.has_vectors());
        sources.map_or(vec![self.id], Vec::from)
    }
}

impl From<&CatalogueEntry> for Layer {
    fn from(entry: &CatalogueEntry) -> Self {
        Self {
            id: entry.id,
            shape: entry.shape,
            facts: entry.facts,
        }
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
    /// What is told when a request could not be done.
    pub(super) fn of_failure(request: &Request, error: Error) -> Self {
        match request {
            Request::LoadModel { name, .. } => Self::ModelFailed {
                name: name.clone(),
                error,
            },
            request => Self::Failed {
                work: request.work(),
                error,
            },
        }
    }
}
