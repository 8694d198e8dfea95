//! Everything has a name that a screen reader can say, and everything can be reached with the keyboard.

use std::collections::{BTreeMap, BTreeSet};

use egui::{
    Key,
    accessibility::is_input,
    accesskit::{self, Role},
};
use egui_kittest::{
    Node,
    kittest::{NodeT as _, Queryable as _},
};
use featscope::{
    app::{Abilities, Action, Command, Menu, PaneKind, PathBox, PathPurpose},
    engine::ImageSlot,
};

use super::{
    driver::{CTRL, Opening, Window},
    fake::Fault,
    model::MASSIVE_LAYER,
};

/// Whether something can be done with it. What a library drags and scrolls by has no role; keys do the same elsewhere.
fn is_interactive(node: &Node<'_>) -> bool {
    let node = node.accesskit_node();
    let clicked = node.data().supports_action(accesskit::Action::Click);
    let bare = matches!(node.role(), Role::Unknown | Role::ScrollBar);
    (is_input(node.role()) || clicked && !bare) && !node.is_hidden() && !node.data().is_read_only()
}

fn name(node: &Node<'_>) -> String {
    node.accesskit_node().label().unwrap_or_default().trim().to_owned()
}

/// Everything that can be used has a name, in a window in some state.
#[track_caller]
fn assert_named(window: &Window, what: &str) {
    window.harness.check_accessibility();
    let nodes = window.harness.root().children_recursive();
    let unnamed: Vec<_> = nodes
        .filter(|node| is_interactive(node) && name(node).is_empty())
        .map(|node| {
            let parent = node.parent().map(|parent| name(&parent));
            format!("{:?} at {} in {parent:?}", node.accesskit_node().role(), node.rect())
        })
        .collect();
    assert!(unnamed.is_empty(), "{what}: {unnamed:#?}");
}

/// A window that shows as much as there is at a time.
fn full() -> Window {
    let mut window = Window::settled();
    window.select(MASSIVE_LAYER);
    window.act(Action::AddPin);
    window.act(Action::AddPane(PaneKind::Channel));
    window.act(Action::AddPane(PaneKind::Heat));
    window.act(Action::Foreground);
    window.settle();
    window.choose("clip at percentiles");
    window
}

#[test]
fn everything_has_a_name() {
    let mut window = full();
    assert_named(&window, "the window");
    for action in [Action::Keys, Action::Log, Action::FrameTimes, Action::About] {
        window.act(action);
        window.settle();
    }
    window.act(Action::CopyMatches);
    window.harness.run();
    assert_named(&window, "windows over it");
    for action in [Action::Keys, Action::Log, Action::FrameTimes, Action::About] {
        window.act(action);
    }
    window.act(Action::Palette);
    window.harness.run();
    assert_named(&window, "the palette");
    window.act(Action::Palette);
    window.apply(Command::AskPath(PathPurpose::OpenBasis));
    window.harness.run();
    assert_named(&window, "the box for paths");
    window.apply(Command::PathBox(PathBox::default()));
    window.apply(Command::Search("down".to_owned()));
    window.settle();
    assert_named(&window, "found layers");
}

#[test]
fn every_menu_and_list_has_names() {
    let mut window = full();
    for menu in Menu::ALL {
        window.harness.get_by_role_and_label(Role::Button, menu.title()).click();
        window.step();
        window.settle();
        assert_named(&window, menu.title());
        window.key(Key::Escape);
        window.settle();
        window.pause();
    }
    for list in ["Model", "Colour map", "Channel colours", "Basis of"] {
        window
            .harness
            .get_by_role_and_label(Role::ComboBox, list)
            .click_accesskit();
        window.step();
        window.settle();
        assert_named(&window, list);
        window.key(Key::Escape);
        window.settle();
        window.pause();
    }
    // Beside so many others the pane is narrow: its tab has its letter and its name alone.
    window.right_click(window.tab("A  noto-cat-face").left_center() + egui::vec2(8.0, 0.0));
    window.settle();
    assert_named(&window, "the menu of a tab");
}

