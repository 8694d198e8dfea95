//! Widgets as a user meets them: by pointer, by keys, by what they say; and with data that has no numbers in it.

use egui::{Event, Key, Modifiers, PointerButton, Pos2, Theme, Ui, Vec2, accesskit::Role, pos2, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use featscope::{
    app::{
        theme::{self, PINS},
        widgets::{
            Glyph, Histogram, HistogramChange, bins, empty_ui, glyph_button_ui, glyph_toggle_ui, histogram_ui,
            key_cap_ui, row_ui, section_ui, swatch_ui, variance_bars_ui,
        },
    },
    render::ColourMap,
};

const SIZE: Vec2 = vec2(320.0, 140.0);
/// A drag is exact to about half a point of the 300 there are.
const DRAG_TOLERANCE: f32 = 0.01;
const KEY_TOLERANCE: f32 = 1e-5;

/// A histogram of scores from -1 to 1, and what was last done to it.
#[derive(Clone, Copy)]
struct Shown {
    range: Option<[f32; 2]>,
    threshold: Option<f32>,
    changes: usize,
}

impl Shown {
    fn of_range(range: [f32; 2]) -> Self {
        Self {
            range: Some(range),
            threshold: None,
            changes: 0,
        }
    }
}

const EXTENT: [f32; 2] = [-1.0, 1.0];

fn shown_ui(ui: &mut Ui, shown: &mut Shown) {
    let scores: Vec<f32> = (0..1000u16).map(|index| (f32::from(index) * 0.7).sin()).collect();
    let histogram = Histogram {
        name: "cosine",
        counts: &bins(&scores, EXTENT, 32),
        extent: EXTENT,
        map: ColourMap::Viridis,
        gamma: 1.0,
        range: shown.range,
        threshold: shown.threshold,
    };
    let change = histogram_ui(ui, &histogram);
    shown.changes += usize::from(change.is_some());
    match change {
        Some(HistogramChange::Range(range)) => shown.range = Some(range),
        Some(HistogramChange::Threshold(threshold)) => shown.threshold = Some(threshold),
        None => {}
    }
}

fn window(shown: Shown) -> Harness<'static, Shown> {
    let mut window = Harness::builder()
        .with_size(SIZE)
        // Fast enough for a double click.
        .with_step_dt(0.1)
        .with_max_steps(30)
        .build_ui_state(shown_ui, shown);
    theme::install(&window.ctx);
    window.run();
    window
}

fn place(window: &Harness<'_, Shown>, handle: &str) -> Pos2 {
    window.get_by_role_and_label(Role::Slider, handle).rect().center()
}

/// Where a score lies in the histogram, at the height of a handle.
fn at(window: &Harness<'_, Shown>, handle: &str, score: f32) -> Pos2 {
    let [left, right] = ["Lowest cosine", "Highest cosine"].map(|handle| place(window, handle).x);
    let [low, high] = window.state().range.unwrap_or(EXTENT);
    let x = left + (score - low) / (high - low) * (right - left);
    pos2(x, place(window, handle).y)
}

fn drag(window: &mut Harness<'_, Shown>, from: Pos2, to: Pos2) {
    window.hover_at(from);
    window.drag_at(from);
    window.run();
    window.hover_at(from.lerp(to, 0.5));
    window.run();
    window.hover_at(to);
    window.run();
    let press = |pressed| Event::PointerButton {
        pos: to,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    window.event(press(false));
    window.run();
}

#[track_caller]
fn assert_near(found: f32, expected: f32, tolerance: f32) {
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected}"
    );
}

#[track_caller]
fn assert_range(window: &Harness<'_, Shown>, expected: [f32; 2], tolerance: f32) {
    let found = window.state().range.unwrap_or([f32::NAN; 2]);
    for (found, expected) in found.into_iter().zip(expected) {
        assert_near(found, expected, tolerance);
    }
}

#[test]
fn a_dragged_handle_changes_its_end_of_the_range() {
    let mut window = window(Shown::of_range([-1.0, 1.0]));
    let to = at(&window, "Lowest cosine", -0.5);
    let from = place(&window, "Lowest cosine");
    drag(&mut window, from, to);
    assert_range(&window, [-0.5, 1.0], DRAG_TOLERANCE);
    assert!(window.state().changes >= 1, "the range changes while it is dragged");

    let (from, to) = (place(&window, "Highest cosine"), at(&window, "Highest cosine", 0.25));
    drag(&mut window, from, to);
    assert_range(&window, [-0.5, 0.25], DRAG_TOLERANCE);
}

