//! The window. In: events of the workers, the user's mouse and keys. Out: requests to the workers, and what is seen.
//! The state is plain data; widgets read it and send commands; one function carries commands out. Nothing here waits.

mod about;
mod action;
mod apply;
mod arrange;
mod asked;
mod canvas;
mod canvases;
mod channels;
mod command;
mod conditions;
mod devices;
mod dialog;
mod document;
mod estimate;
mod export;
mod frames;
mod gestures;
mod heads;
pub mod icon;
mod input;
mod inspector;
mod jobs;
mod keep;
mod kept;
mod later;
mod layer_tree;
mod matches;
mod memory;
mod menus;
mod messages;
mod models;
mod news;
pub mod offscreen;
mod overlays;
mod palette;
mod panes;
mod paths;
mod presets;
mod readout;
mod recover;
mod settings;
mod shop;
mod shot;
mod soundness;
mod start;
mod state;
mod studies;
mod textures;
pub mod theme;
mod tour;
mod undo;
mod wanted;
pub mod widgets;
mod words;
mod workspace;

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

use egui::{CentralPanel, Context, Id, Panel, ScrollArea, Ui, UiBuilder};
use egui_wgpu::{RenderState, wgpu::DeviceType};

pub use action::{Action, Menu};
pub use command::{Command, Notice};
pub use document::{Display, Document, Mask, Pane, PaneKind, Pin, RangeMode, View};
pub use keep::{Beginning, Recovery};
pub use memory::Memory;
pub use messages::{Level, Messages};
pub use paths::{PathBox, PathPurpose};
pub use recover::RecoverCommand;
pub use shop::{Order, OrderStage, Shop, ShopCommand};
pub use shot::{ShotOptions, export as export_workspace, shot};
pub use start::{data_folder, open};
pub use state::{Hold, Job, PointAt, State};
pub use studies::{
    CkaBetween, CkaChoice, CkaRows, LayerChoice, PlotKind, SheetColours, SheetSettings, ShiftChoice, StripAxis,
    StripChoice, SurveyState,
    ranking::{RankChoice, RankColumn},
    sides::{CompareChoice, CompareMode, PassChoice, PassRef, Side},
};
pub use textures::waker;
#[doc(hidden)]
pub use workspace::WorkspaceFile;
pub use workspace::{EXTENSION as WORKSPACE_EXTENSION, is_workspace};

use crate::{
    cli::WindowArguments,
    engine::{DEFAULT_CACHE_BYTES, Engine, PictureSource, Slot},
    error::Result,
    extract::preset::Preset,
    paint::ScorePainter,
};
use asked::Asked;
use canvases::Canvases;
use frames::FrameTimes;
use later::Later;
use layer_tree::LayerTree;
use recover::Kept;
use textures::Textures;
use undo::History;
use wanted::Sent;

/// The model a fresh window begins with.
const FIRST_MODEL: &str = "demo";
/// The pictures a fresh window begins with: one animal in every style of drawing there is, then others.
const FIRST_SAMPLES: [&str; 7] = [
    "noto-cat-face",
    "noto-v1-cat-face",
    "fluent-cat-face",
    "fluent-flat-cat-face",
    "fluent-dog-face",
    "noto-fox",
    "fluent-flat-tiger-face",
];

/// The window's state and its ends of the channels.
pub struct App {
    /// Everything that is shown.
    pub state: State,
    engine: Engine,
    textures: Textures,
    tree: LayerTree,
    canvases: Canvases,
    history: History,
    frames: FrameTimes,
    commands: Vec<Command>,
    sent: Sent,
    asked: Asked,
    later: Receiver<Later>,
    answer: Sender<Later>,
    /// Files that are being read for the window.
    answers_awaited: usize,
    /// Whether the user has done anything: undo goes back to what was there before.
    touched: bool,
    /// Whether what is shown instead is shown because a key is down.
    held_by_key: bool,
    /// Whether a part of the window had the keyboard when it was painted last: Esc takes it away before anybody is asked.
    had_keyboard: bool,
    /// Whether the graphics device is still there.
    lost_device: start::LostDevice,
    /// What is set when its model is there.
    preset_awaited: Option<&'static Preset>,
    /// What of it outlasts the window.
    kept: Kept,
    /// Where files of its own are kept and no dialog is opened; none: the desktop's dialogs and the user's folder.
    kept_in: Option<PathBuf>,
}

