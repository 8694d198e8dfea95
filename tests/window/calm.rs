//! What goes on in the background is seen and can be ended; messages go, errors stay, and the window rests.

use std::fs;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, Level, Notice, PaneKind, PathPurpose},
    engine::{ImageSlot, PictureSource},
    geometry::framing::WorkingSize,
};

use super::{
    TestResult,
    driver::{COLOURS, Opening, Window, write_columns},
    fake::{BUG, Fault, STEPS},
    model::{MASSIVE_LAYER, id},
};

/// Seconds after which messages that go by themselves are gone.
const LONG_SECS: f64 = 10.0;

/// A window over the slow model, which has loaded and run once.
fn slow() -> Window {
    let mut window = Opening::of_model("fake-slow").open();
    window.fake.go(3 * STEPS);
    window.settle();
    window
}

/// Asks for a run that takes long.
fn ask_for_a_run(window: &mut Window) {
    window.act(Action::LaterTimestep);
    window.settle();
    window.key(Key::Enter);
    window.until("a run", |window| window.state().run.running.is_some());
}

#[test]
fn loading_a_model_has_a_bar_and_an_end() {
    let mut window = Opening::of_model("fake-slow").open();
    window.until("a job", |window| window.says("Reading fake-slow"));
    window.assert_says("The model is being read.");
    window.fake.go(1);
    window.until("half of it", |window| window.says("50 %"));
    window.press_button("Cancel");
    window.fake.go(1);
    window.until("the end of it", |window| window.state().model.loading.is_none());
    window.settle();
    assert_eq!(window.state().model.error, None, "who ends it needs no explanation");
    window.assert_silent("Reading fake-slow");
    window.assert_says("No model is loaded: choose one above.");
    // Loaded after all.
    window.apply(Command::LoadModel("fake-slow".to_owned()));
    window.fake.go(3 * STEPS);
    window.settle();
    window.assert_says("t 100 ran");
}

#[test]
fn a_run_over_several_pictures_says_which_it_is_at() {
    let mut window = slow();
    window.act(Action::LaterTimestep);
    window.settle();
    window.assert_says("about 120 s");
    window.assert_says("not yet what is set");
    assert_eq!(
        window.state().run.running,
        None,
        "what takes long waits until it is asked for"
    );
    window.press_button("Run");
    for words in ["1 / 2, 0 %", "1 / 2, 25 %", "2 / 2, 50 %", "2 / 2, 75 %"] {
        window.until(words, |window| window.says(words));
        // The maps that are there answer meanwhile.
        window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.4]));
        window.until("a heat map", |window| window.state().heat_on(ImageSlot::B).is_some());
        window.leave();
        window.fake.go(1);
    }
    window.settle();
    window.assert_silent("Running");
    window.assert_says("t 120 ran");
    window.assert_says("up to date");
}

#[test]
fn a_run_is_ended_by_button_and_key() {
    let mut window = slow();
    for by_key in [false, true] {
        ask_for_a_run(&mut window);
        if by_key {
            window.key_with(Modifiers::SHIFT, Key::Escape);
        } else {
            // One is in the strip, one in the place of the button that ran it.
            window.named("Cancel").next().expect("a button").click();
            window.step();
            window.pause();
        }
        window.fake.go(1);
        window.until("the end of it", |window| window.state().run.running.is_none());
        window.harness.run_steps(20);
        assert_eq!(window.state().run.running, None, "it stays so");
        assert_eq!(window.state().run.error, None);
        assert!(window.state().needs_run() && window.app().is_settled());
    }
    // Back to what ran: nothing is to be run.
    window.act(Action::EarlierTimestep);
    window.act(Action::EarlierTimestep);
    window.settle();
    window.assert_says("up to date");
}

