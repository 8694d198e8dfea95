//! What goes to the workers and what comes back: plain data, so that they could as well be another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{Entry, Grid, Id, Shape},
    analysis::{
        colour::RangeRule,
        massive::ChannelFigures,
        pca::{COLOUR_COMPONENTS, PcaOptions},
    },
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
        out: PathBuf,
    },
    /// Ends an extraction, or takes it out of the queue.
    CancelExtract {
        /// The job.
        job: u64,
    },
    /// Asked of the workers that look at captured maps; they answer while the model runs.
    View(ViewRequest),
    /// A panic on purpose: what a bug in a worker would do.
    #[cfg(test)]
    Panic,
}

/// Asked of the workers that look at captured maps. The latest of each kind wins; every save is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ViewRequest {
    /// What is similar to a point or a region.
    Query(Query),
    /// Matches of all pins.
    Matches(MatchesQuery),
    /// PCA colours of an activation.
    Pca(PcaQuery),
    /// Figures of every channel of a map.
    Channels {
        /// The activation.
        id: Id,
        /// The pass.
        pass: PassId,
    },
    /// One channel of an activation.
    Channel(ChannelQuery),
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
        /// As they are shown.
        query: PcaQuery,
        /// The pass that is written, one of the query's.
        pass: PassId,
        /// The file.
        path: PathBuf,
    },
    /// Writes the basis of PCA colours, so that other maps can be shown in it.
    SaveBasis {
        /// As they are shown; fitted on each map alone, the first one's basis is written.
        query: PcaQuery,
        /// A .json file.
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

impl Request {
    /// The kind of work this is.
    pub fn work(&self) -> Work {
        match self {
            Self::LoadModel { .. } => Work::Model,
            Self::OpenPicture { slot, .. } | Self::ClosePicture { slot } | Self::SwapPictures { a: slot, .. } => {
                Work::Picture(*slot)
            }
            Self::Run { .. } | Self::Cancel => Work::Run,
            Self::Extract { job, .. } | Self::CancelExtract { job } => Work::Extract { job: *job },
            Self::View(view) => view.work(),
            #[cfg(test)]
            Self::Panic => Work::Run,
        }
    }
}

impl ViewRequest {
    /// The kind of work this is.
    pub fn work(&self) -> Work {
        match self {
            Self::Query(_) | Self::Matches(_) | Self::Pca(_) | Self::Channels { .. } | Self::Channel(_) => Work::View,
            Self::SaveMap { .. } | Self::SavePca { .. } | Self::SaveBasis { .. } | Self::SaveHeat { .. } => Work::Save,
        }
    }
}

/// What of a picture is compared, in its own pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryAt {
    /// The cell under (x, y).
    Point([f64; 2]),
    /// The mean of the vectors of all cells whose centre is within `radius` of a path, or of the cell under its first
    /// point where there is none.
    Region {
        /// Points (x, y) of the brush, joined by straight lines.
        path: Vec<[f64; 2]>,
        /// Radius of the brush.
        radius: f64,
    },
}

/// A point or region of one picture, compared with other pictures or with its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The activation.
    pub id: Id,
    /// The pass of the picture the point is in.
    pub source: PassId,
    /// What is compared.
    pub at: QueryAt,
    /// The passes it is compared with, with the slot each is shown in.
    pub targets: Vec<(Slot, PassId)>,
    /// Whether massive channels are left out (see `analysis::massive`).
    pub drop_massive: bool,
}

/// All pins, compared with all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesQuery {
    /// The activation.
    pub id: Id,
    /// The pins.
    pub pins: Vec<PinQuery>,
    /// The passes they are compared with, with the slot each is shown in.
    pub targets: Vec<(Slot, PassId)>,
    /// How many matches of each pin in each target.
    pub top_k: usize,
    /// Whether massive channels are left out.
    pub drop_massive: bool,
}

/// One pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinQuery {
    /// Chosen by the sender.
    pub pin: u32,
    /// The pass of its picture.
    pub source: PassId,
    /// Where it is.
    pub at: QueryAt,
}

