//! The first screen as it is: the program's own workers and its embedded model, drawn in memory.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use common::TestResult;
use egui::{Event, Pos2};
use featscope::{
    app::{Action, App, Command, LaunchOptions, PaneKind, Preferences, VIEWS, offscreen::Offscreen, paint},
    engine::ImageSlot,
    geometry::framing::WorkingSize,
};

const SIZE: [f32; 2] = [1280.0, 800.0];
/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);
/// Far more than the maps of seven small pictures take.
const MOST_KEPT_BYTES: usize = 64 << 20;
/// How far from a part of a face its match may be, as a share of the picture's side.
const NEAR: f64 = 0.15;
/// The left ear, as shares of each picture's sides.
const LEFT_EARS: [[f64; 2]; 7] = [
    [0.2, 0.2],
    [0.27, 0.31],
    [0.24, 0.33],
    [0.21, 0.32],
    [0.25, 0.31],
    [0.28, 0.23],
    [0.24, 0.22],
];

struct Window {
    screen: Offscreen,
    app: App,
}

impl Window {
    fn frame(&mut self, events: Vec<Event>) {
        let context = self.screen.context().clone();
        self.app.update(&context);
        let app = &mut self.app;
        self.screen.frame(events, |ui| paint(app, ui));
    }

    #[track_caller]
    fn settle(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        self.frame(Vec::new());
        while !self.app.is_settled() {
            assert!(Instant::now() < deadline, "the window was not up to date in time");
            sleep(PAUSE);
            self.frame(Vec::new());
        }
        self.frame(Vec::new());
    }
}

#[test]
fn the_ear_of_the_cat_is_found_in_every_other_picture() -> TestResult {
    let screen = Offscreen::new(SIZE, 1.0)?;
    let arguments = LaunchOptions::default();
    let app = App::new(
        screen.context(),
        Some(screen.render_state()),
        VIEWS,
        Preferences::default(),
        &arguments,
    )?;
    let mut window = Window { screen, app };
    window.settle();
    let state = &window.app.state;
    assert_eq!(state.document.model.as_deref(), Some("demo"));
    assert_eq!(state.layer(), Some("b11".parse()?));
    let settings = &state.document.settings;
    assert_eq!(
        (settings.t, settings.size),
        (100.into(), Some(WorkingSize::ShortSide(64)))
    );

    // The ear is marked from the beginning.
    assert_eq!(state.document.pins.len(), 1);
    assert_found(&window)?;
    // The pointer finds it as well, where nothing is marked.
    let context = window.screen.context().clone();
    window.app.apply(Command::Act(Action::Unpin), &context);
    window.settle();
    let canvas = window
        .app
        .canvas_rect(PaneKind::Picture, ImageSlot::A)
        .expect("it was painted");
    // A square picture fills the shorter side of its canvas.
    let side = canvas.width().min(canvas.height());
    let [x, y] = LEFT_EARS[0].map(|share| share as f32 - 0.5);
    let ear = Pos2::new(canvas.center().x + x * side, canvas.center().y + y * side);
    window.frame(vec![Event::PointerMoved(ear)]);
    window.settle();
    assert_found(&window)
}

/// The best match of what is looked for lies on the ear of every other picture.
#[track_caller]
fn assert_found(window: &Window) -> TestResult {
    let state = &window.app.state;
    let mut far = Vec::new();
    for (slot, [x, y]) in state.open_slots().zip(LEFT_EARS).skip(1) {
        let best = state.heat_on(slot).and_then(|heat| heat.best.first());
        let at = best.ok_or("every other picture has a heat map")?.at;
        let size = state.slot(slot).picture.as_ref().expect("it is open").size;
        let distance = (at[0] / size.width as f64 - x).hypot(at[1] / size.height as f64 - y);
        if distance > NEAR {
            far.push((slot, distance));
        }
    }
    assert!(far.is_empty(), "the ear is found too far away: {far:?}");
    for slot in state.open_slots() {
        let capture = state.slot(slot).capture.as_ref().expect("it has been run");
        assert!(capture.kept_bytes < MOST_KEPT_BYTES, "{} bytes", capture.kept_bytes);
    }
    Ok(())
}
