//! Pairs of points: one number, one colour, a point in each of two pictures; and what clicks do that come all at once.

use std::fs;

use egui::{Event, Key, Modifiers, PointerButton, Pos2};
use featscope::{
    app::{Abilities, Action, Command, Document, Mark, PaneKind, PathPurpose, PointAt},
    engine::{ImageSlot, QueryAt},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{CTRL, Opening, Window},
    saving::save,
};

const A: ImageSlot = ImageSlot::A;
const B: ImageSlot = ImageSlot::B;

/// Where a picture's point is on the screen.
fn at(window: &Window, slot: ImageSlot, point: [f64; 2]) -> Pos2 {
    window.screen(PaneKind::Picture, slot, point)
}

/// A mark: its picture and its rounded pixel.
type Place = (ImageSlot, [f64; 2]);

/// Number, place and mate of every pin.
fn marks(document: &Document) -> Vec<(u32, Place, Option<Place>)> {
    let place = |slot: ImageSlot, at: &QueryAt| match at {
        QueryAt::Point(at) => (slot, at.map(f64::round)),
        other => panic!("{other:?} is no point"),
    };
    let pins = document.pins.iter();
    pins.map(|pin| {
        let mate = pin.mate.as_ref().map(|mate| place(mate.slot, &mate.at));
        (pin.number, place(pin.slot, &pin.at), mate)
    })
    .collect()
}

/// Press and release at a place, as events.
fn click_events(pos: Pos2, modifiers: Modifiers) -> Vec<Event> {
    let button = |pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers,
    };
    vec![
        Event::PointerMoved(pos),
        Event::ModifiersChanged(modifiers),
        button(true),
        button(false),
        Event::ModifiersChanged(Modifiers::NONE),
    ]
}

/// A drag with one event on the way, as events.
fn drag_events(from: Pos2, to: Pos2, modifiers: Modifiers) -> Vec<Event> {
    let button = |pos, pressed, modifiers| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers,
    };
    vec![
        Event::PointerMoved(from),
        Event::ModifiersChanged(modifiers),
        button(from, true, modifiers),
        // The key goes up before the button does.
        Event::ModifiersChanged(Modifiers::NONE),
        Event::PointerMoved(from.lerp(to, 0.5)),
        Event::PointerMoved(to),
        button(to, false, Modifiers::NONE),
    ]
}

/// All events in one frame of half a second.
fn at_once(window: &mut Window, events: Vec<Event>) {
    window.harness.input_mut().events.extend(events);
    window.pass(0.5);
}

/// The same events, a frame for each.
fn one_by_one(window: &mut Window, events: Vec<Event>) {
    for event in events {
        window.harness.event(event);
        window.step();
    }
}

#[test]
fn clicks_in_pair_mode_make_pairs_of_one_number() {
    let mut window = Opening::of_columns(3).settled();
    let third = ImageSlot::nth(2).expect("a third slot");
    window.key(Key::Num2);
    window.assert_says("Pairs: click a place in one picture");
    window.click(at(&window, A, [16.0, 64.0]));
    assert!(window.document().pins.is_empty(), "half a pair is no pin");
    window.assert_says("Pair 1: click the same place in another picture than A");
    // Another click in the same picture moves the first point.
    window.click(at(&window, A, [48.0, 64.0]));
    window.click(at(&window, B, [16.0, 60.0]));
    // The next pair begins, in the other direction and with another picture.
    window.click(at(&window, third, [80.0, 20.0]));
    window.click(at(&window, B, [112.0, 20.0]));
    assert_eq!(
        marks(window.document()),
        [
            (1, (A, [48.0, 64.0]), Some((B, [16.0, 60.0]))),
            (2, (third, [80.0, 20.0]), Some((B, [112.0, 20.0]))),
        ]
    );
    assert_eq!(window.document().selected_pin, Some(2));
    window.settle();
    window.assert_says("Pair 1, orange: A pixel (48, 64) to B pixel (16, 60), cosine 1.000");
    window.assert_says("Pair 2, sky blue: C pixel (80, 20) to B pixel (112, 20)");

    // A pair is one step, and half of one is let go by Esc and by undo.
    window.click(at(&window, A, [16.0, 30.0]));
    window.key(Key::Escape);
    assert_eq!(window.state().pairing.first, None);
    assert!(window.state().pairing.on);
    window.click(at(&window, A, [16.0, 30.0]));
    window.key_with(CTRL, Key::Z);
    assert_eq!(
        (window.state().pairing.first.clone(), marks(window.document()).len()),
        (None, 2)
    );
    window.key_with(CTRL, Key::Z);
    assert_eq!(marks(window.document()).len(), 1);
    window.key_with(CTRL, Key::Y);
    assert_eq!(marks(window.document()).len(), 2);
    window.key(Key::Num2);
    assert!(!window.state().pairing.on);
}

