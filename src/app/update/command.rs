//! Everything that changes what is seen or done. Widgets send these; [`App::apply`](crate::app::update::app::App::apply) alone carries
//! them out.

use std::path::PathBuf;

use egui_tiles::TileId;

use crate::{
    activation::Id,
    app::{
        document::{
            choices::{CkaChoice, ShiftChoice, StripChoice},
            compare::CompareChoice,
            display::{Display, Mask},
            figure::FigureSettings,
            pane::{Pane, View},
            ranking::RankChoice,
            root::{Mark, Pin},
            sheet::SheetSettings,
        },
        state::{
            comparing::Strip,
            downloads::ModelSort,
            gestures::Pointing,
            overlays::TemporaryView,
            path_box::{PathBox, PathPurpose},
            reveal::Control,
            root::State,
            slots::PointAt,
        },
        update::action::Action,
    },
    components::schedule::Timestep,
    device::{DeviceChoice, Precision},
    engine::{ComparisonKind, ImageSlot, PcaSettings, PictureSource, QueryAt, RunSettings},
    extract::preset::Preset,
    weights::hub::RemovalScope,
};

/// One thing the user does.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Something from the table of actions: by menu, key or name.
    Act(Action),
    /// Read a model: a zoo key, a folder or a file.
    LoadModel(String),
    /// Compute on another device or in another format from now on, and read the model again for it.
    Device(DeviceChoice, Precision),
    /// Find out which devices there are.
    LookForDevices,
    /// Use published settings, on the model they were published for or on the one that is loaded.
    Preset(&'static Preset, bool),
    /// Open a picture in a slot.
    OpenPicture(ImageSlot, PictureSource),
    /// Open pictures or a workspace, wherever there is room.
    OpenFiles(Vec<PathBuf>),
    /// Empty a slot.
    ClosePicture(ImageSlot),
    /// Let two slots change their pictures.
    SwapPictures(ImageSlot, ImageSlot),
    /// Run with other settings.
    Settings(RunSettings),
    /// Look at an activation.
    SelectLayer(Id),
    /// Search the layers.
    Search(String),
    /// Move the pointer's query.
    Hover(Option<PointAt>),
    /// Point at a token of the prompt.
    HoverWord(Option<usize>),
    /// Show where a token of the prompt is looked for, or what is pointed at again.
    Word(Option<usize>),
    /// Show the attention of a head, or the mean over heads.
    Head(Option<usize>),
    /// Fix a point or region under a new number, and show its similarities.
    AddPin(ImageSlot, QueryAt),
    /// Have the mark of the pin of a number at another place.
    MovePin(Pin),
    /// Show the similarities of a pin, or of the point under the pointer.
    SelectPin(Option<u32>),
    /// Show the similarities of either point of a pair.
    SelectMark(Mark),
    /// Make two pins of a pair.
    SplitPair(u32),
    /// Begin a pair of points here.
    StartPair(ImageSlot, [f64; 2]),
    /// Click or drag over a picture.
    Point(Pointing),
    /// Copy where a point is.
    CopyPosition(PointAt),
    /// Take a pin away.
    DeletePin(u32),
    /// How many matches of each pin are listed.
    TopK(usize),
    /// Rank other points, in another way, or sort the table otherwise.
    Rank(RankChoice),
    /// Search the ranking.
    RankSearch(String),
    /// Type timesteps that are to be ranked as well.
    RankSteps(String),
    /// Run the timesteps that are typed.
    RankRun,
    /// Compare other sides, or show them otherwise.
    Compare(CompareChoice),
    /// Type timestep and seed of a pass for B.
    CompareTyped(Timestep, u64),
    /// Run A's picture with the timestep and seed typed, as B.
    RunAsB,
    /// Run the pass of a side again: 0 is A, 1 is B.
    RunSide(usize),
    /// Look at an activation at a timestep.
    LookAt(Id, Timestep),
    /// Write figures otherwise.
    Figure(FigureSettings),
    /// Draw otherwise.
    Display(Display),
    /// Make PCA colours otherwise.
    Pca(PcaSettings),
    /// Tell background from foreground otherwise.
    Mask(Mask),
    /// Show another channel.
    Channel(usize),
    /// Show another part: of all panes where they move together, else of one.
    View(TileId, View),
    /// Work in this pane from now on.
    FocusPane(TileId),
    /// Open a pane beside the one worked in.
    AddPane(Pane),
    /// Show something else in a pane.
    ChangePane(TileId, Pane),
    /// Close a pane.
    ClosePane(TileId),
    /// Bring a control into sight and give it the keyboard.
    Reveal(Control),
    /// Remember what was chosen in the palette.
    Chosen(String),
    /// Type into the command palette.
    PaletteText(String),
    /// While a key is held, show something else.
    Hold(Option<TemporaryView>),
    /// Ask for a path: by the desktop's dialog, or in the box where there is none.
    AskPath(PathPurpose),
    /// Type into the box for paths, open it or close it.
    PathBox(PathBox),
    /// Make all text and controls this many times as large as at first; a dense screen is asked about no more.
    InterfaceSize(f32),
    /// Look through folders in the box for paths.
    Browse(BrowseCommand),
    /// Use a path for what it was asked for.
    UsePath(PathPurpose, PathBuf),
    /// Look for models, or download them.
    Download(DownloadCommand),
    /// Show an activation that is pointed at, as long as it is.
    Peek(Option<Id>),
    /// Show a survey otherwise.
    Sheet(Box<SheetSettings>),
    /// End a job, or take it out of the queue.
    CancelJob(u64),
    /// Show another film strip.
    Strip(StripChoice),
    /// Show another CKA matrix.
    Cka(CkaChoice),
    /// Measure content shift otherwise.
    Shift(ShiftChoice),
    /// Make the passes of a comparison, however long they take.
    Compute(ComparisonKind),
    /// End a study.
    CancelStudy(u64),
    /// Open or discard work of a window that did not come to its end.
    Recover(RecoverCommand),
    /// Take a message away.
    Dismiss(Notice),
    /// Put text on the clipboard.
    CopyText(String),
    /// Take a toast away.
    DismissToast(u64),
    /// Take away what a fresh window says.
    Welcomed,
}

