//! What drives a window: it waits for the window to be woken instead of sleeping, and does what a hand does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, Rect, Theme, TouchPhase, Vec2,
    ViewportId, pos2, vec2,
};
use egui_kittest::{
    Harness, Node,
    kittest::{NodeT as _, Queryable as _},
};
use egui_tiles::{Tile, TileId};
use featscope::{
    activation::Id,
    app::{Action, App, Beginning, Command, Document, LaunchOptions, Pane, PaneKind, Preferences, State, VIEWS},
    engine::{Engine, ImageSlot, PictureSource},
    weights::hub::HubSettings,
};
use image::{Rgb, RgbImage, RgbaImage};
use tempfile::TempDir;

use super::fake::Fake;

/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(20);
/// So long something may take of which news comes all the while.
const LONGEST: Duration = Duration::from_secs(200);
/// Seconds from one frame to the next.
const FRAME_SECS: f32 = 1.0 / 60.0;
/// Frames after which nothing moves any more.
const MOST_FRAMES: u64 = 60;
/// Seconds after which two clicks are no double click, and two changes two steps of undo.
const PAUSE_SECS: f64 = 1.0;
/// Frames of a drag.
const DRAG_FRAMES: u8 = 6;
const SIZE: Vec2 = vec2(1360.0, 860.0);

/// Ctrl, or ⌘ on a Mac, as the window hears of it.
pub const CTRL: Modifiers = Modifiers {
    alt: false,
    ctrl: cfg!(not(target_os = "macos")),
    shift: false,
    mac_cmd: cfg!(target_os = "macos"),
    command: true,
};

/// Rings when the window asks to be painted again.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("nobody panics with a bell") = true;
        self.ringing.notify_all();
    }

    /// Waits until it has rung since the last time; false where that takes too long.
    fn wait(&self, until: Instant) -> bool {
        let rung = self.rung.lock().expect("nobody panics with a bell");
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.ringing.wait_timeout_while(rung, left, |rung| !*rung);
        let (mut rung, _) = waited.expect("nobody panics with a bell");
        std::mem::take(&mut *rung)
    }
}

/// What most tests look at.
const TWO_SAMPLES: [&str; 2] = ["sample:noto-cat-face", "sample:fluent-dog-face"];

/// How a window is opened.
pub struct Opening {
    pub arguments: LaunchOptions,
    pub memory: Preferences,
    pub size: Vec2,
    pub pixels_per_point: f32,
    pub theme: Theme,
    /// Where models are downloaded from, and where they are kept: unless a test says otherwise nowhere, and its folder.
    pub hub: Option<HubSettings>,
    /// Where its files are; the window takes it along.
    pub folder: TempDir,
    /// Where memory and work are kept for the next start, if anywhere; what is remembered there counts.
    pub data: Option<PathBuf>,
}

impl Default for Opening {
    /// The fake model and two samples.
    fn default() -> Self {
        Self {
            arguments: LaunchOptions {
                files: TWO_SAMPLES.map(PathBuf::from).to_vec(),
                model: Some("fake".to_owned()),
            },
            memory: Preferences::default(),
            size: SIZE,
            pixels_per_point: 1.0,
            theme: Theme::Dark,
            hub: None,
            folder: tempfile::tempdir().expect("a folder for tests"),
            data: None,
        }
    }
}

impl Opening {
    /// The fake model, and nothing named: what a fresh window begins with.
    pub fn fresh() -> Self {
        let mut opening = Self::default();
        opening.arguments.files.clear();
        opening
    }

    /// Pictures of four columns each: `COLOURS` as they are, and in other orders. A colour of one is most similar to the
    /// same colour of another.
    pub fn of_columns(count: usize) -> Self {
        let mut opening = Self::fresh();
        for order in &ORDERS[..count] {
            let name = format!("{}.png", order.0);
            let path = opening.folder.path().join(name);
            write_columns(&path, &order.1.map(|index| COLOURS[index]));
            opening.arguments.files.push(path);
        }
        opening
    }

    pub fn of_model(name: &str) -> Self {
        let mut opening = Self::default();
        opening.arguments.model = Some(name.to_owned());
        opening
    }

