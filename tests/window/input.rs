//! Keys, text and clicks count as they were at their moment, however long a frame takes.

use egui::{Event, Key, Modifiers, PointerButton, Pos2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, Document, PaneKind, TemporaryView},
    engine::ImageSlot,
};

use super::{
    driver::{CTRL, Opening, Window},
    model::{MASSIVE_LAYER, id},
};

/// Seconds of a slow frame.
const SLOW_SECS: f64 = 0.5;
/// Frames in which what waits has come: more than events of any of the gestures below.
const MOST_FRAMES: usize = 40;

fn key(key: Key, pressed: bool, modifiers: Modifiers) -> Event {
    Event::Key {
        key,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers,
    }
}

/// A key as the system tells it: pressed, what it writes, let go.
fn pressed(of: Key, modifiers: Modifiers) -> Vec<Event> {
    let written = of.symbol_or_name().to_lowercase();
    let text = (written.len() == 1 && !modifiers.command).then_some(Event::Text(written));
    let mut events = vec![Event::ModifiersChanged(modifiers), key(of, true, modifiers)];
    events.extend(text);
    events.extend([key(of, false, modifiers), Event::ModifiersChanged(Modifiers::NONE)]);
    events
}

fn plain(keys: &[Key]) -> Vec<Event> {
    keys.iter().flat_map(|key| pressed(*key, Modifiers::NONE)).collect()
}

/// A text, letter by letter.
fn typed(text: &str) -> Vec<Event> {
    let letters = text.chars().flat_map(|letter| {
        let name = letter.to_uppercase().to_string();
        let of = match letter {
            ' ' => Some(Key::Space),
            letter => Key::from_name(&name).or_else(|| Key::from_name(&letter.to_string())),
        };
        let press = of.map(|of| key(of, true, Modifiers::NONE));
        let release = of.map(|of| key(of, false, Modifiers::NONE));
        [press, Some(Event::Text(letter.to_string())), release]
    });
    letters.flatten().collect()
}

fn clicked(pos: Pos2) -> Vec<Event> {
    let button = |pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    vec![Event::PointerMoved(pos), button(true), button(false)]
}

/// Every event in a frame of its own.
fn fast(window: &mut Window, events: &[Event]) {
    for event in events {
        window.harness.event(event.clone());
        window.step();
    }
}

/// All events of half a second in one frame.
fn slow(window: &mut Window, events: &[Event]) {
    let now = window.harness.ctx.input(|input| input.time);
    let input = window.harness.input_mut();
    input.time = Some(now + SLOW_SECS);
    input.events.extend(events.iter().cloned());
    window.step();
    window.harness.input_mut().time = None;
}

fn all_frames(window: &mut Window) {
    for _ in 0..MOST_FRAMES {
        window.step();
    }
    window.settle();
}

/// What is there after gestures: the document and what undo makes of it, the search, and what is open.
#[derive(Debug, PartialEq)]
struct Outcome {
    document: Document,
    undone: [Document; 2],
    search: String,
    open: [bool; 4],
    hold: Option<TemporaryView>,
    brush: bool,
}

fn outcome(window: &mut Window) -> Outcome {
    let document = window.document().clone();
    let state = window.state();
    let open = [
        state.overlays.palette.is_some(),
        state.overlays.keys,
        state.overlays.log,
        state.path_box.purpose.is_some(),
    ];
    let (search, hold, brush) = (state.search.clone(), state.hold, state.brush);
    // Nothing has the keyboard from here on.
    window.pause();
    let undone = [(); 2].map(|()| {
        window.act(Action::Undo);
        window.settle();
        window.pause();
        window.document().clone()
    });
    Outcome {
        document,
        undone,
        search,
        open,
        hold,
        brush,
    }
}

/// A window with two layers looked at, a pin, and the pointer on a picture.
fn prepared() -> Window {
    let mut window = Window::settled();
    window.select(MASSIVE_LAYER);
    window.pause();
    window.act(Action::AddPin);
    window.hover(window.place(PaneKind::Picture, ImageSlot::B, [0.4, 0.4]));
    window.settle();
    window.pause();
    window
}

/// The lines in which two outcomes differ.
fn differences(found: &Outcome, expected: &Outcome) -> Vec<[String; 2]> {
    let [found, expected] = [found, expected].map(|outcome| format!("{outcome:#?}"));
    let pairs = found.lines().zip(expected.lines());
    pairs
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| [found, expected].map(str::to_owned))
        .collect()
}

/// The same gestures, once with a frame for every event and once with slow frames; gives what came of the latter.
#[track_caller]
fn assert_same(what: &str, gestures: impl Fn(&Window) -> Vec<Event>) -> (Window, Outcome) {
    let mut quick = prepared();
    let events = gestures(&quick);
    fast(&mut quick, &events);
    all_frames(&mut quick);
    let expected = outcome(&mut quick);
    let mut window = prepared();
    let events = gestures(&window);
    slow(&mut window, &events);
    all_frames(&mut window);
    let found = outcome(&mut window);
    let differs = differences(&found, &expected);
    assert!(found == expected, "{what}: {differs:#?}");
    (window, found)
}