/// A message that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A bug a worker met.
    Recovered,
    /// Why a picture was not opened.
    Picture(ImageSlot),
    /// Why a model was not read.
    Model,
    /// Why a run failed.
    Run,
    /// Why colours or similarities could not be computed.
    View,
}

/// What looking at a frame changes.
pub fn look_at(state: &State, strip: &Strip, index: usize) -> Command {
    let mut settings = state.document.settings.clone();
    if let Some((member, _)) = strip.members.get(index) {
        settings.t = member.settings.t;
        settings.seed = member.settings.seed;
    }
    Command::Settings(settings)
}

/// What is done with work of a window that did not come to its end; its folder names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoverCommand {
    /// Look at it here.
    Open(PathBuf),
    /// Let go of it.
    Discard(PathBuf),
}

/// What the user does with models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadCommand {
    /// Type the name of a repository.
    Type(String),
    /// Ask the hub how much a model is.
    Ask(String),
    /// Choose one of the ways that are offered.
    Choose(String, usize),
    /// Download what is offered.
    Fetch(String),
    /// End a download, take an offer or an error away.
    Drop(String),
    /// The entry that was to come into sight is in sight.
    Seen,
    /// Sort the table otherwise.
    Sort(ModelSort),
    /// Search the table.
    Search(String),
    /// Show the details of a row, or of none.
    Select(Option<String>),
    /// Find out what deleting a model would delete, and ask whether.
    AskRemoval(String, RemovalScope),
    /// Delete what was asked about.
    Remove,
    /// Delete nothing.
    KeepModel,
}

/// What the user does in the box for paths, besides typing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrowseCommand {
    /// Move the cursor to an entry of those that are shown.
    Cursor(Option<usize>),
    /// Show names that begin with a dot, or not.
    Hidden(bool),
    /// Show files of all kinds, or those alone that are asked for.
    AllFiles(bool),
    /// Use what is typed, or look into it where it is a folder and a file is asked for.
    Use(String),
    /// Write over the file that is there.
    Overwrite,
    /// Leave the file that is there alone.
    KeepFile,
}
