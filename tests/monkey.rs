//! Thousands of random things done to the window, as no person would: pointer, keys, text, files, sizes, commands. After
//! each of them the window must be whole. `MONKEY_SEED` and `MONKEY_STEPS` choose another round.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test says what it expects"
)]

#[allow(dead_code, reason = "not every target that shares this file needs it")]
#[path = "window/driver.rs"]
mod driver;
#[allow(dead_code, reason = "not every target that shares this file needs it")]
#[path = "window/fake.rs"]
mod fake;
#[allow(dead_code, reason = "not every target that shares this file needs it")]
#[path = "window/model.rs"]
mod model;

use std::{
    collections::{HashMap, HashSet},
    env, fs, mem,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use driver::{CTRL, Opening, Window, write_columns};
use egui::{
    ColorImage, DroppedFile, Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase,
    Vec2, epaint::text::MissingGlyphPolicy, pos2, vec2,
};
use egui_tiles::{Tile, TileId};
use featscope::{
    analysis::colour::RangeRule,
    app::{
        Action, Command, Document, Level, Mark, Mask, Notice, Pane, PaneKind, PathBox, PathPurpose, Pin, RangeMode,
        View,
    },
    engine::{BasisChoice, ChannelQuery, ImageSlot, PictureSource, QueryAt},
    extract::{preset::PRESETS, settings::LatentMode},
    geometry::framing::WorkingSize,
    render::ColourMap,
};
use image::{Rgb, RgbImage};

/// Steps of a round, unless told otherwise.
const STEPS: usize = 2000;
const SEED: u64 = 20_260;
/// After so many steps everything is awaited; and everything is undone.
const SETTLE_EVERY: usize = 25;
const UNDO_EVERY: usize = 250;
/// Steps of undo that are kept at most.
const MOST_UNDONE: usize = 600;
/// Messages that may stand over the window at a time.
const MOST_TOASTS: usize = 5;
/// Recent files of a kind that are remembered at most.
const MOST_RECENT: usize = 12;
/// What was done last, told when something goes wrong.
const TOLD_DEEDS: usize = 100;
/// Smallest and largest window, in points.
const LEAST_SIZE: Vec2 = vec2(320.0, 240.0);
const MOST_SIZE: Vec2 = vec2(3000.0, 2000.0);
const MOST_TEXTURE_SIDE: usize = 8192;
/// The worker here keeps all maps of all pictures, which have to fit into its memory.
const MOST_SIDE: usize = 512;
/// What is on purpose wrong has this in its name.
const BAD: &str = "bad";
/// What is an error, though nothing bad was given: a preset may name a model that is not here, and a workspace is no picture.
const ERRORS: [&str; 3] = [
    "it is no short name, no folder and no file",
    "a picture is needed",
    // A workspace that was opened chose a layer of another model.
    "has no activation \"",
];
/// Refusals of what makes no sense at that moment, and other notes: none of them is an error.
const NOTES: [&str; 30] = [
    "shows no picture: click one that does",
    "There is nothing to save yet",
    "There is nothing to extract",
    "the colours are to be fitted on picture",
    "no pane is open: there is nothing to export",
    "there is no model \"demo\"",
    "the PCA basis was fitted on",
    "its contents are not a picture",
    "the name has to end in",
    "the prompt has 77 tokens",
    "is too large: each side may have up to",
    // Studies: nothing there yet, or what they were of is gone.
    "There is nothing to compare with",
    "There is no ranking to save",
    "nothing was surveyed yet",
    "there is no comparison to save",
    "there is nothing to save yet",
    "another model was loaded before it was done",
    "is not open: open one there",
    "no picture is open there",
    "no model is loaded: load one first",
    "no activation of both pictures is kept",
    "this model has no activation",
    "of which only queries and keys are kept",
    // And what is too much, or has no figure.
    "more than the",
    "a survey holds at most",
    "there is no shift to measure",
    "holds no pairs",
    // Notes.
    "has other pixels than when the workspace was saved",
    "places are taken",
    "is there already: give all of its name to replace it",
];
/// What can be put on a model.
const PUT_ON: [PathPurpose; 4] = [
    PathPurpose::Lora,
    PathPurpose::ControlNet,
    PathPurpose::ControlImage(0),
    PathPurpose::ControlImage(7),
];

const SAMPLES: [&str; 4] = ["noto-cat-face", "fluent-dog-face", "photo-cat", "no-such-sample-bad"];
const TEXTS: [&str; 8] = [
    "b11",
    "up cross-q",
    "a photo of a cat",
    "\u{1f431} é",
    "-7",
    "12.5",
    " ",
    "heat map",
];

/// Random numbers: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.share()
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// A number that widgets and files may hold, now and then an extreme one.
    fn number(&mut self) -> f32 {
        match self.below(8) {
            0 => 0.0,
            1 => f32::MAX,
            2 => f32::MIN_POSITIVE,
            3 => -1.0,
            _ => self.between(-2.0, 3.0),
        }
    }
}