#[test]
fn the_best_match_is_proposed_and_enter_takes_it() {
    let mut window = Opening::of_columns(2).settled();
    window.key(Key::Num2);
    window.click(at(&window, A, [16.0, 64.0]));
    window.settle();
    let proposed = window.state().proposal_in(B).expect("a best match");
    assert_eq!(window.state().proposal_in(A), None, "it is in another picture");
    window.key(Key::Enter);
    let pin = window.document().pins[0].clone();
    assert_eq!(
        pin.mate.as_ref().map(|mate| (mate.slot, mate.at.clone())),
        Some((B, QueryAt::Point(proposed)))
    );
    window.settle();
    let figures = window
        .state()
        .pair_figures(&window.document().pins[0])
        .expect("it is a pair");
    assert_eq!(figures.distance_px(), Some(0.0));
    let best = window
        .state()
        .matches
        .as_ref()
        .map(|matches| matches.pins[0].targets[1].best[0].found.score);
    assert_eq!(figures.cosine, best);

    // A click beside the ring takes it, too.
    window.click(at(&window, A, [80.0, 64.0]));
    window.settle();
    let proposed = window.state().proposal_in(B).expect("a best match");
    window.click(at(&window, B, proposed) + egui::vec2(3.0, 2.0));
    let mate = window.document().pins[1].mate.clone().expect("a mate");
    assert_eq!(mate.at, QueryAt::Point(proposed));

    // Enter before the match has come waits for it.
    let press = click_events(at(&window, A, [112.0, 100.0]), Modifiers::NONE);
    let enter = Event::Key {
        key: Key::Enter,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::NONE,
    };
    at_once(&mut window, press);
    window.harness.event(enter);
    window.step();
    window.until("the pair", |window| window.document().pins.len() == 3);
    assert_eq!(window.state().pairing.accepted, None);
}

#[test]
fn a_pair_is_dragged_at_either_end_selected_split_and_deleted() {
    let mut window = Opening::of_columns(2).settled();
    window.key(Key::Num2);
    window.click(at(&window, A, [16.0, 64.0]));
    window.click(at(&window, B, [48.0, 64.0]));
    window.key(Key::Num2);
    window.drag(at(&window, B, [48.0, 64.0]), at(&window, B, [60.0, 90.0]));
    assert_eq!(
        marks(window.document()),
        [(1, (A, [16.0, 64.0]), Some((B, [60.0, 90.0])))]
    );
    assert!(window.document().selected_mate, "what is dragged is selected");
    window.drag(at(&window, A, [16.0, 64.0]), at(&window, A, [20.0, 30.0]));
    assert_eq!(
        marks(window.document()),
        [(1, (A, [20.0, 30.0]), Some((B, [60.0, 90.0])))]
    );
    // A plain click moves the point of its picture; arrows the selected one.
    window.click(at(&window, B, [70.0, 100.0]));
    assert_eq!(
        marks(window.document()),
        [(1, (A, [20.0, 30.0]), Some((B, [70.0, 100.0])))]
    );
    let cell = |window: &Window| {
        let Some((slot, at)) = marks(window.document())[0].2 else {
            panic!("it is a pair");
        };
        window.state().cell_at(PointAt { slot, at }).expect("it is seen")
    };
    let (row, column) = cell(&window);
    window.key(Key::ArrowRight);
    assert_eq!(cell(&window), (row, column + 1));
    assert_eq!(marks(window.document())[0].1, (A, [20.0, 30.0]));

    // The list selects one point, the other, and none.
    window.settle();
    let entry = || {
        window
            .words()
            .into_iter()
            .find(|words| words.starts_with("Pair 1, orange"))
    };
    let entry = entry().expect("it is listed");
    window.apply(Command::SelectPin(None));
    for expected in [Some((1, false)), Some((1, true)), None] {
        window.choose(&entry);
        let selected = window.document().active_mark();
        assert_eq!(selected.map(|(mark, ..)| (mark.number, mark.mate)), expected);
    }
    window.press_button("Split pair 1");
    assert_eq!(marks(window.document()).len(), 2);
    assert!(window.state().can(Action::PairInOrder));
    window.act(Action::PairInOrder);
    assert_eq!(marks(window.document()).len(), 1);
    window.settle();
    window.press_button("Delete pair 1");
    assert!(window.document().pins.is_empty());
}