fn palette() -> Vec<Event> {
    pressed(Key::P, CTRL)
}

#[test]
fn the_palette_takes_text_and_enter_of_the_frame_that_opens_it() {
    let (_, found) = assert_same("new ranking", |_| {
        [palette(), typed("new ranking"), plain(&[Key::Enter])].concat()
    });
    let kinds: Vec<PaneKind> = found.document.layout.tiles.tiles().filter_map(pane_kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == PaneKind::Rank).count(), 1);
    assert_eq!(found.document.pins.len(), 1, "no letter was a shortcut");
    assert!(!found.open[0]);
}

fn pane_kind(tile: &egui_tiles::Tile<featscope::app::Pane>) -> Option<PaneKind> {
    match tile {
        egui_tiles::Tile::Pane(pane) => Some(pane.kind),
        egui_tiles::Tile::Container(_) => None,
    }
}

#[test]
fn what_follows_enter_in_the_palette_is_a_shortcut_again() {
    let (_, found) = assert_same("grid and then the mask", |_| {
        [
            palette(),
            typed("zoom"),
            plain(&[Key::ArrowDown, Key::Enter, Key::G, Key::I]),
        ]
        .concat()
    });
    assert!(found.document.view.zoom < 1.0, "the second one is Zoom out");
    assert!(found.document.display.grid);
    let (_, found) = assert_same("closed and opened again", |_| {
        [
            palette(),
            typed("gib"),
            plain(&[Key::Escape, Key::G]),
            palette(),
            typed("cell grid"),
            plain(&[Key::Enter]),
        ]
        .concat()
    });
    assert!(!found.document.display.grid, "on by its key, and off by its name");
}

#[test]
fn an_arrow_before_more_text_moves_in_the_list_before() {
    let (_, found) = assert_same("arrow and text", |_| {
        [
            palette(),
            typed("zo"),
            plain(&[Key::ArrowDown]),
            typed("om i"),
            plain(&[Key::Enter]),
        ]
        .concat()
    });
    assert!(found.document.view.zoom > 1.0);
}

#[test]
fn the_search_of_layers_takes_text_of_the_frame_that_opens_it() {
    let (_, found) = assert_same("search", |_| {
        [plain(&[Key::Slash]), typed("down self"), plain(&[Key::Enter, Key::G])].concat()
    });
    assert_eq!(found.search, "down self");
    assert!(found.document.display.grid);
    let (_, found) = assert_same("search, walked and left", |_| {
        let arrows = plain(&[Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::Escape, Key::C]);
        [pressed(Key::F, CTRL), typed("self-"), arrows].concat()
    });
    assert_eq!(found.search, "self-");
    assert_ne!(found.document.layer, Some(id(MASSIVE_LAYER)));
}

#[test]
fn a_search_that_is_hidden_takes_text_of_the_frame_that_shows_it() {
    let (_, found) = assert_same("a hidden search", |_| {
        [plain(&[Key::F7, Key::G, Key::Slash]), typed("mid")].concat()
    });
    assert_eq!(found.search, "mid");
    assert!(found.document.display.grid);
}

#[test]
fn a_box_for_a_path_takes_text_of_the_frame_that_opens_it() {
    let mut window = prepared();
    let path = typed("sample:noto-fox");
    let events = [pressed(Key::O, CTRL), path, plain(&[Key::Enter, Key::G])].concat();
    slow(&mut window, &events);
    all_frames(&mut window);
    let source = &window.document().pictures[&ImageSlot::A].source;
    assert_eq!(source.name(), "noto-fox");
    assert!(window.document().display.grid);
    assert_eq!(window.state().path_box.purpose, None);
    // A new picture lets go of its pins: a letter of the path that was a shortcut would have made one, or hidden the map.
    assert!(window.document().pins.is_empty() && window.document().display.overlay);
}

#[test]
fn what_is_typed_behind_a_click_on_a_field_goes_there() {
    let (_, found) = assert_same("a prompt", |window| {
        let field = window.harness.get_by_label("Prompt").rect().center();
        [clicked(field), typed("a cat, big"), plain(&[Key::Enter]), typed("dog")].concat()
    });
    assert_eq!(found.document.settings.prompt, "a cat, big\ndog");
    assert!(!found.document.display.grid && found.document.pins.len() == 1);
}

#[test]
fn keys_and_clicks_of_a_frame_keep_their_order() {
    let (_, found) = assert_same("pins by click", |window| {
        let place = window.place(PaneKind::Picture, ImageSlot::B, [0.4, 0.4]);
        [plain(&[Key::Escape]), clicked(place), plain(&[Key::Delete, Key::G])].concat()
    });
    assert_eq!(found.document.pins.len(), 1, "the pin that was clicked is gone");
    assert!(found.document.display.grid);
}