struct Monkey {
    window: Window,
    chance: Chance,
    size: Vec2,
    modifiers: Modifiers,
    deeds: Vec<String>,
    seed: u64,
    steps_done: usize,
    pictures: Vec<PathBuf>,
    workspaces: Vec<PathBuf>,
}

impl Drop for Monkey {
    fn drop(&mut self) {
        if thread::panicking() {
            let last = self.deeds.len().saturating_sub(TOLD_DEEDS);
            eprintln!(
                "MONKEY_SEED={} went wrong at step {}, after\n{}",
                self.seed,
                self.steps_done,
                self.deeds[last..].join("\n")
            );
            self.tell_what_is_awaited();
        }
    }
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.0).map_err(|error| error.to_string())
    }
}

impl Monkey {
    fn new(seed: u64) -> Self {
        let opening = Opening::default();
        let folder = opening.folder.path().to_owned();
        let (pictures, workspaces) = files(&folder);
        let size = opening.size;
        let mut window = opening.settled();
        // Nothing waits for a sign to go on, however slow it says that it is.
        window.fake.go_on();
        // A screen has no more pixels than a texture can have, and what is typed need not be in the fonts.
        window.harness.input_mut().max_texture_side = Some(MOST_TEXTURE_SIDE);
        window.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
        window.step();
        // A renderer that is made for the first screenshot is given all textures at once, also parts of some that are gone by
        // then; the window's own is there from the start.
        window.harness.render().expect("a renderer");
        Self {
            window,
            chance: Chance(seed),
            size,
            modifiers: Modifiers::NONE,
            deeds: Vec::new(),
            seed,
            steps_done: 0,
            pictures,
            workspaces,
        }
    }

    fn tell_what_is_awaited(&self) {
        let state = self.window.state();
        eprintln!(
            "wanted {:?}; loading {:?}, {:?}, needs a run {}, a cheap one {}, {:?}",
            state.document.pictures,
            state.model.loading,
            state.run,
            state.needs_run(),
            state.run_is_cheap(),
            state.view_error
        );
        eprintln!(
            "studies {:?}, hold {:?}, {:?}",
            state.studies, state.hold, state.comparing
        );
        for slot in state.open_slots() {
            let open = state.slot(slot);
            let pass = open.capture.as_ref().map(|capture| (capture.pass, &capture.settings));
            let colours = open.pca.as_ref().map(|view| &view.query);
            eprintln!(
                "{}: {:?}, error {:?}, {pass:?}, {colours:?}",
                slot.name(),
                open.picture,
                open.error
            );
        }
        let heat = state.heat.as_ref().map(|heat| &heat.query);
        eprintln!("{heat:?}, {:?}", state.matches.as_ref().map(|matches| &matches.query));
        eprintln!("{:?}", state.answers.of::<ChannelQuery>().map(|channel| &channel.query));
    }

    fn note(&mut self, deed: impl Into<String>) {
        let deed: String = deed.into();
        self.deeds.push(deed);
    }

    fn command(&mut self, command: Command) {
        self.note(format!("{command:?}"));
        self.window.apply(command);
    }

    fn event(&mut self, event: Event) {
        self.note(format!("{event:?}"));
        self.window.harness.event(event);
        self.window.step();
    }