#[test]
fn jobs_errors_and_questions_have_names() {
    let mut window = Opening::of_model("fake-slow").open();
    window.until("a job", |window| window.says("Reading fake-slow"));
    window.harness.run();
    assert_named(&window, "a model that is read");
    window.fake.go(6);
    window.settle();
    window.apply(Command::UsePath(PathPurpose::Extract, window.path("maps.safetensors")));
    window.until("progress", |window| window.says("1 / 2"));
    window.harness.run();
    assert_named(&window, "a job");
    window.fake.go_on();
    window.until("the end of it", |window| window.state().jobs.is_empty());
    window.fake.expect_fault(Fault::OutOfMemory);
    window.act(Action::LaterTimestep);
    window.act(Action::Run);
    window.until("an error", |window| window.state().run.error.is_some());
    window.apply(Command::LoadModel("missing".to_owned()));
    window.until("an error", |window| window.state().model.error.is_some());
    window.harness.run();
    assert_named(&window, "errors");
    for slot in [ImageSlot::A, ImageSlot::B] {
        window.apply(Command::ClosePicture(slot));
    }
    window.settle();
    assert_named(&window, "no picture");
    for tile in window.panes().iter().map(|(tile, _)| *tile).collect::<Vec<_>>() {
        window.apply(Command::ClosePane(tile));
    }
    window.settle();
    assert_named(&window, "no pane");
}

/// What is called the same and stands at different places. A tab's closing button is told by the tab before it.
#[test]
fn names_tell_one_control_from_another() {
    let window = full();
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let nodes = window.harness.root().children_recursive();
    for node in nodes.filter(is_interactive) {
        let role = format!("{:?}", node.accesskit_node().role());
        *places.entry((role, name(&node))).or_default() += 1;
    }
    let several: Vec<_> = places
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(key, _)| key.1.as_str())
        .collect();
    // The toolbar repeats what is done most; groups of layers are told by the one around them.
    let known = |name: &str| {
        let repeated = Action::ALL
            .iter()
            .any(|action| action.name().trim_end_matches('…') == name);
        repeated || ["Close", "Resize panel", "repeat 0", "repeat 1", "vit block 0"].contains(&name)
    };
    let unknown: Vec<_> = several.into_iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn the_palette_reaches_every_action() {
    let mut window = full();
    window.apply_and_settle(Command::SelectPin(Some(1)));
    for action in Action::ALL.iter().filter(|action| **action != Action::Palette) {
        if !window.state().can(*action) {
            continue;
        }
        window.key_with(CTRL, Key::P);
        window.type_text(action.name());
        window.harness.run();
        let line = format!("{}, {}", action.name(), action.entry().menu.title());
        let listed = window.words().iter().any(|words| words.starts_with(&line));
        assert!(listed, "{action:?} is not listed");
        window.key(Key::Escape);
        window.step();
        assert_eq!(window.state().overlays.palette, None);
    }
}

#[test]
fn tab_goes_through_everything_that_can_be_used() {
    let mut window = Window::settled();
    let nodes = window.harness.root().children_recursive();
    let focusable = nodes.filter(|node| {
        let node = node.accesskit_node();
        node.data().supports_action(accesskit::Action::Focus) && !node.is_disabled() && is_input(node.role())
    });
    let wanted: BTreeSet<String> = focusable.map(|node| name(&node)).collect();
    assert!(wanted.len() > 60, "{}", wanted.len());
    let mut reached = BTreeSet::new();
    for _ in 0..3 * wanted.len() {
        window.key(Key::Tab);
        let nodes = window.harness.root().children_recursive();
        reached.extend(nodes.filter(Node::is_focused).map(|node| name(&node)));
    }
    let missed: Vec<_> = wanted.difference(&reached).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_canvas_says_what_it_shows() {
    let window = full();
    for (kind, words) in [
        (PaneKind::Picture, "Picture A"),
        (PaneKind::Pca, "PCA of A"),
        (PaneKind::Heat, "Heat map of A"),
        (PaneKind::Channel, "Channel of A"),
    ] {
        let canvas = window.harness.get_by_role_and_label(Role::Image, words).rect();
        assert_eq!(canvas, window.canvas(kind, ImageSlot::A), "{words}");
    }
}
