//! Panes: where they are, what they show and which part of it.

use std::collections::HashSet;

use egui::{Key, Pos2, Rect, emath::GuiRounding as _};
use egui_kittest::kittest::Queryable as _;
use egui_tiles::{Container, Tile};
use featscope::{
    app::{Action, Command, Pane, PaneKind, View},
    engine::ImageSlot,
};

use super::{
    TestResult,
    driver::{CTRL, ORDERS, Opening, Window},
    model::{SELF_MAP, id},
};

const C: usize = 2;

/// What holds a pane.
fn container(window: &Window, kind: PaneKind, slot: ImageSlot) -> &Container {
    let tiles = &window.document().layout.tiles;
    let parent = tiles.parent_of(window.tile(kind, slot)).expect("panes stand in tabs");
    match tiles.get(parent) {
        Some(Tile::Container(container)) => container,
        _ => panic!("a parent is a container"),
    }
}

/// Every child of the layout is there, and every pane hangs in it.
fn assert_whole(window: &Window) {
    let layout = &window.document().layout;
    for tile in layout.tiles.tiles() {
        if let Tile::Container(container) = tile {
            assert!(container.children().all(|child| layout.tiles.get(*child).is_some()));
        }
    }
    for (tile, _) in window.panes() {
        assert!(layout.tiles.parent_of(tile).is_some() || layout.root == Some(tile));
    }
}

#[test]
fn a_window_of_two_samples_shows_the_pca_of_both_and_then_rests() {
    let mut window = Window::settled();
    window.assert_says("noto-cat-face");
    window.assert_says("basis of all pictures");
    window.assert_says("t 100 ran");
    for slot in [ImageSlot::A, ImageSlot::B] {
        for kind in [PaneKind::Picture, PaneKind::Pca] {
            let colours: HashSet<_> = window.pixels(kind, slot).into_iter().collect();
            assert!(colours.len() > 50, "{kind:?} shows {} colours", colours.len());
        }
    }
    assert_eq!(window.wants_frame_in(), None, "nothing moves");
}

/// No pane opens with less room than this, in points.
const LEAST_WIDTH: f32 = 150.0;
const LEAST_HEIGHT: f32 = 110.0;

/// The panes that are not behind others.
fn shown(window: &Window) -> Vec<(PaneKind, ImageSlot)> {
    let panes = window.panes().into_iter().map(|(_, pane)| (pane.kind, pane.slot));
    panes
        .filter(|(kind, slot)| window.app().canvas_rect(*kind, *slot).is_some())
        .collect()
}

#[test]
fn panes_of_every_kind_open_beside_the_one_worked_in_and_close() {
    let mut window = Window::settled();
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    for (action, kind) in [
        (Action::AddPane(PaneKind::Picture), PaneKind::Picture),
        (Action::AddPane(PaneKind::Pca), PaneKind::Pca),
        (Action::AddPane(PaneKind::Heat), PaneKind::Heat),
        (Action::AddPane(PaneKind::Channel), PaneKind::Channel),
    ] {
        window.act(action);
        window.settle();
        let added = window.state().focused.expect("the new one is worked in");
        let (last, pane) = *window.panes().last().expect("there are panes");
        assert_eq!((added, pane.kind, pane.slot), (last, kind, ImageSlot::B));
        window.assert_says(&pane.title());
        for (kind, slot) in shown(&window) {
            let size = window.canvas(kind, slot).size();
            assert!(
                size.x >= LEAST_WIDTH && size.y >= LEAST_HEIGHT,
                "{kind:?} of {slot:?}: {size}"
            );
        }
        assert_whole(&window);
    }
    assert_eq!(window.titles().len(), 8);
    while !window.document().layout.is_empty() {
        let before = window.titles().len();
        window.key_with(CTRL, Key::W);
        window.settle();
        assert_eq!(window.titles().len(), before - 1);
        assert_whole(&window);
    }
    window.assert_says("No pane is open.");
    window.press_button("Standard layout");
    window.settle();
    assert_eq!(window.titles(), ["Picture A", "PCA of A", "Picture B", "PCA of B"]);
}

#[test]
fn a_tab_closes_its_pane_and_the_next_key_closes_another() {
    let mut window = Window::settled();
    window.apply(Command::FocusPane(window.tile(PaneKind::Pca, ImageSlot::A)));
    let tab = window.tab("PCA of A");
    let closes = window.harness.get_all_by_label("Close");
    let close = closes.map(|node| node.rect()).find(|rect| tab.contains_rect(*rect));
    window.click(close.expect("a tab has a button that closes it").center());
    window.settle();
    assert_eq!(window.titles(), ["Picture A", "Picture B", "PCA of B"]);
    window.key_with(CTRL, Key::W);
    window.settle();
    assert_eq!(
        window.titles().len(),
        2,
        "the pane worked in is gone, another one is closed"
    );
    assert_whole(&window);
}

