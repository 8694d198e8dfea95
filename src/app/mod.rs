//! The window. In: events of the workers, the user's mouse and keys. Out: requests to the workers, and what is seen.
//! The state is plain data; widgets read it and send commands; one function carries commands out. Nothing here waits.

mod command;
mod dialog;
mod layer_tree;
mod news;
mod panels;
mod panes;
mod readout;
mod start;
mod state;
mod textures;

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
};

use egui::{CentralPanel, Context, Key, Panel, Popup, Ui};
use egui_wgpu::{RenderState, wgpu::DeviceType};

pub use command::{Command, Notice};
pub use start::open;
pub use state::{PathBox, PathPurpose, PointAt, State};

use crate::{
    activation::Id,
    cli::WindowArguments,
    engine::{DEFAULT_CACHE_BYTES, Engine, PassId, PictureSource, Query, Request, RunSettings, Slot, ViewRequest},
    error::Result,
    extract::model::{DeviceChoice, Precision},
    paint::ScorePainter,
};
use layer_tree::LayerTree;
use textures::Textures;

/// The model a fresh window begins with.
const FIRST_MODEL: &str = "demo";
/// The pictures a fresh window begins with.
const FIRST_SAMPLES: [&str; Slot::ALL.len()] = ["noto-cat-face", "fluent-dog-face"];

/// The window's state and its ends of the channels.
pub struct App {
    /// Everything that is shown.
    pub state: State,
    engine: Engine,
    textures: Textures,
    tree: LayerTree,
    commands: Vec<Command>,
    sent: Sent,
    picked: Receiver<dialog::Picked>,
    pick: Sender<dialog::Picked>,
    /// Whether a widget had the keyboard in the frame before: the key that makes it let go is still its own.
    keyboard_taken: bool,
}

/// What the workers were asked last: a request is sent when what is wanted differs.
#[derive(Default)]
struct Sent {
    run: Option<RunWanted>,
    pca: Option<PcaWanted>,
    query: Option<Query>,
}

/// What a run depends on: settings, activation, model, and the pictures.
#[derive(PartialEq)]
struct RunWanted(RunSettings, Id, u64, [u64; Slot::ALL.len()]);

type PcaWanted = (Id, Vec<(Slot, PassId)>, bool);

impl App {
    /// Starts the workers and asks for the first model and pictures.
    pub fn new(context: &eframe::CreationContext<'_>, arguments: &WindowArguments) -> Result<Self> {
        let egui_context = &context.egui_ctx;
        let engine = Engine::start(textures::waker(egui_context), DEFAULT_CACHE_BYTES)?;
        // A software renderer gains nothing from the shader, and Mesa's loses about a MiB with every frame that uses it.
        let on_a_gpu = |state: &&RenderState| state.adapter.get_info().device_type != DeviceType::Cpu;
        let painter = ScorePainter::new(context.wgpu_render_state.as_ref().filter(on_a_gpu));
        let (pick, picked) = channel();
        let mut app = Self {
            state: State::default(),
            engine,
            textures: Textures::new(egui_context, painter),
            tree: LayerTree::default(),
            commands: Vec::new(),
            sent: Sent::default(),
            picked,
            pick,
            keyboard_taken: false,
        };
        for (slot, sample) in Slot::ALL.into_iter().zip(FIRST_SAMPLES) {
            let given = arguments.pictures.get(slot.index()).cloned().map(PictureSource::File);
            // Somebody who gives one picture wants to look at that one alone.
            let sample = arguments
                .pictures
                .is_empty()
                .then(|| PictureSource::Sample(sample.to_owned()));
            if let Some(source) = given.or(sample) {
                app.apply(Command::OpenPicture(slot, source), egui_context);
            }
        }
        let model = arguments.model.clone().unwrap_or_else(|| FIRST_MODEL.to_owned());
        app.apply(Command::LoadModel(model), egui_context);
        Ok(app)
    }

