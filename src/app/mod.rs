//! The window. In: events of the workers, the user's mouse and keys. Out: requests to the workers, and what is seen.
//!
//! Its folders are layers, and each imports only those before it: `document` (what undo restores), `state` (what the
//! workers made of it), `export` (what is written), `update` (all that changes either), `widgets`, then `views` and
//! `panels` (what is painted), and `shell`. `theme` and `gpu` serve all of them. Nothing here waits.

mod document;
mod export;
mod gpu;
mod panels;
mod shell;
mod state;
pub mod theme;
mod update;
mod views;
pub mod widgets;

#[doc(hidden)]
pub use document::workspace::WorkspaceFile;
pub use document::{
    choices::{CkaBetween, CkaChoice, CkaRows, LayerChoice, ShiftChoice, StripAxis, StripChoice},
    compare::{CompareChoice, CompareMode, CompareSide, PassChoice, PassRef},
    display::{Display, Mask, RangeMode},
    figure::FigureSettings,
    page::Page,
    pane::{Pane, PaneKind, View},
    ranking::{RankChoice, RankColumn},
    root::{Document, Mark, Pin, Spot},
    sheet::{PlotKind, SheetColours, SheetSettings, SheetView},
    workspace::{EXTENSION as WORKSPACE_EXTENSION, is_workspace},
};
pub use gpu::{
    picture::{DisplayPicture, PictureTexture},
    scores::{Held, ScorePainter, paint_scores},
    textures::waker,
};
pub use shell::{
    frame::paint,
    icon, offscreen,
    shot::{ShotOptions, export as export_workspace, shot},
    start::open,
};
pub use state::{
    downloads::{Download, DownloadStage, Downloads},
    messages::{Level, Messages},
    overlays::TemporaryView,
    path_box::{PathBox, PathPurpose},
    preferences::Preferences,
    recommend::RecommendState,
    recovery::Recovery,
    reveal::Control,
    root::State,
    slots::PointAt,
    survey::SurveyState,
    work::Job,
};
pub use update::{
    abilities::Abilities,
    action::{Action, Menu, shortcut_text},
    aliases::action_named,
    app::{App, LaunchOptions},
    command::{BrowseCommand, Command, DownloadCommand, Notice, RecoverCommand},
    keep::{Beginning, data_folder},
    view::Views,
};
pub use views::VIEWS;