    /// Opens the window and lets nothing happen yet.
    pub fn open(self) -> Window {
        let Self {
            arguments,
            memory,
            size,
            pixels_per_point,
            theme,
            hub,
            folder,
            data,
        } = self;
        let beginning = data.map(|data| Beginning::within(&data).expect("a folder that can be written"));
        let memory = beginning
            .as_ref()
            .map_or(memory, |beginning| beginning.preferences.clone());
        let hub = hub.unwrap_or_else(|| HubSettings {
            offline: true,
            ..HubSettings::new(folder.path().join("hub"))
        });
        let own = folder.path().to_owned();
        let bell = Arc::new(Bell::default());
        let (rung, mut fake) = (Arc::clone(&bell), None);
        let harness = Harness::builder()
            .with_size(size)
            .with_pixels_per_point(pixels_per_point)
            .with_step_dt(FRAME_SECS)
            .with_max_steps(MOST_FRAMES)
            .with_render_cursor(false)
            .with_theme(theme)
            .build_eframe(|creation| {
                let context = &creation.egui_ctx;
                context.set_request_repaint_callback(move |asked| {
                    if asked.delay.is_zero() {
                        rung.ring();
                    }
                });
                let (engine, started): (Engine, Fake) =
                    Fake::start(featscope::app::waker(context), hub).expect("workers that start");
                fake = Some(started);
                let render_state = creation.wgpu_render_state.as_ref();
                let mut app = App::with_engine(context, render_state, engine, VIEWS, memory, &arguments);
                app.keep_to(own);
                if let Some(beginning) = beginning {
                    app.keep_work(beginning, context);
                }
                app
            });
        Window {
            harness,
            fake: fake.expect("it was started"),
            bell,
            folder,
        }
    }

    /// Opens the window and waits until it shows everything.
    pub fn settled(self) -> Window {
        let mut window = self.open();
        window.settle();
        window
    }
}

/// A window under test.
pub struct Window {
    pub harness: Harness<'static, App>,
    pub fake: Fake,
    bell: Arc<Bell>,
    folder: TempDir,
}

impl Window {
    /// A window that shows two samples.
    pub fn settled() -> Self {
        Opening::default().settled()
    }

    pub fn app(&self) -> &App {
        self.harness.state()
    }

    pub fn state(&self) -> &State {
        &self.harness.state().state
    }

    pub fn document(&self) -> &Document {
        &self.state().document
    }

    /// A folder of its own.
    #[allow(dead_code, reason = "not every target that shares this file needs it")]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its end, as when its user closes it: what it remembers is kept, and none of its work.
    #[allow(dead_code, reason = "not every target that shares this file needs it")]
    pub fn close(mut self, storage: &mut dyn eframe::Storage) -> TempDir {
        let app = self.harness.state_mut();
        eframe::App::save(app, storage);
        eframe::App::on_exit(app);
        self.folder
    }

    /// Its folder, for another window.
    pub fn into_folder(self) -> TempDir {
        self.folder
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn step(&mut self) {
        self.harness.step();
    }

    /// Goes on until something is so; between frames it waits until the window asks for the next one.
    #[track_caller]
    pub fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let last = Instant::now() + LONGEST;
        self.step();
        while !so(self) {
            // Work that goes on is no standstill, however slow the machine is.
            let told = self.bell.wait(last.min(Instant::now() + DEADLINE));
            assert!(
                told,
                "{what} was awaited for too long: {:?}; run {:?}, needed: {}, loading {:?}, log: {:#?}",
                self.app().awaited(),
                self.state().run,
                self.state().needs_run(),
                self.state().model.loading,
                self.state().messages.log
            );
            self.step();
        }
        // What has come is also painted.
        self.step();
    }

    /// Until everything that was asked for is there and nothing moves.
    #[track_caller]
    pub fn settle(&mut self) {
        self.until("a settled window", |window| window.app().is_settled());
        self.harness.run();
    }

    /// Lets time go by.
    pub fn pass(&mut self, secs: f64) {
        let now = self.harness.ctx.input(|input| input.time);
        self.harness.input_mut().time = Some(now + secs);
        self.step();
        // From here on time goes by with the frames again.
        self.harness.input_mut().time = None;
        self.step();
    }

