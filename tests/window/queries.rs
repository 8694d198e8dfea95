//! What is similar to a point or a region: hovering, pins, matches, and what is written of them.

use std::fs;

use egui::{Key, Modifiers, OutputCommand, Pos2, Vec2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Abilities, Action, Command, PaneKind, PathPurpose, PointAt},
    engine::{ImageSlot, QueryAt, RankedMatch},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{CTRL, Opening, Window},
    model::{SELF_MAP, TEXT_MAP, id},
};

/// The heat map over a picture, once it has come.
#[track_caller]
fn heat(window: &mut Window, slot: ImageSlot) -> Vec<f32> {
    window.settle();
    let heat = window.state().heat_on(slot).expect("a heat map is shown");
    heat.scores.clone()
}

/// A point of the first picture on the screen.
fn at(window: &Window, point: [f64; 2]) -> Pos2 {
    window.screen(PaneKind::Picture, ImageSlot::A, point)
}

fn pins(window: &Window) -> Vec<(u32, ImageSlot, [f64; 2])> {
    let pins = window.document().pins.iter();
    pins.map(|pin| match &pin.at {
        QueryAt::Point(at) => (pin.number, pin.slot, at.map(f64::round)),
        QueryAt::Region { path, .. } => (pin.number, pin.slot, path[0].map(f64::round)),
        QueryAt::Word(token) => panic!("pin {} is at token {token}", pin.number),
    })
    .collect()
}

/// Matches of a pin in a picture, as they came.
fn best(window: &Window, pin: u32, slot: ImageSlot) -> Vec<RankedMatch> {
    let matches = window.state().matches.iter().flat_map(|matches| &matches.pins);
    let targets = matches
        .filter(|found| found.pin == pin)
        .flat_map(|found| &found.targets);
    targets
        .filter(|target| target.slot == slot)
        .flat_map(|target| target.best.clone())
        .collect()
}

#[test]
fn the_heat_map_follows_the_pointer_until_a_click_pins_it() {
    let mut window = Window::settled();
    window.hover(at(&window, [80.0, 80.0]));
    let first = heat(&mut window, ImageSlot::B);
    window.assert_says("A pixel (80, 80)  cell (5, 5)  cosine 1.0000");
    window.assert_says("best in B: (");
    window.hover(at(&window, [80.0, 30.0]));
    let second = heat(&mut window, ImageSlot::B);
    assert_ne!(first, second);

    window.click(at(&window, [80.0, 80.0]));
    assert_eq!(heat(&mut window, ImageSlot::B), first);
    window.hover(window.place(PaneKind::Pca, ImageSlot::B, [0.5, 0.3]));
    assert_eq!(heat(&mut window, ImageSlot::B), first, "pinned, it stays");
    window.assert_says("B pixel (");
    window.assert_says("cosine 0.");

    window.key(Key::Escape);
    window.settle();
    assert_eq!(window.document().selected_pin, None);
    assert_eq!(
        window.document().pins.len(),
        1,
        "it follows the pointer again, and the pin stays"
    );
    assert!(window.state().heat_on(ImageSlot::A).is_some(), "the pointer is over B");
    window.leave();
    window.settle();
    assert!(ImageSlot::all().all(|slot| window.state().heat_on(slot).is_none()));
    window.assert_says("Point at a picture: what is similar lights up");
}

#[test]
fn clicks_fix_move_add_and_select_points() {
    let mut window = Window::settled();
    let [first, second, third] = [[40.0, 40.0], [120.0, 60.0], [80.0, 130.0]];
    window.click(at(&window, first));
    assert_eq!(pins(&window), [(1, ImageSlot::A, first)]);
    // A plain click moves the selected pin; with Shift there is one more.
    window.click(at(&window, second));
    assert_eq!(pins(&window), [(1, ImageSlot::A, second)]);
    window.click_with(Modifiers::SHIFT, at(&window, third));
    assert_eq!(pins(&window), [(1, ImageSlot::A, second), (2, ImageSlot::A, third)]);
    assert_eq!(window.document().selected_pin, Some(2));
    // A click at a pin selects it.
    window.click(at(&window, second));
    assert_eq!(window.document().selected_pin, Some(1));
    assert_eq!(pins(&window).len(), 2);
    for expected in [2, 1, 2] {
        window.key(Key::Q);
        assert_eq!(window.document().selected_pin, Some(expected));
    }
    window.key(Key::Delete);
    assert_eq!(pins(&window), [(1, ImageSlot::A, second)]);
    assert_eq!(window.document().selected_pin, None);
    // The smallest number that is free is taken.
    window.key(Key::P);
    assert_eq!(
        pins(&window),
        [(1, ImageSlot::A, second), (2, ImageSlot::A, [128.0, 128.0])]
    );
    window.click_with(Modifiers::SHIFT, window.screen(PaneKind::Picture, ImageSlot::B, first));
    assert_eq!(pins(&window)[2], (3, ImageSlot::B, first));
    window.key_with(Modifiers::SHIFT, Key::Delete);
    assert!(pins(&window).is_empty());
    window.settle();
    assert!(window.state().matches.is_none());
}