    fn place(&mut self) -> Pos2 {
        // Now and then outside of the window.
        let [x, y] = [self.size.x, self.size.y].map(|side| self.chance.between(-0.02, 1.02) * side);
        pos2(x, y)
    }

    fn slot(&mut self) -> ImageSlot {
        // Mostly the first ones: they are to hold something.
        let most = if self.chance.once_in(20) { ImageSlot::MOST } else { 4 };
        ImageSlot::nth(self.chance.below(most)).expect("there are so many")
    }

    fn tile(&mut self) -> TileId {
        let tiles: Vec<TileId> = self.window.document().layout.tiles.tile_ids().collect();
        if tiles.is_empty() || self.chance.once_in(20) {
            return TileId(self.chance.next());
        }
        self.chance.one_of(&tiles)
    }

    fn pane(&mut self) -> Pane {
        let (kind, slot) = (self.chance.one_of(&PaneKind::ALL), self.slot());
        Pane::new(kind, slot)
    }

    fn picture(&mut self) -> PictureSource {
        if self.chance.once_in(2) {
            return PictureSource::Sample(self.chance.one_of(&SAMPLES).to_owned());
        }
        PictureSource::File(self.chance.one_of(&self.pictures))
    }

    fn modifiers(&mut self) -> Modifiers {
        self.chance.one_of(&[
            Modifiers::NONE,
            Modifiers::NONE,
            Modifiers::SHIFT,
            CTRL,
            CTRL | Modifiers::SHIFT,
            Modifiers::ALT,
        ])
    }

    fn step(&mut self) {
        self.keep_to_the_folder();
        match self.chance.below(20) {
            0..4 => self.act(),
            4..9 => self.use_pointer(),
            9..12 => self.use_keys(),
            12..13 => self.use_files(),
            13..14 => self.change_screen(),
            14..16 => self.arrange(),
            16..18 => self.set(),
            _ => self.undo_or_look(),
        }
        self.steps_done += 1;
        self.check();
    }

    /// What is typed into the box for paths must not lead out of the folder of this test.
    fn keep_to_the_folder(&mut self) {
        let path_box = &self.window.state().path_box;
        let inside = Path::new(&path_box.text).starts_with(self.window.folder());
        if path_box.purpose.is_some() && !inside {
            let name = self
                .chance
                .one_of(&["bad.png", "bad.safetensors", "bad.json", "bad/folder", "bad.npy"]);
            let path_box = PathBox {
                text: self.window.path(name).display().to_string(),
                ..path_box.clone()
            };
            self.command(Command::PathBox(path_box));
        }
    }

    fn act(&mut self) {
        let action = self.chance.one_of(Action::ALL);
        self.command(Command::Act(action));
    }

    fn use_pointer(&mut self) {
        let (at, modifiers) = (self.place(), self.modifiers());
        let button = self.chance.one_of(&[
            PointerButton::Primary,
            PointerButton::Primary,
            PointerButton::Primary,
            PointerButton::Secondary,
            PointerButton::Middle,
        ]);
        let press = |pos, pressed| Event::PointerButton {
            pos,
            button,
            pressed,
            modifiers,
        };
        self.event(Event::PointerMoved(at));
        match self.chance.below(8) {
            0 | 1 => {}
            2 | 3 => {
                self.event(press(at, true));
                self.event(press(at, false));
            }
            4 | 5 => {
                self.event(press(at, true));
                let mut to = at;
                for _ in 0..4 {
                    to = if self.chance.once_in(2) {
                        self.place()
                    } else {
                        to + vec2(7.0, -5.0)
                    };
                    self.event(Event::PointerMoved(to));
                }
                self.event(press(to, false));
            }
            6 => {
                let delta = vec2(0.0, self.chance.between(-2000.0, 2000.0));
                self.event(Event::MouseWheel {
                    unit: MouseWheelUnit::Point,
                    delta,
                    phase: TouchPhase::Move,
                    source: MouseWheelSource::Unknown,
                    modifiers,
                });
            }
            _ if self.chance.once_in(2) => self.event(Event::Zoom(self.chance_zoom())),
            _ => self.event(Event::PointerGone),
        }
    }

