//! Everything that can be done by name: the table of actions, menus, keys, the palette and the key sheet.

use egui::{Event, Key, Modifiers, accesskit::Role};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Abilities, Action, Command, LaunchOptions, Level, Menu, PaneKind, PathBox, TemporaryView, shortcut_text},
    engine::ImageSlot,
};

use super::{
    driver::{CTRL, Opening, Window},
    fake::Fault,
    model::{MASSIVE_LAYER, id},
};

/// A window without model and pictures.
fn empty() -> Window {
    let mut opening = Opening::default();
    let nowhere = opening.folder.path().join("nowhere.png");
    opening.arguments = LaunchOptions {
        files: vec![nowhere],
        model: Some("missing".to_owned()),
    };
    let mut window = opening.open();
    window.until("two errors", |window| {
        window.state().model.error.is_some() && window.state().slot(ImageSlot::A).error.is_some()
    });
    window
}

/// Does everything once, from the first action to the last or the other way round.
fn do_everything(window: &mut Window, order: impl Iterator<Item = Action>) {
    for action in order {
        window.act(action);
        window.harness.run();
        if window.state().hold.is_some() {
            window.act(action);
        }
        window.apply(Command::PathBox(PathBox::default()));
        assert_eq!(window.state().hold, None, "after {action:?}");
        assert_eq!(window.state().recovered, None, "after {action:?}");
    }
}