#[test]
fn a_handle_stops_at_the_other_one_and_both_can_be_taken_apart_again() {
    let mut window = window(Shown::of_range([-0.5, 0.5]));
    let (from, to) = (place(&window, "Lowest cosine"), at(&window, "Lowest cosine", 0.9));
    drag(&mut window, from, to);
    assert_range(&window, [0.5, 0.5], 0.0);

    // Each handle is gripped on its own side.
    let (from, aside) = (place(&window, "Lowest cosine"), vec2(60.0, 0.0));
    drag(&mut window, from, from - aside);
    let from = place(&window, "Highest cosine");
    drag(&mut window, from, from + aside);
    let [low, high] = window.state().range.unwrap_or_default();
    assert!(low < 0.5 && high > 0.5, "found {low} and {high}");
}

#[test]
fn a_handle_from_outside_of_the_extent_comes_back_under_the_pointer() {
    let mut window = window(Shown::of_range([-3.0, 1.0]));
    let (from, to) = (place(&window, "Lowest cosine"), at(&window, "Lowest cosine", -1.0));
    drag(&mut window, from, to);
    assert_range(&window, [-1.0, 1.0], 2.0 * DRAG_TOLERANCE);
}

#[test]
fn arrow_keys_move_the_handle_that_has_the_keyboard() {
    let mut window = window(Shown::of_range([-0.5, 0.5]));
    window.get_by_label("Highest cosine").focus();
    window.run();
    window.key_press(Key::ArrowRight);
    window.run();
    assert_range(&window, [-0.5, 0.52], KEY_TOLERANCE);
    window.key_press_modifiers(Modifiers::SHIFT, Key::ArrowLeft);
    window.run();
    assert_range(&window, [-0.5, 0.32], KEY_TOLERANCE);
    assert!(
        window.get_by_label("Highest cosine").is_focused(),
        "the arrows stay here"
    );
    for _ in 0..6 {
        window.key_press_modifiers(Modifiers::SHIFT, Key::ArrowLeft);
    }
    window.run();
    assert_range(&window, [-0.5, -0.5], KEY_TOLERANCE);
}

#[test]
fn a_screen_reader_reads_and_moves_handles() {
    let mut window = window(Shown {
        threshold: Some(0.25),
        ..Shown::of_range([-0.5, 0.5])
    });
    let handle = window.get_by_role_and_label(Role::Slider, "Least cosine");
    assert_eq!(handle.accesskit_node().numeric_value(), Some(0.25));
    handle.increment_accesskit();
    window.run();
    assert_near(window.state().threshold.unwrap_or_default(), 0.27, KEY_TOLERANCE);
    window.get_by_label("Lowest cosine").set_value_accesskit(-0.75);
    window.run();
    assert_range(&window, [-0.75, 0.5], KEY_TOLERANCE);
}

#[test]
fn a_threshold_has_a_handle_of_its_own() {
    let mut window = window(Shown {
        range: None,
        threshold: Some(0.0),
        changes: 0,
    });
    assert!(
        window.query_by_label("Lowest cosine").is_none(),
        "no range, no handles of it"
    );
    let from = place(&window, "Least cosine");
    drag(&mut window, from, from + vec2(40.0, 0.0));
    let threshold = window.state().threshold.unwrap_or_default();
    assert!((0.1..0.5).contains(&threshold), "found {threshold}");
}

