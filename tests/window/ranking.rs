//! Which activation finds marked points again: pairs become a table that sorts, a click shows the layer.

use std::fs;

use featscope::{
    analysis::correspondence::Method,
    app::{Abilities, Action, Command, Level, PaneKind, PathPurpose, RankColumn},
    components::schedule::Timestep,
    engine::{ImageSlot, QueryAt},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{CTRL, Opening, Window},
    model::id,
    saving::save,
};

/// Feature maps of the fake model.
const FEATURES: usize = 11;

/// The middles of columns of the same colour in both pictures, at the upper edge: red, green, blue.
const PAIRS: [[[f64; 2]; 2]; 3] = [
    [[16.0, 4.0], [48.0, 4.0]],
    [[48.0, 4.0], [16.0, 4.0]],
    [[80.0, 4.0], [112.0, 4.0]],
];

/// Two pictures of columns with a ranking in place of the layers' colours, and pairs of points.
fn ranked() -> Window {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPane(PaneKind::Rank));
    window.key(egui::Key::Num2);
    for pair in PAIRS {
        for (slot, at) in [ImageSlot::A, ImageSlot::B].into_iter().zip(pair) {
            window.click(window.screen(PaneKind::Picture, slot, at));
        }
    }
    window.key(egui::Key::Num2);
    window.settle();
    window
}

/// Activation, timestep, PCK@.1 and mean distance of the rows as they are listed.
fn rows(window: &Window) -> Vec<(String, Timestep, f64, f64)> {
    let rows = window.state().rank.rows();
    rows.map(|row| {
        let figures = &row.score.figures;
        (row.id.to_string(), row.t, figures.pck_10, figures.mean_distance_px)
    })
    .collect()
}

fn ids(window: &Window) -> Vec<String> {
    rows(window).into_iter().map(|(id, ..)| id).collect()
}

#[test]
fn pairs_of_two_pictures_rank_every_activation() {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPane(PaneKind::Rank));
    window.settle();
    window.assert_says("Mark pairs of points: in pair mode click a place in A");
    assert_eq!(window.state().rank.rows().len(), 0);
    let mut window = ranked();
    window.assert_says("3 pair(s); nearest neighbour by cosine on the grid, predictions at cell centres");
    window.assert_says("of its longer side, 128 px");
    window.assert_says("11 of 11 activations");
    let all = rows(&window);
    assert_eq!(all.len(), FEATURES);
    let best_first = |a: &(String, Timestep, f64, f64), b: &(String, Timestep, f64, f64)| (-a.2, a.3) <= (-b.2, b.3);
    assert!(all.windows(2).all(|two| best_first(&two[0], &two[1])), "{all:?}");
    // What the window says of a row is what the ranking lane found.
    let (name, t, pck, mean) = all[0].clone();
    window.assert_says(&format!("{name} at t {t}: PCK@.1 {pck:.3}"));
    window.assert_says(&format!("mean {mean:.2} px"));

    // A point that moves asks anew.
    let moved = featscope::app::Pin {
        at: QueryAt::Point([112.0, 4.0]),
        ..window.document().pins[1].clone()
    };
    window.apply_and_settle(Command::MovePin(moved));
    assert_ne!(rows(&window), all);
    window.key_with(CTRL, egui::Key::Z);
    window.settle();
    assert_eq!(rows(&window), all);
    // Without pairs there is nothing to ask; what was found says that it is not of what is set.
    window.act(Action::ClearPins);
    window.settle();
    window.assert_says("● outdated");
}

#[test]
fn a_click_shows_the_layer_and_titles_sort() {
    let mut window = ranked();
    let (name, t, pck, _) = rows(&window)[3].clone();
    assert_ne!(window.layer(), id(&name));
    let label = {
        let begin = format!("{name} at t {t}: PCK@.1 {pck:.3}");
        let words = window.words();
        words
            .into_iter()
            .find(|words| words.starts_with(&begin))
            .expect("a row")
    };
    window.choose(&label);
    assert_eq!(window.layer(), id(&name));
    window.key_with(CTRL, egui::Key::Z);
    window.settle();
    assert_ne!(window.layer(), id(&name), "a click can be undone");

    window.choose("Sort by activation");
    let layers = window.state().layers().iter().map(|layer| layer.id);
    let in_order: Vec<String> = layers.filter(|id| !id.is_map()).map(|id| id.to_string()).collect();
    assert_eq!(ids(&window), in_order);
    window.choose("Sort by activation");
    assert!(ids(&window).iter().eq(in_order.iter().rev()));
    assert_eq!(
        (window.document().rank.column, window.document().rank.reversed),
        (RankColumn::Layer, true)
    );
    window.choose("Sort by mean px");
    let means: Vec<f64> = rows(&window).into_iter().map(|row| row.3).collect();
    assert!(means.is_sorted(), "{means:?}");

    window.apply(Command::RankSearch("res-OUT".to_owned()));
    window.settle();
    assert_eq!(rows(&window).len(), 4, "{:?}", ids(&window));
    window.assert_says("4 of 11 activations");
}