    fn chance_zoom(&self) -> f32 {
        // Two fingers, far apart and close together in turn.
        if self.steps_done.is_multiple_of(2) { 1.7 } else { 0.6 }
    }

    fn use_keys(&mut self) {
        if self.chance.once_in(4) {
            let text = self.chance.one_of(&TEXTS).to_owned();
            // The box for paths takes whole paths only: see above.
            if self.window.state().path_box.purpose.is_none() {
                let paste = self.chance.once_in(3);
                self.event(if paste { Event::Paste(text) } else { Event::Text(text) });
            }
            return;
        }
        let mut key = self.chance.one_of(Key::ALL);
        let mut modifiers = self.modifiers();
        if self.chance.once_in(2) {
            let with_keys: Vec<_> = Action::ALL.iter().flat_map(|action| action.entry().shortcuts).collect();
            let shortcut = self.chance.one_of(&with_keys);
            (key, modifiers) = (shortcut.logical_key, shortcut.modifiers);
            if modifiers.command {
                modifiers |= CTRL;
            }
        }
        let hold = self.chance.once_in(10);
        for pressed in [true, false] {
            if pressed || !hold {
                self.event(Event::Key {
                    key,
                    physical_key: None,
                    pressed,
                    repeat: false,
                    modifiers,
                });
            }
        }
        self.modifiers = modifiers;
    }

    fn use_files(&mut self) {
        let (slot, folder) = (self.slot(), self.window.folder().to_owned());
        match self.chance.below(12) {
            0..3 => {
                let source = self.picture();
                self.command(Command::OpenPicture(slot, source));
            }
            3 => {
                let name = self
                    .chance
                    .one_of(&["fake", "fake-small", "fake-slow", "no-such-model-bad"]);
                self.command(Command::LoadModel(name.to_owned()));
            }
            4 => self.drop_files(),
            5 => {
                let number = self.chance.below(3);
                let path = folder.join(format!("saved-{number}.featscope.json"));
                self.command(Command::UsePath(PathPurpose::SaveWorkspace, path.clone()));
                self.window.settle();
                if !self.workspaces.contains(&path) {
                    self.workspaces.push(path);
                }
            }
            6 => {
                let path = self.chance.one_of(&self.workspaces);
                self.command(Command::OpenFiles(vec![path]));
            }
            7 => self.command(Command::ClosePicture(slot)),
            8 => {
                let other = self.slot();
                self.command(Command::SwapPictures(slot, other));
            }
            9 => {
                let image = ColorImage::filled([5, 3], egui::Color32::RED);
                self.note("a picture is pasted");
                self.window.harness.event(Event::PasteImage(Arc::new(image)));
                self.window.step();
            }
            10 => {
                let (purpose, name) = self.chance.one_of(&[
                    (PathPurpose::SavePca(slot), "pca.png"),
                    (PathPurpose::SaveHeat(slot), "heat.png"),
                    (PathPurpose::SaveMap(slot), "map.npy"),
                    (PathPurpose::SaveMap(slot), "map.bad-ending"),
                    (PathPurpose::SaveBasis, "basis.json"),
                    (PathPurpose::OpenBasis, "basis.json"),
                    (PathPurpose::SaveMatches, "matches.csv"),
                    (PathPurpose::SaveMatches, "matches.json"),
                    (PathPurpose::Extract, "maps.safetensors"),
                ]);
                let path = folder.join(name);
                if purpose != PathPurpose::OpenBasis || path.exists() {
                    self.command(Command::UsePath(purpose, path));
                }
            }
            _ => {
                let job = self.chance.below(5) as u64;
                self.command(Command::CancelJob(job));
            }
        }
    }

    fn drop_files(&mut self) {
        let count = 1 + self.chance.below(3);
        let paths: Vec<PathBuf> = (0..count)
            .map(|_| {
                let from = if self.chance.once_in(5) {
                    &self.workspaces
                } else {
                    &self.pictures
                };
                self.chance.one_of(from)
            })
            .collect();
        self.note(format!("{paths:?} are dropped"));
        let files = paths.into_iter().map(|path| Arc::new(Dropped(path)) as _);
        self.window.harness.input_mut().dropped_files = files.collect();
        self.window.step();
    }

