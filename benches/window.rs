//! What a frame of the window costs on the interface's own thread: six panes at 1400 x 900, the pointer moving over a
//! picture, a pass of the embedded model under way all the time. Work on the graphics device is not counted.
//!
//! Prints the distribution; the last line is a verdict against the bound that the window is held to.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use egui::{Event, Pos2, Rect, Theme, ThemePreference, vec2};
use featscope::{
    app::{App, Command, Memory, Pane, PaneKind, offscreen::Offscreen},
    cli::WindowArguments,
    engine::Slot,
    extract::framing::WorkingSize,
};

const SIZE: [f32; 2] = [1400.0, 900.0];
/// Frames that are measured.
const FRAMES: usize = 1000;
/// What a frame may cost, in milliseconds.
const BOUND_MS: f64 = 4.0;
const PATIENCE: Duration = Duration::from_secs(120);

struct Window {
    screen: Offscreen,
    app: App,
}

impl Window {
    fn frame(&mut self, events: Vec<Event>) -> Duration {
        let context = self.screen.context().clone();
        let began = Instant::now();
        self.app.update(&context);
        let updated = began.elapsed();
        let mut painted = Duration::ZERO;
        let app = &mut self.app;
        self.screen.frame(events, |ui| {
            let began = Instant::now();
            app.paint(ui);
            painted += began.elapsed();
        });
        updated + painted
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.app.is_settled() {
            assert!(Instant::now() < deadline, "the window was not up to date in time");
            self.frame(Vec::new());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn apply(&mut self, command: Command) {
        let context = self.screen.context().clone();
        self.app.apply(command, &context);
    }
}

fn opened() -> Window {
    let screen = Offscreen::new(SIZE, 1.0).expect("a renderer");
    let memory = Memory {
        theme: ThemePreference::from(Theme::Dark),
        ..Memory::default()
    };
    let arguments = WindowArguments::default();
    let app = App::new(screen.context(), Some(screen.render_state()), memory, &arguments).expect("workers");
    let mut window = Window { screen, app };
    window.settle();
    for slot in [Slot::A, Slot::B] {
        window.apply(Command::AddPane(Pane::new(PaneKind::Heat, slot)));
    }
    window.settle();
    window
}

/// A pass that goes on for as long as the measurement.
fn run_for_long(window: &mut Window) {
    let mut settings = window.app.state.document.settings.clone();
    settings.ensemble = 64;
    settings.size = WorkingSize::ShortSide(512);
    window.apply(Command::Settings(settings));
    window.frame(Vec::new());
    window.apply(Command::Act(featscope::app::Action::Run));
    let deadline = Instant::now() + PATIENCE;
    while window.app.state.run.running.is_none_or(|done| done == 0.0) {
        assert!(Instant::now() < deadline, "the run did not begin in time");
        window.frame(Vec::new());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A place on a curve that visits all of a rectangle.
fn wander(rect: Rect, step: usize) -> Pos2 {
    let turn = step as f32 * 0.05;
    rect.center() + vec2((1.3 * turn).sin() * rect.width(), turn.cos() * rect.height()) * 0.4
}

fn report(name: &str, mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let at = |share: f64| 1000.0 * times[(share * (times.len() - 1) as f64).round() as usize].as_secs_f64();
    println!(
        "{name}: median {:.2} ms, 95 % under {:.2} ms, 99 % under {:.2} ms, longest {:.2} ms ({} frames)",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        times.len()
    );
    at(0.95)
}

fn main() {
    let mut window = opened();
    let canvas = window.app.canvas_rect(PaneKind::Picture, Slot::A).expect("a pane");
    let hover = |window: &mut Window| {
        (0..FRAMES)
            .map(|step| {
                // A frame every few milliseconds, as on a display.
                std::thread::sleep(Duration::from_millis(4));
                window.frame(vec![Event::PointerMoved(wander(canvas, step))])
            })
            .collect::<Vec<_>>()
    };
    report("hover, nothing running", hover(&mut window));
    run_for_long(&mut window);
    let bound = report("hover, a pass running", hover(&mut window));
    assert!(
        window.app.state.run.running.is_some(),
        "the pass ended before the measurement: nothing was shown"
    );
    let verdict = if bound < BOUND_MS { "within" } else { "OVER" };
    println!("95 % of the frames are under {bound:.2} ms: {verdict} the bound of {BOUND_MS} ms");
}