#[test]
fn a_pin_is_dragged_in_one_step() {
    let mut window = Window::settled();
    window.click(at(&window, [40.0, 40.0]));
    let before = heat(&mut window, ImageSlot::B);
    window.drag(at(&window, [40.0, 40.0]), at(&window, [120.0, 100.0]));
    assert_eq!(pins(&window), [(1, ImageSlot::A, [120.0, 100.0])]);
    assert_ne!(heat(&mut window, ImageSlot::B), before);
    window.key_with(CTRL, Key::Z);
    assert_eq!(pins(&window), [(1, ImageSlot::A, [40.0, 40.0])]);
    assert_eq!(heat(&mut window, ImageSlot::B), before);
    window.key_with(CTRL, Key::Z);
    assert!(pins(&window).is_empty());
    window.key_with(CTRL | Modifiers::SHIFT, Key::Z);
    window.key_with(CTRL, Key::Y);
    assert_eq!(pins(&window), [(1, ImageSlot::A, [120.0, 100.0])]);
    // It stays inside of its picture.
    let outside = window.canvas(PaneKind::Picture, ImageSlot::A).left_top() - Vec2::splat(30.0);
    window.drag(at(&window, [120.0, 100.0]), outside);
    let [x, y] = window.document().pins[0].at.clone().point();
    assert!(x >= -0.5 && y >= -0.5, "({x}, {y})");
}

trait Point {
    fn point(self) -> [f64; 2];
}

impl Point for QueryAt {
    fn point(self) -> [f64; 2] {
        match self {
            Self::Point(at) => at,
            Self::Region { path, .. } => path[0],
            Self::Word(token) => panic!("token {token} is at no point"),
        }
    }
}

#[test]
fn a_brushed_region_is_compared_by_its_mean() {
    let mut window = Opening::of_columns(2).settled();
    // From red into green, through the middle of a row of cells.
    window.drag_with(CTRL, &[at(&window, [20.0, 67.0]), at(&window, [44.0, 67.0])]);
    let region = heat(&mut window, ImageSlot::B);
    let cells = window.state().heat.as_ref().expect("a heat map").cells.clone();
    assert!(cells.len() > 2, "{cells:?}");
    window.assert_says("region at (20, 67)");
    window.key_with(CTRL, Key::Z);
    assert!(pins(&window).is_empty(), "one step for the whole gesture");

    let mut sums = vec![0.0_f64; region.len()];
    for (row, column) in &cells {
        let middle = [3.5 + 8.0 * *column as f64, 3.5 + 8.0 * *row as f64];
        window.hover(at(&window, middle));
        for (sum, score) in sums.iter_mut().zip(heat(&mut window, ImageSlot::B)) {
            *sum += f64::from(score);
        }
    }
    // The length of the mean divides them all.
    let ratios: Vec<f64> = sums
        .iter()
        .zip(&region)
        .map(|(sum, score)| sum / f64::from(*score))
        .collect();
    let (least, most) = ratios.iter().fold((f64::MAX, f64::MIN), |(least, most), ratio| {
        (least.min(*ratio), most.max(*ratio))
    });
    assert!((most - least).abs() < 1e-3 * most, "from {least} to {most}");

    // With the brush in the hand no Ctrl is needed, and the region moves as a whole.
    window.key(Key::E);
    window.drag(at(&window, [84.0, 40.0]), at(&window, [84.0, 90.0]));
    let QueryAt::Region { path, radius } = window.document().pins[0].at.clone() else {
        panic!("a region");
    };
    window.drag(at(&window, path[0]), at(&window, [path[0][0] - 40.0, path[0][1]]));
    let QueryAt::Region {
        path: moved,
        radius: same,
    } = window.document().pins[0].at.clone()
    else {
        panic!("a region");
    };
    assert_eq!((moved.len(), same), (path.len(), radius));
    for (from, to) in path.iter().zip(&moved) {
        assert!((from[0] - to[0] - 40.0).abs() < 0.5 && (from[1] - to[1]).abs() < 0.5);
    }
}