    /// Carries one command out: the only place where the user's wishes change the state.
    pub fn apply(&mut self, command: Command, context: &Context) {
        let state = &mut self.state;
        match command {
            Command::LoadModel(name) => {
                state.model.wanted.clone_from(&name);
                state.model.error = None;
                state.model.loading = Some(0.0);
                let (device, dtype) = (DeviceChoice::Auto, Precision::F32);
                self.engine.send(Request::LoadModel { name, device, dtype });
            }
            Command::OpenPicture(slot, source) => {
                state.slot_mut(slot).error = None;
                self.engine.send(Request::OpenPicture { slot, source });
            }
            Command::ClosePicture(slot) => {
                self.empty_slot(slot);
                self.engine.send(Request::ClosePicture { slot });
            }
            Command::SwapPictures => self.engine.send(Request::SwapPictures),
            Command::Settings(settings) => {
                state.settings = settings;
                state.want_another_run();
            }
            Command::Run => {
                // Asked for when nothing is to be run, it would let a later run begin by itself.
                state.run.asked = state.needs_run();
                state.run.error = None;
                self.sent.run = None;
            }
            Command::Cancel => {
                state.run.asked = false;
                self.engine.send(Request::Cancel);
            }
            Command::SelectLayer(id) => {
                state.id = Some(id);
                state.want_another_run();
            }
            Command::StepLayer(step) => {
                if let Some(id) = self.tree.step(state, step) {
                    state.id = Some(id);
                    state.want_another_run();
                }
            }
            Command::Search(text) => state.search = text,
            Command::Hover(point) => state.hover = point,
            Command::Pin(point) => state.pin = point,
            Command::Display(display) => state.display = display,
            Command::AskPath(purpose) => dialog::ask(purpose, self.pick.clone(), context),
            Command::PathBox(path_box) => state.path_box = path_box,
            Command::UsePath(purpose, path) => {
                state.path_box = PathBox::default();
                self.use_path(purpose, path, context);
            }
            Command::Dismiss(notice) => match notice {
                Notice::Save => state.save = None,
                Notice::Recovered => state.recovered = None,
                Notice::Picture(slot) => state.slot_mut(slot).error = None,
                Notice::Model => state.model.error = None,
                Notice::Run => state.run.error = None,
            },
        }
        context.request_repaint();
    }

    fn use_path(&mut self, purpose: PathPurpose, path: PathBuf, context: &Context) {
        let command = match purpose {
            PathPurpose::Picture(slot) => Command::OpenPicture(slot, PictureSource::File(path)),
            PathPurpose::Model => Command::LoadModel(path.display().to_string()),
            PathPurpose::SavePca(slot) | PathPurpose::SaveHeat(slot) | PathPurpose::SaveMap(slot) => {
                match self.save_request(purpose, slot, &path) {
                    Some(request) => self.engine.send(Request::View(request)),
                    None => self.state.save = Some(Err("there is nothing to save yet: nothing has run".to_owned())),
                }
                return;
            }
        };
        self.apply(command, context);
    }

    /// What is saved is what is shown: the same passes, the same basis, the same colours.
    fn save_request(&self, purpose: PathPurpose, slot: Slot, path: &Path) -> Option<ViewRequest> {
        let state = &self.state;
        let (id, path) = (state.id?, path.to_owned());
        let shown = state.shown_passes();
        let (_, pass) = *shown.iter().find(|(other, _)| *other == slot)?;
        match purpose {
            PathPurpose::SaveMap(_) => Some(ViewRequest::SaveMap { id, pass, path }),
            PathPurpose::SavePca(_) => {
                let passes = shown
                    .iter()
                    .map(|(_, pass)| *pass)
                    .filter(|_| state.display.joint)
                    .collect::<Vec<_>>();
                Some(ViewRequest::SavePca {
                    id,
                    pass,
                    basis: if passes.is_empty() { vec![pass] } else { passes },
                    path,
                })
            }
            _ => {
                let query = Query {
                    targets: vec![(slot, pass)],
                    ..state.wanted_query()?
                };
                let style = panes::style_for(state, self.textures.scores(slot)?);
                Some(ViewRequest::SaveHeat { query, style, path })
            }
        }
    }

    /// Takes what has come from workers, dialogs and the desktop, and asks for what is wanted and not there.
    fn update(&mut self, context: &Context) {
        while let Some(event) = self.engine.poll() {
            self.take(event);
        }
        let numbers = Slot::ALL.map(|slot| self.state.slot(slot).number);
        let failed = self.textures.take_finished(numbers);
        for (slot, error) in failed {
            self.state.slot_mut(slot).error = Some(error);
        }
        while let Ok(picked) = self.picked.try_recv() {
            match picked {
                dialog::Picked::Path(purpose, path) => self.apply(Command::UsePath(purpose, path), context),
                // The desktop has no dialog to offer: the path can be typed.
                dialog::Picked::NoDialog(purpose) => {
                    let path_box = PathBox {
                        purpose: Some(purpose),
                        text: String::new(),
                    };
                    self.apply(Command::PathBox(path_box), context);
                }
            }
        }
        for command in self.keys(context) {
            self.apply(command, context);
        }
        self.ask_for_what_is_wanted();
    }

