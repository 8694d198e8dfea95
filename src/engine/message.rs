//! What goes to the workers and what comes back: plain data, so that they could as well be another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{Entry, Grid, Id, Shape},
    error::Error,
    extract::{
        framing::{Framing, SizeRule, WorkingSize},
        image::Size,
        model::{DeviceChoice, Precision},
        pass::VaeMode,
        request::{ExtractRequest, Provenance},
        spec::Family,
    },
    paint::ScoreStyle,
};

/// One of the pictures looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Slot {
    /// The first picture.
    A,
    /// The second picture.
    B,
}

impl Slot {
    /// Every slot, in order.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// `A` or `B`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other picture.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Where a picture comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PictureSource {
    /// A sample embedded in the program, by name.
    Sample(String),
    /// A file.
    File(PathBuf),
}

impl PictureSource {
    /// A short name for titles and file names.
    pub fn name(&self) -> String {
        match self {
            Self::Sample(name) => name.clone(),
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }
}

/// Everything besides model and picture that a pass depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunSettings {
    /// The prompt, where the model reads one.
    pub prompt: String,
    /// The timestep that runs.
    pub t: u32,
    /// Seed of the noise.
    pub seed: u64,
    /// Noises whose features are averaged.
    pub ensemble: usize,
    /// Which latent is used.
    pub vae: VaeMode,
    /// The working size.
    pub size: WorkingSize,
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
    /// Lets the slots change their pictures.
    SwapPictures,
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
        out: PathBuf,
    },
    /// Ends an extraction, or takes it out of the queue.
    CancelExtract {
        /// The job.
        job: u64,
    },
    /// Asked of the analyst, which answers while the model runs.
    View(ViewRequest),
    /// A panic on purpose: what a bug in a worker would do.
    #[cfg(test)]
    Panic,
}

/// Asked of the worker that looks at captured maps. The latest of each kind wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ViewRequest {
    /// PCA colours of an activation.
    Pca {
        /// The activation.
        id: Id,
        /// The passes, with the slot each is shown in.
        passes: Vec<(Slot, PassId)>,
        /// One basis for all of them.
        joint: bool,
    },
    /// What is similar to a point.
    Query(Query),
    /// Writes one map as .npy or .safetensors.
    SaveMap {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
        /// The file; its extension says the format.
        path: PathBuf,
    },
    /// Writes PCA colours as a PNG.
    SavePca {
        /// The activation.
        id: Id,
        /// The pass that is written.
        pass: PassId,
        /// The passes the basis is fitted on, `pass` among them.
        basis: Vec<PassId>,
        /// The file.
        path: PathBuf,
    },
    /// Writes a heat map over its picture as a PNG.
    SaveHeat {
        /// The query.
        query: Query,
        /// How scores become colours.
        style: ScoreStyle,
        /// The file.
        path: PathBuf,
    },
}

/// A point of one picture, compared with other pictures or with its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The activation.
    pub id: Id,
    /// The pass of the picture the point is in.
    pub source: PassId,
    /// (x, y) in pixels of that picture.
    pub at: [f64; 2],
    /// The passes it is compared with, with the slot each is shown in.
    pub targets: Vec<(Slot, PassId)>,
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
    },
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
    /// The slots have changed their pictures.
    PicturesSwapped,
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
    /// PCA colours of a picture.
    Pca(PcaView),
    /// Similarities to a point.
    Heat(HeatView),
    /// A map that was asked about is no longer kept: it has to be run again.
    Missing {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
    },
    /// A file was written.
    Saved {
        /// The file or folder.
        path: PathBuf,
    },
    /// Something was not done.
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
    /// Writing a file.
    Save,
    /// An extraction.
    Extract {
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
    pub family: Family,
    /// Whether a prompt changes anything.
    pub reads_prompt: bool,
    /// Side it was made for.
    pub native_side: usize,
    /// Timestep to begin with.
    pub default_t: u32,
    /// Working sizes it takes.
    pub size_rule: SizeRule,
    /// (√ā, √(1−ā)) of every timestep.
    pub mixtures: Vec<[f64; 2]>,
    /// Every activation in execution order, with its shape at the native size.
    pub layers: Vec<Layer>,
    /// Device it computes on.
    pub device: String,
    /// Format it computes in.
    pub dtype: String,
}

/// One activation of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub id: Id,
    /// Its shape for one picture.
    pub shape: Shape,
}

impl From<&Entry> for Layer {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            shape: entry.shape,
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
    /// What ran.
    pub ran: Provenance,
}

/// PCA colours of one picture's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaView {
    /// Where it is shown.
    pub slot: Slot,
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each of the three components.
    pub explained: Vec<f64>,
    /// Whether the basis was fitted on all pictures together.
    pub joint: bool,
}

/// A position of a picture and how similar it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// (row, column).
    pub cell: (usize, usize),
    /// The cell's centre in pixels of the picture.
    pub at: [f64; 2],
    /// Cosine, or attention weight.
    pub score: f32,
}

/// Similarities of one picture's positions to a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetHeat {
    /// Where it is shown.
    pub slot: Slot,
    /// Rows and columns.
    pub grid: Grid,
    /// Row-major.
    pub scores: Vec<f32>,
    /// The most similar positions, best first.
    pub best: Vec<Match>,
}

/// What is similar to a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatView {
    /// What was asked.
    pub query: Query,
    /// (row, column) of the cell under the point.
    pub cell: (usize, usize),
    /// One heat map per target.
    pub targets: Vec<TargetHeat>,
    /// Whether the scores are attention weights (mean over heads) and not cosines.
    pub attention: bool,
}