    fn change_screen(&mut self) {
        if self.chance.once_in(3) {
            let scale = self.chance.one_of(&[0.5, 1.0, 1.25, 2.0, 3.0]);
            self.note(format!("{scale} pixels per point"));
            self.window.harness.set_pixels_per_point(scale);
        } else {
            let (x, y) = (self.chance.share(), self.chance.share());
            self.size = LEAST_SIZE + (MOST_SIZE - LEAST_SIZE) * vec2(x * x, y * y);
            self.note(format!("a window of {:?}", self.size));
            self.window.harness.set_size(self.size);
        }
        self.window.step();
    }

    fn arrange(&mut self) {
        let (tile, pane) = (self.tile(), self.pane());
        let zoom = self.chance.number();
        let centre = [self.chance.number(), self.chance.number()];
        match self.chance.below(8) {
            0 | 1 => self.command(Command::AddPane(pane)),
            2 => self.command(Command::ChangePane(tile, pane)),
            3 | 4 => self.command(Command::ClosePane(tile)),
            5 => self.command(Command::FocusPane(tile)),
            _ => self.command(Command::View(tile, View { centre, zoom })),
        }
    }

    fn set(&mut self) {
        let (document, slot) = (self.window.document().clone(), self.slot());
        let number = self.chance.below(4) as u32;
        let [x, y] = [0; 2].map(|_| f64::from(self.chance.between(-10.0, 300.0)));
        let region = QueryAt::Region {
            path: vec![[x, y], [y, x]],
            radius: x.abs() + 1.0,
        };
        let at = self.chance.one_of(&[QueryAt::Point([x, y]), region]);
        match self.chance.below(12) {
            0 => {
                let mut settings = document.settings;
                settings.t = (self.chance.below(1000) as u32).into();
                settings.seed = self.chance.next();
                settings.ensemble = 1 + self.chance.below(3);
                settings.latent = self.chance.one_of(&[LatentMode::Mean, LatentMode::Sample]);
                let side = 16 * (1 + self.chance.below(12));
                let (width, height) = (side, side);
                let sizes = [WorkingSize::ShortSide(side), WorkingSize::Exact { width, height }];
                settings.size = Some(self.chance.one_of(&sizes));
                self.command(Command::Settings(settings));
            }
            1 | 2 => {
                // Attention to text is listed, but cannot be chosen.
                let layers = self.window.state().layers().iter();
                let layers = layers.filter(|layer| !layer.id.is_map() || layer.facts.map_sources().is_some());
                let layers: Vec<_> = layers.map(|layer| layer.id).collect();
                if !layers.is_empty() {
                    let id = self.chance.one_of(&layers);
                    self.command(Command::SelectLayer(id));
                }
            }
            3 | 4 => {
                // Pins are in pictures.
                let open: Vec<ImageSlot> = self.window.state().open_slots().collect();
                if !open.is_empty() {
                    let slot = self.chance.one_of(&open);
                    let added = self.chance.once_in(2);
                    let moved = Command::MovePin(Pin::single(number, slot, at.clone()));
                    self.command(if added { Command::AddPin(slot, at) } else { moved });
                }
            }
            5 => self.command(Command::SelectPin(Some(number))),
            6 => {
                let choices = [
                    Command::DeletePin(number),
                    Command::SplitPair(number),
                    Command::SelectMark(Mark { number, mate: true }),
                    Command::StartPair(slot, [x, y]),
                ];
                let command = self.chance.one_of(&choices);
                self.command(command);
            }
            7 => {
                let mut display = document.display;
                display.map = self.chance.one_of(&ColourMap::ALL);
                display.gamma = self.chance.between(0.1, 10.0);
                display.range = self.chance.one_of(&[
                    RangeMode::PerMap,
                    RangeMode::Common,
                    RangeMode::Fixed([0.5, 0.5]),
                    RangeMode::Fixed([1.0, -1.0]),
                ]);
                self.command(Command::Display(display));
            }
            8 | 9 => {
                let mut pca = document.pca;
                pca.shown = [0; 3].map(|_| self.chance.below(16));
                pca.options.components = 1 + self.chance.below(16);
                let (low, high) = (50.0, 50.0);
                pca.clip = self
                    .chance
                    .one_of(&[RangeRule::MinMax, RangeRule::Percentile { low, high }]);
                pca.basis = self
                    .chance
                    .one_of(&[BasisChoice::Together, BasisChoice::Each, BasisChoice::Of(slot)]);
                self.command(Command::Pca(pca));
            }
            10 => {
                let (on, below) = (self.chance.once_in(2), self.chance.once_in(2));
                let threshold = self.chance.number();
                self.command(Command::Mask(Mask { on, threshold, below }));
            }
            _ => {
                let (channel, count) = (self.chance.below(40), 1 + self.chance.below(20));
                self.command(Command::Channel(channel));
                self.command(Command::TopK(count));
                // A prompt has 77 tokens.
                let word = self.chance.once_in(2).then(|| self.chance.below(80));
                let command = match self.chance.below(4) {
                    0 => Command::Word(word),
                    1 => Command::HoverWord(word),
                    2 => {
                        let presets: Vec<_> = PRESETS.iter().filter(|preset| preset.side <= MOST_SIDE).collect();
                        Command::Preset(self.chance.one_of(&presets), self.chance.once_in(4))
                    }
                    _ => Command::UsePath(self.chance.one_of(&PUT_ON), PathBuf::from("/somewhere/a-file")),
                };
                self.command(command);
            }
        }
    }