impl App {
    /// Starts the workers and asks for the first model and pictures, or for what is named.
    pub fn new(
        context: &Context,
        render_state: Option<&RenderState>,
        memory: Memory,
        arguments: &WindowArguments,
    ) -> Result<Self> {
        let engine = Engine::start(waker(context), DEFAULT_CACHE_BYTES)?;
        Ok(Self::with_engine(context, render_state, engine, memory, arguments))
    }

    /// The same with workers of any kind.
    pub fn with_engine(
        context: &Context,
        render_state: Option<&RenderState>,
        engine: Engine,
        memory: Memory,
        arguments: &WindowArguments,
    ) -> Self {
        let (memory, _) = memory.sound();
        theme::install(context);
        context.set_theme(memory.theme);
        context.set_zoom_factor(memory.zoom);
        // Sizes of the interface are commands of our own, in menus and undoable by name.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        // A software renderer gains nothing from the shader, and Mesa's loses about a MiB with every frame that uses it.
        let on_a_gpu = |state: &&RenderState| state.adapter.get_info().device_type != DeviceType::Cpu;
        let painter = ScorePainter::new(render_state.filter(on_a_gpu));
        let (answer, later) = channel();
        let mut app = Self {
            state: State::new(memory),
            engine,
            textures: Textures::new(context, painter),
            tree: LayerTree::default(),
            canvases: Canvases::default(),
            history: History::default(),
            frames: FrameTimes::default(),
            commands: Vec::new(),
            sent: Sent::default(),
            asked: Asked::default(),
            later,
            answer,
            answers_awaited: 0,
            touched: false,
            held_by_key: false,
            had_keyboard: false,
            lost_device: start::LostDevice::default(),
            preset_awaited: None,
            kept: Kept::default(),
            kept_in: None,
        };
        app.begin(arguments, context);
        app.look_at_models();
        app.touched = false;
        app
    }

    /// Leaves the desktop alone, as tests must: paths are typed instead of picked in its dialogs, and what is pasted is
    /// kept in `folder`.
    pub fn keep_to(&mut self, folder: PathBuf) {
        self.kept_in = Some(folder);
    }

    /// What the arguments name, or the embedded model and samples.
    fn begin(&mut self, arguments: &WindowArguments, context: &Context) {
        let files = &arguments.files;
        let names_workspace = files.iter().any(|path| is_workspace(path));
        arrange::begin(&mut self.state.document.layout, files.len(), FIRST_SAMPLES.len());
        if files.is_empty() {
            let layout = &self.state.document.layout;
            let samples: Vec<_> = Slot::all()
                .zip(FIRST_SAMPLES)
                .filter(|(slot, _)| *slot <= Slot::B || arrange::last_of(layout, *slot).is_some())
                .collect();
            for (slot, sample) in samples {
                let source = PictureSource::Sample(sample.to_owned());
                self.apply(Command::OpenPicture(slot, source), context);
            }
        } else {
            self.apply(Command::OpenFiles(files.clone()), context);
        }
        // A workspace brings its own model.
        if arguments.model.is_some() || !names_workspace {
            let model = arguments.model.clone().unwrap_or_else(|| FIRST_MODEL.to_owned());
            self.apply(Command::LoadModel(model), context);
        }
    }

    /// Whether everything that was asked for is there: nothing is loading, running or being drawn.
    pub fn is_settled(&self) -> bool {
        let state = &self.state;
        let loading = state.model.loading.is_some() || self.run_is_awaited();
        let picture_awaited = state.document.pictures.iter().any(|(slot, wanted)| {
            let there = state.slot(*slot).picture.as_ref();
            there.is_none_or(|there| there.source != wanted.source) || !self.textures.has_picture(*slot)
        });
        let looking = state.overlays.models && state.shop.shelf.is_none();
        // A picture that was opened anew looks the same until it comes, and takes what is known of it away.
        let working = self.views_are_awaited() || state.comparisons_are_awaited() || !state.studies.is_empty();
        let awaited = self.answers_awaited > 0 || self.asked.is_any_open() || looking || working;
        !(loading || picture_awaited || awaited)
    }

    /// Takes what has come from workers, dialogs and the desktop, and asks for what is wanted and not there.
    pub fn update(&mut self, context: &Context) {
        while let Some(event) = self.engine.poll() {
            self.take(event);
        }
        let failed = self.textures.take_finished(&self.state.numbers());
        for (slot, error) in failed {
            self.state.slot_mut(slot).error = Some(error);
        }
        while let Ok(later) = self.later.try_recv() {
            self.take_later(later, context);
        }
        if self.lost_device.is_gone() {
            context.send_viewport_cmd(egui::ViewportCommand::Close);
        }
        self.take_input(context);
        self.follow_tour();
        self.state.rank.arrange(&self.state.document.rank);
        self.ask_for_what_is_wanted();
        self.colour_thumbnails(context);
        if let Some(wait_secs) = self.state.messages.age(context.input(|input| input.time)) {
            context.request_repaint_after(std::time::Duration::from_secs_f64(wait_secs));
        }
    }