#[test]
fn pairs_are_ranked_saved_and_told_in_tables() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPane(PaneKind::Rank));
    window.key(Key::Num2);
    // The second one is marked in the target first.
    for points in [
        [(A, [16.0, 20.0]), (B, [48.0, 20.0])],
        [(B, [16.0, 90.0]), (A, [48.0, 90.0])],
    ] {
        for (slot, point) in points {
            window.click(at(&window, slot, point));
        }
    }
    // Pins alone are no pairs.
    window.apply(Command::AddPin(A, QueryAt::Point([80.0, 20.0])));
    window.apply(Command::AddPin(B, QueryAt::Point([80.0, 20.0])));
    window.settle();
    let view = window.state().rank.view.as_ref().ok_or("a ranking")?;
    let rounded = |at: [f64; 2]| at.map(f64::round);
    let pairs: Vec<_> = view
        .query
        .pairs
        .iter()
        .map(|pair| [rounded(pair.source), rounded(pair.target)])
        .collect();
    assert_eq!(pairs, [[[16.0, 20.0], [48.0, 20.0]], [[48.0, 90.0], [16.0, 90.0]]]);

    let saved: Value = serde_json::from_slice(&fs::read(save(&mut window, PathPurpose::SavePairs, "pairs.json")?)?)?;
    assert_eq!(saved.as_array().map(Vec::len), Some(2));
    let json: Value = serde_json::from_slice(&fs::read(save(&mut window, PathPurpose::SaveMatches, "m.json")?)?)?;
    assert_eq!(
        (&json["version"], json["pairs"].as_array().map(Vec::len)),
        (&2.into(), Some(2))
    );
    let figures = window
        .state()
        .pair_figures(&window.document().pins[0])
        .ok_or("a pair")?;
    assert_eq!(json["pairs"][0]["cosine"], serde_json::json!(figures.cosine));
    assert_eq!(
        json["pairs"][0]["distance_px"],
        serde_json::json!(figures.distance_px())
    );
    let csv = fs::read_to_string(save(&mut window, PathPurpose::SaveMatches, "m.csv")?)?;
    let mut lines = csv.lines();
    let titles: Vec<&str> = lines.next().ok_or("titles")?.split(',').collect();
    let column = |name: &str| titles.iter().position(|title| *title == name);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let (pin, target) = (column("pin").ok_or("pins")?, column("target").ok_or("targets")?);
    let row = rows
        .iter()
        .find(|row| row[pin] == "1" && row[target] == "B")
        .ok_or("a row")?;
    assert_eq!(
        row[column("pair_cosine").ok_or("cosines")?],
        format!("{:.5}", figures.cosine.ok_or("a cosine")?)
    );
    assert_eq!(
        row[column("pair_distance_px").ok_or("distances")?],
        format!("{:.2}", figures.distance_px().ok_or("a distance")?)
    );

    // A workspace keeps them.
    let file = save(&mut window, PathPurpose::SaveWorkspace, "pairs.featscope.json")?;
    let mut opening = Opening::default();
    opening.arguments.files = vec![file];
    opening.arguments.model = None;
    let other = opening.settled();
    assert_eq!(other.document().pins, window.document().pins);
    // Without one of its pictures a pair is a pin.
    window.apply(Command::ClosePicture(B));
    window.settle();
    assert_eq!(
        marks(window.document()),
        [
            (1, (A, [16.0, 20.0]), None),
            (2, (A, [48.0, 90.0]), None),
            (3, (A, [80.0, 20.0]), None)
        ]
    );
    Ok(())
}

#[test]
fn pictures_that_change_places_take_both_points_along() {
    let mut window = Opening::of_columns(2).settled();
    window.apply(Command::StartPair(A, [16.0, 20.0]));
    window.click(at(&window, B, [48.0, 20.0]));
    assert!(!window.state().pairing.on, "one pair is no mode");
    window.apply(Command::StartPair(B, [80.0, 20.0]));
    window.apply(Command::SwapPictures(A, B));
    window.settle();
    assert_eq!(
        marks(window.document()),
        [(1, (B, [16.0, 20.0]), Some((A, [48.0, 20.0])))]
    );
    assert_eq!(window.state().pairing.first.as_ref().map(|first| first.slot), Some(A));
}

