//! Two sides of any layers, timesteps, seeds, models and pictures: a wipe, a difference, what is kept and what is written.

use std::fs;

use egui::Key;
use featscope::{
    analysis::difference::Measure,
    app::{Action, Command, CompareChoice, CompareMode, CompareSide, PaneKind, PassChoice, PathPurpose},
    engine::{Agreement, CompareView, ImageSlot},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{CTRL, Opening, Window},
    model::{FIRST_LAYER, SELF_MAP, id},
    saving::save,
};

/// On the same grid as the first layer, with other channels.
const OTHER_CHANNELS: &str = "down-level0-repeat0-res-out";
/// On a coarser grid, with other channels.
const COARSE: &str = "down-level1-repeat0-res-out";

fn compared() -> Window {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPane(PaneKind::Compare));
    window.settle();
    window
}

fn view(window: &Window) -> CompareView {
    window.state().compare.view.clone().expect("a comparison")
}

fn set(window: &mut Window, change: impl FnOnce(&mut CompareChoice)) {
    let mut choice = window.document().compare.clone();
    change(&mut choice);
    window.apply_and_settle(Command::Compare(choice));
}

#[test]
fn two_pictures_have_one_basis_and_one_minus_cosine() {
    let mut window = compared();
    let shown = view(&window);
    assert_eq!(shown.agreement, Agreement::OneBasis);
    assert_eq!(shown.difference.measure, Measure::Cosine);
    window.assert_says("one PCA basis and one colour range for A and B");
    window.assert_says(&format!("mean 1 − cosine {:.3}", shown.difference.mean));
    // Columns of other colours differ, and against itself nothing does.
    assert!(shown.difference.mean > 0.05, "{}", shown.difference.mean);
    set(&mut window, |choice| choice.sides[1] = choice.sides[0].clone());
    let same = view(&window);
    assert!(same.difference.values.iter().all(|value| *value < 1e-6));
    assert_eq!(same.sides[0].rgb, same.sides[1].rgb);
}

#[test]
fn other_channel_counts_and_grids_are_rotated_and_said() {
    let mut window = compared();
    set(&mut window, |choice| {
        choice.sides[1] = CompareSide {
            pass: PassChoice::Shown(ImageSlot::A),
            layer: Some(id(OTHER_CHANNELS)),
        };
        choice.mode = CompareMode::Difference;
    });
    let shown = view(&window);
    assert_eq!(
        (shown.agreement, shown.difference.measure),
        (Agreement::Rotated, Measure::Scores)
    );
    window.assert_says("difference of standardised scores, in standard deviations, B rotated onto A (Procrustes)");
    assert!(shown.difference.values.iter().all(|value| value.is_finite()));
    set(&mut window, |choice| choice.sides[1].layer = Some(id(COARSE)));
    let shown = view(&window);
    assert_eq!([shown.sides[0].grid.width, shown.sides[1].grid.width], [16, 8]);
    assert_eq!(shown.difference.grid.width, 16);
    window.assert_says("grids of 16 x 16 and 8 x 8 cells, compared on 16 x 16 with the nearest cells");
    // An attention map has no vectors to compare, and says so.
    set(&mut window, |choice| choice.sides[1].layer = Some(id(SELF_MAP)));
    window.assert_says("B: down-level0-repeat0-vit-block0-self-map is an attention map: choose a feature map");
}

/// The colours of the pane, from left to right through its middle.
fn middle(window: &mut Window) -> Vec<[u8; 4]> {
    let place = window.harness.root();
    let found = egui_kittest::kittest::Queryable::query_by_label(&place, "Comparison of A and B");
    let rect = found.expect("the comparison").rect();
    let picture = window.render();
    let y = (rect.top() + rect.height() * 0.25) as u32;
    (rect.left() as u32..rect.right() as u32)
        .map(|x| picture.get_pixel(x, y).0)
        .collect()
}

#[test]
fn the_divider_is_dragged_and_a_held_key_shows_all_of_b() {
    let mut window = compared();
    window.leave();
    set(&mut window, |choice| {
        choice.mode = CompareMode::Wipe;
        choice.divider = 1.0;
    });
    let all_of_a = middle(&mut window);
    set(&mut window, |choice| choice.divider = 0.0);
    let all_of_b = middle(&mut window);
    assert_ne!(all_of_a, all_of_b);
    set(&mut window, |choice| choice.divider = 1.0);
    window.harness.key_down(Key::A);
    window.step();
    window.step();
    let held = middle(&mut window);
    window.harness.key_up(Key::A);
    window.step();
    window.settle();
    let differing = held.iter().zip(&all_of_b).filter(|(a, b)| a != b).count();
    assert!(
        differing < 20,
        "all of B but for the line: {differing} of {}",
        held.len()
    );
    assert_ne!(middle(&mut window), held);

    let found = window.named("Comparison of A and B").next().map(|node| node.rect());
    let rect = found.expect("the comparison");
    let at = |share: f32| {
        egui::pos2(
            rect.center().x + (share - 0.5) * rect.height().min(rect.width()),
            rect.center().y,
        )
    };
    window.drag(at(0.9), at(0.25));
    let divider = window.document().compare.divider;
    assert!((divider - 0.25).abs() < 0.03, "{divider}");
    window.key_with(CTRL, Key::Z);
    assert_eq!(window.document().compare.divider, 1.0, "one step for the whole drag");
}