#[test]
fn toggles_steps_and_arrows_of_a_frame_are_all_done() {
    let (_, found) = assert_same("toggles", |_| {
        plain(&[Key::G, Key::C, Key::I, Key::C, Key::N, Key::L, Key::O, Key::O])
    });
    assert_eq!(found.document.display.map.name(), "cividis");
    assert!(found.document.display.grid && found.document.display.overlay && !found.document.linked);
    let t = |found: &Outcome| found.document.settings.t.value();
    let before = prepared().document().settings.t.value();
    let (_, found) = assert_same("steps of t", |_| plain(&[Key::CloseBracket, Key::CloseBracket]));
    assert!(t(&found) > before);
    assert_same("a pin by cells", |_| {
        plain(&[
            Key::ArrowLeft,
            Key::ArrowUp,
            Key::ArrowUp,
            Key::ArrowRight,
            Key::ArrowDown,
        ])
    });
    let (_, found) = assert_same("undone in the same frame", |_| {
        [plain(&[Key::G, Key::C]), pressed(Key::Z, CTRL), plain(&[Key::U])].concat()
    });
    assert!(found.document.display.grid && found.document.display.loupe);
    assert_eq!(found.document.display.map.name(), "viridis", "one step was undone");
}

#[test]
fn a_key_held_within_a_frame_does_not_stick_and_lasts_as_long_as_it_is_down() {
    let hold = |of: Key, between: Vec<Event>| {
        [
            vec![key(of, true, Modifiers::NONE)],
            between,
            vec![key(of, false, Modifiers::NONE)],
        ]
        .concat()
    };
    for of in [Key::H, Key::X] {
        let (_, found) = assert_same("held and let go", |_| hold(of, Vec::new()));
        assert_eq!(found.hold, None);
        assert_same("with arrows meanwhile", |_| {
            let arrows = plain(&[Key::ArrowLeft, Key::ArrowUp]);
            [hold(of, arrows), plain(&[Key::ArrowRight])].concat()
        });
        assert_same("with a click meanwhile", |window| {
            let place = window.place(PaneKind::Picture, ImageSlot::A, [0.3, 0.6]);
            [hold(of, clicked(place)), plain(&[Key::G])].concat()
        });
    }
    // Down at the end of one slow frame, let go in the next.
    let mut window = prepared();
    slow(&mut window, &[key(Key::H, true, Modifiers::NONE)]);
    all_frames(&mut window);
    assert_eq!(window.state().hold, Some(TemporaryView::Layer));
    slow(&mut window, &[key(Key::H, false, Modifiers::NONE)]);
    all_frames(&mut window);
    assert_eq!(window.state().hold, None);
}

#[test]
fn modifiers_are_those_of_the_event() {
    let (_, found) = assert_same("with and without Shift", |_| {
        [
            pressed(Key::ArrowDown, Modifiers::SHIFT),
            plain(&[Key::ArrowLeft]),
            pressed(Key::ArrowDown, Modifiers::SHIFT),
        ]
        .concat()
    });
    assert!(
        (found.document.display.opacity - 0.5).abs() < 1e-4,
        "{}",
        found.document.display.opacity
    );
}

#[test]
fn steps_of_t_are_round_and_every_value_can_be_reached() {
    let mut window = Opening::default().settled();
    let mut settings = window.document().settings.clone();
    settings.t = 110.into();
    window.apply_and_settle(Command::Settings(settings));
    let t = |window: &Window| window.document().settings.t.value();
    for expected in [120.0, 140.0] {
        window.key(Key::CloseBracket);
        assert_eq!(t(&window), expected);
    }
    window.key_with(Modifiers::SHIFT, Key::CloseBracket);
    assert_eq!(t(&window), 141.0);
    // Most keyboards tell Shift and a bracket as a brace.
    window.key_with(Modifiers::SHIFT, Key::CloseCurlyBracket);
    assert_eq!(t(&window), 142.0);
    window.key_with(Modifiers::SHIFT, Key::OpenBracket);
    assert_eq!(t(&window), 141.0);
    for expected in [140.0, 120.0, 100.0] {
        window.key(Key::OpenBracket);
        assert_eq!(t(&window), expected);
    }
    for _ in 0..8 {
        window.key(Key::OpenBracket);
    }
    assert_eq!(t(&window), 0.0);
    window.settle();
}

#[test]
fn a_key_says_what_it_did_for_a_moment() {
    let mut window = prepared();
    let says = |window: &mut Window, of: Key, words: &str| {
        window.key(of);
        window.assert_says(words);
    };
    says(&mut window, Key::G, "Cell grid: on  (G)");
    says(&mut window, Key::G, "Cell grid: off  (G)");
    window.assert_silent("Cell grid: on  (G)");
    says(&mut window, Key::C, "Colour map: magma  (C)");
    says(&mut window, Key::CloseBracket, "Timestep: 120  (])");
    says(&mut window, Key::Period, "Layer: ");
    says(&mut window, Key::Delete, "Pin 1 deleted  (Delete)");
    assert!(window.state().messages.toasts.is_empty());
    window.settle();
    // It goes by itself.
    for _ in 0..3 {
        window.pause();
    }
    window.assert_silent("Pin 1 deleted");
    assert_eq!(window.wants_frame_in(), None);
    // What is done by name says nothing: who chose it has read it.
    window.act(Action::Grid);
    window.assert_silent("Cell grid: on  (G)");
}