#[test]
fn arrows_move_the_selected_pin_by_a_cell_and_walk_through_layers_without_one() {
    let mut window = Window::settled();
    let layer = window.layer();
    window.key(Key::P);
    window.settle();
    let cell = |window: &Window| {
        let at = window.document().pins[0].at.clone().point();
        window
            .state()
            .cell_at(PointAt { slot: ImageSlot::A, at })
            .expect("it is in the picture")
    };
    let (row, column) = cell(&window);
    for (key, expected) in [
        (Key::ArrowRight, (row, column + 1)),
        (Key::ArrowDown, (row + 1, column + 1)),
        (Key::ArrowLeft, (row + 1, column)),
        (Key::ArrowUp, (row, column)),
    ] {
        window.key(key);
        assert_eq!(cell(&window), expected, "{key:?}");
    }
    for _ in 0..20 {
        window.key(Key::ArrowLeft);
    }
    assert_eq!(cell(&window), (row, 0), "no farther than the border");
    assert_eq!(window.layer(), layer);
    window.key(Key::Escape);
    window.key(Key::ArrowDown);
    assert_ne!(window.layer(), layer);
    window.key(Key::ArrowUp);
    assert_eq!(window.layer(), layer);
}

#[test]
fn matches_are_listed_with_their_way_back() {
    let mut window = Opening::of_columns(3).settled();
    window.click(at(&window, [16.0, 64.0]));
    window.click_with(Modifiers::SHIFT, at(&window, [80.0, 64.0]));
    window.settle();
    for count in [3, 5, 1] {
        window.apply_and_settle(Command::TopK(count));
        for pin in [1, 2] {
            assert_eq!(best(&window, pin, ImageSlot::B).len(), count);
        }
        // Two pins in two other pictures.
        assert_eq!(window.count("cycle "), 4 * count);
    }
    for pin in [1, 2] {
        let found = best(&window, pin, ImageSlot::B)[0];
        assert_eq!(
            found.mutual,
            found.cycle_cells == 0.0,
            "the way back ends in the pin's own cell or beside it"
        );
    }
    let mutual = [1, 2].into_iter().flat_map(|pin| {
        let third = ImageSlot::nth(2).expect("a third slot");
        [best(&window, pin, ImageSlot::B), best(&window, pin, third)]
    });
    let mutual = mutual.flatten().filter(|found| found.mutual).count();
    assert_eq!(window.words().iter().filter(|word| *word == "mutual").count(), mutual);
    // The list selects and deletes.
    let entry = window
        .words()
        .into_iter()
        .find(|text| text.starts_with("1  A (16, 64)"));
    window.harness.get_by_label(&entry.expect("it is listed")).click();
    window.step();
    assert_eq!(window.document().selected_pin, Some(1));
    window.pause();
    window.press_button("Delete pin 1");
    assert_eq!(pins(&window), [(2, ImageSlot::A, [80.0, 64.0])]);
}

#[test]
fn the_match_of_a_picture_with_itself_is_mutual() {
    let mut window = Opening::of_columns(1).settled();
    window.click(at(&window, [16.0, 64.0]));
    window.settle();
    let found = best(&window, 1, ImageSlot::A)[0];
    assert!(found.mutual && found.cycle_cells == 0.0);
    assert!((found.found.score - 1.0).abs() < 1e-5);
    window.assert_says("mutual");
    window.assert_says("cycle 0.0");
    assert!(
        window.state().heat_on(ImageSlot::A).is_some(),
        "alone, it is compared with itself"
    );
}

#[test]
fn pictures_change_places_and_their_pins_with_them() {
    let mut window = Window::settled();
    window.click(at(&window, [40.0, 40.0]));
    window.click_with(
        Modifiers::SHIFT,
        window.screen(PaneKind::Picture, ImageSlot::B, [100.0, 90.0]),
    );
    window.settle();
    let names =
        |window: &Window| [ImageSlot::A, ImageSlot::B].map(|slot| window.document().pictures[&slot].source.name());
    let before = names(&window);
    let pca = window.state().slot(ImageSlot::A).pca.clone().expect("PCA colours");
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::A)));
    window.key(Key::S);
    window.until("swapped pictures", |window| names(window) != before);
    window.settle();
    assert_eq!(names(&window), [before[1].clone(), before[0].clone()]);
    assert_eq!(
        pins(&window),
        [(1, ImageSlot::B, [40.0, 40.0]), (2, ImageSlot::A, [100.0, 90.0])]
    );
    let swapped = window.state().slot(ImageSlot::B).pca.clone().expect("PCA colours");
    assert_eq!(swapped.pass, pca.pass, "nothing runs again");
    window.act(Action::Undo);
    window.settle();
    assert_eq!(names(&window), before);
    assert_eq!(pins(&window)[0], (1, ImageSlot::A, [40.0, 40.0]));
}