#[test]
fn a_newer_run_takes_the_place_of_an_older_one() {
    let mut window = slow();
    ask_for_a_run(&mut window);
    let first = window.document().settings.t;
    window.act(Action::LaterTimestep);
    window.act(Action::Run);
    let second = window.document().settings.t;
    assert!(second > first);
    window.fake.go(1 + 2 * STEPS);
    window.settle();
    window.assert_says(&format!("t {second} ran"));
}

#[test]
fn cheap_runs_begin_by_themselves_and_expensive_ones_when_asked() {
    let mut window = Window::settled();
    window.key(Key::CloseBracket);
    window.settle();
    window.assert_says("t 120 ran");
    window.key(Key::Enter);
    assert!(!window.state().run.asked, "nothing is to be run");
    let mut settings = window.document().settings.clone();
    settings.ensemble = 64;
    settings.size = Some(WorkingSize::ShortSide(512));
    window.apply(Command::Settings(settings));
    window.harness.run_steps(20);
    assert_eq!(window.state().run.running, None, "it has not been asked for");
    window.assert_says("about ");
    window.act(Action::Undo);
    window.settle();
    window.assert_says("up to date");
}

#[test]
fn extractions_wait_for_each_other_and_can_be_ended() -> TestResult {
    let mut window = slow();
    let paths = ["one", "two", "three"].map(|name| window.path(&format!("{name}.safetensors")));
    for path in &paths {
        window.apply(Command::UsePath(PathPurpose::Extract, path.clone()));
    }
    window.until("progress", |window| window.says("1 / 2, 0 %"));
    assert_eq!(window.count("waiting"), 2);
    window.assert_says("Extracting one.safetensors");
    window.fake.go(STEPS);
    window.until("progress", |window| window.says("2 / 2, 50 %"));
    // The second is taken out of the queue, the first ends, the third is ended while it is written.
    let cancel = |window: &mut Window, place: usize| {
        window.named("Cancel").nth(place).expect("a button").click();
        window.step();
        window.pause();
    };
    cancel(&mut window, 1);
    window.fake.go(STEPS);
    window.until("the first one", |window| {
        window.says("Saved ") && window.says("Extracting three")
    });
    window.until("the second one", |window| !window.says("Extracting two"));
    window.until("the third one", |window| window.says("1 / 2, 0 %"));
    cancel(&mut window, 0);
    window.fake.go(1);
    window.until("an empty strip", |window| window.state().jobs.is_empty());
    assert_eq!(paths.each_ref().map(|path| path.exists()), [true, false, false]);
    let request: serde_json::Value = serde_json::from_slice(&fs::read(&paths[0])?)?;
    assert_eq!(request["activations"], window.layer().to_string());
    assert_eq!(request["pictures"][0], "sample:noto-cat-face");
    let errors = window
        .state()
        .messages
        .log
        .iter()
        .filter(|line| line.level == Level::Error);
    assert_eq!(errors.count(), 0);
    Ok(())
}

#[test]
fn messages_go_by_themselves_and_errors_stay_until_they_are_taken_away() {
    /// What cannot be written, as it is told.
    const BAD: &str = "file/map.npy";
    let mut window = Window::settled();
    let good = window.path("map.npy");
    window.apply(Command::UsePath(PathPurpose::SaveMap(ImageSlot::A), good));
    window.until("a saved file", |window| window.says("Saved "));
    fs::write(window.path("file"), "in the way").expect("a file");
    let bad = window.path("file").join("map.npy");
    window.apply(Command::UsePath(PathPurpose::SaveMap(ImageSlot::A), bad));
    window.until("an error", |window| window.says(BAD));
    assert_eq!(window.state().messages.toasts.len(), 2);
    window.harness.run();
    let delay = window
        .wants_frame_in()
        .expect("it wants to be woken when the message goes");
    assert!(delay.as_secs() < 7, "{delay:?}");
    window.pass(LONG_SECS);
    window.harness.run();
    window.assert_silent("Saved ");
    window.assert_says(BAD);
    assert_eq!(window.wants_frame_in(), None, "what stays asks for no frame");
    window.pass(100.0 * LONG_SECS);
    window.assert_says(BAD);
    window.press_button("Dismiss");
    window.settle();
    window.assert_silent(BAD);
    // The log has both.
    window.act(Action::Log);
    window.settle();
    for words in ["Saved ", BAD, "Model fake is there", "Run finished in 0.01 s."] {
        assert_eq!(window.count(words), 1, "\"{words}\"");
    }
}