#[test]
fn what_is_kept_as_b_stays_while_t_layer_and_model_change() {
    let mut window = Opening::of_columns(2).settled();
    let before = window.document().settings.t;
    window.key(Key::Z);
    window.settle();
    assert!(window.titles().iter().any(|title| title == PaneKind::Compare.name()));
    assert!(
        view(&window).difference.values.iter().all(|value| *value < 1e-6),
        "nothing has changed yet"
    );
    let mut settings = window.document().settings.clone();
    settings.t = 900.into();
    window.apply_and_settle(Command::Settings(settings));
    let shown = view(&window);
    assert!(shown.difference.mean > 1e-4, "{}", shown.difference.mean);
    window.assert_says(&format!("B: {FIRST_LAYER} of A columns-a.png  t {before}"));
    window.select(OTHER_CHANNELS);
    assert_eq!(view(&window).agreement, Agreement::Rotated);
    // The maps of the model before are still kept.
    window.apply_and_settle(Command::LoadModel("fake-small".to_owned()));
    window.assert_says("fake");
    let shown = view(&window);
    assert_eq!(shown.query.sides[1].1, id(FIRST_LAYER));
    let models: Vec<String> = shown
        .query
        .sides
        .iter()
        .filter_map(|(pass, _)| Some(window.state().passes.get(*pass)?.model.clone()))
        .collect();
    assert_eq!(models, ["fake-small", "fake"]);
}

#[test]
fn another_seed_is_run_as_b() {
    let mut window = compared();
    window.apply(Command::CompareTyped(400.into(), 7));
    window.step();
    window.press_button("Run as B");
    window.until(
        "another pass as B",
        |window| matches!(&window.document().compare.sides[1].pass, PassChoice::Kept(kept) if kept.settings.seed == 7),
    );
    window.settle();
    let PassChoice::Kept(kept) = &window.document().compare.sides[1].pass else {
        panic!("a pass that is kept");
    };
    assert_eq!((kept.slot, kept.settings.t), (ImageSlot::A, 400.into()));
    window.assert_says("t 400  seed 7");
    assert!(view(&window).difference.mean > 0.0);
    // A side that is gone says so, and runs again on request.
    let PassChoice::Kept(mut gone) = window.document().compare.sides[1].pass.clone() else {
        panic!("a pass that is kept");
    };
    gone.settings.t = 555.into();
    set(&mut window, |choice| choice.sides[1].pass = PassChoice::Kept(gone));
    window.assert_says("B: its maps are not kept.");
    window.press_button("Run it");
    window.until("the pass again", |window| {
        let sides = window.state().compare.view.iter().flat_map(|view| view.query.sides);
        sides
            .filter_map(|(pass, _)| window.state().passes.get(pass))
            .any(|kept| kept.settings.t == 555)
    });
    window.settle();
    window.assert_silent("its maps are not kept");
}

/// The JSON in a PNG.
fn text_of(png: &[u8]) -> Result<Value, Box<dyn std::error::Error>> {
    const BEGINS: &[u8] = b"iTXtfeatscope\0\0\0\0\0";
    let found = png.windows(BEGINS.len()).position(|bytes| bytes == BEGINS);
    let at = found.ok_or("a text")?;
    let length: [u8; 4] = png[at - 4..at].try_into()?;
    let end = at + b"iTXt".len() + u32::from_be_bytes(length) as usize;
    Ok(serde_json::from_slice(&png[at + BEGINS.len()..end])?)
}

#[test]
fn a_comparison_is_written_with_what_made_it_and_kept_by_a_workspace() -> TestResult {
    let mut window = compared();
    set(&mut window, |choice| choice.mode = CompareMode::Difference);
    window.assert_says("1 − cosine of the two vectors at each position");
    window.assert_says("Histogram of 1 − cosine");
    // What is beside the picture is somebody else's.
    fs::write(window.path("comparison.json"), "mine")?;
    let file = save(&mut window, PathPurpose::SavePane(PaneKind::Compare), "comparison.png")?;
    assert_eq!(fs::read_to_string(window.path("comparison.json"))?, "mine");
    let picture = image::open(&file)?.to_rgb8();
    assert_eq!(picture.dimensions(), (3 * 512, 512));
    let shown = view(&window);
    // The middle of the first cell of A and of B.
    let cell = 512 / shown.sides[0].grid.width as u32;
    for (index, side) in shown.sides.iter().enumerate() {
        let pixel = picture.get_pixel(index as u32 * 512 + cell / 2, cell / 2);
        assert_eq!(pixel.0, side.rgb[..3], "side {index}");
    }
    // What made it is in it, and the same as JSON where that is asked for.
    let json = text_of(&fs::read(&file)?)?;
    let other = save(&mut window, PathPurpose::SavePane(PaneKind::Compare), "figures.json")?;
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(other)?)?, json);
    assert_eq!(json["sides"][0]["activation"], FIRST_LAYER);
    assert_eq!(json["sides"][1]["model"], "fake");
    assert_eq!(json["difference"]["measure"], "cosine");
    let values = json["difference"]["values"].as_array().ok_or("values")?;
    assert_eq!(values.len(), shown.difference.values.len());
    let refused = save(&mut window, PathPurpose::SavePane(PaneKind::Compare), "comparison.gif").expect_err("a format");
    assert!(refused.contains(".png"), "{refused}");

    window.key(Key::Z);
    window.settle();
    let choice = window.document().compare.clone();
    let file = save(&mut window, PathPurpose::SaveWorkspace, "compare.featscope.json")?;
    let mut opening = Opening::default();
    opening.arguments.files = vec![file];
    opening.arguments.model = None;
    let other = opening.settled();
    assert_eq!(other.document().compare, choice);
    assert!(
        other.state().compare.view.is_some(),
        "the pass it names is run for its picture anyway"
    );
    Ok(())
}