/// PCA colours of one activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaQuery {
    /// The activation.
    pub id: Id,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(Slot, PassId)>,
    /// How the colours come about.
    pub settings: PcaSettings,
}

/// How PCA colours come about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PcaSettings {
    /// What the basis is fitted on.
    pub basis: BasisChoice,
    /// How it is fitted; a saved basis brings its own.
    pub options: PcaOptions,
    /// Which scores become black and which full intensity: over all maps that share a basis.
    pub clip: RangeRule,
    /// The components, counted from 0, that become red, green and blue.
    pub shown: [usize; COLOUR_COMPONENTS],
    /// Whether massive channels are left out; not with a saved basis, which knows its channels.
    pub drop_massive: bool,
}

impl Default for PcaSettings {
    fn default() -> Self {
        Self {
            basis: BasisChoice::default(),
            options: PcaOptions::default(),
            clip: RangeRule::default(),
            shown: [0, 1, 2],
            drop_massive: false,
        }
    }
}

/// What a PCA basis is fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasisChoice {
    /// All pictures together: the same colour means the same.
    #[default]
    Together,
    /// Each picture alone.
    Each,
    /// One picture, for all.
    Of(Slot),
    /// A basis in a file.
    Saved(PathBuf),
}

/// One channel of an activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelQuery {
    /// The activation.
    pub id: Id,
    /// The channel, counted from 0.
    pub channel: usize,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(Slot, PassId)>,
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
    /// Tells pictures of other pixels apart, today and on another machine.
    pub fingerprint: u64,
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
    /// What was asked.
    pub query: PcaQuery,
    /// Where it is shown.
    pub slot: Slot,
    /// The pass.
    pub pass: PassId,
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each component of the basis.
    pub explained: Vec<f64>,
    /// Components (counted from 0) without variance, shown black.
    pub dropped: Vec<usize>,
    /// Positions the basis was fitted on.
    pub fitted_on: usize,
    /// Scores of the first component, row-major: what foreground is told from background by.
    pub first: Vec<f32>,
    /// Channels that were left out as massive.
    pub left_out: Vec<usize>,
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

/// What is similar to a point or a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatView {
    /// What was asked.
    pub query: Query,
    /// (row, column) of the cells that were compared: one under a point, all of a region.
    pub cells: Vec<(usize, usize)>,
    /// One heat map per target.
    pub targets: Vec<TargetHeat>,
    /// Whether the scores are attention weights (mean over heads) and not cosines.
    pub attention: bool,
}

/// Matches of all pins in all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesView {
    /// What was asked.
    pub query: MatchesQuery,
    /// One per pin that lies where the model sees its picture.
    pub pins: Vec<PinMatches>,
}

/// Matches of one pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinMatches {
    /// The pin.
    pub pin: u32,
    /// (row, column) of its cells.
    pub cells: Vec<(usize, usize)>,
    /// In each target.
    pub targets: Vec<TargetMatches>,
}

/// Matches of one pin in one target, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetMatches {
    /// The target.
    pub slot: Slot,
    /// Best first.
    pub best: Vec<RankedMatch>,
}

/// A match, and where one gets from it on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankedMatch {
    /// Where it is and how similar.
    pub found: Match,
    /// The position of the pin's picture that is most similar to it, in pixels of that picture.
    pub back: [f64; 2],
    /// Whether that is the pin's own cell, or one of its region.
    pub mutual: bool,
    /// Distance from there to the pin's nearest cell, in cells.
    pub cycle_cells: f32,
}

/// Figures of every channel of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelsView {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// Every channel.
    pub channels: Vec<ChannelFigures>,
    /// Those flagged as massive.
    pub massive: Vec<usize>,
    /// Mean cosine of all pairs of positions: with all channels, and without the massive ones.
    pub mean_cosine: [f64; 2],
}

/// One channel of one picture each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelView {
    /// What was asked.
    pub query: ChannelQuery,
    /// Rows, columns and values of each picture, in the order of the query's passes.
    pub maps: Vec<(Slot, Grid, Vec<f32>)>,
}