#[test]
fn other_timesteps_are_run_and_ranked_too() {
    let mut window = ranked();
    window.work_in(PaneKind::Rank, ImageSlot::A);
    let t = window.document().settings.t;
    window.apply(Command::RankSteps("0, 900,x".to_owned()));
    window.step();
    window.assert_says("\"x\" is no timestep: whole numbers from 0 to 999");
    window.apply(Command::RankSteps("0, 900".to_owned()));
    window.step();
    window.press_button("Run these");
    window.until("rows of three timesteps", |window| {
        window.state().rank.rows().len() == 3 * FEATURES
    });
    window.settle();
    window.assert_says(&format!("t 0, {t}, 900;"));
    window.choose("Sort by t");
    let steps: Vec<Timestep> = rows(&window).into_iter().map(|row| row.1).collect();
    assert!(
        steps.is_sorted() && steps[0] == 0 && steps[3 * FEATURES - 1] == 900,
        "{steps:?}"
    );
    // A row of another timestep brings layer and timestep, and one step back brings both back.
    let before = (window.layer(), t);
    window.apply_and_settle(Command::LookAt(id("unet-out"), 900.into()));
    assert_eq!(
        (window.layer(), window.document().settings.t),
        (id("unet-out"), 900.into())
    );
    assert!(
        window
            .state()
            .slot(ImageSlot::A)
            .capture
            .as_ref()
            .is_some_and(|capture| capture.settings.t == 900)
    );
    assert_eq!(window.state().rank.rows().len(), 3 * FEATURES);
    window.pause();
    window.key_with(CTRL, egui::Key::Z);
    window.settle();
    assert_eq!((window.layer(), window.document().settings.t), before);
}

#[test]
fn pairs_can_be_moved_and_go_to_a_file_and_back() -> TestResult {
    let mut window = ranked();
    let mut choice = window.document().rank.clone();
    choice.options.method = Method::Dift;
    window.apply_and_settle(Command::Rank(choice));
    window.assert_says("(DIFT)");
    // The second point of a pair moves.
    let from = window.screen(PaneKind::Picture, ImageSlot::B, PAIRS[0][1]);
    let to = window.screen(PaneKind::Picture, ImageSlot::B, [112.0, 40.0]);
    window.drag(from, to);
    window.settle();
    let asked = window.state().rank.view.as_ref().ok_or("a ranking")?.query.clone();
    let near = |found: [f64; 2], wanted: [f64; 2]| (found[0] - wanted[0]).hypot(found[1] - wanted[1]) < 1.0;
    assert!(near(asked.pairs[0].target, [112.0, 40.0]), "{:?}", asked.pairs);
    assert!(near(asked.pairs[1].target, PAIRS[1][1]), "{:?}", asked.pairs);
    let file = save(&mut window, PathPurpose::SavePairs, "pairs.json")?;
    let table = fs::read_to_string(save(&mut window, PathPurpose::SavePane(PaneKind::Rank), "ranking.csv")?)?;
    assert_eq!(table.lines().count(), 1 + FEATURES);
    let first_line = table.lines().nth(1).ok_or("a row")?;
    assert!(
        first_line.starts_with(&format!("1,{},{}", rows(&window)[0].1, rows(&window)[0].0)),
        "{first_line}"
    );
    assert!(first_line.contains(",dift,false,fake,"), "{first_line}");
    let json = fs::read(save(
        &mut window,
        PathPurpose::SavePane(PaneKind::Rank),
        "ranking.json",
    )?)?;
    let json: Value = serde_json::from_slice(&json)?;
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(FEATURES));
    assert_eq!(
        (&json["ranked"]["longer_side_px"], &json["complete"]),
        (&128.into(), &true.into())
    );
    assert_eq!(json["pairs"], serde_json::to_value(&asked.pairs)?);

    window.act(Action::ClearPins);
    window.apply(Command::UsePath(PathPurpose::OpenPairs, file));
    window.until("pins", |window| window.document().pins.len() == PAIRS.len());
    window.settle();
    let again = window.state().rank.view.as_ref().ok_or("a ranking")?;
    assert_eq!(again.query.pairs, asked.pairs);
    Ok(())
}

#[test]
fn pairs_that_cannot_be_pinned_are_refused_in_words() -> TestResult {
    let mut window = ranked();
    let before = window.document().pins.clone();
    for (text, words) in [
        ("[", "no JSON"),
        ("[]", "empty"),
        ("[{\"source\": [900, 1], \"target\": [1, 1]}]", "outside of its picture"),
    ] {
        let file = window.path("bad.json");
        fs::write(&file, text)?;
        let told = window.state().messages.log.len();
        window.apply(Command::UsePath(PathPurpose::OpenPairs, file));
        window.until("a message", |window| window.state().messages.log.len() > told);
        let line = window.state().messages.log.back().ok_or("a message")?;
        assert!(
            line.level != Level::Info && line.text.contains(words),
            "{text}: {}",
            line.text
        );
        assert_eq!(window.document().pins, before);
    }
    // Nor is a ranking that is not there written.
    window.act(Action::ClearPins);
    let mut fresh = Window::settled();
    assert!(!fresh.state().can(Action::SavePane(PaneKind::Rank)) && !fresh.state().can(Action::SavePairs));
    let error = save(&mut fresh, PathPurpose::SavePane(PaneKind::Rank), "none.csv").expect_err("nothing is ranked");
    assert!(error.contains("no ranking"), "{error}");
    Ok(())
}

#[test]
fn a_ranking_pane_is_painted_and_kept_by_a_workspace() -> TestResult {
    let mut window = ranked();
    let mut choice = window.document().rank.clone();
    choice.column = RankColumn::Timestep;
    choice.options.drop_massive = true;
    window.apply_and_settle(Command::Rank(choice.clone()));
    window.assert_says("massive channels of the source left out");
    let file = save(&mut window, PathPurpose::SaveWorkspace, "ranking.featscope.json")?;
    let mut opening = Opening::default();
    opening.arguments.files = vec![file];
    opening.arguments.model = None;
    let other = opening.settled();
    assert_eq!(other.document().rank, choice);
    assert!(other.titles().iter().any(|title| title == PaneKind::Rank.name()));
    assert_eq!(rows(&other), rows(&window));
    Ok(())
}