#[test]
fn matches_are_copied_and_saved_with_their_pixels() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    window.click(at(&window, [16.0, 64.0]));
    window.settle();
    let found = best(&window, 1, ImageSlot::B);
    window.act(Action::CopyMatches);
    let copied = window.harness.output().platform_output.commands.iter();
    let mut copied = copied.filter_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    let table = copied.next_back().ok_or("a table was copied")?;
    window.settle();
    window.assert_says("Pins and matches copied");

    let paths = ["matches.csv", "matches.json"].map(|name| window.path(name));
    for path in &paths {
        window.apply(Command::UsePath(PathPurpose::SaveMatches, path.clone()));
        let saved = format!("Saved {}", path.display());
        window.until("a saved file", |window| window.says(&saved));
    }
    for (text, separator) in [(table, '\t'), (fs::read_to_string(&paths[0])?, ',')] {
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(separator).collect()).collect();
        let [titles, rows @ ..] = &rows[..] else {
            return Err("a line of titles".into());
        };
        let cell = |row: &[&str], title: &str| {
            let column = titles.iter().position(|other| *other == title);
            row[column.expect("a title")].to_owned()
        };
        let in_b: Vec<_> = rows.iter().filter(|row| cell(row, "target") == "B").collect();
        assert_eq!(in_b.len(), found.len());
        for (row, best) in in_b.into_iter().zip(&found) {
            assert_eq!(cell(row, "layer"), window.layer().to_string());
            assert_eq!((cell(row, "pin"), cell(row, "source")), ("1".into(), "A".into()));
            assert_eq!(
                [cell(row, "x"), cell(row, "y")].map(|x| x.parse::<f64>().map(f64::round)),
                [Ok(16.0), Ok(64.0)]
            );
            assert_eq!(cell(row, "match_x"), format!("{:.2}", best.found.at[0]));
            assert_eq!(cell(row, "match_y"), format!("{:.2}", best.found.at[1]));
            assert_eq!(cell(row, "mutual"), best.mutual.to_string());
        }
    }
    let json: Value = serde_json::from_str(&fs::read_to_string(&paths[1])?)?;
    let matches = json["matches"].as_array().ok_or("a list")?;
    let in_b: Vec<_> = matches.iter().filter(|row| row["target"] == "B").collect();
    assert_eq!(in_b.len(), found.len());
    for (row, best) in in_b.into_iter().zip(&found) {
        assert_eq!(row["match"], serde_json::json!(best.found.at));
        assert_eq!(row["cycle_cells"], serde_json::json!(best.cycle_cells));
    }
    assert_eq!(json["made_by"]["model"], "fake");
    assert_eq!(json["made_by"]["pictures"][0]["ran"]["t_ran"], 100);
    Ok(())
}

#[test]
fn nothing_is_copied_where_there_are_no_pins() {
    let mut window = Window::settled();
    for action in [
        Action::CopyMatches,
        Action::SaveMatches,
        Action::ClearPins,
        Action::NextPin,
        Action::DeletePin,
    ] {
        assert!(!window.state().can(action), "{action:?}");
    }
    window.key_with(CTRL | Modifiers::SHIFT, Key::C);
    window.assert_silent("copied as a table");
}

#[test]
fn an_attention_map_shows_the_row_of_the_point() {
    let mut window = Window::settled();
    window.select(SELF_MAP);
    window.assert_says("An attention map has no PCA");
    window.hover(at(&window, [80.0, 80.0]));
    let sum: f32 = heat(&mut window, ImageSlot::A).iter().sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    window.assert_says("attention (mean over 2 heads) 0.");
    assert!(
        window.state().heat_on(ImageSlot::B).is_none(),
        "a row stays in its picture"
    );
    // Of a region it is the mean of the rows.
    window.drag_with(CTRL, &[at(&window, [40.0, 40.0]), at(&window, [90.0, 90.0])]);
    let sum: f32 = heat(&mut window, ImageSlot::A).iter().sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
}

#[test]
fn attention_to_text_is_listed_beside_the_features() {
    let mut window = Window::settled();
    for group in ["down level 0", "repeat 0", "vit block 0"] {
        window.choose(group);
    }
    window.choose("cross-map");
    window.settle();
    assert_eq!(window.layer(), id(TEXT_MAP));
    assert_eq!(window.state().run.error, None);
    window.assert_says("Tokens");
    window.hover(at(&window, [80.0, 80.0]));
    let heat = heat(&mut window, ImageSlot::B);
    assert!(!heat.is_empty(), "its vectors are compared like any others");
}