#[test]
fn an_error_is_shown_once_where_it_belongs() -> TestResult {
    let mut window = Window::settled();
    let broken = window.path("broken.png");
    fs::write(&broken, b"no picture")?;
    window.apply(Command::OpenPicture(ImageSlot::A, PictureSource::File(broken)));
    window.until("an error", |window| window.state().slot(ImageSlot::A).error.is_some());
    window.apply(Command::LoadModel("missing".to_owned()));
    window.until("an error", |window| window.state().model.error.is_some());
    window.fake.expect_fault(Fault::OutOfMemory);
    window.act(Action::LaterTimestep);
    window.until("an error", |window| window.state().run.error.is_some());
    window.harness.run();
    for words in [
        "broken.png",
        "there is no model \"missing\"",
        "the device has no memory left",
    ] {
        assert_eq!(window.count(words), 1, "\"{words}\"");
    }
    // Each in its place: over its pane, beneath the toolbar, below the settings.
    let canvas = window.canvas(PaneKind::Picture, ImageSlot::A);
    let place = |window: &Window, words: &str| window.harness.get_by_label_contains(words).rect();
    assert!(canvas.contains_rect(place(&window, "broken.png")));
    assert!(place(&window, "there is no model").bottom() < canvas.top());
    assert!(place(&window, "no memory left").right() <= canvas.left());
    assert!(window.state().messages.toasts.is_empty(), "nothing says it twice");
    for notice in [Notice::Picture(ImageSlot::A), Notice::Model, Notice::Run] {
        window.apply(Command::Dismiss(notice));
    }
    window.harness.run();
    for words in ["broken.png", "\"missing\"", "no memory left"] {
        window.assert_silent(words);
    }
    // What was there still is.
    window.assert_says("A: noto-cat-face");
    assert_eq!(window.document().model.as_deref(), Some("fake"));
    Ok(())
}

#[test]
fn errors_are_seen_where_the_sides_are_hidden() {
    let mut window = Window::settled();
    window.act(Action::Settings);
    window.act(Action::Inspector);
    window.fake.expect_fault(Fault::OutOfMemory);
    window.act(Action::LaterTimestep);
    window.until("an error", |window| window.state().run.error.is_some());
    window.harness.run();
    assert_eq!(window.count("the device has no memory left"), 1);
}

#[test]
fn a_run_that_failed_is_tried_again_when_asked() {
    let mut window = Window::settled();
    window.fake.expect_fault(Fault::OutOfMemory);
    window.act(Action::LaterTimestep);
    window.until("an error", |window| window.state().run.error.is_some());
    window.harness.run_steps(10);
    assert_eq!(window.state().run.running, None, "it is not tried over and over");
    assert!(window.app().is_settled());
    window.key(Key::Enter);
    window.settle();
    assert_eq!(window.state().run.error, None);
    window.assert_says("t 120 ran");
}

#[test]
fn a_bug_in_the_worker_leaves_the_window_alive() {
    let mut window = Window::settled();
    window.fake.expect_fault(Fault::Bug);
    window.act(Action::LaterTimestep);
    window.until("a message", |window| window.state().recovered.is_some());
    window.harness.run();
    window.assert_says("A bug in the worker was caught");
    window.assert_says(BUG);
    assert_eq!(window.state().run.running, None);
    // What is kept still answers; layers that are kept are still shown.
    window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.4]));
    window.until("a heat map", |window| window.state().heat_on(ImageSlot::B).is_some());
    window.leave();
    // As it says: the model is loaded again.
    window.apply(Command::LoadModel("fake".to_owned()));
    window.settle();
    window.assert_says("t 120 ran");
    window.apply(Command::Dismiss(Notice::Recovered));
    window.harness.run();
    window.assert_silent("A bug in the worker was caught");
}