    /// The seconds after which the window wants to be painted again by itself; none where it does not.
    pub fn wants_frame_in(&self) -> Option<Duration> {
        let delay = self.harness.output().viewport_output[&ViewportId::ROOT].repaint_delay;
        (delay < Duration::MAX).then_some(delay)
    }

    pub fn apply(&mut self, command: Command) {
        let context = self.harness.ctx.clone();
        self.harness.state_mut().apply(command, &context);
        self.step();
    }

    pub fn act(&mut self, action: Action) {
        self.apply(Command::Act(action));
    }

    /// Applies a command and waits for what comes of it.
    #[track_caller]
    pub fn apply_and_settle(&mut self, command: Command) {
        self.apply(command);
        self.settle();
    }

    /// Opens a picture and waits for it.
    #[track_caller]
    pub fn open_picture(&mut self, slot: ImageSlot, source: PictureSource) {
        self.apply(Command::OpenPicture(slot, source.clone()));
        self.until("a picture", |window| {
            let there = window.state().slot(slot).picture.as_ref();
            there.is_some_and(|there| there.source == source)
        });
        self.settle();
    }

    #[track_caller]
    pub fn select(&mut self, layer: &str) {
        self.apply_and_settle(Command::SelectLayer(super::model::id(layer)));
    }

    pub fn layer(&self) -> Id {
        self.document().layer.expect("a layer is selected")
    }

    /// Every text and name in the window.
    pub fn words(&self) -> Vec<String> {
        let nodes = self.harness.root().children_recursive();
        nodes
            .flat_map(|node| {
                let node = node.accesskit_node();
                [node.label(), node.value()]
            })
            .flatten()
            .collect()
    }

    pub fn says(&self, words: &str) -> bool {
        self.words().iter().any(|text| text.contains(words))
    }

    #[track_caller]
    pub fn assert_says(&self, words: &str) {
        assert!(
            self.says(words),
            "the window does not say \"{words}\" but {:#?}",
            self.words()
        );
    }

    #[track_caller]
    pub fn assert_silent(&self, words: &str) {
        assert!(!self.says(words), "the window says \"{words}\"");
    }

    /// How often a text is shown.
    pub fn count(&self, words: &str) -> usize {
        self.words().iter().filter(|text| text.contains(words)).count()
    }