    fn keys(&self, context: &Context) -> Vec<Command> {
        /// How many layers page up and page down walk.
        const PAGE: isize = 10;
        let taken = self.keyboard_taken || context.egui_wants_keyboard_input();
        if taken || self.state.path_box.purpose.is_some() || Popup::is_any_open(context) {
            return Vec::new();
        }
        let keys = [
            (Key::ArrowDown, Command::StepLayer(1)),
            (Key::ArrowUp, Command::StepLayer(-1)),
            (Key::PageDown, Command::StepLayer(PAGE)),
            (Key::PageUp, Command::StepLayer(-PAGE)),
            (Key::Escape, Command::Pin(None)),
            (Key::Enter, Command::Run),
        ];
        context.input(|input| {
            let pressed = keys.into_iter().filter(|(key, _)| input.key_pressed(*key));
            pressed.map(|(_, command)| command).collect()
        })
    }

    fn ask_for_what_is_wanted(&mut self) {
        let state = &mut self.state;
        if let (true, Some(id)) = (state.needs_run(), state.id) {
            let numbers = Slot::ALL.map(|slot| state.slot(slot).number);
            let wanted = RunWanted(state.settings.clone(), id, state.model.generation, numbers);
            let may_run = state.run.asked || state.run_is_cheap();
            if may_run && self.sent.run.as_ref() != Some(&wanted) {
                state.run.running = Some(0.0);
                self.engine.send(Request::Run {
                    settings: state.settings.clone(),
                    id,
                });
                self.sent.run = Some(wanted);
            }
        } else {
            // What is wanted is there: wanted again after something else, it is asked for again.
            self.sent.run = None;
        }
        let passes = state.shown_passes();
        if let Some(id) = state.id.filter(|id| !id.is_map() && !passes.is_empty()) {
            let wanted = (id, passes.clone(), state.display.joint);
            if self.sent.pca.as_ref() != Some(&wanted) {
                let joint = state.display.joint;
                self.engine.send(Request::View(ViewRequest::Pca { id, passes, joint }));
                self.sent.pca = Some(wanted);
            }
        }
        let query = state.wanted_query();
        if query.is_some() && !same_cells(state, self.sent.query.as_ref(), query.as_ref()) {
            if let Some(query) = query.clone() {
                self.engine.send(Request::View(ViewRequest::Query(query)));
            }
            self.sent.query = query;
        }
    }

    /// The whole window.
    fn window_ui(&mut self, ui: &mut Ui) {
        let mut commands = std::mem::take(&mut self.commands);
        let state = &self.state;
        Panel::top("toolbar").show(ui, |ui| panels::toolbar_ui(ui, state, &mut commands));
        Panel::bottom("status").show(ui, |ui| readout::status_ui(ui, state, &mut commands));
        Panel::left("side")
            .resizable(true)
            .default_size(panels::SIDE_WIDTH)
            .size_range(panels::SIDE_RANGE)
            .show(ui, |ui| {
                panels::settings_ui(ui, state, &mut commands);
                self.tree.ui(ui, state, &mut commands);
            });
        CentralPanel::default().show(ui, |ui| panes::panes_ui(ui, state, &self.textures, &mut commands));
        panels::path_box_ui(ui, state, &mut commands);
        let context = ui.ctx().clone();
        for command in commands {
            self.apply(command, &context);
        }
        self.ask_for_what_is_wanted();
        self.keyboard_taken = context.egui_wants_keyboard_input();
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.update(context);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.window_ui(ui);
    }
}

/// Whether two queries ask the same: a pointer that moves inside one cell asks nothing new.
fn same_cells(state: &State, before: Option<&Query>, now: Option<&Query>) -> bool {
    let (Some(before), Some(now)) = (before, now) else {
        return before == now;
    };
    if (before.id, before.source, &before.targets) != (now.id, now.source, &now.targets) {
        return false;
    }
    let point = |query: &Query| {
        let slot = query.targets.iter().find(|(_, pass)| *pass == query.source)?.0;
        state.cell_at(PointAt { slot, at: query.at })
    };
    point(before) == point(now)
}