#[test]
fn a_tab_has_a_menu_that_changes_what_its_pane_shows() {
    let mut window = Window::settled();
    for (choice, titles) in [
        (
            "Heat map",
            ["Picture A", "Heat map of A", "Picture B", "PCA of B"].as_slice(),
        ),
        ("of B", &["Picture A", "Heat map of B", "Picture B", "PCA of B"]),
        (
            "Open another beside",
            &["Picture A", "Heat map of B", "Picture B", "PCA of B", "Heat map of B"],
        ),
        ("Close", &["Picture A", "Heat map of B", "Picture B", "Heat map of B"]),
    ] {
        let title = window.titles()[if choice == "Close" { 3 } else { 1 }].clone();
        window.right_click(window.tab(&title).left_center() + egui::vec2(8.0, 0.0));
        // Tabs have buttons of this name, too; menus come last.
        let item = window.named(choice).last();
        item.expect("the menu has it").click();
        window.step();
        window.pause();
        window.settle();
        assert_eq!(window.titles(), titles, "after \"{choice}\"");
        assert_whole(&window);
    }
}

#[test]
fn a_tab_is_dragged_onto_another_pane_and_out_again() {
    let mut window = Window::settled();
    let beside = window.canvas(PaneKind::Picture, ImageSlot::A);
    let grip = |window: &Window, title: &str| window.tab(title).left_center() + egui::vec2(8.0, 0.0);
    window.drag(grip(&window, "PCA of A"), beside.center());
    window.settle();
    assert!(
        matches!(container(&window, PaneKind::Pca, ImageSlot::A), Container::Tabs(tabs) if tabs.children.len() == 2)
    );
    assert_whole(&window);
    // The one behind is not painted; its tab brings it to the front.
    assert_eq!(window.app().canvas_rect(PaneKind::Picture, ImageSlot::A), None);
    window.click(grip(&window, "Picture A"));
    window.settle();
    assert!(window.canvas(PaneKind::Pca, ImageSlot::B).width() > beside.width());
    assert_eq!(window.app().canvas_rect(PaneKind::Pca, ImageSlot::A), None);
    // To the lower edge of another: above each other.
    let target = window.canvas(PaneKind::Picture, ImageSlot::B);
    window.drag(
        grip(&window, "PCA of A"),
        target.center_bottom() - egui::vec2(0.0, 0.3 * target.height()),
    );
    window.settle();
    let [pca, picture] = [PaneKind::Pca, PaneKind::Picture]
        .into_iter()
        .zip([ImageSlot::A, ImageSlot::B])
        .map(|(kind, slot)| window.canvas(kind, slot))
        .collect::<Vec<Rect>>()[..]
    else {
        panic!("both are shown");
    };
    assert!(pca.top() > picture.bottom() && pca.left() == picture.left());
    assert_whole(&window);
    // A drag is one step.
    window.act(Action::Undo);
    window.settle();
    assert!(
        matches!(container(&window, PaneKind::Pca, ImageSlot::A), Container::Tabs(tabs) if tabs.children.len() == 2)
    );
}

#[test]
fn the_line_between_panes_is_dragged() {
    let mut window = Window::settled();
    let before = window.canvas(PaneKind::Picture, ImageSlot::A);
    let other = window.canvas(PaneKind::Picture, ImageSlot::B);
    let line = Pos2::new((before.right() + other.left()) / 2.0, before.center().y);
    window.drag(line, line + egui::vec2(60.0, 0.0));
    let moved = window.canvas(PaneKind::Picture, ImageSlot::A);
    assert!(
        (moved.width() - before.width() - 60.0).abs() < 8.0,
        "{moved} was {before}"
    );
    window.act(Action::Undo);
    window.settle();
    let back = window.canvas(PaneKind::Picture, ImageSlot::A);
    assert_eq!(back.round_to_pixels(1.0), before.round_to_pixels(1.0));
}

#[test]
fn a_third_picture_has_its_own_panes_heat_and_best_match() -> TestResult {
    let mut window = Opening::of_columns(3).settled();
    let third = ImageSlot::nth(C).ok_or("a third slot")?;
    assert_eq!(window.titles().len(), 6);
    window.assert_says("Picture C  columns-c.png");
    for colour in 0..4 {
        window.hover(window.screen(PaneKind::Picture, ImageSlot::A, [16.0 + 32.0 * colour as f64, 64.0]));
        window.settle();
        for (slot, (_, order)) in [ImageSlot::B, third].into_iter().zip(&ORDERS[1..]) {
            let heat = window.state().heat_on(slot).ok_or("a heat map")?;
            let best = heat.best.first().ok_or("a best match")?;
            let most = heat.scores.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(best.score, most);
            let column = best.at[0] as usize / 32;
            assert_eq!(order[column], ORDERS[0].1[colour], "colour {colour} in {}", slot.name());
        }
        window.assert_says("best in C: cell (");
    }
    // Over the third picture, too, the pointer asks for the others.
    window.hover(window.screen(PaneKind::Picture, third, [16.0, 64.0]));
    window.settle();
    window.assert_says("C pixel (16, 64)");
    window.assert_says("best in A: cell (");
    Ok(())
}