    /// Everything of a name, in the order of painting.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Node<'a>> + 'a {
        let nodes = self.harness.root().children_recursive();
        nodes.filter(move |node| node.accesskit_node().label().as_deref() == Some(name))
    }

    /// Clicks what has a name, wherever it is scrolled to.
    #[track_caller]
    pub fn choose(&mut self, name: &str) {
        let found = self.named(name).next();
        found
            .unwrap_or_else(|| panic!("nothing is called \"{name}\""))
            .click_accesskit();
        self.step();
        self.pass(PAUSE_SECS);
        self.settle();
    }

    /// Works in a pane, so that the inspector is of it.
    #[track_caller]
    pub fn work_in(&mut self, kind: PaneKind, slot: ImageSlot) {
        let tile = self.tile(kind, slot);
        self.apply(Command::FocusPane(tile));
        self.settle();
    }

    /// Clicks what has a name.
    pub fn press_button(&mut self, name: &str) {
        self.harness.get_by_label(name).click();
        self.finish_click();
    }

    /// Where the canvas of a pane is.
    #[track_caller]
    pub fn canvas(&self, kind: PaneKind, slot: ImageSlot) -> Rect {
        let rect = self.app().canvas_rect(kind, slot);
        rect.unwrap_or_else(|| panic!("no pane shows {kind:?} of {}", slot.name()))
    }

    /// A place in a pane, in shares of its width and height.
    #[track_caller]
    pub fn place(&self, kind: PaneKind, slot: ImageSlot, [x, y]: [f32; 2]) -> Pos2 {
        let rect = self.canvas(kind, slot);
        rect.min + rect.size() * vec2(x, y)
    }

    /// The pane of a kind and picture that was made last.
    #[track_caller]
    pub fn tile(&self, kind: PaneKind, slot: ImageSlot) -> TileId {
        let panes = self.panes();
        let found = panes
            .iter()
            .rev()
            .find(|(_, pane)| pane.kind == kind && pane.slot == slot);
        found
            .unwrap_or_else(|| panic!("no pane shows {kind:?} of {}", slot.name()))
            .0
    }

    /// The panes in the order in which they were made.
    pub fn panes(&self) -> Vec<(TileId, &Pane)> {
        let tiles = self.document().layout.tiles.iter();
        let mut panes: Vec<_> = tiles
            .filter_map(|(id, tile)| match tile {
                Tile::Pane(pane) => Some((*id, pane)),
                Tile::Container(_) => None,
            })
            .collect();
        panes.sort_by_key(|(id, _)| id.0);
        panes
    }

    /// Their titles.
    pub fn titles(&self) -> Vec<String> {
        self.panes().iter().map(|(_, pane)| pane.title()).collect()
    }

    /// The tab of a pane, by the beginning of what it says.
    #[track_caller]
    pub fn tab(&self, title: &str) -> Rect {
        let is_tab = |node: &Node<'_>| {
            let node = node.accesskit_node();
            let named = node.label().is_some_and(|label| label.starts_with(title));
            named && node.role() == egui::accesskit::Role::Button
        };
        let tabs = self.harness.root().children_recursive();
        let tab = tabs.filter(is_tab).last();
        tab.unwrap_or_else(|| panic!("there is no tab \"{title}\"")).rect()
    }

    /// Where a point of a picture is on the screen, in a pane whose view is `view`.
    #[track_caller]
    pub fn screen(&self, kind: PaneKind, slot: ImageSlot, [x, y]: [f64; 2]) -> Pos2 {
        let canvas = self.canvas(kind, slot);
        let size = self
            .state()
            .slot(slot)
            .picture
            .as_ref()
            .expect("a picture is open")
            .size;
        let view = self.document().view;
        let (width, height) = (size.width as f32, size.height as f32);
        let scale = (canvas.width() / width).min(canvas.height() / height) * view.zoom;
        let from_middle = vec2(
            (x as f32 + 0.5) - view.centre[0] * width,
            (y as f32 + 0.5) - view.centre[1] * height,
        );
        canvas.center() + from_middle * scale
    }

    pub fn hover(&mut self, pos: Pos2) {
        self.harness.hover_at(pos);
        self.step();
    }

    /// Takes the pointer out of the window.
    pub fn leave(&mut self) {
        self.harness.remove_cursor();
        self.step();
        self.step();
    }

    pub fn click(&mut self, pos: Pos2) {
        self.click_with(Modifiers::NONE, pos);
    }

    pub fn click_with(&mut self, modifiers: Modifiers, pos: Pos2) {
        self.button(modifiers, PointerButton::Primary, pos);
        self.finish_click();
    }

    /// Two clicks in quick succession.
    pub fn double_click(&mut self, pos: Pos2) {
        for _ in 0..2 {
            self.button(Modifiers::NONE, PointerButton::Primary, pos);
            self.step();
        }
        self.pass(PAUSE_SECS);
    }

    pub fn right_click(&mut self, pos: Pos2) {
        self.button(Modifiers::NONE, PointerButton::Secondary, pos);
        self.finish_click();
    }

    fn button(&mut self, modifiers: Modifiers, button: PointerButton, pos: Pos2) {
        self.harness.hover_at(pos);
        self.harness.event(Event::ModifiersChanged(modifiers));
        for pressed in [true, false] {
            self.harness.event(Event::PointerButton {
                pos,
                button,
                pressed,
                modifiers,
            });
        }
        self.harness.event(Event::ModifiersChanged(Modifiers::NONE));
    }

    fn finish_click(&mut self) {
        self.step();
        self.pass(PAUSE_SECS);
    }

    pub fn drag(&mut self, from: Pos2, to: Pos2) {
        self.drag_with(Modifiers::NONE, &[from, to]);
    }

    /// Presses at the first place, goes through the others, and releases at the last.
    pub fn drag_with(&mut self, modifiers: Modifiers, path: &[Pos2]) {
        let (Some(first), Some(last)) = (path.first(), path.last()) else {
            return;
        };
        self.harness.event(Event::ModifiersChanged(modifiers));
        self.hold_button(modifiers, *first, true);
        for line in path.windows(2) {
            for frame in 1..=DRAG_FRAMES {
                let share = f32::from(frame) / f32::from(DRAG_FRAMES);
                self.hover(line[0].lerp(line[1], share));
            }
        }
        self.hold_button(modifiers, *last, false);
        self.harness.event(Event::ModifiersChanged(Modifiers::NONE));
        self.finish_click();
    }

    /// Presses or releases the button.
    pub fn hold_button(&mut self, modifiers: Modifiers, pos: Pos2, pressed: bool) {
        self.hover(pos);
        self.harness.event(Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers,
        });
        self.step();
    }

    /// Turns the wheel over a place and waits for the end of it.
    pub fn wheel(&mut self, pos: Pos2, points: f32) {
        self.hover(pos);
        self.harness.event(Event::MouseWheel {
            unit: MouseWheelUnit::Point,
            delta: vec2(0.0, points),
            phase: TouchPhase::Move,
            source: MouseWheelSource::Unknown,
            modifiers: Modifiers::NONE,
        });
        self.harness.run();
        self.pass(PAUSE_SECS);
    }

    pub fn key(&mut self, key: Key) {
        self.key_with(Modifiers::NONE, key);
    }

    pub fn key_with(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.step();
    }

    /// Types into what has the keyboard.
    pub fn type_text(&mut self, text: &str) {
        self.harness.event(Event::Text(text.to_owned()));
        self.step();
        self.step();
    }

    /// Two changes with a pause between them are two steps of undo.
    pub fn pause(&mut self) {
        self.pass(PAUSE_SECS);
    }

    /// A picture of the window as it is.
    pub fn render(&mut self) -> RgbaImage {
        self.harness.render().expect("a device that draws")
    }

    /// Lets the note go that says what a key did: it lies over the panes for two seconds.
    #[track_caller]
    fn without_note(&mut self) {
        for _ in 0..3 {
            if self.state().messages.short.is_some() {
                self.pause();
            }
        }
        assert_eq!(self.state().messages.short, None);
    }

    /// The pixels of a pane, without what lies over it for a moment.
    #[track_caller]
    pub fn pixels(&mut self, kind: PaneKind, slot: ImageSlot) -> Vec<[u8; 4]> {
        self.without_note();
        let rect = self.canvas(kind, slot);
        pixels_in(&self.render(), rect)
    }
}