#[test]
fn every_action_can_be_done_on_a_settled_window() {
    let mut window = Window::settled();
    do_everything(&mut window, Action::ALL.iter().copied());
    window.settle();
    let mut window = Window::settled();
    window.act(Action::AddPin);
    do_everything(&mut window, Action::ALL.iter().rev().copied());
    window.settle();
    let errors = window
        .state()
        .messages
        .log
        .iter()
        .filter(|line| line.level == Level::Error);
    assert_eq!(
        errors.map(|line| line.text.clone()).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[test]
fn every_action_can_be_done_on_an_empty_window() {
    for backwards in [false, true] {
        let mut window = empty();
        if backwards {
            do_everything(&mut window, Action::ALL.iter().rev().copied());
        } else {
            do_everything(&mut window, Action::ALL.iter().copied());
        }
        assert!(window.app().is_settled());
    }
}

#[test]
fn menus_hold_every_action_once() {
    let mut window = Window::settled();
    for menu in Menu::ALL {
        window.harness.get_by_role_and_label(Role::Button, menu.title()).click();
        window.step();
        window.settle();
        for action in Action::of_menu(menu) {
            let key = action.key_text(&window.harness.ctx);
            let line = format!("{} {key}", action.name());
            let lines = window.words().into_iter().filter(|words| *words == line);
            assert_eq!(lines.count(), 1, "{action:?} in {}", menu.title());
        }
        window.key(Key::Escape);
        window.settle();
        window.pause();
    }
    window.harness.get_by_label("View").click();
    window.step();
    window.settle();
    window.choose("Cell grid G");
    window.pause();
    assert!(window.document().display.grid);
}

#[test]
fn the_palette_finds_what_can_be_done_layers_samples_and_models() {
    let mut window = Window::settled();
    let choose = |window: &mut Window, words: &str| {
        window.key_with(CTRL, Key::P);
        window.settle();
        window.type_text(words);
        window.settle();
        window.key(Key::Enter);
        window.settle();
        assert_eq!(window.state().overlays.palette, None);
    };
    choose(&mut window, "cell grid");
    assert!(window.document().display.grid);
    choose(&mut window, "mid res-out");
    assert_eq!(window.layer(), id(MASSIVE_LAYER));
    choose(&mut window, "noto-panda sample");
    window.until("another picture", |window| window.says("A: noto-panda"));
    // It is closed by Esc, by a click elsewhere, and says when nothing fits.
    let before = window.document().clone();
    window.key_with(CTRL, Key::P);
    window.type_text("zzz");
    window.settle();
    window.assert_says("Nothing has all of these words.");
    window.key(Key::Enter);
    assert_eq!(window.state().overlays.palette, None);
    window.key_with(CTRL, Key::P);
    window.settle();
    window.key(Key::Escape);
    assert_eq!(window.state().overlays.palette, None);
    window.key_with(CTRL, Key::P);
    window.settle();
    window.click(window.place(PaneKind::Picture, ImageSlot::B, [0.5, 0.9]));
    assert_eq!(window.state().overlays.palette, None);
    assert_eq!(window.document().display, before.display);
    assert_eq!(window.document().layer, before.layer);
}

#[test]
fn arrows_choose_in_the_palette() {
    let mut window = Window::settled();
    let layer = window.layer();
    window.act(Action::AddPin);
    let pins = window.document().pins.clone();
    window.key_with(CTRL, Key::P);
    window.type_text("zoom");
    window.settle();
    window.key(Key::ArrowDown);
    window.key(Key::Enter);
    window.settle();
    assert!(window.document().view.zoom < 1.0, "the second one is Zoom out");
    assert_eq!((window.layer(), &window.document().pins), (layer, &pins));
}

#[test]
fn what_is_typed_and_enter_of_one_frame_choose_what_was_typed() {
    let mut window = Window::settled();
    window.key_with(CTRL, Key::P);
    window.settle();
    // The harness gives every event a frame of its own: these two come in one.
    let enter = Event::Key {
        key: Key::Enter,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::NONE,
    };
    let events = &mut window.harness.input_mut().events;
    events.extend([Event::Text("mid res-out".to_owned()), enter]);
    window.step();
    window.settle();
    assert_eq!(window.state().overlays.palette, None);
    assert_eq!(window.layer(), id(MASSIVE_LAYER));
}

#[test]
fn the_key_sheet_lists_every_shortcut() {
    let mut window = Window::settled();
    window.key(Key::F1);
    window.settle();
    let context = window.harness.ctx.clone();
    for action in Action::ALL {
        for shortcut in action.entry().shortcuts {
            let keys = shortcut_text(&context, shortcut);
            assert!(window.words().contains(&keys), "{keys} of {action:?}");
            window.assert_says(action.name());
        }
    }
    window.key(Key::Escape);
    window.settle();
    assert!(!window.state().overlays.keys);
}

#[test]
fn escape_does_one_thing_at_a_time() {
    let mut window = Window::settled();
    window.act(Action::AddPin);
    for action in [Action::Keys, Action::Log, Action::About] {
        window.act(action);
        window.settle();
    }
    // A message in the corner lies over all windows and changes nothing of that.
    window.act(Action::CopyMatches);
    window.settle();
    let open = |window: &Window| {
        let overlays = &window.state().overlays;
        [overlays.keys, overlays.log, overlays.about]
    };
    for expected in [[true, true, false], [true, false, false], [false, false, false]] {
        assert_eq!(window.document().selected_pin, Some(1));
        window.key(Key::Escape);
        window.settle();
        assert_eq!(open(&window), expected);
    }
    window.key(Key::Escape);
    assert_eq!(window.document().selected_pin, None);
}

/// Every key that writes something, with what it writes.
fn writing_keys() -> Vec<(Key, String)> {
    let written = |key: &Key| {
        let symbol = key.symbol_or_name();
        (symbol.len() == 1).then(|| (*key, symbol.to_lowercase()))
    };
    Key::ALL.iter().filter_map(written).collect()
}

#[test]
fn what_is_typed_into_a_text_field_does_nothing_else() {
    let mut window = Window::settled();
    window.act(Action::AddPin);
    window.pause();
    window.harness.get_by_label("Prompt").focus();
    window.step();
    let before = window.document().clone();
    let layout = window.titles();
    let mut typed = String::new();
    for (key, text) in writing_keys() {
        window.harness.key_down(key);
        window.harness.event(Event::Text(text.clone()));
        window.harness.key_up(key);
        window.step();
        typed += &text;
    }
    window.settle();
    assert!(
        typed.contains('q') && typed.contains('0') && typed.contains('?'),
        "{typed}"
    );
    assert_eq!(window.document().settings.prompt, typed);
    // Keys that change text: its end is deleted, words are, what was deleted comes back.
    for (modifiers, key) in [
        (Modifiers::NONE, Key::Backspace),
        (Modifiers::NONE, Key::Delete),
        (Modifiers::NONE, Key::ArrowLeft),
        (Modifiers::NONE, Key::Enter),
        (CTRL, Key::W),
        (CTRL, Key::Z),
        (CTRL | Modifiers::SHIFT, Key::Z),
        (CTRL, Key::Y),
        (Modifiers::SHIFT, Key::Delete),
    ] {
        window.key_with(modifiers, key);
    }
    window.settle();
    let mut after = window.document().clone();
    after.settings = before.settings.clone();
    assert_eq!(after, before);
    assert_eq!(window.titles(), layout);
    // Esc leaves the field, and nothing more.
    window.key(Key::Escape);
    assert_eq!(window.document().selected_pin, Some(1));
    window.key(Key::Escape);
    assert_eq!(window.document().selected_pin, None);
}

#[test]
fn arrows_walk_through_what_the_search_finds() {
    let mut window = Window::settled();
    window.key_with(CTRL, Key::F);
    window.settle();
    window.type_text("down self-");
    window.settle();
    let mut walked = Vec::new();
    for _ in 0..8 {
        window.key(Key::ArrowDown);
        walked.push(window.layer().to_string());
    }
    assert!(walked.iter().all(|name| name.contains("self-")), "{walked:?}");
    assert_eq!(walked[6], walked[7], "to its end and no further");
    window.apply(Command::Search("no such layer".into()));
    window.settle();
    window.assert_says("No layer has all of these words.");
    window.key(Key::ArrowDown);
    assert_eq!(window.layer().to_string(), walked[7]);
}

#[test]
fn a_held_key_shows_the_layer_before_as_long_as_it_is_down() {
    let mut window = Window::settled();
    assert!(!window.state().can(Action::HoldLayer), "there is no layer before");
    let first = window.layer();
    let first_pixels = window.pixels(PaneKind::Pca, ImageSlot::A);
    window.select(MASSIVE_LAYER);
    let pixels = window.pixels(PaneKind::Pca, ImageSlot::A);
    window.harness.key_down(Key::H);
    window.step();
    assert_eq!(window.state().hold, Some(TemporaryView::Layer));
    window.settle();
    assert_eq!(window.state().layer(), Some(first));
    window.assert_says(&format!("PCA of A  {first}"));
    assert_eq!(window.pixels(PaneKind::Pca, ImageSlot::A), first_pixels);
    assert_eq!(window.layer(), id(MASSIVE_LAYER), "nothing is changed");
    window.harness.key_up(Key::H);
    window.step();
    window.settle();
    assert_eq!(window.state().hold, None);
    assert_eq!(window.pixels(PaneKind::Pca, ImageSlot::A), pixels);
}

#[test]
fn a_held_key_shows_the_other_picture_as_long_as_it_is_down() {
    let mut window = Window::settled();
    let before = window.document().clone();
    let [a, b] = [ImageSlot::A, ImageSlot::B].map(|slot| window.pixels(PaneKind::Picture, slot));
    window.harness.key_down(Key::X);
    window.step();
    window.settle();
    let held = [ImageSlot::A, ImageSlot::B].map(|slot| window.pixels(PaneKind::Picture, slot));
    assert!(held[0] != a && held[1] != b);
    window.assert_says("Picture B  fluent-dog-face");
    window.harness.key_up(Key::X);
    window.step();
    window.settle();
    assert_eq!(
        [ImageSlot::A, ImageSlot::B].map(|slot| window.pixels(PaneKind::Picture, slot)),
        [a, b]
    );
    assert_eq!(*window.document(), before);
    // By name it holds until it is done again.
    window.act(Action::HoldSlot);
    window.settle();
    assert_eq!(
        (window.state().hold, window.state().is_on(Action::HoldSlot)),
        (Some(TemporaryView::Slot), Some(true))
    );
    window.act(Action::HoldSlot);
    window.settle();
    assert_eq!(window.state().hold, None);
}

#[test]
fn a_text_field_keeps_the_keyboard_while_things_come_and_go() {
    let mut window = Opening::of_model("fake-slow").open();
    for field in ["Search layers", "Prompt"] {
        window.fake.go(2);
        window.until("a model", |window| window.state().model.info.is_some());
        window.until("a run", |window| window.state().run.running.is_some());
        let node = window.harness.get_by_label(field);
        node.focus();
        window.step();
        // While the model runs, when it has failed, when it runs again.
        let is_focused = |window: &Window| window.harness.get_by_label(field).is_focused();
        assert!(is_focused(&window), "{field}");
        window.act(Action::Cancel);
        window.fake.go(1);
        window.until("the end of the run", |window| window.state().run.running.is_none());
        assert!(is_focused(&window), "{field} after the run");
        window.fake.expect_fault(Fault::OutOfMemory);
        window.act(Action::Run);
        window.until("an error", |window| window.state().run.error.is_some());
        assert!(is_focused(&window), "{field} with an error");
        window.act(Action::Run);
        window.until("another run", |window| window.state().run.running.is_some());
        assert!(is_focused(&window), "{field} in another run");
        window.act(Action::Inspector);
        window.step();
        assert!(is_focused(&window), "{field} beside a side that is hidden");
        window.act(Action::Cancel);
        window.fake.go(1);
        window.until("the end of the run", |window| window.state().run.running.is_none());
        window.apply(Command::LoadModel("fake-slow".to_owned()));
    }
}