#[test]
fn the_wheel_zooms_about_the_pointer() {
    let mut window = Window::settled();
    let pos = window.place(PaneKind::Picture, ImageSlot::A, [0.4, 0.6]);
    window.hover(pos);
    let pixel = window.state().hover.expect("over the picture").at;
    let mut zoom = 1.0;
    for _ in 0..3 {
        window.wheel(pos, 240.0);
        window.settle();
        let view = window.document().view;
        assert!(view.zoom > 1.5 * zoom, "{} after {zoom}", view.zoom);
        zoom = view.zoom;
        let now = window.state().hover.expect("over the picture").at;
        let apart = (now[0] - pixel[0]).hypot(now[1] - pixel[1]);
        assert!(apart < 0.05, "{now:?} was {pixel:?}");
    }
    window.wheel(pos, -2400.0);
    assert!(window.document().view.zoom >= 0.5, "no smaller than half");
    window.key(Key::F);
    assert_eq!(window.document().view, View::default());
}

#[test]
fn panes_move_together_or_each_on_its_own() {
    let mut window = Window::settled();
    let from = window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]);
    window.leave();
    let before = window.pixels(PaneKind::Picture, ImageSlot::B);
    window.wheel(from, 300.0);
    window.drag(from, from + egui::vec2(40.0, -25.0));
    window.leave();
    window.settle();
    let view = window.document().view;
    assert!(view.centre[0] < 0.5 && view.centre[1] > 0.5, "{view:?}");
    assert_ne!(window.pixels(PaneKind::Picture, ImageSlot::B), before);

    window.key(Key::F);
    window.leave();
    window.settle();
    assert_eq!(window.pixels(PaneKind::Picture, ImageSlot::B), before);
    window.key(Key::L);
    assert!(!window.document().linked);
    window.wheel(from, 300.0);
    window.leave();
    window.settle();
    assert_eq!(window.document().view, View::default());
    assert_eq!(window.pixels(PaneKind::Picture, ImageSlot::B), before);
    let zoomed = |window: &Window| {
        let panes = window.panes();
        let zoomed = panes.iter().filter(|(_, pane)| pane.view != View::default());
        zoomed.map(|(_, pane)| pane.title()).collect::<Vec<_>>()
    };
    assert_eq!(zoomed(&window), ["Picture A"]);
    // What is pressed works where the pointer was last pressed.
    window.apply(Command::FocusPane(window.tile(PaneKind::Pca, ImageSlot::B)));
    window.key(Key::Plus);
    assert_eq!(zoomed(&window), ["Picture A", "PCA of B"]);
}

#[test]
fn one_pixel_on_one_pixel_and_all_by_a_double_click() {
    let mut window = Window::settled();
    window.key(Key::Num1);
    let canvas = window.canvas(PaneKind::Picture, ImageSlot::A);
    let size = window
        .state()
        .slot(ImageSlot::A)
        .picture
        .as_ref()
        .expect("it is open")
        .size;
    let fit = (canvas.width() / size.width as f32).min(canvas.height() / size.height as f32);
    assert!((window.document().view.zoom * fit - 1.0).abs() < 1e-4);
    // A pixel of the picture is one of the screen.
    let [left, right] = [10.0, 60.0].map(|x| window.screen(PaneKind::Picture, ImageSlot::A, [x, 80.0]));
    assert!((right.x - left.x - 50.0).abs() < 1e-3);
    window.hover(left);
    assert!((window.state().hover.expect("over the picture").at[0] - 10.0).abs() < 1e-3);
    window.double_click(canvas.center());
    assert_eq!(window.document().view, View::default());
    assert!(window.document().pins.is_empty(), "a double click fixes no point");
}

#[test]
fn cells_have_lines_numbers_and_an_outline_when_there_is_room() {
    let mut window = Opening::of_columns(2).settled();
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [20.0, 68.0]));
    window.leave();
    window.settle();
    let show = |window: &mut Window, action| {
        let before = window.pixels(PaneKind::Picture, ImageSlot::B);
        window.act(action);
        let after = window.pixels(PaneKind::Picture, ImageSlot::B);
        window.act(action);
        before != after
    };
    assert!(show(&mut window, Action::Grid), "lines");
    assert!(!show(&mut window, Action::Numbers), "no number fits into a cell");
    let centre = window.place(PaneKind::Picture, ImageSlot::B, [0.5, 0.5]);
    window.wheel(centre, 720.0);
    window.leave();
    window.settle();
    assert!(show(&mut window, Action::Numbers), "numbers");
}