/// The pixels of a part of the window.
pub fn pixels_in(picture: &RgbaImage, rect: Rect) -> Vec<[u8; 4]> {
    let inside = rect.intersect(Rect::from_min_size(
        pos2(0.0, 0.0),
        vec2(picture.width() as f32, picture.height() as f32),
    ));
    let [left, right] = [inside.left(), inside.right()].map(|edge| edge as u32);
    let [top, bottom] = [inside.top(), inside.bottom()].map(|edge| edge as u32);
    let places = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    places.map(|(x, y)| picture.get_pixel(x, y).0).collect()
}

/// A sample of the program.
pub fn sample(name: &str) -> PictureSource {
    PictureSource::Sample(name.to_owned())
}

/// Writes a picture of columns of equal width, each of one colour.
pub fn write_columns(path: &Path, colours: &[[u8; 3]]) {
    const WIDTH: u32 = 32;
    const HEIGHT: u32 = 128;
    let folder = path.parent().expect("a file in a folder");
    fs::create_dir_all(folder).expect("a folder for tests");
    let picture = RgbImage::from_fn(WIDTH * colours.len() as u32, HEIGHT, |x, _| {
        Rgb(colours[(x / WIDTH) as usize])
    });
    picture.save(path).expect("a picture that can be written");
}

/// Which colour each column of the pictures of columns has.
pub const ORDERS: [(&str, [usize; 4]); 3] = [
    ("columns-a", [0, 1, 2, 3]),
    ("columns-b", [1, 0, 3, 2]),
    ("columns-c", [3, 2, 1, 0]),
];
/// Red, green, blue and yellow.
pub const COLOURS: [[u8; 3]; 4] = [[220, 40, 40], [40, 200, 60], [50, 60, 220], [230, 220, 60]];