#[test]
fn clicks_of_one_frame_count_one_by_one_with_the_keys_of_their_moments() {
    let places = [
        [20.0, 20.0],
        [100.0, 20.0],
        [20.0, 100.0],
        [60.0, 60.0],
        [100.0, 100.0],
        [60.0, 110.0],
    ];
    let events = |window: &Window| {
        let clicks = places.iter().enumerate().map(|(index, place)| {
            let modifiers = if index == 0 { Modifiers::NONE } else { Modifiers::SHIFT };
            // Two of the pictures in turn.
            let slot = [A, B][index % 2];
            click_events(at(window, slot, *place), modifiers)
        });
        clicks.flatten().collect::<Vec<_>>()
    };
    let mut slow = Opening::of_columns(2).settled();
    let all = events(&slow);
    at_once(&mut slow, all);
    let expected: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(index, place)| (index as u32 + 1, ([A, B][index % 2], *place), None))
        .collect();
    assert_eq!(marks(slow.document()), expected);
    // Each is a step of its own.
    slow.key_with(CTRL, Key::Z);
    assert_eq!(marks(slow.document()), expected[..5]);
    slow.key_with(CTRL, Key::Y);
    let mut quick = Opening::of_columns(2).settled();
    let all = events(&quick);
    one_by_one(&mut quick, all);
    assert_eq!(marks(quick.document()), marks(slow.document()));
    assert_eq!(quick.document().selected_pin, slow.document().selected_pin);
}

#[test]
fn presses_of_one_frame_that_are_released_in_a_later_one_are_clicks() {
    let mut window = Opening::of_columns(2).settled();
    let mut first = click_events(at(&window, A, [20.0, 20.0]), Modifiers::NONE);
    let second = click_events(at(&window, A, [100.0, 100.0]), Modifiers::SHIFT);
    // The second button is released half a second later.
    let (press, release) = second.split_at(3);
    first.extend_from_slice(press);
    at_once(&mut window, first);
    assert_eq!(marks(window.document()).len(), 1);
    at_once(&mut window, release.to_vec());
    assert_eq!(
        marks(window.document()),
        [(1, (A, [20.0, 20.0]), None), (2, (A, [100.0, 100.0]), None)]
    );
}

#[test]
fn a_pair_of_clicks_in_one_frame_is_a_pair() {
    let mut window = Opening::of_columns(2).settled();
    window.key(Key::Num2);
    let places = [
        (A, [16.0, 20.0]),
        (B, [48.0, 20.0]),
        (A, [48.0, 90.0]),
        (B, [16.0, 90.0]),
    ];
    let events = places.map(|(slot, place)| click_events(at(&window, slot, place), Modifiers::NONE));
    at_once(&mut window, events.into_iter().flatten().collect());
    assert_eq!(
        marks(window.document()),
        [
            (1, (A, [16.0, 20.0]), Some((B, [48.0, 20.0]))),
            (2, (A, [48.0, 90.0]), Some((B, [16.0, 90.0])))
        ]
    );
}

#[test]
fn a_drag_of_one_frame_is_that_of_its_press() {
    let drag = |window: &Window| drag_events(at(window, A, [20.0, 67.0]), at(window, A, [44.0, 67.0]), CTRL);
    let [mut slow, mut quick] = [(); 2].map(|()| Opening::of_columns(2).settled());
    let events = drag(&slow);
    at_once(&mut slow, events);
    let events = drag(&quick);
    one_by_one(&mut quick, events);
    // A list that grows beside the pictures moves them by less than a pixel.
    let path = |window: &Window| match &window.document().pins[0].at {
        QueryAt::Region { path, .. } => path.iter().map(|at| at.map(f64::round)).collect::<Vec<_>>(),
        other => panic!("{other:?} is no region"),
    };
    assert_eq!(path(&slow), [[20.0, 67.0], [32.0, 67.0], [44.0, 67.0]]);
    assert_eq!(path(&slow), path(&quick));
    assert_eq!(slow.document().view, quick.document().view, "the picture stays");

    // Then a pin and its drag, and a drag of the picture and a click in it.
    for window in [&mut slow, &mut quick] {
        window.act(Action::ClearPins);
        window.pause();
    }
    let events = |window: &Window| {
        let (from, to) = (at(window, A, [20.0, 30.0]), at(window, A, [90.0, 40.0]));
        let [b, there] = [[60.0, 60.0], [80.0, 70.0]].map(|place| at(window, B, place));
        let mut all = click_events(from, Modifiers::NONE);
        all.extend(drag_events(from, to, Modifiers::NONE));
        all.extend(drag_events(b, there, Modifiers::NONE));
        all.extend(click_events(there, Modifiers::SHIFT));
        all
    };
    let all = events(&slow);
    at_once(&mut slow, all);
    let all = events(&quick);
    one_by_one(&mut quick, all);
    assert_eq!(marks(slow.document())[0], (1, (A, [90.0, 40.0]), None));
    assert_eq!(
        marks(slow.document())[1],
        (2, (B, [60.0, 60.0]), None),
        "the picture moved with the pointer"
    );
    assert_eq!(marks(slow.document()), marks(quick.document()));
    assert_eq!(slow.document().view, quick.document().view);
}