#[test]
fn a_double_click_asks_for_the_whole_extent() {
    let mut window = window(Shown::of_range([-0.5, 0.5]));
    let middle = window.get_by_label("Histogram of cosine").rect().center();
    window.hover_at(middle);
    for pressed in [true, false, true, false] {
        window.event(Event::PointerButton {
            pos: middle,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
    }
    window.run();
    assert_range(&window, EXTENT, 0.0);
}

#[test]
fn a_click_moves_nothing() {
    let mut window = window(Shown::of_range([-0.5, 0.5]));
    window.get_by_label("Lowest cosine").click();
    window.run();
    assert_eq!((window.state().range, window.state().changes), (Some([-0.5, 0.5]), 0));
}

/// Counts, extent, range and threshold.
type Case = (&'static [u32], [f32; 2], Option<[f32; 2]>, Option<f32>);

#[test]
fn histograms_of_hardly_anything_are_drawn() {
    let nan = f32::NAN;
    let cases: [Case; 7] = [
        (&[], EXTENT, Some(EXTENT), None),
        (&[0, 0, 0], EXTENT, Some(EXTENT), Some(0.0)),
        (&[7], [0.5, 0.5], Some([0.5, 0.5]), Some(0.5)),
        (&[7, 0], [nan, nan], Some([nan, nan]), Some(nan)),
        (&[1, 2], EXTENT, Some([nan, f32::INFINITY]), None),
        (&[1, 2], EXTENT, Some([0.5, -0.5]), None),
        (&[u32::MAX, 1], [f32::MIN, f32::MAX], None, Some(f32::INFINITY)),
    ];
    for (counts, extent, range, threshold) in cases {
        for width in [0.0, 1.0, 13.0, 15.0, 300.0] {
            let mut window = Harness::builder().with_size(SIZE).build_ui(move |ui| {
                ui.set_max_width(width);
                let histogram = Histogram {
                    name: "cosine",
                    counts,
                    extent,
                    map: ColourMap::Coolwarm,
                    gamma: 0.5,
                    range,
                    threshold,
                };
                histogram_ui(ui, &histogram);
                variance_bars_ui(ui, &[], [0, 1, 2]);
                variance_bars_ui(ui, &[f64::NAN, 0.0, -1.0, f64::INFINITY], [9, 9, 9]);
                variance_bars_ui(ui, &[0.0; 40], [0, 1, 2]);
                variance_bars_ui(ui, &[0.9, f64::NAN, 0.1], [0, 1, 2]);
            });
            window.run();
            window.hover_at(pos2(20.0, 30.0));
            window.run_steps(3);
            for handle in window.query_all_by_role(Role::Slider) {
                handle.increment_accesskit();
            }
            window.run();
        }
    }
}

#[test]
fn bars_of_variance_tell_their_share_and_can_be_clicked() {
    let mut window = Harness::builder().with_size(SIZE).build_ui_state(
        |ui, clicked: &mut Option<usize>| {
            let explained = [0.5, 0.25, 0.125, 0.0625];
            *clicked = variance_bars_ui(ui, &explained, [0, 1, 2]).or(*clicked);
        },
        None,
    );
    let bars = window
        .get_by_label("Explained variance: 50.0 %, 25.0 %, 12.5 %, 6.2 %")
        .rect();
    // The fourth bar.
    let bar = pos2(bars.left() + 3.4 * 18.0, bars.top() + 20.0);
    window.hover_at(bar);
    window.run_steps(60);
    let words = "Component 4: 6.2 % of the variance, 93.8 % with those before it";
    assert!(window.query_by_label(words).is_some());
    for pressed in [true, false] {
        window.event(Event::PointerButton {
            pos: bar,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
    }
    window.run();
    assert_eq!(*window.state(), Some(3));
}

#[test]
fn small_parts_have_names_and_answer() {
    for theme in [Theme::Dark, Theme::Light] {
        let mut window = Harness::builder()
            .with_size(vec2(320.0, 900.0))
            .with_theme(theme)
            .build_ui_state(
                |ui, (clicks, on): &mut (usize, bool)| {
                    for glyph in Glyph::ALL {
                        *clicks += usize::from(glyph_button_ui(ui, glyph, &format!("{glyph:?}")).clicked());
                    }
                    section_ui(ui, "Points", |ui| {
                        row_ui(ui, "Shown as", |ui| {
                            glyph_toggle_ui(ui, Glyph::Cells, on, "Lines between cells")
                        });
                        key_cap_ui(ui, "Ctrl+Shift+S");
                        swatch_ui(ui, PINS[0].colour, 1, "Pin 1, orange");
                    });
                    empty_ui(ui, Glyph::Picture, "No picture", "Drop one here");
                },
                (0, false),
            );
        theme::install(&window.ctx);
        window.run();
        window.get_by_label("Search").click();
        window.get_by_label("Lines between cells").click();
        window.run();
        assert_eq!(*window.state(), (1, true));
        assert!(window.query_by_label("No picture").is_some());
        assert!(window.query_by_label("Ctrl+Shift+S").is_some());
        window.get_by_label("Pin 1, orange").hover();
        window.run();
        window.get_by_label("Points").click();
        window.run();
        assert!(
            window.query_by_label("Pin 1, orange").is_none(),
            "a folded section shows nothing"
        );
    }
}

#[test]
fn arrows_and_shapes_have_letters_once_the_look_is_there() {
    let mut window = Harness::builder().with_size(SIZE).build_ui_state(
        |ui, installed: &mut bool| {
            if *installed {
                ui.label("← → ↑ ↓ ↔ ⇄ ▸ ▾ ● ○ ↵");
            }
        },
        false,
    );
    theme::install(&window.ctx);
    *window.state_mut() = true;
    // A letter that no font has ends the test.
    window.run();
}
