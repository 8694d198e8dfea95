//! The guided tour: steps forth and back, one step of undo to what was there before.

use egui::{Key, accesskit::Role, vec2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Abilities, Action, Command, PaneKind},
    engine::{ImageSlot, QueryAt},
};

use super::driver::{CTRL, Opening, Window};

/// Steps of the tour on the embedded model.
const STEPS: usize = 6;

/// A window with pictures and a pin of its own. The model that stands for the embedded one has other layers.
fn furnished() -> Window {
    let mut opening = Opening::of_columns(2);
    opening.arguments.model = Some("demo".to_owned());
    let mut window = opening.settled();
    window.apply_and_settle(Command::AddPin(ImageSlot::B, QueryAt::Point([20.0, 20.0])));
    window.pause();
    window
}

fn step_of(window: &Window) -> Option<usize> {
    window.state().overlays.tour.as_ref().map(|tour| tour.step)
}

fn kinds(window: &Window) -> Vec<PaneKind> {
    window.panes().iter().map(|(_, pane)| pane.kind).collect()
}

/// Its window covers next to nothing of what is shown, and is no larger than a third of the window.
#[track_caller]
fn assert_beside(window: &Window) {
    let place = window.harness.get_by_role_and_label(Role::Window, "Tour").rect();
    let screen = window.harness.ctx.content_rect();
    assert!(screen.contains_rect(place), "{place}");
    assert!(
        place.width() <= screen.width() / 3.0 && place.area() <= screen.area() / 3.0,
        "{place}"
    );
    for (_, pane) in window.panes() {
        let Some(rect) = window.app().canvas_rect(pane.kind, pane.slot) else {
            continue;
        };
        let both = rect.intersect(place);
        let covered = if both.is_positive() {
            both.area() / rect.area()
        } else {
            0.0
        };
        assert!(covered < 0.05, "{covered} of {}", pane.title());
    }
}

#[test]
fn it_stands_beside_what_it_speaks_of_in_windows_of_all_sizes() {
    for size in [vec2(1280.0, 800.0), vec2(1920.0, 1080.0)] {
        let mut opening = Opening::of_columns(2);
        opening.size = size;
        opening.arguments.model = Some("demo".to_owned());
        let mut window = opening.settled();
        window.act(Action::Tour);
        window.settle();
        assert_beside(&window);
        for _ in 1..STEPS {
            window.press_button("Next");
            window.settle();
            assert_beside(&window);
        }
        window.press_button("Previous");
        window.settle();
        assert_eq!(step_of(&window), Some(STEPS - 2));
    }
}

#[test]
fn every_step_sets_the_window_and_says_what_to_see() {
    let mut window = furnished();
    window.act(Action::Tour);
    window.settle();
    window.assert_says("Locality 1 of 2: keys of self-attention");
    window.assert_says("1 of 6");
    assert_eq!(kinds(&window), [PaneKind::Picture, PaneKind::Heat]);
    let pin = &window.document().pins[0];
    assert_eq!(
        (window.document().pins.len(), pin.slot, window.document().selected_pin),
        (1, ImageSlot::A, Some(1))
    );
    let picture = window.state().slot(ImageSlot::A).picture.as_ref().expect("a sample");
    assert_eq!(picture.source.name(), "noto-cat-face");
    assert!(!window.state().can(Action::TourBack));
    let mut seen = vec![kinds(&window)];
    for step in 1..STEPS {
        window.press_button("Next");
        window.settle();
        assert_eq!(step_of(&window), Some(step));
        window.assert_says(&format!("{} of 6", step + 1));
        seen.push(kinds(&window));
    }
    assert!(
        seen.iter()
            .any(|kinds| kinds.contains(&PaneKind::Plot) && kinds.contains(&PaneKind::Sheet))
    );
    assert!(seen.iter().any(|kinds| kinds.contains(&PaneKind::Compare)));
    assert!(seen.iter().any(|kinds| kinds.contains(&PaneKind::Rank)));
    assert!(!window.state().can(Action::TourNext));
    window.key_with(CTRL, Key::ArrowLeft);
    window.settle();
    assert_eq!(step_of(&window), Some(STEPS - 2));
}

#[test]
fn undo_brings_back_what_was_there_before_in_one_step() {
    let mut window = furnished();
    let before = window.document().clone();
    // In the middle of it.
    window.act(Action::Tour);
    window.settle();
    window.act(Action::TourNext);
    window.settle();
    window.key_with(CTRL, Key::Z);
    window.settle();
    assert_eq!(step_of(&window), None);
    assert_eq!(window.document().pins, before.pins);
    assert_eq!(window.document().layout, before.layout);
    assert_eq!(window.document().settings, before.settings);
    let name = |window: &Window| {
        window
            .state()
            .slot(ImageSlot::A)
            .picture
            .as_ref()
            .map(|picture| picture.source.name())
    };
    assert_eq!(name(&window).as_deref(), Some("columns-a.png"));
    // After its end, which Esc makes.
    window.act(Action::Tour);
    window.settle();
    for _ in 0..2 {
        window.act(Action::TourNext);
        window.settle();
    }
    window.key(Key::Escape);
    window.settle();
    assert_eq!(step_of(&window), None);
    assert_eq!(name(&window).as_deref(), Some("noto-cat-face"), "what is shown stays");
    window.pause();
    window.key_with(CTRL, Key::Z);
    window.settle();
    assert_eq!(name(&window).as_deref(), Some("columns-a.png"));
    assert_eq!(window.document().pins, before.pins);
    assert_eq!(window.document().layout, before.layout);
    // And forward again.
    window.key_with(CTRL, Key::Y);
    window.settle();
    assert_eq!(name(&window).as_deref(), Some("noto-cat-face"));
}

#[test]
fn its_window_ends_it_and_it_is_remembered() {
    let mut window = furnished();
    assert!(!window.state().preferences.tour_seen);
    window.act(Action::Tour);
    window.settle();
    assert_eq!(step_of(&window), Some(0));
    window.press_button("End");
    window.settle();
    assert_eq!(step_of(&window), None);
    assert!(window.state().preferences.tour_seen);
}