#[test]
fn the_cell_of_the_query_is_outlined() {
    let mut window = Opening::of_columns(2).settled();
    window.leave();
    window.settle();
    let before = window.render();
    // The middle of a cell of 8 pixels.
    let cell = [19.5, 67.5];
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, cell));
    window.leave();
    window.settle();
    let after = window.render();
    let at = |picture: &image::RgbaImage, pos: Pos2| picture.get_pixel(pos.x as u32, pos.y as u32).0;
    let middle = window.screen(PaneKind::Picture, ImageSlot::A, cell);
    let edge = window
        .screen(PaneKind::Picture, ImageSlot::A, [cell[0] + 4.0, cell[1]])
        .x
        - middle.x;
    for direction in [
        egui::vec2(1.0, 0.7),
        egui::vec2(-1.0, 0.7),
        egui::vec2(0.7, 1.0),
        egui::vec2(-0.7, -1.0),
    ] {
        // Somewhere around the edge there is its line.
        let changed = (-2..=2).any(|off| {
            let out = if direction.x.abs() == 1.0 {
                egui::vec2(direction.x * (edge + off as f32), direction.y * edge)
            } else {
                egui::vec2(direction.x * edge, direction.y * (edge + off as f32))
            };
            at(&before, middle + out) != at(&after, middle + out)
        });
        assert!(changed, "no line in direction {direction}");
        let beyond = middle + 1.6 * edge * direction;
        assert_eq!(at(&before, beyond), at(&after, beyond), "nothing beyond");
    }
}

#[test]
fn a_loupe_shows_what_is_at_the_pointer_larger() {
    let mut window = Window::settled();
    let pos = window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]);
    window.hover(pos);
    window.settle();
    let before = window.pixels(PaneKind::Picture, ImageSlot::A);
    window.key(Key::U);
    window.settle();
    assert!(window.document().display.loupe);
    let with = window.pixels(PaneKind::Picture, ImageSlot::A);
    let changed = before.iter().zip(&with).filter(|(a, b)| a != b).count();
    assert!((2_000..40_000).contains(&changed), "{changed} pixels");
    for kind in [PaneKind::Pca, PaneKind::Heat] {
        window.apply(Command::AddPane(Pane::new(kind, ImageSlot::A)));
        window.settle();
        window.hover(window.place(kind, ImageSlot::A, [0.4, 0.4]));
        window.settle();
    }
    window.leave();
    window.settle();
    window.key(Key::U);
    assert_eq!(window.state().hover, None);
}

#[test]
fn the_loupe_over_colours_that_are_not_there_shows_the_picture() {
    let mut window = Window::settled();
    let colours =
        |window: &mut Window, kind| -> HashSet<[u8; 4]> { window.pixels(kind, ImageSlot::A).into_iter().collect() };
    // Nothing lies over the picture yet.
    let picture = colours(&mut window, PaneKind::Picture);
    window.apply(Command::SelectLayer(id(SELF_MAP)));
    window.settle();
    window.hover(window.place(PaneKind::Pca, ImageSlot::A, [0.5, 0.5]));
    window.settle();
    let before = colours(&mut window, PaneKind::Pca);
    window.key(Key::U);
    window.settle();
    let mut new = colours(&mut window, PaneKind::Pca);
    new.retain(|colour| !before.contains(colour));
    // An empty loupe has the colours of its ground and its border alone.
    assert!(
        new.iter().any(|colour| picture.contains(colour)),
        "none of the picture's colours is among {new:?}"
    );
}

#[test]
fn keys_go_from_pane_to_pane() {
    let mut window = Window::settled();
    let mut walked = Vec::new();
    for _ in 0..5 {
        window.key(Key::F6);
        walked.push(window.state().focused_pane().expect("one is worked in").title());
    }
    // Before one was chosen the first was worked in.
    assert_eq!(walked, ["PCA of A", "Picture B", "PCA of B", "Picture A", "PCA of A"]);
    // What is done next is done there.
    window.act(Action::AddPane(PaneKind::Heat));
    assert_eq!(window.titles().last().map(String::as_str), Some("Heat map of A"));
}

#[test]
fn nothing_jumps_when_the_pointer_comes_and_goes() {
    let mut window = Window::settled();
    let place = |window: &Window| window.canvas(PaneKind::Picture, ImageSlot::A).round_to_pixels(1.0);
    let before = place(&window);
    window.hover(before.center());
    window.settle();
    assert_eq!(place(&window), before);
    window.leave();
    window.settle();
    assert_eq!(place(&window), before);
}