    fn undo_or_look(&mut self) {
        match self.chance.below(6) {
            0 | 1 => self.command(Command::Act(Action::Undo)),
            2 => self.command(Command::Act(Action::Redo)),
            3 => {
                self.note("time goes by");
                self.window.pass(f64::from(self.chance.between(0.0, 10.0)));
            }
            4 => {
                let slot = self.slot();
                let notice = self
                    .chance
                    .one_of(&[Notice::Picture(slot), Notice::Model, Notice::Run, Notice::View]);
                self.command(Command::Dismiss(notice));
            }
            _ => {
                self.note("some frames");
                self.window.harness.run_steps(4);
            }
        }
    }

    /// Every kind of pane, beside what is there.
    fn open_all_panes(&mut self) {
        for kind in PaneKind::ALL {
            self.command(Command::AddPane(Pane::new(kind, ImageSlot::A)));
        }
    }

    /// What must be so whatever was done.
    fn check(&mut self) {
        let state = &mut self.window.harness.state_mut().state;
        for line in mem::take(&mut state.messages.log) {
            let meant = line.text.contains(BAD) || ERRORS.iter().any(|words| line.text.contains(words));
            assert!(
                line.level != Level::Error || meant,
                "an error without a reason: {}",
                line.text
            );
            let known = meant || NOTES.iter().any(|words| line.text.contains(words));
            assert!(
                line.level != Level::Warning || known,
                "a note that nobody knows: {}",
                line.text
            );
        }
        assert_eq!(state.recovered, None, "a worker met a bug");
        assert!(
            state.messages.toasts.len() <= MOST_TOASTS,
            "{} messages stand over the window",
            state.messages.toasts.len()
        );
        let memory = &state.preferences;
        for count in [memory.pictures.len(), memory.models.len(), memory.workspaces.len()] {
            assert!(count <= MOST_RECENT);
        }
        self.check_layout();
        let document = self.window.document();
        let json = serde_json::to_string(document).expect("a document is JSON");
        let read = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"));
        assert_eq!(*document, read, "what is looked at survives being written down");
        let numbered = document
            .selected_pin
            .is_none_or(|number| document.pin(number).is_some());
        assert!(numbered, "a pin is selected that is not there");
        let numbers: HashSet<u32> = document.pins.iter().map(|pin| pin.number).collect();
        assert_eq!(numbers.len(), document.pins.len(), "a number stands for two pins");
        let apart = |pin: &Pin| pin.mate.as_ref().is_none_or(|mate| mate.slot != pin.slot);
        assert!(
            document.pins.iter().all(apart),
            "both points of a pair lie in one picture"
        );
    }

