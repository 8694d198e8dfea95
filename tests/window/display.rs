//! How scores become colours: maps, range, gamma, opacity, interpolation.

use std::collections::HashSet;

use egui::{Key, Modifiers, accesskit::Role, vec2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, PaneKind, RangeMode},
    engine::ImageSlot,
    render::{ColourMap, Interpolation},
};

use super::driver::{Opening, Window, pixels_in};

/// A window with a pin, so that picture B has a heat map that stays.
fn pinned() -> Window {
    let mut window = Window::settled();
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [80.0, 60.0]));
    window.leave();
    window.settle();
    window
}

fn heat_pixels(window: &mut Window) -> Vec<[u8; 4]> {
    window.pixels(PaneKind::Picture, ImageSlot::B)
}

/// The scores that the colours of a pane stand for, as its colour bar says them.
fn ranges(window: &Window) -> Vec<String> {
    let map = window.document().display.map.name();
    let bars = window
        .words()
        .into_iter()
        .filter(|text| text.starts_with(&format!("{map} from ")));
    bars.collect()
}

#[test]
fn every_colour_map_looks_different_and_is_named() {
    let mut window = pinned();
    let first = window.document().display.map;
    let mut seen: HashSet<Vec<[u8; 4]>> = HashSet::new();
    for _ in ColourMap::ALL {
        window.assert_says(&format!("{} from ", window.document().display.map.name()));
        assert!(
            seen.insert(heat_pixels(&mut window)),
            "{:?}",
            window.document().display.map
        );
        window.key(Key::C);
    }
    assert_eq!(window.document().display.map, first);
    assert_eq!(seen.len(), ColourMap::ALL.len());
    // The same by the list.
    window
        .harness
        .get_by_role_and_label(Role::ComboBox, "Colour map")
        .click();
    window.step();
    window.step();
    let last = ColourMap::ALL[ColourMap::ALL.len() - 1];
    window.harness.get_by_label(last.name()).click();
    window.step();
    window.pause();
    assert_eq!(window.document().display.map, last);
}

#[test]
fn a_dragged_handle_of_the_histogram_fixes_the_range() {
    let mut window = pinned();
    assert_eq!(window.document().display.range, RangeMode::PerMap);
    let before = heat_pixels(&mut window);
    let handle = window
        .harness
        .get_by_role_and_label(Role::Slider, "Lowest scores")
        .rect()
        .center();
    window.drag(handle, handle + vec2(60.0, 0.0));
    let RangeMode::Fixed([low, high]) = window.document().display.range else {
        panic!("found {:?}", window.document().display.range);
    };
    assert!(low < high);
    window.leave();
    window.settle();
    assert_ne!(heat_pixels(&mut window), before);
    window.act(Action::Undo);
    assert_eq!(window.document().display.range, RangeMode::PerMap, "one step");
    window.leave();
    window.settle();
    assert_eq!(heat_pixels(&mut window), before);
    // By keyboard and screen reader, too.
    window
        .harness
        .get_by_role_and_label(Role::Slider, "Highest scores")
        .decrement_accesskit();
    window.step();
    window.step();
    assert!(matches!(window.document().display.range, RangeMode::Fixed(_)));
}

#[test]
fn ranges_are_of_each_map_of_all_or_from_0_to_1() {
    let mut window = Opening::of_columns(3).settled();
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [40.0, 60.0]));
    window.leave();
    window.settle();
    assert_eq!(ranges(&window).len(), 2, "B and C have a heat map");
    let own = heat_pixels(&mut window);
    window.key(Key::R);
    assert_eq!(window.document().display.range, RangeMode::Common);
    let common: HashSet<String> = ranges(&window).into_iter().collect();
    assert_eq!(common.len(), 1, "{common:?}");
    let shared = heat_pixels(&mut window);
    window.key(Key::R);
    assert_eq!(window.document().display.range, RangeMode::PerMap);
    window.key(Key::N);
    assert_eq!(window.document().display.range, RangeMode::Fixed([0.0, 1.0]));
    window.assert_says("from 0 to 1");
    let fixed = heat_pixels(&mut window);
    assert!(fixed != own && fixed != shared);
    window.key(Key::N);
    assert_eq!(window.document().display.range, RangeMode::PerMap);
    assert_eq!(heat_pixels(&mut window), own);
}

#[test]
fn gamma_and_opacity_are_seen() {
    let mut window = pinned();
    let mut seen = vec![heat_pixels(&mut window)];
    for (label, value) in [("gamma", 3.0), ("opacity", 0.3)] {
        window
            .harness
            .get_by_role_and_label(Role::Slider, label)
            .set_value_accesskit(value);
        window.step();
        window.step();
        let painted = heat_pixels(&mut window);
        assert!(!seen.contains(&painted), "{label}");
        seen.push(painted);
    }
    let display = &window.document().display;
    assert!(
        (display.gamma - 3.0).abs() < 0.1 && (display.opacity - 0.3).abs() < 0.01,
        "{display:?}"
    );
    for (key, more) in [(Key::ArrowUp, true), (Key::ArrowDown, false)] {
        let before = window.document().display.opacity;
        window.key_with(Modifiers::SHIFT, key);
        assert_eq!(window.document().display.opacity > before, more);
    }
    for _ in 0..20 {
        window.key_with(Modifiers::SHIFT, Key::ArrowDown);
    }
    assert_eq!(window.document().display.opacity, 0.0);
    let clear = heat_pixels(&mut window);
    window.key(Key::O);
    assert!(!window.document().display.overlay);
    window.settle();
    let rings = clear
        .iter()
        .zip(heat_pixels(&mut window))
        .filter(|(a, b)| **a != *b)
        .count();
    assert_eq!(rings, 0, "fully clear it is as if it were not there");
}

#[test]
fn heat_is_drawn_over_the_source_too_when_asked() {
    let mut window = pinned();
    let before = window.pixels(PaneKind::Picture, ImageSlot::A);
    assert!(window.state().heat_on(ImageSlot::A).is_none());
    window.key(Key::B);
    window.settle();
    assert!(window.state().heat_on(ImageSlot::A).is_some());
    assert_ne!(window.pixels(PaneKind::Picture, ImageSlot::A), before);
    window.key(Key::B);
    window.settle();
    assert_eq!(window.pixels(PaneKind::Picture, ImageSlot::A), before);
}

#[test]
fn scores_are_smooth_or_one_colour_for_each_cell() {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Heat));
    window.apply(Command::ChangePane(
        window.state().focused.expect("the new pane is worked in"),
        featscope::app::Pane::new(PaneKind::Heat, ImageSlot::B),
    ));
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [80.0, 60.0]));
    window.leave();
    window.settle();
    assert_eq!(window.document().display.interpolation, Interpolation::Bilinear);
    // The inner part of a cell in a corner, where nothing else is drawn.
    let middle = window.screen(PaneKind::Heat, ImageSlot::B, [7.5, 7.5]);
    let inner = egui::Rect::from_center_size(middle, vec2(12.0, 12.0));
    let colours = |window: &mut Window| {
        let colours: HashSet<_> = pixels_in(&window.render(), inner).into_iter().collect();
        colours.len()
    };
    assert!(colours(&mut window) > 1);
    window.key(Key::I);
    assert_eq!(window.document().display.interpolation, Interpolation::Nearest);
    assert_eq!(colours(&mut window), 1);
}
