//! The window's state with its ends of the channels, and what happens to both with every frame.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use egui::{Context, Id, ViewportCommand};
use egui_wgpu::{RenderState, wgpu::DeviceType};

use super::{
    background::BackgroundResult, command::Command, event_queue::EventQueue, keep::UnsavedWork, keys_down::KeysDown,
    lost_device::LostDevice, pending::PendingPictures, questions::Questions, view::Views,
};
use crate::{
    app::{
        document::{
            layout,
            pane::{Layout, PaneKind},
            root::{FIRST_MODEL, FIRST_POINT, FIRST_SAMPLES},
            undo::History,
            workspace::is_workspace,
        },
        gpu::{
            scores::ScorePainter,
            textures::{Textures, waker},
        },
        state::{
            canvas_rects::CanvasRects, frame_times::FrameTimes, layer_tree::LayerTree, path_box::PathPurpose,
            preferences::Preferences, root::State, work::RunWanted,
        },
        theme,
    },
    engine::{DEFAULT_CACHE_BYTES, Engine, ImageSlot, PictureSource},
    error::Result,
    extract::preset::Preset,
};

/// What a window is to begin with.
#[derive(Debug, Clone, Default)]
pub struct LaunchOptions {
    /// Pictures, or workspaces; none: the samples of a fresh window.
    pub files: Vec<PathBuf>,
    /// The model: a short name, a folder or a file; none: the embedded one, or that of a workspace.
    pub model: Option<String>,
}

/// The window's state and its ends of the channels.
pub struct App {
    /// Everything that is shown.
    pub state: State,
    pub(in crate::app) engine: Engine,
    pub(in crate::app) textures: Textures,
    pub(in crate::app) tree: LayerTree,
    pub(in crate::app) canvases: CanvasRects,
    pub(in crate::app) history: History,
    pub(in crate::app) frames: FrameTimes,
    pub(in crate::app) commands: Vec<Command>,
    /// What paints each kind of pane.
    pub(in crate::app) views: Views,
    pub(in crate::app) questions: Questions,
    /// The run that was asked for last.
    pub(in crate::app) run_asked: Option<RunWanted>,
    pub(in crate::app) pending: PendingPictures,
    pub(in crate::app) later: Receiver<BackgroundResult>,
    pub(in crate::app) answer: Sender<BackgroundResult>,
    /// Files that are being read for the window.
    pub(in crate::app) answers_awaited: usize,
    /// Whether the user has done anything: undo goes back to what was there before.
    pub(in crate::app) touched: bool,
    /// Whether what is shown instead is shown because a key is down.
    pub(in crate::app) held_by_key: bool,
    /// The keys that are down.
    pub(in crate::app) keys_down: KeysDown,
    /// Whether a part of the window had the keyboard when it was painted last: Esc takes it away before anybody is asked.
    pub(in crate::app) had_keyboard: bool,
    /// The part of the window that had it.
    pub(in crate::app) focused_before: Option<Id>,
    /// Whether something was open that takes whatever is typed when the window was painted last.
    pub(in crate::app) asked_for_text: bool,
    /// Whether the graphics device is still there.
    pub(in crate::app) lost_device: LostDevice,
    /// What is set when its model is there.
    pub(in crate::app) preset_awaited: Option<&'static Preset>,
    /// What of it outlasts the window.
    pub(in crate::app) kept: UnsavedWork,
    /// The point that a fresh window begins with, until its picture is there.
    pub(in crate::app) first_point: Option<[f64; 2]>,
    /// Where files of its own are kept and no dialog is opened; none: the desktop's dialogs and the user's folder.
    pub(in crate::app) kept_in: Option<PathBuf>,
    /// Whether the desktop was found to have no file dialogs.
    pub(in crate::app) has_no_dialogs: bool,
    /// What folders are looked through for.
    pub(in crate::app) browses: Option<PathPurpose>,
}

impl App {
    /// Starts the workers and asks for the first model and pictures, or for what is named.
    ///
    /// # Errors
    ///
    /// Where the system starts no thread.
    pub fn new(
        context: &Context,
        render_state: Option<&RenderState>,
        views: Views,
        preferences: Preferences,
        options: &LaunchOptions,
    ) -> Result<Self> {
        let engine = Engine::start(waker(context), DEFAULT_CACHE_BYTES)?;
        Ok(Self::with_engine(
            context,
            render_state,
            engine,
            views,
            preferences,
            options,
        ))
    }