    fn check_layout(&self) {
        let layout = &self.window.document().layout;
        let mut parents: HashMap<TileId, usize> = HashMap::new();
        for tile in layout.tiles.tiles() {
            if let Tile::Container(container) = tile {
                for child in container.children() {
                    assert!(layout.tiles.get(*child).is_some(), "{child:?} is no tile");
                    *parents.entry(*child).or_default() += 1;
                }
            }
        }
        for tile in layout.tiles.tile_ids() {
            let expected = usize::from(layout.root != Some(tile));
            let found = parents.get(&tile).copied().unwrap_or(0);
            assert_eq!(found, expected, "parents of {tile:?} in {layout:?}");
        }
        for (_, pane) in self.window.panes() {
            if let Some(rect) = self.window.app().canvas_rect(pane.kind, pane.slot) {
                assert!(rect.is_finite(), "{} is at {rect:?}", pane.title());
            }
        }
    }

    /// Goes back as far as can be gone back, and forward again.
    fn undo_everything(&mut self) {
        for (action, index) in [(Action::Undo, 0), (Action::Redo, 1)] {
            let mut count = 0;
            while self.window.app().can_undo_redo()[index] {
                self.note(format!("{action:?}"));
                let context = self.window.harness.ctx.clone();
                self.window.harness.state_mut().apply(Command::Act(action), &context);
                let restored = self.window.document().clone();
                self.window.step();
                count += 1;
                assert!(
                    count <= MOST_UNDONE,
                    "{action:?} has no end: {}",
                    differences(&restored, self.window.document())
                );
            }
            self.settle();
            self.check();
        }
    }

    fn settle(&mut self) {
        self.note("everything is awaited");
        self.window
            .until("what was asked for", |window| window.app().is_settled());
    }
}

/// What differs between two documents.
fn differences(before: &Document, after: &Document) -> String {
    let [before, after] = [before, after].map(|document| serde_json::to_value(document).expect("a document is JSON"));
    let fields = before.as_object().expect("a document has fields").iter();
    fields
        .filter(|(name, value)| after[name] != **value)
        .map(|(name, value)| format!("{name} was {value} and is {}", after[name]))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Pictures and workspaces, good and bad.
fn files(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let picture = |name: &str, width, height| {
        let path = folder.join(name);
        let shades = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x + y) as u8]));
        shades.save(&path).expect("a picture that can be written");
        path
    };
    let columns = folder.join("columns.png");
    write_columns(&columns, &driver::COLOURS);
    let whole = fs::read(&columns).expect("it was written");
    let bytes = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file that can be written");
        path
    };
    let pictures = vec![
        columns,
        picture("one.png", 1, 1),
        picture("wide.png", 400, 9),
        picture("high.png", 9, 400),
        picture("odd.png", 77, 131),
        bytes("bad-text.png", b"no picture"),
        bytes("bad-empty.png", b""),
        bytes("bad-cut.png", &whole[..whole.len() / 2]),
        folder.join("bad-nowhere.png"),
        folder.to_owned().join("bad-folder"),
    ];
    fs::create_dir(folder.join("bad-folder")).expect("a folder that can be made");
    let workspaces = vec![
        bytes("bad-json.featscope.json", b"{"),
        bytes("bad-kind.featscope.json", b"{}"),
        folder.join("bad-nowhere.featscope.json"),
    ];
    (pictures, workspaces)
}

fn asked(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_is_done_the_window_stays_whole() {
    let seed = asked("MONKEY_SEED").unwrap_or(SEED);
    let steps = asked("MONKEY_STEPS").map_or(STEPS, |steps| steps as usize);
    let mut monkey = Monkey::new(seed);
    monkey.open_all_panes();
    for step in 1..=steps {
        monkey.step();
        if step.is_multiple_of(SETTLE_EVERY) {
            monkey.settle();
            monkey.check();
        }
        if step.is_multiple_of(UNDO_EVERY) {
            monkey.undo_everything();
            monkey.open_all_panes();
        }
    }
    // It still does what it is for.
    monkey.command(Command::LoadModel("fake".to_owned()));
    monkey.command(Command::OpenPicture(
        ImageSlot::A,
        PictureSource::Sample("photo-cat".to_owned()),
    ));
    monkey.settle();
    assert!(monkey.window.state().slot(ImageSlot::A).picture.is_some());
}
