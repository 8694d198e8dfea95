//! The pane that says which layer at which timestep to take.

use featscope::{
    app::{Abilities, Action, Command, PaneKind, PathPurpose},
    engine::{ImageSlot, QueryAt},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{Opening, Window},
    fake::STEPS,
    saving::save,
};

/// The middles of columns of the same colour in both pictures, at the upper edge: red, green, blue.
const PAIRS: [[[f64; 2]; 2]; 3] = [
    [[16.0, 4.0], [48.0, 4.0]],
    [[48.0, 4.0], [16.0, 4.0]],
    [[80.0, 4.0], [112.0, 4.0]],
];

/// A window with a recommendation that is made.
fn recommended(mut window: Window) -> Window {
    window.act(Action::Recommend);
    window.settle();
    window
}

fn best(window: &Window) -> Vec<String> {
    let recommend = window.state().recommend.as_ref().expect("it was begun");
    let found = recommend.found.as_ref().expect("it is made");
    found
        .best
        .iter()
        .map(|best| format!("{} at t {}", best.id, best.t))
        .collect()
}

#[test]
fn five_cards_say_what_and_why_and_a_click_looks_at_one() {
    let mut window = recommended(Window::settled());
    window.assert_says("Recommendation");
    let names = best(&window);
    assert_eq!(names.len(), 5, "{names:?}");
    let words = window.words().join("\n");
    assert!(words.contains("are a proxy"), "{words}");
    assert!(
        words.contains("Speaks against it") && words.contains("Effective rank"),
        "{words}"
    );
    for (place, name) in names.iter().enumerate() {
        window.assert_says(&format!("{}. {name}", place + 1));
        window.assert_says(&format!("PCA of {name} on picture 1"));
    }
    let other = names
        .iter()
        .find(|name| {
            let shown = format!("{} at t {}", window.layer(), window.document().settings.t);
            **name != shown
        })
        .expect("several are recommended")
        .clone();
    window.press_button(&format!("Look at {other}"));
    window.settle();
    assert_eq!(
        format!("{} at t {}", window.layer(), window.document().settings.t),
        other
    );
    let line = window.state().recommend.as_ref().and_then(|recommend| {
        let found = recommend.found.as_ref()?;
        Some(recommend.command(found.best.first()?))
    });
    assert!(line.is_some_and(|line| line.starts_with("featscope extract -m ") && line.contains(" --t ")));
}

#[test]
fn pins_that_make_pairs_decide() {
    let mut window = Opening::of_columns(2).settled();
    for pair in PAIRS {
        for (slot, at) in [ImageSlot::A, ImageSlot::B].into_iter().zip(pair) {
            window.apply(Command::AddPin(slot, QueryAt::Point(at)));
        }
    }
    window.act(Action::PairInOrder);
    window.settle();
    let mut window = recommended(window);
    let words = window.words().join("\n");
    assert!(
        words.contains("3 pairs of points decide: PCK@.1 is no proxy"),
        "{words}"
    );
    let recommend = window.state().recommend.as_ref().expect("it was begun");
    let found = recommend.found.as_ref().expect("it is made");
    let shares: Vec<f64> = found
        .best
        .iter()
        .filter_map(|best| Some(best.pairs.as_ref()?.figures.pck_10))
        .collect();
    assert_eq!(shares.len(), 5);
    assert!(
        shares.windows(2).all(|pair| pair[0] >= pair[1]) && shares[0] > 0.9,
        "{shares:?}"
    );
    // Another pair makes it one of something else.
    window.apply(Command::AddPin(ImageSlot::A, QueryAt::Point([100.0, 20.0])));
    window.apply(Command::AddPin(ImageSlot::B, QueryAt::Point([100.0, 20.0])));
    window.act(Action::PairInOrder);
    window.settle();
    window.assert_says("This recommendation is of other pairs of pins: recommend again");
}

#[test]
fn it_is_ended_and_says_so() {
    let mut window = Opening::of_model("fake-slow").open();
    window.fake.go(3 * STEPS);
    window.settle();
    window.act(Action::Recommend);
    assert!(!window.state().studies.is_empty());
    window.act(Action::CancelStudies);
    window.fake.go(1);
    window.settle();
    assert!(window.state().studies.is_empty());
    window.assert_says("It was ended before everything was compared.");
    assert_eq!(window.state().run.error, None);
}

#[test]
fn it_is_saved_as_a_page_and_as_json_with_what_made_it() -> TestResult {
    let purpose = PathPurpose::SavePane(PaneKind::Recommend);
    let mut window = Window::settled();
    assert!(!window.state().can(Action::SavePane(PaneKind::Recommend)));
    save(&mut window, purpose, "none.json").expect_err("nothing is recommended");
    let mut window = recommended(window);
    let names = best(&window);
    let written: Value = serde_json::from_slice(&std::fs::read(save(&mut window, purpose, "found.json")?)?)?;
    assert_eq!(written["decided_by"], "proxy");
    let first = &written["best"][0];
    assert_eq!(
        format!("{} at t {}", first["id"].as_str().ok_or("an id")?, first["t"]),
        names[0]
    );
    assert!(written["made_by"]["ran"]["t_ran"].is_number());
    let page = std::fs::read_to_string(save(&mut window, purpose, "found.html")?)?;
    assert!(page.contains("<!doctype html>") && !page.contains("__DATA__"));
    Ok(())
}

#[test]
fn without_a_picture_nothing_can_be_recommended() {
    let mut window = Opening::fresh().open();
    window.apply(Command::ClosePicture(ImageSlot::A));
    for slot in ImageSlot::all() {
        window.apply(Command::ClosePicture(slot));
    }
    window.settle();
    assert!(!window.state().can(Action::Recommend));
    window.act(Action::AddPane(PaneKind::Recommend));
    window.settle();
    window.assert_says("Open a picture and a model: then every activation is compared on it.");
}