#[test]
fn a_second_click_at_one_place_shows_the_whole_picture_in_one_frame_too() {
    let mut window = Opening::of_columns(2).settled();
    let place = at(&window, A, [60.0, 60.0]);
    window.wheel(place, 240.0);
    let zoomed = window.document().view;
    let mut events = click_events(place, Modifiers::NONE);
    events.extend(click_events(place, Modifiers::NONE));
    at_once(&mut window, events);
    assert!(window.document().pins.is_empty());
    assert_ne!(window.document().view, zoomed);
    assert_eq!(window.document().view.zoom, 1.0);
}

#[test]
fn the_menu_of_a_picture_acts_at_the_place_of_the_click() {
    let mut window = Opening::of_columns(2).settled();
    window.right_click(at(&window, A, [48.0, 64.0]));
    for words in [
        "Copy position",
        "Show the whole picture",
        "Save image…",
        "Open another picture here…",
        "Close picture",
    ] {
        window.assert_says(words);
    }
    window.press_button("Pin here");
    assert_eq!(marks(window.document()), [(1, (A, [48.0, 64.0]), None)]);
    window.assert_silent("Copy position");
    window.right_click(at(&window, A, [80.0, 30.0]));
    window.press_button("Start a pair here");
    window.click(at(&window, B, [112.0, 30.0]));
    assert_eq!(
        marks(window.document())[1],
        (2, (A, [80.0, 30.0]), Some((B, [112.0, 30.0])))
    );
    // A click beside an open menu closes it and does nothing else.
    window.right_click(at(&window, A, [80.0, 30.0]));
    window.assert_says("Copy position");
    window.click(at(&window, A, [10.0, 110.0]));
    window.assert_silent("Copy position");
    assert_eq!(marks(window.document()).len(), 2);
    assert_eq!(
        window.document().active_mark().map(|(mark, ..)| mark),
        Some(Mark { number: 2, mate: false })
    );
    window.click_with(Modifiers::SHIFT, at(&window, A, [10.0, 110.0]));
    assert_eq!(marks(window.document()).len(), 3);
}

#[test]
fn a_line_joins_the_points_and_further_matches_are_dots_on_demand() {
    let mut window = Opening::of_columns(2).settled();
    let canvases = [A, B].map(|slot| window.canvas(PaneKind::Picture, slot));
    // Pixels of the pin's colour on the way from one picture to the other, outside of both.
    let on_the_way = |window: &mut Window| {
        let [a, b] = [at(window, A, [112.0, 64.0]), at(window, B, [16.0, 64.0])];
        let picture = window.render();
        let places = (0..=400_u16).map(|step| a.lerp(b, f32::from(step) / 400.0));
        let between = places.filter(|place| !canvases.iter().any(|canvas| canvas.contains(*place)));
        let pixels = between.map(|place| picture.get_pixel(place.x as u32, place.y as u32).0);
        pixels.filter(|pixel| pixel[0] > 180 && pixel[2] < 60).count()
    };
    window.leave();
    assert_eq!(on_the_way(&mut window), 0);
    window.apply(Command::StartPair(A, [112.0, 64.0]));
    window.click(at(&window, B, [16.0, 64.0]));
    window.leave();
    window.settle();
    assert!(on_the_way(&mut window) > 3);
    window.apply(Command::SelectPin(None));
    assert_eq!(
        on_the_way(&mut window),
        0,
        "that of another pair than the selected one is faint"
    );
    window.apply(Command::SelectPin(Some(1)));

    window.apply_and_settle(Command::TopK(5));
    let without = window.pixels(PaneKind::Picture, B);
    assert!(!window.document().display.further);
    window.act(Action::FurtherMatches);
    window.leave();
    let with = window.pixels(PaneKind::Picture, B);
    assert_ne!(without, with);
}