    /// Paints the whole window.
    pub fn paint(&mut self, ui: &mut Ui) {
        let began = Instant::now();
        let mut commands = std::mem::take(&mut self.commands);
        let context = ui.ctx().clone();
        let state = &self.state;
        Panel::top("menus").show(ui, |ui| menus::menus_ui(ui, state, &mut commands));
        Panel::top("toolbar").show(ui, |ui| menus::toolbar_ui(ui, state, &mut commands));
        Panel::bottom("status").show(ui, |ui| readout::status_ui(ui, state, &mut commands));
        // A part that is not shown keeps its place in the order of parts: the names of those after it come from that order,
        // and with its name a text field would lose the keyboard, and a slider the pointer.
        if state.memory.settings_shown {
            Panel::left("settings")
                .resizable(true)
                .default_size(settings::WIDTH)
                .size_range(settings::WIDTHS)
                .show(ui, |ui| {
                    // Layers keep a part of the side, however much is set above them.
                    let height = ui.available_height() * settings::MOST_OF_SIDE;
                    ScrollArea::vertical()
                        .id_salt("settings")
                        .max_height(height)
                        .auto_shrink([false, true])
                        .show(ui, |ui| settings::settings_ui(ui, state, &mut commands));
                    settings::run_ui(ui, state, &mut commands);
                    let of_its_own = UiBuilder::new().scope_id(Id::unique("layers"));
                    ui.scope_builder(of_its_own, |ui| self.tree.ui(ui, state, &mut commands));
                });
        } else {
            ui.skip_ahead_auto_ids(1);
        }
        if state.memory.inspector_shown {
            Panel::right("inspector")
                .resizable(true)
                .default_size(inspector::WIDTH)
                .size_range(inspector::WIDTHS)
                .show(ui, |ui| {
                    inspector::inspector_ui(ui, state, &self.textures, &mut commands)
                });
        } else {
            ui.skip_ahead_auto_ids(1);
        }
        let frame = egui::Frame::central_panel(ui.style()).inner_margin(0.0);
        let layout = CentralPanel::default().frame(frame).show(ui, |ui| {
            panes::panes_ui(ui, state, &self.textures, &mut self.canvases, &mut commands)
        });
        // Panes that are dragged are no command, and yet something the user does.
        let pressed = |input: &egui::InputState| input.pointer.any_down() || input.pointer.any_released();
        self.touched |= layout.inner != self.state.document.layout && context.input(pressed);
        if layout.inner != self.state.document.layout {
            let mut layout = layout.inner;
            arrange::tidy(&mut layout);
            self.state.document.layout = layout;
        }
        overlays::overlays_ui(ui, &self.state, &self.frames, &mut commands);
        for command in commands {
            self.apply(command, &context);
        }
        self.ask_for_what_is_wanted();
        self.keep_history(&context);
        self.keep_document();
        self.had_keyboard = context.memory(|memory| memory.focused().is_some());
        self.frames.add(began.elapsed());
    }

    /// Undo points come where the user is not in the middle of something.
    fn keep_history(&mut self, context: &Context) {
        let document = &self.state.document;
        if !self.touched || self.state.model.info.is_none() {
            self.history.begin_at(document);
            return;
        }
        if self.state.overlays.tour.is_some() {
            // All of a tour is one step: undo goes back to before it.
            return;
        }
        let (busy, now_secs) = context.input(|input| (input.pointer.any_down(), input.time));
        self.history.watch(document, now_secs, busy);
    }

    /// Whether there is something to undo, and to redo.
    pub fn can_undo_redo(&self) -> [bool; 2] {
        [self.history.can_undo(), self.history.can_redo()]
    }

    /// How long the interface took for its last frames.
    pub fn frame_times(&self) -> &FrameTimes {
        &self.frames
    }

    /// Where the canvas of a pane was painted last, in points.
    pub fn canvas_rect(&self, kind: PaneKind, slot: Slot) -> Option<egui::Rect> {
        self.canvases.rect_of(&self.state.document.layout, kind, slot)
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.update(context);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.paint(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.state.memory.take_arrangement(&self.state.document);
        eframe::set_value(storage, keep::MEMORY_KEY, &self.state.memory);
        self.remember(storage);
    }

    fn on_exit(&mut self) {
        self.stop_keeping();
    }
}