    /// The same with workers of any kind.
    pub fn with_engine(
        context: &Context,
        render_state: Option<&RenderState>,
        engine: Engine,
        views: Views,
        preferences: Preferences,
        options: &LaunchOptions,
    ) -> Self {
        let (preferences, _) = preferences.sound();
        theme::install(context);
        context.set_theme(preferences.theme);
        context.set_zoom_factor(preferences.zoom);
        // Sizes of the interface are commands of our own, in menus and undoable by name.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        context.add_plugin(EventQueue::default());
        // A software renderer gains nothing from the shader, and Mesa's loses about a MiB with every frame that uses it.
        let on_a_gpu = |state: &&RenderState| state.adapter.get_info().device_type != DeviceType::Cpu;
        let painter = ScorePainter::new(render_state.filter(on_a_gpu));
        let (answer, later) = channel();
        let mut app = Self {
            state: State::new(preferences),
            engine,
            textures: Textures::new(context, painter),
            tree: LayerTree::default(),
            canvases: CanvasRects::default(),
            history: History::default(),
            frames: FrameTimes::default(),
            commands: Vec::new(),
            views,
            questions: Questions::default(),
            run_asked: None,
            pending: PendingPictures::default(),
            later,
            answer,
            answers_awaited: 0,
            touched: false,
            held_by_key: false,
            keys_down: KeysDown::default(),
            had_keyboard: false,
            focused_before: None,
            asked_for_text: false,
            lost_device: LostDevice::default(),
            preset_awaited: None,
            kept: UnsavedWork::default(),
            first_point: None,
            kept_in: None,
            has_no_dialogs: false,
            browses: None,
        };
        app.begin(options, context);
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
    fn begin(&mut self, options: &LaunchOptions, context: &Context) {
        let files = &options.files;
        let names_workspace = files.iter().any(|path| is_workspace(path));
        layout::begin(&mut self.state.document.layout, files.len(), FIRST_SAMPLES.len());
        if files.is_empty() {
            self.first_point = Some(FIRST_POINT);
            self.state.welcomes = !self.state.preferences.welcomed;
            let layout = &self.state.document.layout;
            let samples: Vec<_> = ImageSlot::all()
                .zip(FIRST_SAMPLES)
                .filter(|(slot, _)| *slot <= ImageSlot::B || layout::last_of(layout, *slot).is_some())
                .collect();
            for (slot, sample) in samples {
                let source = PictureSource::Sample(sample.to_owned());
                self.apply(Command::OpenPicture(slot, source), context);
            }
        } else {
            self.apply(Command::OpenFiles(files.clone()), context);
        }
        // A workspace brings its own model.
        if options.model.is_some() || !names_workspace {
            let model = options.model.clone().unwrap_or_else(|| FIRST_MODEL.to_owned());
            self.apply(Command::LoadModel(model), context);
        }
    }

    /// Whether everything that was asked for is there: nothing is loading, running or being drawn.
    pub fn is_settled(&self) -> bool {
        self.awaited().is_none()
    }

    /// What was asked for and is not there yet, in a few words.
    pub fn awaited(&self) -> Option<&'static str> {
        let state = &self.state;
        let picture_awaited = state.document.pictures.iter().any(|(slot, wanted)| {
            let there = state.slot(*slot).picture.as_ref();
            there.is_none_or(|there| there.source != wanted.source) || !self.textures.has_picture(*slot)
        });
        [
            (state.model.loading.is_some(), "a model"),
            // A picture that was opened anew looks the same until it comes, and takes what is known of it away.
            (picture_awaited || self.pending.is_any_open(), "a picture"),
            (self.run_is_awaited(), "a run"),
            (self.questions.are_open(), "what a pane shows"),
            (state.comparisons_are_awaited(), "a comparison"),
            (!state.studies.is_empty(), "a study"),
            (
                state.overlays.models && state.downloads.shelf.is_none(),
                "the list of models",
            ),
            (self.answers_awaited > 0, "a dialog or the desktop"),
        ]
        .into_iter()
        .find_map(|(awaited, what)| awaited.then_some(what))
    }

    /// Takes what has come from workers, dialogs and the desktop, and asks for what is wanted and not there.
    pub fn update(&mut self, context: &Context) {
        while let Some(event) = self.engine.poll() {
            self.on_event(event);
        }
        let failed = self.textures.take_finished(&self.state.numbers());
        for (slot, error) in failed {
            self.state.slot_mut(slot).error = Some(error);
        }
        while let Ok(later) = self.later.try_recv() {
            self.on_background_result(later, context);
        }
        if self.lost_device.is_gone() {
            context.send_viewport_cmd(ViewportCommand::Close);
        }
        self.on_input(context);
        self.complete_accepted_pair();
        self.asked_for_text = self.asks_for_text();
        self.follow_tour();
        self.follow_browser(context);
        self.state.rank.arrange(&self.state.document.rank);
        self.ask_for_what_is_wanted();
        self.colour_thumbnails(context);
        self.colour_recommended(context);
        if let Some(wait_secs) = self.state.messages.age(context.input(|input| input.time)) {
            context.request_repaint_after(Duration::from_secs_f64(wait_secs));
        }
    }

    /// Takes the panes as they were painted: the user may have dragged them.
    pub(in crate::app) fn on_layout(&mut self, mut panes: Layout, context: &Context) {
        if panes == self.state.document.layout {
            return;
        }
        // Panes that are dragged are no command, and yet something the user does.
        self.touched |= context.input(|input| input.pointer.any_down() || input.pointer.any_released());
        layout::tidy(&mut panes);
        self.state.document.layout = panes;
    }

    /// Carries out what the user did in a frame that was painted, and sends and keeps what has changed by it.
    pub(in crate::app) fn finish_frame(&mut self, commands: Vec<Command>, context: &Context) {
        for command in commands {
            let is_action = matches!(command, Command::Act(_));
            self.apply(command, context);
            if is_action {
                // Each is a step of its own, however many a frame has.
                self.keep_history(context, context.input(|input| input.pointer.any_down()));
            }
        }
        self.ask_for_what_is_wanted();
        self.keep_history(context, context.input(|input| input.pointer.any_down()));
        self.keep_document();
        self.tell_keyboard(context);
    }

    /// Undo points come where the user is not in the middle of something.
    pub(in crate::app) fn keep_history(&mut self, context: &Context, busy: bool) {
        let document = &self.state.document;
        if !self.touched || self.state.model.info.is_none() {
            self.history.begin_at(document);
            return;
        }
        if self.state.overlays.tour.is_some() {
            // All of a tour is one step: undo goes back to before it.
            return;
        }
        let now_secs = context.input(|input| input.time);
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
    pub fn canvas_rect(&self, kind: PaneKind, slot: ImageSlot) -> Option<egui::Rect> {
        self.canvases.rect_of(&self.state.document.layout, kind, slot)
    }
}