#[test]
fn a_worker_that_is_gone_is_said() {
    let mut window = Window::settled();
    window.fake.expect_fault(Fault::Death);
    window.act(Action::LaterTimestep);
    window.until("a message", |window| window.state().recovered.is_some());
    window.assert_says(BUG);
    window.apply(Command::LoadModel("fake".to_owned()));
    window.until("an error", |window| window.state().model.error.is_some());
    window.harness.run();
    window.assert_says("start the program anew");
    assert_eq!(window.state().model.loading, None);
    window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.4]));
    window.until("a heat map", |window| window.state().heat_on(ImageSlot::B).is_some());
}

#[test]
fn a_file_that_vanished_leaves_what_was_there() -> TestResult {
    let mut window = Window::settled();
    let path = window.path("columns.png");
    write_columns(&path, &COLOURS);
    window.open_picture(ImageSlot::A, PictureSource::File(path.clone()));
    fs::remove_file(&path)?;
    // It is in memory: everything goes on.
    window.act(Action::LaterTimestep);
    window.settle();
    window.assert_says("t 120 ran");
    window.apply(Command::OpenPicture(ImageSlot::B, PictureSource::File(path)));
    window.until("an error", |window| window.state().slot(ImageSlot::B).error.is_some());
    window.settle();
    window.assert_says("B: fluent-dog-face");
    Ok(())
}

#[test]
fn a_window_that_shows_everything_asks_for_no_frame() {
    let mut window = Window::settled();
    let rests = |window: &mut Window, what: &str| {
        window.settle();
        window.pass(LONG_SECS);
        window.harness.run();
        assert_eq!(window.wants_frame_in(), None, "{what}");
        let frames = window.app().frame_times().count();
        assert!(frames > 0);
    };
    rests(&mut window, "fresh");
    window.click(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.4]));
    rests(&mut window, "pinned, with the pointer over a picture");
    window.leave();
    rests(&mut window, "without the pointer");
    window.select(MASSIVE_LAYER);
    window.act(Action::AddPane(PaneKind::Channel));
    rests(&mut window, "with another layer and pane");
    for action in [
        Action::Keys,
        Action::Log,
        Action::FrameTimes,
        Action::About,
        Action::Palette,
    ] {
        window.act(action);
        rests(&mut window, "with a window over it");
        window.act(action);
    }
    window.key(Key::U);
    window.hover(window.place(PaneKind::Pca, ImageSlot::A, [0.5, 0.4]));
    rests(&mut window, "with a loupe");
    assert_eq!(window.layer(), id(MASSIVE_LAYER));
}

#[test]
fn frame_times_are_shown() {
    let mut window = Window::settled();
    window.key(Key::F12);
    window.settle();
    window.assert_says("frames, ");
    window.assert_says("median ");
    window.assert_says("Times of the last frames");
    let before = window.app().frame_times().count();
    window.step();
    assert_eq!(window.app().frame_times().count(), before + 1);
    assert!(window.app().frame_times().last().count() > 10);
    window.key(Key::F12);
    window.settle();
    window.assert_silent("Times of the last frames");
}

#[test]
fn after_a_command_nothing_is_settled_before_a_frame_knows_what_it_asks() {
    let mut window = Window::settled();
    assert!(window.app().is_settled());
    let context = window.harness.ctx.clone();
    window
        .harness
        .state_mut()
        .apply(Command::Act(Action::NextLayer), &context);
    assert!(!window.app().is_settled(), "what is drawn now is of the layer before");
    window.settle();
    assert!(window.app().is_settled());
}
