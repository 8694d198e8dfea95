//! What a window begins with: seven pictures where nothing is named or remembered, and nobody's own pictures among them.

use std::path::PathBuf;

use egui::{Rect, Vec2, vec2};
use featscope::{
    app::{Action, Command, PaneKind, Preferences},
    engine::{DEFAULT_CACHE_BYTES, ImageSlot},
};

use super::driver::{Opening, Window, sample};

const PICTURES: [&str; 7] = [
    "noto-cat-face",
    "noto-v1-cat-face",
    "fluent-cat-face",
    "fluent-flat-cat-face",
    "fluent-dog-face",
    "noto-fox",
    "fluent-flat-tiger-face",
];
/// A window that many a screen has room for.
const SIZE: Vec2 = vec2(1280.0, 800.0);
/// A picture whose side is less says little.
const LEAST_SIDE: f32 = 140.0;

fn fresh() -> Window {
    let opening = Opening {
        size: SIZE,
        ..Opening::fresh()
    };
    opening.settled()
}

fn names(window: &Window) -> Vec<String> {
    let pictures = window.document().pictures.values();
    pictures.map(|picture| picture.source.name()).collect()
}

/// Side of the square that a square picture fills.
fn side(rect: Rect) -> f32 {
    rect.width().min(rect.height())
}

/// What is remembered of a window when it closes.
fn remembered(window: &Window) -> Preferences {
    let mut memory = window.state().preferences.clone();
    memory.set_arrangement(window.document());
    memory
}

/// The next window.
fn next(memory: Preferences, files: &[&str]) -> Window {
    let mut opening = Opening {
        memory,
        ..Opening::fresh()
    };
    opening.arguments.files = files.iter().map(PathBuf::from).collect();
    opening.settled()
}

#[test]
fn a_fresh_window_has_a_large_picture_and_six_that_are_alike() {
    let window = fresh();
    assert_eq!(names(&window), PICTURES);
    let window_rect = Rect::from_min_size(egui::Pos2::ZERO, SIZE);
    let canvases: Vec<Rect> = window
        .document()
        .pictures
        .keys()
        .map(|slot| window.canvas(PaneKind::Picture, *slot))
        .collect();
    let (first, others) = canvases.split_first().expect("there are pictures");
    for other in others {
        assert!(window_rect.contains_rect(*other), "{other}");
        assert!(side(*other) >= LEAST_SIDE, "{other}");
        assert!((other.size() - others[0].size()).length() < 2.0, "{other}");
        assert!(side(*first) > 1.5 * side(*other) && other.left() > first.right());
    }
    // Two columns, three rows.
    let distinct = |edge: fn(&Rect) -> f32| {
        let mut edges: Vec<i32> = others.iter().map(|rect| edge(rect).round() as i32).collect();
        edges.sort_unstable();
        edges.dedup_by(|a, b| (*a - *b).abs() < 3);
        edges.len()
    };
    assert_eq!((distinct(Rect::left), distinct(Rect::top)), (2, 3));
    // The colours are there, and the tab of no pane has to be scrolled.
    assert!(side(window.canvas(PaneKind::Pca, ImageSlot::A)) >= LEAST_SIDE);
    for (slot, canvas) in window.document().pictures.keys().zip(&canvases) {
        let name = &PICTURES[slot.index()];
        let kind = if *slot == ImageSlot::A { "Picture " } else { "" };
        let tab = window.tab(&format!("{kind}{}  {name}", slot.name()));
        assert!(
            tab.left() >= canvas.left() - 1.0 && tab.right() <= canvas.right() + 1.0,
            "{name}"
        );
    }
    assert_eq!(window.wants_frame_in(), None, "nothing moves");
}

#[test]
fn pointing_at_the_large_picture_lights_up_all_others() {
    let mut window = fresh();
    // Without the point that it begins with.
    window.act(Action::Unpin);
    window.settle();
    let others: Vec<ImageSlot> = window.state().open_slots().skip(1).collect();
    let plain: Vec<_> = others
        .iter()
        .map(|slot| window.pixels(PaneKind::Picture, *slot))
        .collect();
    window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.35, 0.5]));
    window.settle();
    assert!(window.state().heat_on(ImageSlot::A).is_none());
    for (slot, plain) in others.iter().zip(&plain) {
        assert!(window.state().heat_on(*slot).is_some(), "{slot:?}");
        assert!(window.pixels(PaneKind::Picture, *slot) != *plain, "{slot:?}");
    }
    window.leave();
    window.settle();
    assert!(others.iter().all(|slot| window.state().heat_on(*slot).is_none()));
    // All pictures are kept, and take little of what may be kept.
    let captures = window
        .state()
        .open_slots()
        .map(|slot| &window.state().slot(slot).capture);
    let kept = captures.map(|capture| capture.as_ref().map_or(usize::MAX, |capture| capture.kept_bytes));
    assert!(kept.max().is_some_and(|bytes| bytes < DEFAULT_CACHE_BYTES / 8));
}

#[test]
fn the_toolbar_names_few_pictures_and_letters_many() {
    let window = fresh();
    window.assert_silent("A: noto-cat-face");
    for letter in ["A", "G", "+ H"] {
        assert!(window.named(letter).next().is_some(), "{letter}");
    }
    Window::settled().assert_says("A: noto-cat-face");
}

#[test]
fn a_picture_that_is_named_comes_without_samples() {
    for memory in [Preferences::default(), remembered(&fresh())] {
        let window = next(memory, &["sample:noto-lion"]);
        assert_eq!(names(&window), ["noto-lion"]);
        assert_eq!(window.titles(), ["Picture A", "PCA of A"], "no pane is empty");
    }
}

#[test]
fn a_picture_of_ones_own_takes_its_place_beside_the_samples() {
    let mut window = fresh();
    window.open_picture(ImageSlot::A, sample("noto-lion"));
    window.apply(Command::OpenFiles(vec![PathBuf::from("sample:noto-bear")]));
    window.settle();
    window.open_picture(ImageSlot::nth(PICTURES.len()).expect("a letter"), sample("noto-panda"));
    let mut expected = PICTURES.to_vec();
    expected[0] = "noto-bear";
    expected.push("noto-panda");
    assert_eq!(names(&window), expected);
    // All of them are still to be seen.
    for slot in window.document().pictures.keys() {
        let canvas = window.canvas(PaneKind::Picture, *slot);
        assert!(side(canvas) >= LEAST_SIDE / 2.0, "{slot:?} at {canvas}");
    }
}

#[test]
fn a_window_that_nobody_arranged_is_fresh_again() {
    let first = fresh();
    let titles = first.titles();
    let own = next(remembered(&first), &["sample:noto-lion"]);
    let again = next(remembered(&own), &[]);
    assert_eq!(
        (names(&again), again.titles()),
        (PICTURES.map(str::to_owned).to_vec(), titles)
    );
}

#[test]
fn an_arrangement_of_ones_own_stays_with_the_pictures_it_shows() {
    let mut first = Window::settled();
    first.act(Action::AddPane(PaneKind::Heat));
    first.settle();
    let again = next(remembered(&first), &[]);
    assert_eq!(names(&again), PICTURES[..2]);
    assert_eq!(again.titles(), first.titles());
    // Panes of pictures that do not come are not left empty.
    let mut first = fresh();
    first.act(Action::AddPane(PaneKind::Heat));
    first.settle();
    let named = next(remembered(&first), &["sample:noto-lion"]);
    assert_eq!(named.titles(), ["Picture A", "PCA of A", "Heat map of A"]);
}
